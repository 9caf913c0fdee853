"""Composites as JSON and back, without loss."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from .. import rules
from ..errors import CompositeError, LxtError
from ..rules import Rule
from ..rules.first import Bound
from .composite import Assign, Composite

VERSION = 1

_RULES: dict[str, type[Rule]] = {
    name: found
    for name in rules.__all__
    if isinstance(found := getattr(rules, name), type) and issubclass(found, Rule)
}


def to_json(composite: Composite) -> str:
    """The composite as JSON text; :func:`from_json` gives an equal one."""
    made: dict[str, Any] = {"version": VERSION}
    if composite.name is not None:
        made["name"] = composite.name
    made["assignments"] = [_assignment(a) for a in composite.assignments]
    return json.dumps(made, indent=2)


def _assignment(a: Assign) -> dict[str, Any]:
    rule = {"type": type(a.rule).__name__}
    rule |= {f.name: _plain(getattr(a.rule, f.name)) for f in fields(a.rule)}
    made: dict[str, Any] = {"rule": rule}
    for name in ("kind", "module", "name"):
        if getattr(a, name) is not None:
            made[name] = getattr(a, name)
    if a.where is not None:
        made["where"] = [a.where.start, a.where.stop] if isinstance(a.where, range) else a.where
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, Bound):
        return {"dtype": value.dtype, "values": value.values}
    return value


def from_json(text: str) -> Composite:
    """The composite that :func:`to_json` wrote.

    Raises:
        CompositeError: for text that is no such JSON, an unknown rule or an unknown field.
    """
    try:
        given = json.loads(text)
    except (TypeError, ValueError) as e:
        raise CompositeError(f"a composite's JSON: {e}") from e
    _check(given, "the composite", {"version", "name", "assignments"}, {"version", "assignments"})
    if given["version"] != VERSION:
        raise CompositeError(
            f"a composite's JSON of version {given['version']!r}; this library reads {VERSION}"
        )
    if not isinstance(given["assignments"], list):
        raise CompositeError("a composite's JSON: assignments must be a list")
    name = given.get("name")
    if not (name is None or isinstance(name, str)):
        raise CompositeError(f"a composite's JSON: name must be a text, got {name!r}")
    return Composite([_made(a, i) for i, a in enumerate(given["assignments"])], name=name)


def _made(given: Any, i: int) -> Assign:
    here = f"assignment {i}"
    _check(given, here, {"rule", "kind", "module", "name", "where"}, {"rule"})
    where = given.get("where")
    if isinstance(where, list):
        if len(where) != 2 or not all(isinstance(n, int) for n in where):
            raise CompositeError(f"{here}: where must be [start, stop], got {where!r}")
        where = range(*where)
    rest = {n: given[n] for n in ("kind", "module", "name") if n in given}
    return Assign(_rule(given["rule"], here), where=where, **rest)


def _rule(given: Any, here: str) -> Rule:
    kind = given.get("type") if isinstance(given, dict) else None
    cls = _RULES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise CompositeError(f"{here}: unknown rule {kind!r}; the rules are {', '.join(_RULES)}")
    known = {f.name for f in fields(cls)}
    _check(given, f"{here}, {kind}", {"type", *known}, {"type"})
    values = {n: _value(v) for n, v in given.items() if n != "type"}
    try:
        return cls(**values)
    except LxtError as e:
        raise CompositeError(f"{here}: {e}") from e
    except TypeError as e:
        raise CompositeError(f"{here}, {kind}: {e}") from e


def _value(given: Any) -> Any:
    if isinstance(given, dict):
        _check(given, "a tensor", {"dtype", "values"}, {"dtype", "values"})
        return Bound.read(given["values"], given["dtype"])
    return given


def _check(given: Any, what: str, known: set[str], needed: set[str]) -> None:
    if not isinstance(given, dict):
        raise CompositeError(f"{what}: expected an object, got {type(given).__name__}")
    unknown, missing = sorted(set(given) - known), sorted(needed - set(given))
    if unknown:
        raise CompositeError(f"{what}: unknown {', '.join(unknown)}; known: {', '.join(known)}")
    if missing:
        raise CompositeError(f"{what}: {', '.join(missing)} is missing")
