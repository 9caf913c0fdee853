"""torch's own MultiheadAttention, in all its ways: the forward bit by bit, and the account."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from tests.oracles.arrays import relative_error
from tests.support import COMPOSITES, account, draw, random

BATCH, LENGTH, SOURCE, WIDTH, HEADS = 2, 4, 5, 6, 2
PADDING = torch.tensor([[False] * 5, [False, False, False, True, True]])
CAUSAL = torch.triu(torch.full((LENGTH, LENGTH), -math.inf), 1).double()


class Net(nn.Module):
    """Self- or cross-attention and a head; every option of the module and of its call."""

    def __init__(self, cross: str = "", call: Any = None, **options: Any) -> None:
        super().__init__()
        self.cross, self.call = cross, call or {}
        kinds = {"kdim": 3, "vdim": 7} if cross == "other widths" else {}
        options = {"batch_first": True, **options, **kinds}
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, **options)
        self.keys = nn.Linear(WIDTH, kinds.get("kdim", WIDTH))
        self.values = nn.Linear(WIDTH, kinds.get("vdim", WIDTH))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 3 and not self.attention.batch_first:
            x = x.transpose(0, 1)
        # cross-attention: queries from the first tokens, keys and values from all
        tokens = 0 if x.dim() == 2 or self.attention.batch_first is False else 1
        q = x.narrow(tokens, 0, LENGTH) if self.cross else x
        k = self.keys(x) if self.cross else q
        v = (k if self.cross == "k is v" else self.values(x)) if self.cross else q
        out, _ = self.attention(q, k, v, **self.call)
        out = self.head(out)
        return out.mean(tokens) if out.dim() == 3 else out.mean(0, keepdim=True)


NETS: dict[str, dict[str, Any]] = {
    "self": {},
    "no bias": {"bias": False},
    "tokens first": {"batch_first": False},
    "unbatched": {},
    "bias_k and zero_attn": {"add_bias_kv": True, "add_zero_attn": True},
    "padding": {"call": {"key_padding_mask": PADDING}},
    "causal": {"call": {"attn_mask": CAUSAL}},
    "causal, hinted": {"call": {"attn_mask": CAUSAL, "is_causal": True}},
    "a mask for each head": {"call": {"attn_mask": CAUSAL.expand(BATCH * HEADS, -1, -1)}},
    "both, padded keys": {
        "add_bias_kv": True,
        "call": {"key_padding_mask": PADDING[:, :LENGTH], "attn_mask": CAUSAL != 0},
    },
    "cross": {"cross": "k is not v", "call": {"key_padding_mask": PADDING}},
    "cross, k is v": {"cross": "k is v"},
    "cross, other widths": {"cross": "other widths"},
}


def inputs_of(name: str) -> Tensor:
    rows = SOURCE if "cross" in name or name == "padding" else LENGTH
    return random(rows, WIDTH) if name == "unbatched" else random(BATCH, rows, WIDTH)


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_every_way(name: str, weights: bool, composite: str) -> None:
    options = dict(NETS[name])
    call = {**options.pop("call", {}), "need_weights": weights}
    model = draw(Net(call=call, **options)).double()
    ledger = account(model, inputs_of(name), composite=composite).ledger
    expected = {"bias", "softmax"} if composite == "attnlrp" else {"bias"}
    assert set(ledger.entries) - {"constant"} == expected


def test_the_explicit_path_equals_the_fused_one() -> None:
    x = inputs_of("self")
    fused, explicit = (
        account(draw(Net(call={"need_weights": w})).double(), x, layers=["attention"])
        for w in (False, True)
    )
    assert relative_error(fused.relevance, explicit.relevance) < 1e-11
    assert fused.heads.keys() == explicit.heads.keys() == {"attention"}
    assert relative_error(fused.heads["attention"], explicit.heads["attention"]) < 1e-11


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("norm_first", [True, False])
def test_encoder_layer(norm_first: bool, composite: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(
                WIDTH, HEADS, 8, activation="gelu", batch_first=True, norm_first=norm_first
            )
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(WIDTH, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.encoder(x).mean(1))

    # a frozen encoder in eval mode takes a fused path of its own where nothing requires grad
    model, x = draw(Net()).double(), random(BATCH, LENGTH, WIDTH)
    plain = model(x.clone().requires_grad_()).detach()
    got = lxt.attribute(model, x, 0, composite, ledger=True)
    assert torch.equal(got.output, plain)
    assert got.ledger.closed
    assert float(got.ledger.unruled.max()) < 1e-12


def test_static_keys_are_refused() -> None:
    class Static(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(WIDTH, HEADS)

        def forward(self, x: Tensor) -> Tensor:
            a = self.attention
            rows = torch.ones(x.shape[1] * HEADS, 3, WIDTH // HEADS)
            out, _ = nn.functional.multi_head_attention_forward(
                x, x, x, WIDTH, HEADS, a.in_proj_weight, a.in_proj_bias, None, None, False, 0.0,
                a.out_proj.weight, a.out_proj.bias, static_k=rows, static_v=rows,
            )  # fmt: skip
            return out.sum(0)

    with pytest.raises(lxt.errors.UnruledError, match="static_k"):
        lxt.attribute(Static().eval(), torch.randn(3, 2, WIDTH), 0)
