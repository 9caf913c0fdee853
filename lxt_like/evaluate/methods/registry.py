"""The methods by name, and those of them that a model can do."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from ...composites import PRESETS, Composite
from ...errors import InputError
from ..task import Task
from .attention import chefer, make_attention, raw, rollout
from .baselines import make_centre, make_random
from .gradcam import make_gradcam
from .gradients import (
    make_composite,
    make_integrated,
    make_integrated_fine,
    make_occlusion,
    make_smooth,
)
from .types import Entry, Method, Scores, UnsuitableError


def _preset(name: str, task: Task, seed: int) -> Scores:
    return make_composite(task, name)


_ENTRIES = (
    Entry("random", make_random, "uniform random scores", seeds=5),
    Entry("centre", make_centre, "distance from the middle", kinds=("image",)),
    Entry("input_x_gradient", partial(_preset, "gradient"), "input times gradient"),
    Entry("raw_attention", make_attention(raw), "last layer's attention"),
    Entry("rollout", make_attention(rollout), "attention rollout (arXiv:2005.00928)"),
    Entry("chefer", make_attention(chefer, True), "weighted attention (arXiv:2103.15679)"),
    Entry("gradcam", make_gradcam, "Grad-CAM, last block (arXiv:1610.02391)"),
    Entry("attnlrp", partial(_preset, "attnlrp"), "AttnLRP (arXiv:2402.05602)"),
    Entry("cp_lrp", partial(_preset, "cp_lrp"), "CP-LRP (arXiv:2202.07304)"),
    Entry("smooth_grad", make_smooth, "SmoothGrad x input, 20 (arXiv:1706.03825)", fast=False),
    Entry(
        "integrated_gradients",
        make_integrated,
        "integrated gradients, 20 steps (arXiv:1703.01365)",
    ),
    Entry(
        "integrated_gradients_50",
        make_integrated_fine,
        "integrated gradients, 50 steps (arXiv:1703.01365)",
        fast=False,
    ),
    Entry("occlusion", make_occlusion, "each unit removed alone (arXiv:1311.2901)", fast=False),
)

METHODS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
"""Beside these any composite's name is a method."""

DEFAULT = tuple(entry.name for entry in _ENTRIES if entry.fast)
"""The cheap ones, compared by default."""


def make_methods(
    task: Task, wanted: Iterable[Any] | None = None, thorough: bool = False, seed: int = 0
) -> tuple[list[Method], dict[str, str]]:
    """The methods for a task, and those it cannot do, with the reason.

    Args:
        wanted: names (of ``METHODS`` or of a composite), composites, ``(name, composite or
            callable)`` pairs, :class:`Method` s or callables ``(task, batch) -> list of scores``;
            None: the default ones.
        thorough: with None, all of ``METHODS``.
        seed: of the first repetition of a random method; the others count on from it.

    Raises:
        InputError: an unknown name, something of another type, or a name given twice.
    """
    if wanted is None:
        wanted = tuple(METHODS) if thorough else DEFAULT
    elif isinstance(wanted, str | Composite) or callable(wanted):
        wanted = [wanted]
    made: list[Method] = []
    left_out: dict[str, str] = {}
    for given in wanted:
        name, what = _named(given)
        if name in left_out or any(m.name == name for m in made):
            raise InputError(f"the method {name!r} was given twice: give (another name, method)")
        try:
            made += _made(task, name, what, seed)
        except UnsuitableError as error:
            left_out[name] = str(error)
    return made, left_out


def _named(given: Any) -> tuple[str, Any]:
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str):
        return given
    if isinstance(given, str):
        return given, given
    if isinstance(given, Composite | Method):
        return given.name or repr(given), given
    if callable(given):
        return getattr(given, "__name__", type(given).__name__), given
    raise InputError(
        f"expected a method's name, a composite or a function, got {type(given).__name__}"
    )


def _made(task: Task, name: str, what: Any, seed: int) -> list[Method]:
    if isinstance(what, Method):
        return [Method(name, what.run, what.seed, what.given)]
    if isinstance(what, str):
        entry = METHODS.get(what)
        if entry is None and what not in PRESETS:
            known = [*METHODS, *(p for p in PRESETS if p not in METHODS)]
            raise InputError(f"unknown method {what!r}: expected one of {', '.join(known)}")
        if entry is not None:
            if task.kind not in entry.kinds:
                raise UnsuitableError(f"for {' and '.join(entry.kinds)} models only")
            numbers = range(seed, seed + entry.seeds)
            return [Method(name, entry.make(task, number), number, what) for number in numbers]
    if isinstance(what, str | Composite):
        return [Method(name, make_composite(task, what), seed, what)]
    if callable(what):
        return [Method(name, what, seed)]
    raise InputError(
        f"method {name!r}: expected a composite or a function, got {type(what).__name__}"
    )
