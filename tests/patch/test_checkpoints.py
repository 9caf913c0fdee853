"""Gradient checkpointing around a patch: what begins, or ends, outside it."""

from __future__ import annotations

import torch

import lxt_like as lxt
from tests.models.tiny import build
from tests.support import random


def test_a_kept_checkpointing_function_outlives_the_patch() -> None:
    model = build("bert").train()
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    layer, x = model.bert.encoder.layer[0], random(2, 6)
    with lxt.patch(model):
        kept = layer._gradient_checkpointing_func
    assert torch.equal(kept(torch.exp, x), x.exp())
