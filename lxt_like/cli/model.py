"""The model that a command works on, its classes, and a text as it reads it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from .. import demo
from ..classes import Called
from ..composites import composite as resolve_composite
from ..errors import InputError
from ..explain.batches import Runner, evaluation_mode
from ..explain.heads import head_kind, require_choice
from ..explain.loading import TextModel, load_text_model
from ..explain.rows import Found, Row
from ..explain.tasks import Task, task_for
from ..explain.tasks.classes import Classification
from ..explain.tasks.tags import Tags
from ..explain.windows import token_limit
from ..targets import (
    Contrast,
    Target,
    Token,
    as_target,
    class_names,
    resolved,
)
from .classes import classes_of
from .guard import quiet_libraries
from .progress import Progress


@contextmanager
def opened(
    name: str | None, composite: str, progress: Progress, verbose: bool, trust_remote_code: bool
) -> Iterator[TextModel]:
    """The text model ``name`` (None: the bundled one) in quiet surroundings.

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
    """What to explain: None (the prediction), what a string means to the model, or a contrast.

    For a classifier that is a class, also by its index; for others see the tasks of
    ``lxt.explain``.  ``WORD=TAG`` is a tag at a word of the text, ``WORD=`` the predicted one.

    Raises:
        TargetError: there is no such class; the message lists those that there are.
        InputError: the two are the same class.
    """
    task = task_for(loaded)
    if isinstance(task, Classification | Tags):
        return _class_of(loaded, task, target, foil)
    return target if foil is None else Contrast(target, foil)


def _class_of(loaded: TextModel, task: Task, target: str | None, foil: str | None) -> Any:
    config: Any = loaded.model.config
    names = class_names(loaded.model)
    outputs = int(config.num_labels)
    if not isinstance(task, Tags):
        require_choice(target, head_kind(config, outputs), outputs, list(names.values()))
    elif target is not None and "=" in target and not Called(names).find(target):
        word, _, tag = target.rpartition("=")
        if not word.strip():
            raise InputError(f"expected WORD=TAG, or a tag alone, got {target!r}: name the word")
        return Token(word, classes_of(tag or None, foil, names, outputs))
    return classes_of(target, foil, names, outputs)


@dataclass(frozen=True)
class Reading:
    """One text as the model reads it: ``inputs`` by name, and what the target makes of it."""

    inputs: dict[str, Tensor]
    target: Target
    found: Found


def inputs_of(
    loaded: TextModel, text: str, pair: str | None = None, prefix: str | None = None
) -> dict[str, Tensor]:
    """``text`` as ``lxt.explain`` would feed it, cut to what the model takes."""
    task = task_for(loaded)
    return Runner(loaded, batch_size=1).inputs([_row(task, text, pair, prefix)])


def read(
    loaded: TextModel, text: str, given: Any, pair: str | None = None, prefix: str | None = None
) -> Reading:
    """The same with what the target ``given`` means there."""
    task = task_for(loaded)
    row = _row(task, text, pair, prefix)
    inputs = Runner(loaded, batch_size=1).inputs([row])
    target = as_target(task.target(task.asks(given, [row], 1)))
    with evaluation_mode(loaded.model), torch.no_grad():
        output = loaded.model(**inputs)
    meant = resolved(target, loaded.model, output, inputs)
    plain = SimpleNamespace(output=output, target=meant)
    found = task.found(plain, target, inputs, [row])[0]
    if isinstance(task, Classification):  # an audit names outputs as the model does
        found = replace(found, label=meant.labels[0])
    return Reading(inputs, target, found)


def _row(task: Task, text: str, pair: str | None, prefix: str | None) -> Row:
    encoding = task.encode(text, pair, prefix)
    limit = token_limit(task.loaded.model, task.tokenizer)
    return Row(0, encoding, task.cut(encoding, limit))
