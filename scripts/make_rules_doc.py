"""Makes docs/rules.md from the docstrings of lxt_like.rules.

python scripts/make_rules_doc.py            writes the page
python scripts/make_rules_doc.py --check    exit code 1 if the page is not what would be written
"""

from __future__ import annotations

import argparse
import inspect
import re
from pathlib import Path

import lxt_like as lxt
from lxt_like.composites import PRESETS, Resolver
from lxt_like.rules import KINDS, Rule
from lxt_like.rules.base import PARENTS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "rules.md"

PLACES = {
    "linear": "Linear, convolutions, matrix products with a constant",
    "conv": "convolutions alone, plain and transposed: part of `linear`",
    "bilinear": "matrix products of two activations, such as `q @ k.T` written inline",
    "attention": "`scaled_dot_product_attention` and `MultiheadAttention` as a whole",
    "softmax": "attention weights and routers written inline",
    "product": "`gate * up`, router weight * expert output, powers",
    "norm": "LayerNorm, RMSNorm, GroupNorm, BatchNorm, `x * rsqrt(...)`",
    "activation": "GELU, SiLU, ReLU, tanh, sigmoid and the like",
    "pooling": "average and max pooling, maxima",
    "add": "residual connections, sums, concatenation",
}

HEAD = """\
# Rules

<!-- Made by scripts/make_rules_doc.py from the docstrings of lxt_like.rules: edit those. -->

A rule says how the relevance at an operation's output is shared among its inputs. It never changes
a forward value. It changes the gradient, so that `activation * gradient` is the relevance. Below,
`g` is the gradient that arrives at the operation's output. [How a rule is
derived](how-a-rule-is-derived.md) works through five of them.

## Kinds of operation

Rules are assigned to kinds of operation. The presets for
transformers have one rule per kind:

"""

GENERAL = ("attnlrp", "cp_lrp", "gradient", "epsilon")
VISION = ("attnlrp_gamma", "attnlrp_gamma_box", "cp_lrp_gamma", "cp_lrp_gamma_box")

FOR_VISION = """
The presets for vision transformers put gamma at linear operations around the attention of `attnlrp`
or `cp_lrp`, and perhaps the z-box rule at the pixels, whose bounds `lxt.explain` finds in a model's
preprocessing:

"""

CLASSICAL = """
The classical presets for CNNs and MLPs differ in the rules at linear operations, rectifiers and
residual sums; elsewhere they follow `attnlrp`:

"""

BETWEEN = """
A composite of your own assigns rules by kind, by the module an operation runs in, by a pattern over
module names, or by execution order; the last assignment that fits wins. A module that a model has
at several places is meant by any of its names, whenever it runs. A composite prints as the code
that makes it:

```python
import lxt_like as lxt

mixed = lxt.composites.AttnLRP() + [
    lxt.Assign(lxt.rules.Epsilon(1e-3), name="bert.encoder.layer.0.*"),
    lxt.Assign(lxt.rules.Epsilon(0.1), where="last"),
]
print(mixed)
ex = lxt.explain(lxt.demo.sentiment(), "A gripping, funny film.", composite=mixed)
```

## Each rule
"""


def rules() -> list[type[Rule]]:
    """Every public rule, by the first of its kinds; the plain gradient last."""
    found = [v for v in vars(lxt.rules).values() if isinstance(v, type) and issubclass(v, Rule)]
    found.remove(Rule)
    return sorted(found, key=_order)


def _order(rule: type[Rule]) -> tuple[int, int, str]:
    first = min(KINDS.index(kind) for kind in rule.kinds)
    return len(rule.kinds) == len(KINDS), first, rule.__name__


def markdown(docstring: str) -> str:
    """reStructuredText's double quotes and roles as markdown's code."""
    text = re.sub(r":\w+:`[.~]?([^`]+)`", r"`\1`", docstring)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    return text.replace(" * ", r" \* ")


