"""Python numbers that an operation adds to the signal, or writes over it: constants.

Such an operation is f(x) = A x + b with b = f(0), which is all of the closed form: <b, g>.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..numerics import Amount, inner
from ..rules.base import Declaration
from .registry import ENTRIES, Func

_ADDED = ((0, "input"), (1, "other"))
_NUMBERS: dict[str, tuple[tuple[int, str], ...]] = {
    **dict.fromkeys(("add", "sub", "subtract", "rsub", "__radd__", "__rsub__"), _ADDED),
    "masked_fill": ((2, "value"),),
    "index_fill": ((3, "value"),),
    "scatter": ((3, "value"),),
    "set_item": ((2, "value"),),
    "filled": ((1, "value"),),
    "filled_diagonal": ((1, "fill_value"),),
    "where": ((1, "input"), (2, "other")),
    "pad": ((3, "value"),),
    "constant_pad_nd": ((2, "value"),),
    "pad_sequence": ((2, "padding_value"),),
}
"""Where a function takes a number that goes into its output as it stands."""


def number_shares(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Declaration]:
    """What the numbers in this call keep, in closed form."""
    entry = ENTRIES.get(func)
    places = _NUMBERS.get(entry.name if entry is not None else func.__name__, ())
    found = [args[at] if at < len(args) else kwargs.get(name) for at, name in places]
    if not any(isinstance(v, (int, float, complex)) and v for v in found):
        return []
    blank = tuple(_blank(t) for t in args)
    return [partial(_share, func, blank, {k: _blank(v) for k, v in kwargs.items()})]


def _blank(t: Any) -> Any:
    """Zeros in place of a signal, of its shape but of one element's size; indices as they are."""
    if isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex()):
        return t.detach().new_zeros(()).expand(t.shape)
    return type(t)(_blank(v) for v in t) if type(t) in (list, tuple) else t


def _share(
    func: Func, args: tuple[Any, ...], kwargs: dict[str, Any], g: Tensor
) -> dict[str, Amount]:
    with torch.no_grad():
        written = func(*args, **kwargs)
    # a score of -inf is masked: nothing arrives there
    return {"constant": inner(written.masked_fill(~written.isfinite(), 0.0), g)}
