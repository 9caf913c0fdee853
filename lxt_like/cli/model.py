"""The model that a command works on, its classes, and a text as it reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import demo
from ..composites import composite as resolve_composite
from ..errors import InputError
from ..explain.batches import Runner
from ..explain.encode import encode
from ..explain.heads import head_kind, require_choice
from ..explain.loading import TextModel, load_text_model
from ..explain.rows import Row
from ..explain.windows import token_limit, truncate
from ..targets import Contrast, Names, Resolved, class_names, indices_of
from .guard import quiet_libraries
from .progress import Progress


@contextmanager
def opened(
    name: str | None, composite: str, progress: Progress, verbose: bool, trust_remote_code: bool
) -> Iterator[TextModel]:
    """The text classifier ``name`` (None: the bundled one) in quiet surroundings.

    An unknown composite is refused before anything is loaded.
    """
    resolve_composite(composite)
    folder = demo.sentiment() if name is None else name
    progress.status(f"loading {'the bundled model' if name is None else name} ...")
    with quiet_libraries(verbose, downloads=progress.shown):
        loaded = load_text_model(folder, trust_remote_code=trust_remote_code)
        progress.clear()
        yield loaded


def target_of(loaded: TextModel, target: str | None, foil: str | None = None) -> Any:
    """What to explain: None (the prediction), a class index, or a contrast with ``foil``.

    Raises:
        TargetError: there is no such class; the message lists those that there are.
        InputError: the two are the same class.
    """
    config: Any = loaded.model.config
    names = class_names(loaded.model)
    outputs = int(config.num_labels)
    require_choice(target, head_kind(config, outputs), outputs, list(names.values()))
    chosen = None if target is None else _index(target, outputs, names)
    if foil is None:
        return chosen
    other = _index(foil, outputs, names)
    if chosen == other:
        raise InputError(f"the foil is the target itself ({foil!r}): name another class")
    return _Versus(chosen, other)


def _index(given: str, outputs: int, names: Names) -> int:
    """A class by name or, where no class is called so, by number."""
    number = re.fullmatch(r"[+-]?\d+", given) and given not in names.values()
    return int(indices_of(int(given) if number else given, torch.zeros(1, outputs), names))


@dataclass(frozen=True)
class _Versus(Contrast):
    """A contrast that refuses to be one of a class with itself."""

    def resolve(self, logits: Tensor, names: Names) -> Resolved:
        made = indices_of(self.c, logits, names)
        foil = indices_of(self.foil, logits, names)
        if bool((made == foil).any()):
            name = names.get(int(foil[0]), str(int(foil[0])))
            raise InputError(
                f"the prediction is the foil {name!r} itself, so nothing sets them apart: "
                "name a target or another foil"
            )
        return super().resolve(logits, names)


@dataclass(frozen=True)
class Reading:
    """One text as the model reads it: ``inputs`` by name, ``logits`` [1, outputs]."""

    inputs: dict[str, Tensor]
    logits: Tensor


def read(loaded: TextModel, text: str) -> Reading:
    """``text`` as ``lxt.explain`` would feed it, cut to what the model takes."""
    encoding = encode(loaded.tokenizer, text)
    limit = token_limit(loaded.model, loaded.tokenizer)
    positions = list(range(len(encoding)))
    if limit is not None and len(encoding) > limit:
        side = getattr(loaded.tokenizer, "truncation_side", "right")
        positions = truncate(encoding, limit, side)
    runner = Runner(loaded, batch_size=1)
    row = Row(0, encoding, positions)
    return Reading(runner.inputs([row]), runner.logits([row]))