def section(rule: type[Rule]) -> str:
    """Heading, formula, use and source of one rule.

    Raises:
        ValueError: the docstring lacks one of them.
    """
    paragraphs = re.split(r"\n\n|\n(?=Source:)", inspect.getdoc(rule) or "")
    title, *rest = [" ".join(p.split()) for p in paragraphs]
    lines = [f"### `{rule()!r}`", "", markdown(title), ""]
    kinds = [kind for kind in KINDS if kind in rule.kinds or PARENTS.get(kind) in rule.kinds]
    lines.append(f"- Kinds: {'all' if len(kinds) == len(KINDS) else ', '.join(kinds)}")
    for label in ("Formula:", "Use:", "Source:"):
        text = [p.removeprefix(label).strip() for p in rest if p.startswith(label)]
        if len(text) != 1:
            raise ValueError(f"the docstring of {rule.__name__} needs one paragraph {label!r}")
        lines.append(f"- {label} {markdown(text[0])}")
    return "\n".join(lines) + "\n"


def kinds_table() -> str:
    """kind | where it occurs | the rule of each preset."""
    head = ["kind", "where it occurs", *(f"`{name}`" for name in GENERAL)]
    rows = [head, ["---"] * len(head)]
    for kind in KINDS:
        chosen = [Resolver(PRESETS[name]()).rule(kind, "") for name in GENERAL]
        rows.append([kind, PLACES[kind], *(f"`{rule!r}`" for rule in chosen)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


PRECISION = """
The backward of these rules computes in float32 where the model is in bfloat16 or float16. Against
float64 with the same weights, the relevance of a convolution (8 to 12 channels, 3 x 3, inputs >= 0)
is off by at most 1e-6 in float32, 5e-4 in float16 and 4e-3 in bfloat16, whatever the rule;
`Epsilon(zero_bias=True)`, which takes the bias out of an output rounded with it, by up to 20 times
that. Nothing turns into NaN at zeros (`tests/rules/test_half.py`).
"""


def classical_table() -> str:
    """preset | at dense layers | at convolutions | at the first linear operation | activations."""
    head = ["preset", "dense", "conv", "first linear operation", "activation", "add"]
    rows = [head, ["---"] * len(head)]
    for name in (n for n in PRESETS if n not in (*GENERAL, *VISION)):
        first = Resolver(PRESETS[name]()).rule("conv", "")
        later = Resolver(PRESETS[name]())
        later.rule("conv", "")
        kinds = ("linear", "conv", "activation", "add")
        dense, conv, activation, add = (later.rule(kind, "") for kind in kinds)
        at_first = "as above" if first == conv else f"`{first!r}`"
        cells = [f"`{dense!r}`", f"`{conv!r}`", at_first, f"`{activation!r}`", f"`{add!r}`"]
        rows.append([f"`{name}`", *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def vision_table() -> str:
    """preset | at linear operations | at convolutions | at the first one | attention | products."""
    head = ["preset", "linear", "conv", "first linear operation", "attention", "product"]
    rows = [head, ["---"] * len(head)]
    for name in VISION:
        first = Resolver(PRESETS[name]()).rule("conv", "")
        later = Resolver(PRESETS[name]())
        later.rule("conv", "")
        linear, conv, attention, product = (
            later.rule(kind, "") for kind in ("linear", "conv", "attention", "product")
        )
        at_first = "as above" if first == conv else f"`{first!r}`"
        cells = [f"`{linear!r}`", f"`{conv!r}`", at_first, f"`{attention!r}`", f"`{product!r}`"]
        rows.append([f"`{name}`", *cells])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def page() -> str:
    """The whole of docs/rules.md."""
    return "\n".join(
        [
            HEAD
            + kinds_table()
            + FOR_VISION
            + vision_table()
            + CLASSICAL
            + classical_table()
            + PRECISION
            + BETWEEN,
            *map(section, rules()),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes docs/rules.md from the docstrings.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if parser.parse_args().check:
        current = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
        if current != page():
            print(f"{PAGE.name} is out of date: run python scripts/make_rules_doc.py")
            return 1
        return 0
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
