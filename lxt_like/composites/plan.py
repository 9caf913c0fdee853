"""What will happen: module -> kind -> rule, or every operation in execution order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from .composite import Composite, Resolver

# kinds by class name; bases count, so a subclass of nn.Linear is linear
_KINDS: dict[str, str] = {
    "Linear": "linear",
    "Bilinear": "bilinear",
    "_ConvNd": "conv",
    "Conv1D": "linear",
    "LayerNorm": "norm",
    "GroupNorm": "norm",
    "RMSNorm": "norm",
    "_NormBase": "norm",
    "Softmax": "softmax",
    "MultiheadAttention": "attention",
    "_MaxPoolNd": "pooling",
    "_AvgPoolNd": "pooling",
}
_ACTIVATIONS = """
    ReLU ReLU6 LeakyReLU PReLU ELU CELU SELU GELU SiLU Mish Tanh Sigmoid Softplus Hardswish
    Hardsigmoid GELUActivation NewGELUActivation FastGELUActivation QuickGELUActivation
    PytorchGELUTanh GELUTanh ClippedGELUActivation AccurateGELUActivation MishActivation
    LinearActivation ReLUSquaredActivation SiLUActivation
""".split()
_KINDS.update(dict.fromkeys(_ACTIVATIONS, "activation"))


def kind_of(types: Iterable[str]) -> str | None:
    """The kind of a module by the names of its class and bases; None for containers."""
    for name in types:
        if name in _KINDS:
            return _KINDS[name]
        if name.endswith(("RMSNorm", "LayerNorm")):
            return "norm"
    return None


@dataclass(frozen=True)
class PlanRow:
    """One line of a plan; ``op`` is None in a plan made without inputs."""

    path: str
    module: str
    kind: str
    rule: str
    op: str | None = None


@dataclass(frozen=True)
class Plan:
    """A printable, serialisable table of what a composite does to a model."""

    rows: tuple[PlanRow, ...]
    composite: str

    def to_dict(self) -> dict[str, object]:
        """Plain data, for JSON."""
        return {"composite": self.composite, "rows": [asdict(r) for r in self.rows]}

    def __str__(self) -> str:
        with_ops = any(r.op for r in self.rows)
        head = (
            ("operation", "module", "kind", "rule")
            if with_ops
            else ("module", "type", "kind", "rule")
        )
        body = [
            (r.op or "", r.path or "(model)", r.kind, r.rule)
            if with_ops
            else (r.path or "(model)", r.module, r.kind, r.rule)
            for r in self.rows
        ]
        widths = [max(len(line[i]) for line in (head, *body)) for i in range(4)]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in (head, tuple("-" * w for w in widths), *body)
        ]
        if not with_ops:
            lines.append("(operations written inline are listed when inputs are given)")
        return "\n".join(lines)


def static_plan(
    modules: Iterable[tuple[str, tuple[str, ...]]],
    composite: Composite,
    others: Mapping[str, tuple[str, ...]] | None = None,
) -> Plan:
    """A plan from module paths and type names alone, in definition order.

    ``others``: the other paths of modules that have several.
    """
    sites = [(path, types, kind) for path, types in modules if (kind := kind_of(types))]
    counted = Resolver(composite, None, others)
    for path, types, kind in sites:
        counted.rule(kind, path, types)
    resolver = Resolver(composite, tuple(counted.counts), others)
    rows = []
    for path, types, kind in sites:
        rule = resolver.rule(kind, path, types)
        rows.append(PlanRow(path, types[0], kind, "no rule" if rule is None else repr(rule)))
    return Plan(tuple(rows), repr(composite))
