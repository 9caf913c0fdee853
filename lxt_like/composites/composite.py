"""Composites: an ordered list of assignments from operations to rules; the last match wins."""

from __future__ import annotations

import fnmatch
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

from ..errors import CompositeError
from ..rules import KINDS, Rule
from ..rules.base import PARENTS

Where = Literal["first", "last"] | range | None


@dataclass(frozen=True)
class Site:
    """Where an operation happens: its kind, the module it runs in, that module's type and path.

    ``types`` are the names of the module's class and its bases; ``others`` its other paths, where
    the model has it at several places.
    """

    kind: str
    path: str
    types: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def _among(kind: str, kinds: Iterable[str]) -> bool:
    return kind in kinds or PARENTS.get(kind, kind) in kinds


@dataclass(frozen=True)
class Assign:
    """``rule`` for every operation that fits all the given conditions.

    Args:
        rule: a rule of :mod:`lxt_like.rules`.
        kind: the kind of operation; None: every kind the rule can be assigned to.
        module: the class name of the module the operation runs in (``"LlamaAttention"``), or
            the class itself; bases count.
        name: glob over the module's path (``"encoder.layer.*.attention*"``).  A module that the
            model has at several places is meant by any of its paths, whenever it runs.
        where: "first", "last" or a ``range`` in execution order, among the operations that fit
            the other conditions; negative ends count from the last.
    """

    rule: Rule
    kind: str | None = None
    module: str | type | None = None
    name: str | None = None
    where: Where = None

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Rule):
            raise CompositeError(
                f"Assign: expected a rule such as lxt.rules.Epsilon(), got {self.rule!r}"
            )
        if self.kind is not None and self.kind not in KINDS:
            raise CompositeError(
                f"Assign: unknown kind {self.kind!r}; the kinds are {', '.join(KINDS)}"
            )
        if self.kind is not None and not _among(self.kind, self.rule.kinds):
            raise CompositeError(
                f"Assign: {self.rule!r} is no rule for {self.kind!r}; "
                f"it applies to {', '.join(sorted(self.rule.kinds))}"
            )
        if isinstance(self.module, type):
            object.__setattr__(self, "module", self.module.__name__)
        if not (self.module is None or isinstance(self.module, str)):
            raise CompositeError(f"Assign: module must be a class or its name, got {self.module!r}")
        if not (self.name is None or isinstance(self.name, str)):
            raise CompositeError(f"Assign: name must be a glob pattern, got {self.name!r}")
        if not (self.where in (None, "first", "last") or isinstance(self.where, range)):
            raise CompositeError(
                f"Assign: where must be 'first', 'last', a range or None, got {self.where!r}"
            )
        if isinstance(self.where, range) and self.where.step != 1:
            raise CompositeError(f"Assign: a range must have step 1, got {self.where!r}")

    def may_fit(self, kind: str) -> bool:
        """Whether an operation of ``kind`` can be meant, wherever it is."""
        return _among(kind, self.rule.kinds) and (self.kind is None or _among(kind, (self.kind,)))

    def fits(self, site: Site) -> bool:
        """Whether ``site`` meets every condition but the position in execution order."""
        if not self.may_fit(site.kind):
            return False
        if self.module is not None and self.module not in site.types:
            return False
        name = self.name
        return name is None or any(
            fnmatch.fnmatchcase(path, name) for path in (site.path, *site.others)
        )

    def holds(self, index: int, total: int | None) -> bool:
        """Whether the ``index``-th of ``total`` fitting operations is meant."""
        if self.where is None:
            return True
        if self.where == "first":
            return index == 0
        if total is None:
            assert not self.needs_total
            total = 0
        if self.where == "last":
            return index == total - 1
        start, stop = self.where.start, self.where.stop
        if stop < 0 or (stop == 0 and start < 0):  # range(-2, 0): the last two
            stop += total
        return (start + total if start < 0 else start) <= index < stop

    @property
    def needs_total(self) -> bool:
        """Whether the number of operations must be known before the forward."""
        if isinstance(self.where, range):
            return self.where.start < 0 or self.where.stop < 0
        return self.where == "last"

    def __repr__(self) -> str:
        given = [f"lxt.rules.{self.rule!r}"]
        for f in fields(self)[1:]:
            value = getattr(self, f.name)
            if value is not None:
                given.append(f"{f.name}={value!r}")
        return f"lxt.Assign({', '.join(given)})"


