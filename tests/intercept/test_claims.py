"""A rule covers its own operation, not what made any of its operands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lxt_like as lxt
from lxt_like.errors import UnruledError
from tests.support import bare, random

K, V = random(4, 4, seed=4), random(4, seed=5)


def mask(t: Tensor) -> Tensor:
    return t[None, None]


# x and t are [4, 4]; t comes out of an operation without a rule
CALLS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bilinear 1": lambda x, t: F.bilinear(t, x, K[None].expand(4, -1, -1)),
    "bilinear 2": lambda x, t: F.bilinear(x, t, K[None].expand(4, -1, -1)),
    "bilinear weight": lambda x, t: F.bilinear(x, x * 2, t[None].expand(4, -1, -1)),
    "bilinear weight alone": lambda x, t: F.bilinear(x, K, t[None].expand(4, -1, -1)),
    "bilinear bias": lambda x, t: F.bilinear(x, x, K[None].expand(4, -1, -1), t[0]),
    "einsum": lambda x, t: torch.einsum("ij,jk->ik", x, t),
    "einsum of three": lambda x, t: torch.einsum("ij,jk,k->ik", x, t, V),
    "matmul": lambda x, t: t @ x,
    "addmm": lambda x, t: torch.addmm(x, K, t),
    "addmm input": lambda x, t: torch.addmm(t, x, K),
    "baddbmm": lambda x, t: torch.baddbmm(t[None], x[None], x[None])[0],
    "linear weight": lambda x, t: F.linear(x, t),
    "linear weight of a constant": lambda x, t: F.linear(K, t) + x,
    "linear bias": lambda x, t: F.linear(x, K, t[0]),
    "conv weight": lambda x, t: F.conv1d(x[None], t[:, :, None])[0],
    "addcmul": lambda x, t: torch.addcmul(x, x, t),
    "addcmul input": lambda x, t: torch.addcmul(t, x, x),
    "addcdiv": lambda x, t: torch.addcdiv(t, x, K),
    "lerp": lambda x, t: torch.lerp(x, t, 0.3),
    "mul": lambda x, t: x * t,
    "div": lambda x, t: t / K + x,
    "layer_norm": lambda x, t: F.layer_norm(t, (4,)) + x,
    "layer_norm weight": lambda x, t: F.layer_norm(x, (4,), t[0], V),
    "layer_norm bias": lambda x, t: F.layer_norm(x, (4,), V, t[0]),
    "batch_norm weight": lambda x, t: F.batch_norm(x, V, V.abs(), t[0], V),
    "prelu weight": lambda x, t: F.prelu(x, t[0]),
    "attention mask": lambda x, t: F.scaled_dot_product_attention(mask(x), mask(x), mask(x), t)[0][
        0
    ],
    "attention values": lambda x, t: F.scaled_dot_product_attention(mask(x), mask(x), mask(t))[0][
        0
    ],
    "softmax": lambda x, t: t.softmax(-1) + x,
    "logsumexp": lambda x, t: x + t.logsumexp(-1, keepdim=True),
    "gelu": lambda x, t: F.gelu(t) + x,
    "solve": lambda x, t: torch.linalg.solve(K, t) + x,
    "lp_pool": lambda x, t: x[:, :2] + F.lp_pool1d(t, 2.0, 2),
    "cosine": lambda x, t: x + F.cosine_similarity(x, t, -1)[:, None],
}


@pytest.mark.parametrize("composite", ["attnlrp", "epsilon"])
@pytest.mark.parametrize("name", CALLS)
def test_an_operation_behind_an_operand_is_found(name: str, composite: str) -> None:
    def forward(x: Tensor) -> Tensor:
        h = x[0]
        return CALLS[name](h * 2, torch.atan2(h, h + 1)).sum(0)[None]

    with pytest.raises(UnruledError, match=r"Atan2|einsum"):
        lxt.attribute(bare(forward), random(1, 4, 4), 0, composite)
