"""The tiny models are what the other tests rely on: reproducible, and nothing in them neutral."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.models.tiny import FAMILIES, PAD_ID, Padding, build, inputs, single, widen

EVERY = pytest.mark.parametrize("name", FAMILIES)


@EVERY
def test_weights_depend_on_the_seed_alone(name: str) -> None:
    state = torch.get_rng_state()
    one, same, other = build(name), build(name, dtype=torch.float64), build(name, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    changed = dict(other.named_parameters())
    wide = dict(same.named_parameters())
    for parameter_name, parameter in one.named_parameters():
        assert torch.equal(parameter, wide[parameter_name].float()), parameter_name
        assert not torch.equal(parameter, changed[parameter_name]), parameter_name
    assert not one.training


@EVERY
def test_no_parameter_is_neutral(name: str) -> None:
    for parameter_name, parameter in build(name).named_parameters():
        assert (parameter != 0).all(), parameter_name
        assert parameter.std() > 0.1, parameter_name


@EVERY
def test_every_linear_that_can_has_a_bias(name: str) -> None:
    # families whose modelling code hard-codes bias=False in these
    bare = {
        "gpt2": {"score"},
        "llama": {"score"},
        "qwen3": {"score", "gate_proj", "up_proj", "down_proj"},
        "qwen3_moe": {"score", "gate_proj", "up_proj", "down_proj"},
        "gemma2": {"score", "gate_proj", "up_proj", "down_proj"},
    }
    without = {
        module_name.rsplit(".", 1)[-1]
        for module_name, module in build(name).named_modules()
        if isinstance(module, nn.Linear) and module.bias is None
    }
    assert without == bare.get(name, set())


@EVERY
def test_scores_are_of_order_one_and_attention_is_not_uniform(name: str) -> None:
    model = build(name, attn="eager")
    with torch.no_grad():
        out = model(**inputs(name, batch=8), output_attentions=True)
    assert 0.1 < out.logits.std() < 3
    assert out.logits.isfinite().all()
    for attention in out.attentions:
        assert attention[:, :, -1].amax(-1).mean() > 1.8 / attention.shape[-1]


@EVERY
@pytest.mark.parametrize("padded", ["right", "left"])
def test_a_padded_row_predicts_what_it_does_alone(name: str, padded: Padding) -> None:
    if padded == "left" and not FAMILIES[name].left_padding:
        with pytest.raises(ValueError, match="left padding"):
            inputs(name, padded=padded)
        return
    model, batch = build(name), inputs(name, padded=padded)
    assert (batch["attention_mask"][1] == 0).sum() == 3
    assert torch.equal(batch["attention_mask"] == 0, batch["input_ids"] == PAD_ID)
    with torch.no_grad():
        together = model(**batch).logits
        for row in range(2):
            alone = model(**single(batch, row)).logits[0]
            torch.testing.assert_close(together[row], alone, rtol=1e-5, atol=2e-6)


@EVERY
def test_kernels_agree_and_others_are_refused(name: str) -> None:
    kernels = FAMILIES[name].kernels
    batch = inputs(name)
    with torch.no_grad():
        logits = [build(name, attn=attn)(**batch).logits for attn in kernels]
    torch.testing.assert_close(logits[0], logits[-1], rtol=1e-5, atol=2e-6)
    if "sdpa" not in kernels:
        with pytest.raises(ValueError, match="not with 'sdpa'"):
            build(name, attn="sdpa")


@EVERY
def test_language_model_heads(name: str) -> None:
    with torch.no_grad():
        logits = build(name, head="lm")(**inputs(name)).logits
    assert logits.shape == (2, 9, 61)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["llama", "qwen3", "qwen3_moe", "gemma2"])
def test_widen_changes_rounding_only(name: str) -> None:
    batch = inputs(name)
    with torch.no_grad():
        narrow = build(name, dtype=torch.float64)(**batch).logits
        wide = widen(build(name, dtype=torch.float64))(**batch).logits
    assert not torch.equal(narrow, wide)
    torch.testing.assert_close(narrow, wide, rtol=1e-5, atol=1e-6)
