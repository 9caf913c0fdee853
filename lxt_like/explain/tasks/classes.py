"""Text classification: one of the head's outputs, for the whole text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ...targets import Target, as_target, select
from ..heads import display_label, head_kind, probability, read_logits, require_choice
from ..rows import Found, Row
from .base import Task
from .spots import merged


class Classification(Task):
    """Target: None (the predicted class), a class by name or index, or of ``lxt.targets``."""

    name = "text classification"
    windows = True

    def joined(self, target: Any, total: int) -> Any:
        """A list of targets as one target with a list of classes.

        Raises:
            InputError: they are of different kinds.
            TargetError: there is not one for each text.
        """
        if not (isinstance(target, list | tuple) and any(isinstance(t, Target) for t in target)):
            return target
        return merged([as_target(t) for t in select(target, range(total), total, "text")])

    def asks(self, target: Any, rows: Sequence[Row], total: int) -> list[Any]:
        outputs = getattr(self.config, "num_labels", None) or 0
        names = list((getattr(self.config, "id2label", None) or {}).values())
        require_choice(target, head_kind(self.config, outputs), outputs, names)
        return [(target, row.item, total) for row in rows]

    def target(self, asks: Sequence[Any]) -> Any:
        target, _, total = asks[0]
        return select(target, [item for _, item, _ in asks], total, "text")

    def found(
        self, a: Any, target: Any, inputs: Mapping[str, Tensor], rows: Sequence[Row]
    ) -> list[Found]:
        logits = read_logits(a.output, len(rows)).detach().cpu()
        made = []
        for k in range(len(rows)):
            label, index = a.target.describe(k)
            made.append(self.named(label, index, logits[k]))
        return made

    def named(self, label: str, index: int | None, logits: Tensor) -> Found:
        """The output ``index`` as the head means it."""
        kind = head_kind(self.config, len(logits))
        shown = display_label(label, kind, len(logits))
        return Found(shown, index, logits, probability(logits, index, kind))
