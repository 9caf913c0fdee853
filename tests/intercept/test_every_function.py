"""Every function of torch that a mode can see: it is refused, or its account closes.

What a function does inside, no table of nodes can tell: a constant that is added there is to be
declared, or the function refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

import lxt_like as lxt
from lxt_like.errors import LxtError
from tests.intercept.arguments import calls, signed

UNSAFE = re.compile(
    r"torch\.distributed|fbgemm|cudnn|miopen|mkldnn|quant|_q_|q_per|_from_file|set_$|resize|memory"
    r"|stream|sparse|nested|backward|data_ptr|storage|dlpack|_fw_|_dual|moving_avg|__array|__reduce"
    r"|__deepcopy__|native_(batch|layer|group)_norm|batch_norm_|_lu|as_strided|reshape_alias"
    r"|__(get|set|delete)__$|_hook|pin|cuda|xpu|ipu|mtia|hash|sym_|bitwise|shift__|__r?i?x?(and|or)__"
    r"|gcd|lcm|indices|_values|\\.values|coalesce|_nnz|_dim[IV]|sspaddmm|smm|hspmm|bincount"
)
"""What ends the interpreter on arguments that do not fit, is no arithmetic, or views any memory."""


TWICE = frozenset({"torch.put", "torch.Tensor.put", "torch.Tensor.put_"})
"""Given random places they write twice into one, where torch has no derivative."""


def _functions() -> dict[str, tuple[Any, Any]]:
    found = {}
    for function, stub in torch.overrides.get_testing_overrides().items():
        name = torch.overrides.resolve_name(function) or ""
        where = f"{getattr(function, '__module__', '')}.{name}"
        if name and name not in TWICE and not UNSAFE.search(where):
            found[name] = (function, stub)
    return found


FUNCTIONS = _functions()

NOT_CALLED = frozenset(
    """
    torch.Tensor.__bool__ torch.Tensor.__complex__ torch.Tensor.__float__ torch.Tensor.__format__
    torch.Tensor.__index__ torch.Tensor.__int__ torch.Tensor.__invert__ torch.Tensor.__long__
    torch.Tensor.__nonzero__ torch.Tensor.__setstate__ torch.Tensor._autocast_to_full_precision
    torch.Tensor._autocast_to_reduced_precision torch.Tensor._to_dense torch.Tensor.apply_
    torch.Tensor.geometric_ torch.Tensor.index torch.Tensor.int_repr torch.Tensor.is_nonzero
    torch.Tensor.item torch.Tensor.map2_ torch.Tensor.map_ torch.Tensor.multinomial
    torch.Tensor.nonzero_static torch.Tensor.q_scale torch.Tensor.q_zero_point torch.Tensor.qscheme
    torch.Tensor.retain_grad torch.Tensor.values torch.choose_qparams_optimized
    torch.frobenius_norm torch.histogramdd torch.int_repr torch.is_nonzero
    torch.linalg.solve_triangular torch.multinomial torch.native_norm
    torch.nn.functional.one_hot torch.nonzero_static torch.q_scale torch.q_zero_point
    torch.values_copy
    """.split()
)
"""Numbers of one element, integers, other layouts, and what takes keywords only."""


class NoNumberError(Exception):
    """A function returned nothing that has a gradient."""


def total(out: Any) -> Tensor:
    """A logit [1, 1]: all that a function returned, by weights of its own."""
    parts = [t for t in tree_flatten(out)[0] if isinstance(t, Tensor)]
    parts = [torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in parts]
    if not any(t.is_floating_point() for t in parts):
        raise NoNumberError
    sums = [(t.double() * signed(*t.shape, seed=3)).sum() for t in parts if t.is_floating_point()]
    return torch.stack(sums).sum().reshape(1, 1)


class Calls(nn.Module):
    """A function whose i-th tensors are the inputs ``t<i>``, and its other arguments constant."""

    def __init__(self, function: Any, leaves: list[Any], spec: Any) -> None:
        super().__init__()
        self.function, self.leaves, self.spec = function, leaves, spec

    def forward(self, **given: Tensor) -> Tensor:
        leaves = [t.clone() if isinstance(t, Tensor) else t for t in self.leaves]
        for name, t in given.items():
            leaves[int(name[1:])] = t * 1.5
        torch.manual_seed(0)
        out = self.function(*tree_unflatten(leaves, self.spec))
        if out is None:  # written into its first argument
            out = leaves[0]
        return total(out)


FAILS = (
    *(RuntimeError, TypeError, ValueError, IndexError, AttributeError, KeyError),
    *(NotImplementedError, AssertionError, OverflowError),
)
"""What torch raises for arguments that do not fit."""


def worked(name: str) -> Iterator[tuple[Calls, dict[str, Tensor]]]:
    """Calls that torch accepts: the model, and what in them may be explained."""
    function, stub = FUNCTIONS[name]
    for args in islice(calls(function, stub), 150):
        leaves, spec = tree_flatten(args)
        model = Calls(function, leaves, spec).eval()
        floats = {i: t for i, t in enumerate(leaves) if isinstance(t, Tensor) and t.dim() > 0}
        signals = {f"t{i}": t / 1.5 for i, t in floats.items() if t.is_floating_point()}
        try:
            model()
        except NoNumberError:
            signals.clear()
        except FAILS:
            continue
        yield model, signals


def plain_logit(model: Calls, inputs: dict[str, Tensor]) -> Tensor | None:
    """What torch computes, if there is anything to explain."""
    try:
        out = model(**{n: t.clone().requires_grad_() for n, t in inputs.items()})
    except FAILS:  # there is no derivative for this argument
        return None
    return out.detach() if out.requires_grad and bool(torch.isfinite(out)) else None


def attributed(model: Calls, inputs: dict[str, Tensor], ledger: bool) -> Any:
    try:
        return lxt.attribute(model, inputs, 0, ledger=ledger)
    except LxtError:
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_it_is_refused_or_its_account_closes(name: str) -> None:
    explained = 0
    for model, signals in worked(name):
        for live in [*([n] for n in signals), *([[*signals]] if len(signals) > 1 else [])]:
            inputs = {n: signals[n] for n in live}
            plain = plain_logit(model, inputs)
            if plain is None:
                continue
            explained += 1
            measured, lean = (attributed(model, inputs, ledger) for ledger in (True, False))
            for got in (measured, lean):
                assert got is None or torch.equal(got.output, plain), live
            if measured is not None:
                rest = torch.maximum(measured.ledger.gap.abs(), measured.ledger.unruled)
                assert float(rest) < 1e-9, f"{live}\n{measured.ledger}"
            if measured is not None and lean is not None:
                torch.testing.assert_close(
                    measured.relevance, lean.relevance, rtol=1e-9, atol=1e-11
                )
        if explained >= 5:
            break


@pytest.mark.filterwarnings("ignore")
def test_what_is_not_called() -> None:
    """Functions that no arguments were found for: known by name, so that it is seen."""
    missing = {name for name in FUNCTIONS if next(worked(name), None) is None}
    assert not missing - NOT_CALLED
