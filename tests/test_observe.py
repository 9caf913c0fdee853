"""Named layers, heads and masks, seen in the same backward."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import InputError
from lxt_like.patch import install
from tests.models.checkpointed import net
from tests.models.tiny import FAMILIES, build, inputs, widen
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, draw, inline, random


def layers_of(model: Any) -> list[str]:
    names = [n for n, m in model.named_modules() if isinstance(m, nn.ModuleList)]
    root = max(names, key=lambda n: len(model.get_submodule(n)))
    return [f"{root}.{i}" for i in range(len(model.get_submodule(root)))]


@pytest.mark.parametrize("name", FAMILIES)
def test_watching_changes_nothing(name: str) -> None:
    model, batch = build(name).double(), inputs(name)
    model.config._experts_implementation = "eager"  # the grouped product has no float64
    layers = layers_of(model)
    want = lxt.attribute(model, batch, 0)
    got = lxt.attribute(model, batch, 0, layers=layers)
    # unwatched, a gate and its product are one step: the same factors in another order
    assert relative_error(got.relevance, want.relevance) < 1e-12
    assert list(got.layers) == layers
    assert all(r.shape == (2, 9, 32) for r in got.layers.values())
    assert {path.rsplit(".", 1)[0] for path in got.heads} <= {n for n, _ in model.named_modules()}
    assert len(got.heads) == len(layers)


@pytest.mark.parametrize("name", FAMILIES)
def test_conservation_layer_by_layer(name: str) -> None:
    """Under CP-LRP a layer's output holds all but the biases above it: without any, the score."""
    model, batch = widen(build(name, dtype=torch.float64)), inputs(name)
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n.endswith("bias"):
                p.zero_()
    got = lxt.attribute(model, batch, 0, "cp_lrp", layers=layers_of(model))
    for path, relevance in got.layers.items():
        torch.testing.assert_close(
            relevance.sum((1, 2)), got.score, rtol=1e-9, atol=1e-12, msg=path
        )


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("attn", ["sdpa", "eager"])
@pytest.mark.parametrize(
    ("name", "projection", "layer"),
    [
        ("llama", "self_attn.o_proj", "model.layers.0"),
        ("gpt2", "attn.c_proj", "transformer.h.0"),
        ("bert", "attention.output.dense", "bert.encoder.layer.0"),
    ],
)
def test_heads_are_what_the_output_projection_reads(
    name: str, projection: str, layer: str, attn: Any, composite: str
) -> None:
    """Head by head, the relevance of the projection's input: the heads in their places."""
    model, batch = build(name, attn=attn), inputs(name, padded="right")
    got = lxt.attribute(model, batch, 0, composite, layers=[layer])
    (heads,) = got.heads.values()
    assert heads.shape == (2, 4, 9)
    x = model.get_input_embeddings()(batch["input_ids"]).detach().requires_grad_()
    seen = []

    def keep(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        args[0].retain_grad()
        seen.append(args[0])

    hook = model.get_submodule(f"{layer}.{projection}").register_forward_pre_hook(keep)
    with lxt.patch(model, composite):
        model(inputs_embeds=x, attention_mask=batch["attention_mask"]).logits[:, 0].sum().backward()
    hook.remove()
    want = (seen[0] * seen[0].grad).unflatten(-1, (4, 8)).sum(-1).transpose(1, 2)
    if name == "bert":
        assert relative_error(heads, want) < 1e-5
    else:  # without ids transformers cannot find the last real token: the unpadded row
        assert relative_error(heads[0], want[0]) < 1e-5


def test_globs_and_modules_that_run_twice() -> None:
    got = lxt.attribute(build("bert"), inputs("bert"), 0, layers="bert.encoder.layer.?.output")
    assert list(got.layers) == [f"bert.encoder.layer.{i}.output" for i in (0, 1)]
    model = inline(lambda m, x: m.a(m.a(x)))
    twice = lxt.attribute(model, random(2, 6), 0, layers=["a"]).layers
    assert list(twice) == ["a", "a:1"]
    assert relative_error(twice["a:1"], twice["a"]) > 1e-3


def test_what_is_not_on_the_path_has_no_relevance() -> None:
    model = inline(lambda m, x: m.a(x) + 0 * m.b(x).detach())
    got = lxt.attribute(model, random(2, 6), 0, layers=["a", "b"])
    assert not got.layers["b"].any()
    assert got.layers["a"].any()


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_masks(name: str) -> None:
    model, batch = build(name), inputs(name)
    layer = layers_of(model)[0]
    want = lxt.attribute(model, batch, 0, ledger=True)
    ones = lxt.attribute(model, batch, 0, masks={layer: torch.ones(1)}, ledger=True)
    assert relative_error(ones.relevance, want.relevance) < 1e-6
    assert "masked" not in ones.ledger.entries
    zeros = lxt.attribute(model, batch, 0, masks={layer: torch.zeros(1)}, ledger=True)
    assert not zeros.relevance.any()
    assert zeros.ledger.closed
    assert bool((zeros.ledger.entries["masked"].abs() > 1e-3).all())
    token = torch.zeros(9, 1)
    token[2] = 1
    some = lxt.attribute(model, batch, 0, masks={layer: token}, ledger=True)
    assert some.ledger.closed
    assert relative_error(some.relevance, want.relevance) > 1e-2


def test_masks_split_the_relevance() -> None:
    """Two masks that add up to one split the relevance in two."""
    model, batch = build("llama"), inputs("llama")
    layer = layers_of(model)[0]
    want = lxt.attribute(model, batch, 0).relevance
    mask = (random(32) > 0).float()
    parts = [lxt.attribute(model, batch, 0, masks={layer: m}).relevance for m in (mask, 1 - mask)]
    assert relative_error(parts[0] + parts[1], want) < 1e-5
    booleans = lxt.attribute(model, batch, 0, masks={layer: mask.bool()}).relevance
    assert torch.equal(booleans, parts[0])


@pytest.mark.parametrize("factor", [0.1, np.float32(0.5), 2, True])
def test_a_number_is_a_mask(factor: Any) -> None:
    model, x = inline(lambda m, x: m.a(x) * m.b(x)).double(), random(2, 6)
    want = torch.tensor(float(factor), dtype=torch.float64)
    got = lxt.attribute(model, x, 0, masks={"a": factor}).relevance
    assert torch.equal(got, lxt.attribute(model, x, 0, masks={"a": want}).relevance)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"masks": ["a"]}, r"expected a mapping, module name or glob -> factor, got list: \['a'\]"),
        ({"masks": "a"}, "expected a mapping, .* got str: 'a'"),
        ({"masks": {3: 0.5}}, "expected names or globs of modules, got 3"),
        ({"masks": {"a": [1.0]}}, r"a number or a tensor for 'a', got list: \[1.0\]"),
        ({"masks": {"a": None}}, "a number or a tensor for 'a', got NoneType"),
        ({"masks": {"a": torch.ones(5)}}, r"a returns \(2, 6\), which a mask of shape \(5,\)"),
        ({"masks": {"a": torch.ones(3, 2, 6)}}, r"mask of shape \(3, 2, 6\) does not broadcast"),
        ({"layers": [3]}, r"expected names or globs of modules, got \[3\]"),
        ({"layers": 3}, "expected names or globs of modules, got 3"),
    ],
)
def test_layers_and_masks_that_are_none(asked: dict[str, Any], said: str) -> None:
    model = inline(lambda m, x: m.a(x) * m.b(x))
    with pytest.raises(InputError, match=said):
        lxt.attribute(model, random(2, 6), 0, **asked)
    assert install._attributes == {}


