"""Whether an explanation agrees with what people say made the label: their rationales.

Agreement says that an explanation convinces, not that it is true to the model: a model may be right
for other reasons than a person.
"""

from __future__ import annotations

from .localisation import agreement, auprc, iou, token_f1, unit_masks

__all__ = ["agreement", "auprc", "iou", "token_f1", "unit_masks"]
