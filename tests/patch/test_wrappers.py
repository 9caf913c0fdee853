"""Models in wrappers: pipelines, PEFT, accelerate; what cannot be patched is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import lxt_like as lxt
from lxt_like.errors import PatchError
from lxt_like.patch import install
from tests.models.tiny import build, inputs
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import Inline, draw, inline, random

BATCH = inputs("bert")


def test_a_pipeline() -> None:
    class Pipeline:
        def __init__(self, model: Any) -> None:
            self.model = model

    pipeline = Pipeline(build("bert"))
    with lxt.patch(pipeline) as patch:
        assert patch.model is pipeline.model
    want = lxt.attribute(pipeline.model, BATCH, 0).relevance
    assert torch.equal(lxt.attribute(pipeline, BATCH, 0).relevance, want)


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "compiled": (torch.compile, "compiled by torch.compile"),
    "compiled in place": (lambda m: (m.compile(), m)[1], "compiled by torch.compile"),
    "traced": (lambda m: torch.jit.trace(m, torch.zeros(1, 6)), "TorchScript"),
    "a traced part": (
        lambda m: nn.Sequential(m, torch.jit.trace(nn.Linear(3, 3), torch.zeros(1, 3))),
        "1 is a TorchScript module",
    ),
    "DataParallel": (nn.DataParallel, r"DataParallel; patch its \.module"),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_patched_is_refused(name: str) -> None:
    wrap, message = REFUSED[name]
    model = wrap(draw(nn.Sequential(nn.Linear(6, 3))))
    with pytest.raises(PatchError, match=message):
        lxt.patch(model)
    assert install._attributes == {}


@pytest.mark.parametrize("kernel", ["flex_attention", "flash_attention_2", "paged|sdpa", "a/b"])
def test_attention_by_a_compiled_kernel_is_refused(kernel: str) -> None:
    model = build("llama")
    model.config._attn_implementation = kernel
    with pytest.raises(PatchError, match=r"set_attn_implementation\('sdpa'\) computes the same"):
        lxt.attribute(model, inputs("llama"), 0)
    model.set_attn_implementation("sdpa")
    want = lxt.attribute(build("llama"), inputs("llama"), 0).relevance
    assert torch.equal(lxt.attribute(model, inputs("llama"), 0).relevance, want)


def packed(model: Any, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Both samples in one row, told apart by position ids alone."""
    rows = [ids[real.bool()] for ids, real in zip(*given.values(), strict=True)]
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    # transformers tells packed texts apart only where no cache is kept
    return {"input_ids": torch.cat(rows)[None], "position_ids": positions[None], "use_cache": False}


@pytest.mark.parametrize("composite", ["attnlrp", "cp_lrp"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_sequences(attention: Any, composite: str) -> None:
    """A packed text's relevance is that of the text alone; the other gets none."""
    model = build("llama", head="lm", attn=attention)
    given = {k: inputs("llama", padded="right")[k] for k in ("input_ids", "attention_mask")}
    row = packed(model, given)
    length = int(given["attention_mask"][0].sum())
    alone = {"input_ids": row["input_ids"][:, length:]}
    want = lxt.attribute(model, alone, 7, composite, ledger=True)
    got = lxt.attribute(model, row, 7, composite, ledger=True)
    assert relative_error(got.score, want.score) < 1e-5
    assert relative_error(got.relevance[:, length:], want.relevance) < 1e-5
    assert not got.relevance[:, :length].any()
    assert got.ledger is not None
    assert got.ledger.closed


def test_generation_is_left_alone() -> None:
    """A patch changes no generation config, and afterwards the model generates as before."""
    model = build("llama", head="lm")
    given = inputs("llama")["input_ids"][:1]
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 1}
    before, config = model.generate(given, **options), model.generation_config.to_dict()
    lxt.attribute(model, {"input_ids": given}, ledger=True)
    with lxt.patch(model):
        assert model.generation_config.to_dict() == config
    assert torch.equal(model.generate(given, **options), before)


def test_parameters_of_inference_mode_are_refused() -> None:
    with torch.inference_mode():
        model = Inline(lambda m, x: m.a(x)).eval()
    with pytest.raises(PatchError, match=r"a\.weight was made under torch\.inference_mode"):
        lxt.patch(model)
    other = inline(lambda m, x: m.a(x))  # and nothing of it is left behind
    lxt.attribute(other, random(2, 6), 0)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("dora", [False, True])
def test_lora(merged: bool, dora: bool) -> None:
    peft = pytest.importorskip("peft")
    base = build("llama")
    config = peft.LoraConfig(
        r=2, target_modules=["q_proj", "v_proj", "up_proj"], task_type="SEQ_CLS", use_dora=dora
    )
    model = peft.get_peft_model(base, config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(0.3 * random(*p.shape))
    want = lxt.attribute(model, inputs("llama"), 0, ledger=True)
    assert want.ledger.closed
    if merged:
        model.merge_adapter()
    was = snapshot(model)
    before = model(**inputs("llama")).logits
    got = lxt.attribute(model, inputs("llama"), 0, ledger=True)
    assert torch.equal(got.output.logits, before)
    assert got.ledger.closed
    assert relative_error(got.relevance, want.relevance) < 1e-4
    assert differences(was, model) == []
    with model.disable_adapter():
        plain = lxt.attribute(model, inputs("llama"), 0).relevance
    assert relative_error(plain, want.relevance) > 1e-3 or merged


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PromptEncoderConfig"])
def test_a_tuned_prompt_in_front_of_a_padded_batch(kind: str) -> None:
    """Each sample as alone and unpadded: what is read is the last of its own tokens."""
    peft = pytest.importorskip("peft")
    base = build("llama", head="lm", dtype=torch.float64)
    torch.manual_seed(0)
    config = getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=3)
    model = peft.get_peft_model(base, config).double().eval()
    given = inputs("llama", padded="right")
    found = lxt.attribute(model, given, 5)
    alone = lxt.attribute(model, {k: v[1:, :6] for k, v in given.items()}, 5)
    assert relative_error(found.score[1:], alone.score) < 1e-6
    assert relative_error(found.relevance[1:, :6], alone.relevance) < 1e-5
    left = inputs("llama", padded="left")  # pads behind the prompt move the words: other scores
    assert torch.equal(lxt.attribute(model, left, 5).score, model(**left).logits[:, -1, 5])


def test_accelerate_hooks() -> None:
    accelerate = pytest.importorskip("accelerate")
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    batch = inputs("llama")
    want = lxt.attribute(build("llama"), batch, 0)

    def hooked() -> Any:
        model = build("llama")
        for module in model.modules():
            add_hook_to_module(module, AlignDevicesHook("cpu", io_same_device=True))
        return model

    ways = {
        "hooks": hooked,
        "cpu_offload": lambda: accelerate.cpu_offload(build("llama"), execution_device="cpu"),
        "dispatch": lambda: accelerate.dispatch_model(
            build("llama"), {"": "cpu"}, main_device="cpu", force_hooks=True
        ),
    }
    for way, make in ways.items():
        model = make()
        assert "_hf_hook" in vars(model), way
        was = [dict(vars(m)) for m in model.modules()]
        plain = model(**batch).logits
        got = lxt.attribute(model, batch, 0, ledger=True)
        assert torch.equal(got.output.logits, plain), way
        assert relative_error(lxt.attribute(model, batch, 0).relevance, got.relevance) < 1e-6, way
        assert relative_error(got.relevance, want.relevance) < 1e-6, way
        for before, module in zip(was, model.modules(), strict=True):
            assert list(before) == list(vars(module)), way
            assert all(before[key] is vars(module)[key] for key in before), way