def test_masks_in_a_ledger_close_in_float64() -> None:
    model, x = inline(lambda m, x: m.a(x) * m.b(x)), random(2, 6)
    account(model, x, masks={"a": random(6, seed=3)})


Pair = namedtuple("Pair", ["hidden", "rest"])
KINDS = {
    "tuple": lambda x: (x, None),
    "list": lambda x: [x, None],
    "named tuple": lambda x: Pair(x, None),
    "dict": lambda x: {"hidden": x, "rest": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_other_kinds(kind: str) -> None:
    class Inner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Any:
            return KINDS[kind](self.linear(x))

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = Inner(), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            out = self.inner(x)
            return self.head(out["hidden"] if isinstance(out, dict) else out[0])

    model, x = draw(Outer()).double(), random(2, 6)
    got = lxt.attribute(model, x, 0, layers=["inner"], masks={"inner": torch.zeros(6)})
    assert not got.relevance.any()
    assert got.layers["inner"].shape == (2, 6)
    assert got.layers["inner"].any()  # what arrived, before the mask


@pytest.mark.parametrize("options", [{"layers": ["x.y"]}, {"masks": {"x.y": torch.ones(1)}}])
def test_unknown_layers(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"no module matches the layer 'x\.y'; the model has"):
        lxt.attribute(build("bert"), inputs("bert"), 0, **options)


# -- what cannot be looked at ----------------------------------------------------------------------


class Returns(nn.Module):
    """What ``pack`` makes of a linear layer's output."""

    def __init__(self, pack: Any) -> None:
        super().__init__()
        self.linear, self.pack = nn.Linear(6, 6), pack

    def forward(self, x: Tensor) -> Any:
        return self.pack(self.linear(x))


class Takes(nn.Module):
    """A head on what ``take`` finds in the output of ``inner``."""

    def __init__(self, inner: nn.Module, take: Any) -> None:
        super().__init__()
        self.inner, self.head, self.take = inner, nn.Linear(6, 3), take
        self.idle = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.take(self.inner(x)))


SIGNALS: dict[str, tuple[Any, Any]] = {
    "behind integers": (lambda h: (torch.arange(6), h), lambda out: out[1]),
    "behind a constant": (lambda h: [torch.ones(6), h], lambda out: out[1]),
    "in a mapping": (lambda h: {"ids": torch.arange(6), "h": h}, lambda out: out["h"]),
}


@pytest.mark.parametrize("case", SIGNALS)
def test_the_first_tensor_that_takes_relevance(case: str) -> None:
    pack, take = SIGNALS[case]
    model, x = draw(Takes(Returns(pack), take)).double(), random(2, 6)
    got = lxt.attribute(model, x, 0, layers=["inner", "inner.linear"], masks={"inner": 0.5})
    assert relative_error(got.relevance, 0.5 * lxt.attribute(model, x, 0).relevance) < 1e-12
    assert relative_error(got.layers["inner.linear"], 0.5 * got.layers["inner"]) < 1e-12
    held = lxt.attribute(model, x, 0, masks={"inner": 0.0}, ledger=True)
    assert not held.relevance.any()
    assert "masked" in held.ledger.entries


class Idle(nn.Module):
    """Modules of which one never runs, one returns no tensor, one runs without gradients, ..."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.held, self.constant = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.deep, self.head = Returns(lambda h: {"deep": [h]}), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            held = self.held(x)
        return self.head(self.deep(x)["deep"][0] + held + self.constant(torch.ones_like(x)))


NOTHING = {
    "idle": "no module that 'idle' names ran in this forward",
    "i[d]le": r"no module that 'i\[d\]le' names ran in this forward",
    "held": "'held' runs where gradients are switched off: under torch.no_grad()",
    "constant": "nothing that 'constant' returns depends on what is explained",
    "deep": "'deep' returns no tensor, and none in a tuple, list or mapping: .*dict",
}


@pytest.mark.parametrize("argument", ["layers", "masks"])
@pytest.mark.parametrize("name", NOTHING)
def test_what_shows_nothing_is_an_error(name: str, argument: str) -> None:
    """Its mask would do nothing, its relevance be missing without a word."""
    model, x = draw(Idle()).double(), random(2, 6)

    def asked(pattern: str) -> dict[str, Any]:
        return {argument: [pattern] if argument == "layers" else {pattern: 1.0}}

    with pytest.raises(InputError, match=f"^{argument}: nothing to look at in .*: {NOTHING[name]}"):
        lxt.attribute(model, x, 0, **asked(name))
    assert install._attributes == {}
    lxt.attribute(model, x, 0, **asked("*"))  # one module of several is enough


@pytest.mark.parametrize("transformers", [False, True])
@pytest.mark.parametrize("argument", ["layers", "masks"])
def test_modules_in_a_checkpoint(argument: str, transformers: bool) -> None:
    """Those of one that keeps its graph are seen; what is run once more is refused."""
    x = random(2, 6)

    def asked(*names: str) -> dict[str, Any]:
        return {argument: list(names) if argument == "layers" else dict.fromkeys(names, 0.5)}

    want = lxt.attribute(net(None), x, 0, **asked("block.1"))
    got = lxt.attribute(net(False, transformers), x, 0, **asked("block.1"))
    assert relative_error(got.relevance, want.relevance) < 1e-12
    assert list(got.layers) == list(want.layers)
    for name in ("block.1", "block.*"):
        with pytest.raises(InputError, match=f"{argument}: .* needs use_reentrant=False"):
            lxt.attribute(net(True, transformers), x, 0, **asked(name))
    with pytest.raises(InputError, match=rf"{argument}: nothing to look at in 'block\.0': it runs"):
        lxt.attribute(net(True, transformers), x, 0, **asked("*"))
    assert install._attributes == {}


def test_a_layer_for_its_heads_alone() -> None:
    """A list of modules never runs; its modules' heads are found."""
    got = lxt.attribute(build("bert"), inputs("bert"), 0, layers=["bert.encoder.layer"])
    assert not got.layers
    assert len(got.heads) == 2


def test_a_trace_leaves_out_what_does_not_run() -> None:
    model = draw(Takes(Returns(lambda h: h), lambda h: h)).double()
    rows = lxt.trace(model, random(2, 6), 0).rows
    assert [row.layer for row in rows] == ["input", "inner.linear", "head"]


# -- whose relevance it is -------------------------------------------------------------------------


class Residual(nn.Module):
    """o(lay(h) + short(h)) of h = a(x): the short cut returns its own input."""

    def __init__(self, short: nn.Module) -> None:
        super().__init__()
        self.a, self.lay, self.o = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.short = short

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        return self.o(self.lay(h) + self.short(h))


class Copy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


@pytest.mark.parametrize("ledger", [False, True])
def test_a_module_that_returns_its_own_input(ledger: bool) -> None:
    """Its relevance is what comes by its own output, not what others took of that tensor."""
    names, x = ["a", "short", "lay"], random(2, 6)
    want = lxt.attribute(draw(Residual(Copy())).double(), x, 0, layers=names)
    model = draw(Residual(nn.Identity())).double()
    got = lxt.attribute(model, x, 0, layers=names, ledger=ledger)
    for name in names:
        assert relative_error(got.layers[name], want.layers[name]) < 1e-12, name
    assert torch.equal(got.output, model(x))
    if ledger:
        assert got.ledger.closed


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize("mask", [None, 1.0, 0.5, 0.0])
def test_what_goes_straight_to_the_input_passes_by_the_layers(mask: Any, ledger: bool) -> None:
    """z-box hands its relevance to the explained input: on its way, modules show and hold it."""
    layers = (nn.Identity(), nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    model, x = draw(nn.Sequential(*layers)).double(), random(2, 1, 3, 3).sigmoid()
    composite = lxt.composites.EpsilonGammaBox(0.0, 1.0)
    want = lxt.attribute(model, x, 0, composite).relevance
    masks = None if mask is None else {"0": mask}
    got = lxt.attribute(model, x, 0, composite, layers=["0"], masks=masks, ledger=ledger)
    assert relative_error(got.layers["0"], want) < 1e-12
    torch.testing.assert_close(got.relevance, (1.0 if mask is None else mask) * want)
    if ledger:
        assert got.ledger.closed
        assert ("masked" in got.ledger.entries) == (mask in (0.0, 0.5))


@pytest.mark.parametrize("ledger", [False, True])
@pytest.mark.parametrize(
    "weight",
    [random(6), random(6).requires_grad_(), nn.Parameter(random(6)), nn.Parameter(random(6)) * 2],
    ids=["constant", "leaf", "parameter", "computed"],
)
def test_a_weight_that_a_module_returns_first(weight: Tensor, ledger: bool) -> None:
    """It requires grad, and depends on nothing that is explained: no state to look at, or mask."""

    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return held[0], x * 2

    held = [weight]  # a list: no parameter of the model
    model, x = inline(lambda m, x: m.two(torch.tanh(m.a(x)))[1]), random(2, 6)
    model.two = Two()
    plain = lxt.attribute(model, x, 0, layers=["c", "a"])
    got = lxt.attribute(model, x, 0, layers=["two"], masks={"two": 0.5}, ledger=ledger)
    assert got.layers["two"].shape == (2, 6)
    torch.testing.assert_close(got.relevance, plain.relevance / 2)
    torch.testing.assert_close(got.layers["two"].sum(1), plain.layers["a"].sum(1))