@dataclass(frozen=True)
class Composite:
    """Which rule applies where: assignments in order, the last match wins.

    It prints as the code that makes it, compares by value, and is picklable.  An operation that
    no assignment fits is an error when it is met (strict), never a silent plain gradient.
    """

    assignments: tuple[Assign, ...]
    name: str | None = None

    def __init__(self, assignments: Iterable[Assign | Rule], name: str | None = None) -> None:
        made = []
        for a in assignments:
            if isinstance(a, Rule):
                a = Assign(a)
            if not isinstance(a, Assign):
                raise CompositeError(
                    f"Composite: expected lxt.Assign(...) or a rule, got {type(a).__name__}: {a!r}"
                )
            made.append(a)
        object.__setattr__(self, "assignments", tuple(made))
        object.__setattr__(self, "name", name)

    def __add__(self, more: Iterable[Assign | Rule] | Composite) -> Composite:
        """This composite with further assignments after its own (they win)."""
        extra = more.assignments if isinstance(more, Composite) else more
        return Composite((*self.assignments, *extra))

    def to_json(self) -> str:
        """The composite as JSON text, without loss."""
        from .json import to_json

        return to_json(self)

    @staticmethod
    def from_json(text: str) -> Composite:
        """The composite of :meth:`to_json`'s text.

        Raises:
            CompositeError: for text that is no such JSON, an unknown rule or an unknown field.
        """
        from .json import from_json

        return from_json(text)

    @cached_property
    def positional(self) -> bool:
        """Whether an assignment depends on execution order."""
        return any(a.where is not None for a in self.assignments)

    @cached_property
    def named(self) -> bool:
        """Whether an assignment goes by module names."""
        return any(a.name is not None for a in self.assignments)

    @cached_property
    def by_kind(self) -> bool:
        """Whether the kind of an operation alone decides its rule."""
        return all(
            a.module is None and a.name is None and a.where is None for a in self.assignments
        )

    @cached_property
    def first_layer(self) -> tuple[Rule, ...]:
        """The rules that hand relevance straight to the explained input."""
        return tuple(a.rule for a in self.assignments if getattr(a.rule, "first", False))

    @cached_property
    def needs_total(self) -> bool:
        """Whether an assignment counts from the last operation."""
        return any(a.needs_total for a in self.assignments)

    def __repr__(self) -> str:
        lines = ",\n    ".join(repr(a) for a in self.assignments)
        name = "" if self.name is None else f", name={self.name!r}"
        return f"lxt.Composite([\n    {lines},\n]{name})" if lines else f"lxt.Composite([]{name})"


class Resolver:
    """Finds the rule of each operation as it is met, counting for positional assignments.

    ``totals``: how many operations fit each assignment in a whole forward; needed where
    assignments count from the last.  ``others``: path -> the module's other paths.
    """

    def __init__(
        self,
        composite: Composite,
        totals: tuple[int, ...] | None = None,
        others: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.composite = composite
        self.totals = totals
        self.others = others or {}
        self.counts = [0] * len(composite.assignments)
        self._positional = composite.positional
        self.by_kind = composite.by_kind
        self._cache: dict[Hashable, Rule | None] = {}

    def rule(self, kind: str, path: str, types: tuple[str, ...] = ()) -> Rule | None:
        """The rule for an operation at this :class:`Site`; None if no assignment fits."""
        if self._positional:
            return self._last_match(self._site(kind, path, types))
        key = kind if self.by_kind else (kind, path)
        try:
            return self._cache[key]
        except KeyError:
            found = self._cache[key] = self._last_match(self._site(kind, path, types))
            return found

    def _site(self, kind: str, path: str, types: tuple[str, ...]) -> Site:
        return Site(kind, path, types, self.others.get(path, ()))

    def _last_match(self, site: Site) -> Rule | None:
        found: Rule | None = None
        for i, a in enumerate(self.composite.assignments):
            if a.fits(site):
                index = self.counts[i]
                self.counts[i] += 1
                total = None if self.totals is None else self.totals[i]
                if (total is not None or not a.needs_total) and a.holds(index, total):
                    found = a.rule
        return found
