"""torch's recurrent kernels (LSTM, GRU, RNN): opaque in the graph, so their steps are written here.

The kernel computes the values, bit for bit; the same steps over intercepted operations give the
gradient, so every product and activation meets the composite's rule.  The gates are sigmoids, hence
weights: what they let through takes all (Arras et al. 2017, arXiv:1706.07206).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...rules.base import Gradient
from ..frozen import is_frozen, thawed
from ..registry import ENTRIES, Func, handles
from ..session import Session
from ..tags import flat
from .common import is_active
from .valued import valued

State = tuple[Tensor, ...]
"""(h, c) of an LSTM, (h,) of the others; each [batch, hidden]."""


@dataclass(frozen=True)
class _Weights:
    """Of one layer in one direction; ``project`` is an LSTM's proj_size matrix."""

    w_input: Tensor
    w_hidden: Tensor
    b_input: Tensor | None = None
    b_hidden: Tensor | None = None
    project: Tensor | None = None


Cell = Callable[[Session, Tensor, State, _Weights], State]
"""(session, w_input x + b_input, state, weights) -> next state; h comes first."""


def _lstm(session: Session, given: Tensor, state: State, w: _Weights) -> State:
    """c' = f c + i g, h' = o tanh(c')."""
    run, (h, c) = session.run, state
    sums = run(torch.add, given, run(F.linear, h, w.w_hidden, w.b_hidden))
    i, f, g, o = run(torch.chunk, sums, 4, -1)
    kept = _gated(session, run(torch.sigmoid, f), c)
    c = run(torch.add, kept, _gated(session, run(torch.sigmoid, i), run(torch.tanh, g)))
    h = _gated(session, run(torch.sigmoid, o), run(torch.tanh, c))
    return (h if w.project is None else run(F.linear, h, w.project)), c


def _gru(session: Session, given: Tensor, state: State, w: _Weights) -> State:
    """n = tanh(W_n x + r (U_n h + b)), h' = (1 - z) n + z h."""
    run, (h,) = session.run, state
    r, z, n = run(torch.chunk, given, 3, -1)
    at_r, at_z, at_n = run(torch.chunk, run(F.linear, h, w.w_hidden, w.b_hidden), 3, -1)
    r = run(torch.sigmoid, run(torch.add, r, at_r))
    z = run(torch.sigmoid, run(torch.add, z, at_z))
    n = run(torch.tanh, run(torch.add, n, _gated(session, r, at_n)))
    new = _gated(session, run(torch.rsub, z, 1), n)
    return (run(torch.add, new, _gated(session, z, h)),)


def _gated(session: Session, gate: Tensor, signal: Tensor) -> Tensor:
    """gate * signal; a signal that is constant (a first state) keeps its share, as any other."""
    if not is_active(signal) and not isinstance(session.rule("product", torch.mul), Gradient):
        gate = gate.detach()
    out: Tensor = session.run(torch.mul, gate, signal)
    return out


def _plain(function: Func) -> Cell:
    def cell(session: Session, given: Tensor, state: State, w: _Weights) -> State:
        """h' = f(W x + b + U h + b')."""
        hidden = session.run(F.linear, state[0], w.w_hidden, w.b_hidden)
        return (session.run(function, session.run(torch.add, given, hidden)),)

    return cell


_CELLS: dict[str, Cell] = {
    "lstm": _lstm,
    "gru": _gru,
    "rnn_tanh": _plain(torch.tanh),
    "rnn_relu": _plain(torch.relu),
}


def _weights_as_before(session: Session, given: Any) -> Any:
    """Weights that the patch froze, live again: torch chooses its kernel by that."""
    if not (session.froze and isinstance(given, list)):
        return given
    return [thawed(w) if is_frozen(session, w) else w for w in given]


