"""Accounting: for every operation, what arrived, what it passed on, and what its rule declared.

Each operation's inputs are read on nodes of its own, so that its contribution to an input's
gradient is seen apart from the other consumers'.  For a record

    measured residual = sum(out * grad_out) - sum over inputs (in * contribution)

and the rule's declaration, in closed form, must equal it.  Nothing here changes a value.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import UnruledError
from ..numerics import Amount, inner
from ..rules.base import Declaration, consumer
from ..rules.live import is_active
from . import causes
from .graph import Node, was_noted
from .mode import dispatch
from .owned import put_owned
from .records import Cell, Record
from .registry import ENTRIES, Func, name_of
from .sums import Sums
from .tags import Tag, flat, put, recipe, replace, tag
from .twins import put_twin, twin
from .written import number_shares

if TYPE_CHECKING:
    from .session import Session


class Measure:
    """Keeps the records of one forward and its backwards.

    Args:
        names: parameter and buffer names by id, to tell a position table from a bias.
    """

    def __init__(self, names: dict[int, str] | None = None) -> None:
        self.names = names or {}
        self.records: list[Record] = []
        self.sums = Sums()
        self.recording = True
        self.rule: tuple[str, str] = ("", "")
        self.values: dict[tuple[Node, int], Cell] = {}
        self._record: Record | None = None
        self._pending: list[Declaration] = []
        self._by_storage: dict[int, weakref.WeakSet[Cell]] = defaultdict(weakref.WeakSet)

    def restart(self) -> None:
        """Forget a forward: it is run once more."""
        self.records.clear()
        self.sums.clear()
        self.close()

    def forget(self) -> None:
        """Forget what a backward summed up: it is run anew."""
        self.sums.clear()
        for record in self.records:
            for amounts in (record.arrived, record.passed, record.declared):
                amounts.clear()

    def booked(self) -> dict[int, list[float]]:
        """What was booked for each sample, zeros aside."""
        found: dict[int, list[float]] = defaultdict(list)
        sums = (s for r in self.records for s in (r.arrived, r.passed, *r.declared.values()))
        for sample, amount in (item for s in sums for item in s.items()):
            if amount:
                found[sample].append(amount)
        return found

    def close(self) -> None:
        """Forget the values, once the backwards are done; the records stay.

        The graph's nodes hold our hooks, and the hooks hold this object: what it keeps of the
        nodes would keep all of them alive for ever, out of the garbage collector's sight.
        """
        self.values.clear()
        self._by_storage.clear()

    # -- what rules say ------------------------------------------------------------------------

    def declare(self, output: Tensor, declaration: Declaration) -> None:
        """See :class:`lxt_like.rules.base.Book`."""
        record = self._record
        if record is None or not output.requires_grad:
            return
        output.register_hook(partial(self._on_declared, record, declaration))

    def _on_declared(self, record: Record, declaration: Declaration, g: Tensor | None) -> None:
        if g is None:  # all went straight to the explained input
            return
        for cause, amount in declaration(g).items():
            self.sums.book(record.kept(cause), amount)

    def add_constant(self, value: Tensor, factor: float = 1.0, cause: str = "bias") -> None:
        """The running operation adds ``factor * value`` (broadcast) to its output."""
        self._pending.append(partial(causes.constant_share, cause, value.detach(), factor))

    # -- what operations do --------------------------------------------------------------------

    def call(
        self, session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run ``func`` under its rule and keep its record."""
        entry = ENTRIES.get(func)
        kind = entry.kind if entry is not None else ""
        if not self.recording:
            return dispatch(session, func, args, kwargs)
        tensors = list(flat((*args, *kwargs.values())))
        live = torch.is_grad_enabled() and any(is_active(t) for t in tensors)
        if kind == "leaf" or (live and _is_apart(func, args, kwargs)):
            return dispatch(session, func, args, kwargs)
        if not live or getattr(func, "__name__", "") in ("detach", "__get__", "detach_"):
            return self._constant(session, func, args, kwargs, tensors)
        if causes.overwrites(func, kwargs):
            return self._overwrite(session, func, args, kwargs)
        if kind == "move":
            self.seen((), args)  # before: a move in place leaves them on another node
            return self.seen(dispatch(session, func, args, kwargs))
        run = partial(dispatch, session, func)
        return self.measured(session, func, run, args, kwargs, kind)

    def measured(
        self,
        session: Session,
        func: Func,
        run: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        kind: str,
    ) -> Any:
        """Run ``func`` by ``run`` and keep its record, whatever ``func`` is made of."""
        outer, self._record = self._record, Record(name_of(func), kind, session.path)
        pending, self._pending = self._pending, []
        record, self.rule = self._record, ("", "")
        try:
            # what has no fraction is added as a number, not as an index or a mask
            kinds = [t.dtype for t in flat((*args, *kwargs.values())) if t.is_floating_point()]
            whole = kind == "add" or record.op in causes.VALUES
            wide = kinds[0] if kinds and whole else None
            stretched = kind == "add" or (record.op == "where" and len(args) == 3)
            shape = _shape_of(args) if stretched else None
            tap = partial(self._tap, record, kind in causes.ADDITIVE, wide, shape)
            out = run(_map(tap, args), _map(tap, kwargs))
            if self.rule[0]:
                record.kind, record.rule = self.rule
            declarations = [
                *self._pending,
                *number_shares(func, args, kwargs),
            ]
            if kind == "cast":
                declarations.append(partial(causes.rounding, out.detach(), args[0].detach()))
            outs = [t for t in flat((out,)) if t.requires_grad]
            for t in outs:
                mate = twin(t)
                if mate is not None:
                    mate.tensor.register_hook(partial(self._on_straight, record.arrived))
                t.register_hook(partial(self._on_arrived, record, self._cell(t)))
                for declaration in declarations:
                    self.declare(t, declaration)
            if outs:
                self.records.append(record)
        finally:
            self._record, self._pending = outer, pending
        return self.seen(out, ())

    def _tap(
        self,
        record: Record,
        additive: bool,
        wide: torch.dtype | None,
        shape: torch.Size | None,
        t: Any,
    ) -> Any:
        if not isinstance(t, Tensor):
            return t
        if is_active(t):
            self.seen(t, ())
            v = consumer(t)
            node = v.grad_fn
            assert node is not None
            node.register_prehook(partial(self._on_passed, record, self._cell(t)))
            carry_all(t, v)
            self._tap_twin(record, t, v)
            return v
        if wide is not None and not (t.is_floating_point() or t.is_complex()):
            cause, t = causes.cause_of(t, self.names), t.to(wide)
            causes.put_cause(t, cause)
        if additive and (t.is_floating_point() or t.is_complex()):
            # where it is broadcast, what each sample keeps of it is to be seen
            leaf = (t.detach() if shape is None else t.detach().expand(shape)).requires_grad_()
            leaf.register_post_accumulate_grad_hook(_drop_grad)
            cause = causes.cause_of(t, self.names)
            leaf.register_hook(partial(self._on_constant, record, cause, self._cell(leaf)))
            carry_all(t, leaf)
            return leaf
        # a weight of a module that the model does not own, so that it was not frozen
        return put_owned(t.detach()) if t.requires_grad else t

    def _tap_twin(self, record: Record, t: Tensor, v: Tensor) -> None:
        """What goes straight to the explained input is passed on, too."""
        found = twin(t)
        if found is not None:
            mate = consumer(found.tensor)
            mate.register_hook(partial(self._on_straight, record.passed))
            put_twin(v, dataclasses.replace(found, tensor=mate))

    def _on_straight(self, into: dict[int, float], r: Tensor) -> None:
        self.sums.book(into, Amount.of(r))

    def _on_arrived(self, record: Record, cell: Cell, g: Tensor | None) -> None:
        if g is not None:
            self.sums.book(record.arrived, inner(cell.value, g))

    def _on_passed(self, record: Record, cell: Cell, grads: tuple[Tensor | None, ...]) -> None:
        for g in grads:
            if g is not None:
                self.sums.book(record.passed, inner(cell.value, g))

    def _on_constant(self, record: Record, cause: str, cell: Cell, g: Tensor | None) -> None:
        if g is not None:
            self.sums.book(record.kept(cause), inner(cell.value, g))
            if cause == "position":
                self.sums.book_positions(record.path, cell.value.double() * g.double())

    def _constant(
        self,
        session: Session,
        func: Func,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: list[Tensor],
    ) -> Any:
        """An operation that autograd does not follow: remember what its result stands for."""
        if causes.overwrites(func, kwargs) and tensors:
            self._protect(tensors[0])
        out = dispatch(session, func, args, kwargs)
        causes.mark(out, tensors, func, session.path, self.names)
        return out

    def _overwrite(
        self, session: Session, func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """An in-place operation: measured out of place, then copied back."""
        if not args:  # torch.nn.init is given its tensor by name
            return dispatch(session, func, args, kwargs)
        target = args[0]
        plain, arguments, options = causes.out_of_place(func, args, kwargs)
        if plain is None:
            self._protect(target)
            return dispatch(session, func, args, kwargs)
        old = target.clone()
        carry_all(target, old)
        kind = ENTRIES[plain].kind if plain in ENTRIES else causes.WHOLE.get(plain, "")
        run = partial(dispatch, session, plain)
        given = (old, *arguments)
        if _is_apart(plain, given, options):
            result = run(given, options)
        else:
            result = self.measured(session, plain, run, given, options, kind)
        if not result.requires_grad and is_active(target):
            result = self._cut(session, old, result)
        self._protect(target)
        target.copy_(result)
        replace(target, None)
        carry_all(result, target)
        return target

    def _cut(self, session: Session, old: Tensor, result: Tensor) -> Tensor:
        """What is written over ``old`` has no gradient, as a comparison: all ends there."""
        source = result.to(old.dtype)
        causes.put_cause(source, "cut")
        run = partial(dispatch, session, causes.overwritten)
        cut: Tensor = self.measured(session, causes.overwritten, run, (old, source), {}, "sum")
        return cut

    def handed_back(self, out: Any, path: str) -> Any:
        """What a reentrant checkpoint recomputed, with its constants as leaves.

        Autograd has every output of such a checkpoint depend on the input, so relevance arrives
        at the constants among them (T5's position bias), and goes no further.
        """
        return _map(partial(self._leaf, path), out)

    def _leaf(self, path: str, t: Tensor) -> Tensor:
        if t.requires_grad or not (t.is_floating_point() or t.is_complex()):
            return t
        record = Record("checkpoint", "", path)
        self.records.append(record)
        leaf = t.detach().requires_grad_()
        cell = self._cell(leaf)
        leaf.register_hook(partial(self._on_arrived, record, cell))
        leaf.register_hook(partial(self._on_constant, record, causes.cause_of(t, self.names), cell))
        return leaf

    # -- values ----------------------------------------------------------------------------------

    def _cell(self, t: Tensor) -> Cell:
        if t.layout is not torch.strided:
            raise UnruledError(
                f"no account of a tensor of layout {t.layout}, sparse or nested: use dense ones"
            )
        cell = Cell(t)
        self._by_storage[t.untyped_storage().data_ptr()].add(cell)
        return cell

    def _protect(self, t: Tensor) -> None:
        for cell in self._by_storage.pop(t.untyped_storage().data_ptr(), ()):
            cell.value = cell.value.clone()

    def seen(self, out: Any, args: tuple[Any, ...] = ()) -> Any:
        """Keep the values of ``out`` and ``args``, for nodes that must be measured; ``out``."""
        for t in (*flat((out,)), *flat(args)):
            if t.grad_fn is not None:
                self.values.setdefault((t.grad_fn, t.output_nr), self._cell(t))
        return out

    def watch(self, nodes: Iterable[Node]) -> None:
        """Measure autograd nodes that interception did not see (strict=False)."""
        for node in nodes:
            if any(key[0] is node for key in self.values) and self._is_recorded(node):
                continue
            self.sums.mixed = True  # what kind of tensor it works on is not known
            self.records.append(record := Record(str(node.name()), "unknown", "", "Gradient()"))
            node.register_hook(partial(self._on_node, record, node))

    def _is_recorded(self, node: Node) -> bool:
        # noted by the interceptor: the operation around it has its own record
        return was_noted(node) and not hasattr(node, "_forward_cls")

    def _on_node(
        self,
        record: Record,
        node: Node,
        passed: tuple[Tensor | None, ...],
        arrived: tuple[Tensor | None, ...],
    ) -> None:
        for i, g in enumerate(arrived):
            if g is not None:
                cell = self.values.get((node, i))
                self.sums.book(record.arrived, inner(cell.value, g) if cell else float("inf"))
        for (source, i), g in zip(node.next_functions, passed, strict=False):
            if g is None or source is None:
                continue
            leaf = getattr(source, "variable", None)
            cell = Cell(leaf) if leaf is not None else self.values.get((source, i))
            if cell is not None:
                self.sums.book(record.passed, inner(cell.value, g))


def _is_apart(func: Func, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the handler makes several operations of the call, each with a record of its own."""
    entry = ENTRIES.get(func)
    split = entry is not None and entry.apart
    return split(func, args, kwargs) if split else entry is not None and entry.kind == "composite"


def carry_all(source: Any, out: Any) -> None:
    """Role, recipe and cause: ``out`` is the same value as ``source``."""
    if isinstance(source, Tensor) and isinstance(out, Tensor) and source is not out:
        role = tag(source)
        if role is not None and recipe(source) is None:
            role = Tag(role.role, axis=role.axis)
        put(out, role)
        cause = getattr(source, "_lxt_cause", None)
        if cause is not None:
            causes.put_cause(out, cause)
        put_twin(out, twin(source))


def _map(f: Callable[[Any], Any], a: Any) -> Any:
    if isinstance(a, Tensor):
        return f(a)
    if type(a) in (tuple, list):
        return type(a)(_map(f, x) for x in a)
    if type(a) is dict:
        return {k: _map(f, v) for k, v in a.items()}
    return a


def _shape_of(args: tuple[Any, ...]) -> torch.Size:
    """The shape to which operands are broadcast."""
    shape: torch.Size = torch.broadcast_shapes(*(t.shape for t in flat(args)))
    return shape


def _drop_grad(leaf: Tensor) -> None:
    """Only the hooks read it."""
    leaf.grad = None
