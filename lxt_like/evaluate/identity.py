"""Whether two runs are of the same model and the same preparation.

Weights alone do not say: an activation, a norm's epsilon or a plain number in a forward is none.
So what a model is, is told in four ways, and a refusal names those that differ.  Its outputs on
a plain sample are compared with a tolerance, since threads and devices round differently.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

from .task import Task

VALUES = 128
"""Outputs that are kept of a model with more classes."""
CLOSE = 5e-3
"""Of the largest output: rounding, TF32 included, is within; half the digits if they are fewer."""

# where a configuration lies, who wrote it, and what does not change a result or is told elsewhere
_ASIDE = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype",
          "_commit_hash", "id2label", "label2id", "use_cache", "attn_implementation",
          "_attn_implementation", "_attn_implementation_autoset"}  # fmt: skip


def identity(task: Task) -> dict[str, Any]:
    """What tells the task's model from others, by name; JSON values all."""
    return {
        "model": task.fingerprint(),
        "modules": _digest(re.sub(r"0x[0-9a-f]+", "", repr(task.model))),
        "config": _config(task.model),
        "outputs": _outputs(task),
    }


def made_with() -> dict[str, str]:
    """Versions that may be the reason if a model is another one under the same weights."""
    return {"torch": str(torch.__version__), "transformers": version("transformers")}


def fingerprint(model: nn.Module, rest: Any) -> str:
    """16 hexadecimal digits of all weights and buffers and of ``repr(rest)``."""
    made = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        made.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        made.update(_bytes(tensor))
    made.update(type(model).__qualname__.encode())
    made.update(repr(rest).encode("utf-8", "surrogatepass"))
    return made.hexdigest()[:16]


def _bytes(tensor: Any) -> bytes:
    if not isinstance(tensor, Tensor):  # extra state of a module
        return repr(tensor).encode()
    flat = tensor.detach().cpu().contiguous().flatten()
    # numpy knows no bfloat16; bytes are bytes
    return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _config(model: nn.Module) -> Any:
    """What a transformers configuration says other than its class's defaults."""
    written = getattr(getattr(model, "config", None), "to_json_string", None)
    return _told(json.loads(written())) if callable(written) else None


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(part) for name, part in value.items() if name not in _ASIDE}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _outputs(task: Task) -> dict[str, Any]:
    """Logits and probabilities of a plain sample, and how far off they may be."""
    with torch.no_grad():
        logits = task.logits(task.probe().inputs)
    floating = [p.dtype for p in task.model.parameters() if p.dtype.is_floating_point]
    coarsest = max(torch.finfo(dtype).eps for dtype in [*floating, logits.dtype])
    numbers = torch.cat([logits[0].double(), task.probabilities(logits)[0].double()]).cpu()
    kept = numbers[:: max(1, len(numbers) // VALUES)].tolist()
    finite = [value for value in kept if math.isfinite(value)]
    return {
        "within": max(CLOSE, math.sqrt(coarsest)) * max(map(abs, finite), default=0.0),
        "values": [value if math.isfinite(value) else str(value) for value in kept],
    }