@handles("composite", "lstm", "gru", "rnn_tanh", "rnn_relu")
def _layers(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """(x, hx, ...) or, packed, (data, batch_sizes, hx, ...): layers of one or two directions."""
    if kwargs or len(args) != 9:
        return func(*args, **kwargs)
    packed = isinstance(args[1], Tensor) and not args[1].is_floating_point()
    if packed:
        x, sizes, hx, flat_weights, has_biases, depth, dropout, training, both = args
        batch_first = False
    else:
        x, hx, flat_weights, has_biases, depth, dropout, training, both, batch_first = args
        sizes = None
    if not (torch.is_grad_enabled() and any(is_active(t) for t in flat((x, hx)))):
        return func(*args)
    if dropout and training:
        session.refuse(
            "dropout between recurrent layers is active (training mode): each explanation would be "
            "random; call model.eval() first"
        )
    values = func(*(_weights_as_before(session, a) for a in args))
    if batch_first:
        x = session.run(torch.transpose, x, 0, 1)
    states = hx if isinstance(hx, (tuple, list)) else (hx,)
    projected = len(states) == 2 and states[0].shape[-1] != states[1].shape[-1]
    weights = _grouped(flat_weights, has_biases, projected)
    states = [list(session.run(torch.unbind, s)) for s in states]
    cell, last = _CELLS[ENTRIES[func].name], []
    directions = 2 if both else 1
    for layer in range(depth):
        outs = []
        for way in range(directions):
            at = layer * directions + way
            state = tuple(s[at] for s in states)
            out, state = _sequence(session, cell, x, sizes, state, next(weights), way == 1)
            outs.append(out)
            last.append(state)
        x = outs[0] if len(outs) == 1 else session.run(torch.cat, outs, -1)
    if batch_first:
        x = session.run(torch.transpose, x, 0, 1)
    final = [session.run(torch.stack, list(s)) for s in zip(*last, strict=True)]
    return tuple(valued(s, v) for s, v in zip((x, *final), values, strict=True))


def _grouped(flat_weights: Sequence[Tensor], biases: bool, projected: bool) -> Iterator[_Weights]:
    """torch's flat list of weights, layer by layer, direction by direction."""
    size = 2 + 2 * bool(biases) + projected
    for at in range(0, len(flat_weights), size):
        w_input, w_hidden, *rest = flat_weights[at : at + size]
        project = rest.pop() if projected else None
        b_input, b_hidden = rest or (None, None)
        yield _Weights(w_input, w_hidden, b_input, b_hidden, project)


def _sequence(
    session: Session,
    cell: Cell,
    x: Tensor,
    sizes: Tensor | None,
    state: State,
    weights: _Weights,
    backwards: bool,
) -> tuple[Tensor, State]:
    """One layer in one direction over [time, batch, in], or over packed data [sum(sizes), in]."""
    given = session.run(F.linear, x, weights.w_input, weights.b_input)
    if sizes is None:
        steps = list(session.run(torch.unbind, given))
    else:
        steps = list(session.run(torch.split, given, sizes.tolist()))
    outs: list[Tensor] = []
    for step in reversed(steps) if backwards else steps:
        rows = len(step)
        # packed sequences end, or backwards begin, at different times
        now = tuple(
            s if len(s) == rows else session.run(torch.narrow, s, 0, 0, rows) for s in state
        )
        new = cell(session, step, now, weights)
        outs.append(new[0])
        state = tuple(_beside(session, n, s) for n, s in zip(new, state, strict=True))
    if backwards:
        outs.reverse()
    join = torch.stack if sizes is None else torch.cat
    return session.run(join, outs), state


def _beside(session: Session, new: Tensor, old: Tensor) -> Tensor:
    """The new states of the first rows, with the old ones of the rest."""
    rows = len(new)
    if len(old) == rows:
        return new
    rest = session.run(torch.narrow, old, 0, rows, len(old) - rows)
    joined: Tensor = session.run(torch.cat, [new, rest])
    return joined


@handles("composite", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def _one_step(session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """(x, state, w_input, w_hidden, b_input, b_hidden)."""
    x, hx, *rest = args
    if kwargs or not (torch.is_grad_enabled() and any(is_active(t) for t in flat(args))):
        return func(*args, **kwargs)
    values = func(x, hx, *_weights_as_before(session, rest))
    weights = _Weights(*rest)
    state = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
    given = session.run(F.linear, x, weights.w_input, weights.b_input)
    new = _CELLS[ENTRIES[func].name.removesuffix("_cell")](session, given, state, weights)
    if isinstance(values, Tensor):
        return valued(new[0], values)
    return tuple(valued(s, v) for s, v in zip(new, values, strict=True))
