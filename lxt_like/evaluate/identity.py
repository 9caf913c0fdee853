"""Whether two runs are of the same model and the same preparation.

Weights alone do not say: an activation, a norm's epsilon or a plain number in a forward is none.
So what a model is, is told in several ways, and a refusal names those that differ.  Its outputs on
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

_AWKWARD = (
    "It Is GOOD, isn't it?  Don't re-do (e.g. 3.14, 1,000 or 50 %)!\t\u201cÉcole\u201d stra\u00dfe"
    "\r\ne\u0301 \ufb01 \u0130I \u00a0\u3000\u4f60\u597d \u3053\u3093 \ud55c\uad6d \u0939\u093f "
    "\U0001f600\U0001f468\u200d\U0001f469 <b>&amp; [MASK] </s> http://x.y/_z \x00\x07\u200b\ufeff"
    "\ufffd a...b UPPERCASE lowercase CamelCase  \n\n trailing "
)
"""What tokenizers treat each in their own way: case, accents, punctuation, digits, scripts."""

# where a configuration lies, who wrote it, and what does not change a result or is told elsewhere
_ASIDE = {"_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype",
          "_commit_hash", "id2label", "label2id", "use_cache", "attn_implementation",
          "_attn_implementation", "_attn_implementation_autoset"}  # fmt: skip


def identity(task: Task) -> dict[str, Any]:
    """What tells the task's model from others, by name; JSON values all."""
    return {
        "model": task.fingerprint(),
        "tokenizer": _tokenizer(getattr(task, "tokenizer", None)),
        "modules": _digest(re.sub(r"0x[0-9a-f]+", "", repr(task.model))),
        "config": _config(task.model),
        "outputs": _outputs(task),
    }


def made_with() -> dict[str, str]:
    """Versions that may be the reason if a model is another one under the same weights."""
    return {
        "torch": str(torch.__version__),
        **{name: version(name) for name in ("transformers", "tokenizers")},
    }


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


def _tokenizer(tokenizer: Any) -> str | None:
    """Of everything that decides which tokens a text becomes; None where there is no tokenizer.

    A fast one says all of it; how it pads and cuts is left out, since each call sets that anew.
    Others are told by their vocabulary and by what they make of an awkward text.
    """
    if tokenizer is None:
        return None
    written = getattr(getattr(tokenizer, "backend_tokenizer", None), "to_str", None)
    told = json.loads(written()) if callable(written) else {}
    vocabulary: dict[Any, Any] = getattr(tokenizer, "get_vocab", dict)()
    seen = [_ids(tokenizer, text) for text in (_AWKWARD, (_AWKWARD, _AWKWARD[::-1]))]
    rest = {name: part for name, part in told.items() if name not in ("padding", "truncation")}
    return _digest(
        repr(
            (
                sorted((str(piece), int(i)) for piece, i in vocabulary.items()),
                getattr(tokenizer, "truncation_side", "right"),
                json.dumps(rest, sort_keys=True),
                seen,
            )
        )
    )


def _ids(tokenizer: Any, given: str | tuple[str, str]) -> Any:
    """The inputs that a tokenizer makes of a text or a pair, or why it makes none."""
    texts = (given,) if isinstance(given, str) else given
    try:
        made = tokenizer(*texts, truncation=False, padding=False, verbose=False)
        return sorted((name, [int(v) for v in values]) for name, values in made.items())
    except Exception as error:  # any tokenizer, a user's own too
        return type(error).__name__


def _config(model: nn.Module) -> Any:
    """What a transformers configuration says other than its class's defaults."""
    written = getattr(getattr(model, "config", None), "to_json_string", None)
    return _told(json.loads(written())) if callable(written) else None


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(part) for name, part in value.items() if name not in _ASIDE}
    if isinstance(value, list):
        return [_told(part) for part in value]
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
