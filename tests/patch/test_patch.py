"""A patch changes the backward alone, for as long as it lasts, for nobody else."""

from __future__ import annotations

import copy
import gc
import inspect
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.errors import CompositeError, InputError, PatchError
from lxt_like.patch import install
from tests.models.tiny import FAMILIES, build, inputs
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import COMPOSITES, inline, random

EVERY = pytest.mark.parametrize("name", FAMILIES)
BATCH = inputs("bert")


def embedded(model: Any, name: str = "bert") -> dict[str, Tensor]:
    ids = inputs(name)
    x = model.get_input_embeddings()(ids["input_ids"]).detach().requires_grad_()
    return {"inputs_embeds": x, "attention_mask": ids["attention_mask"]}


def gradient(model: Any, given: dict[str, Tensor]) -> Tensor:
    (grad,) = torch.autograd.grad(model(**given).logits[:, 0].sum(), given["inputs_embeds"])
    return grad


@EVERY
def test_logits_before_under_and_after(name: str) -> None:
    model = build(name)
    given = embedded(model, name)
    before, plain = model(**given).logits, gradient(model, given)
    was = snapshot(model)
    for composite in COMPOSITES:
        with lxt.patch(model, composite) as patch:
            assert patch.active
            assert torch.equal(model(**given).logits, before)
            under = gradient(model, given)
            with torch.no_grad():
                assert torch.equal(model(**given).logits, model(**given).logits)
        assert differences(was, model) == []
        assert torch.equal(model(**given).logits, before)
        assert relative_error(under, plain) > 1e-2  # a no-op would pass all the rest
        assert torch.equal(gradient(model, given), plain)


def training_gradients(model: Any) -> list[Tensor]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    loss = model(**BATCH, labels=torch.tensor([0, 1])).loss
    return [g.clone() for g in torch.autograd.grad(loss, parameters)]


def test_training_goes_on_as_before() -> None:
    model = build("bert")
    model.bert.embeddings.requires_grad_(False)
    flags = [p.requires_grad for p in model.parameters()]
    before = training_gradients(model)
    with lxt.patch(model):
        assert not any(p.requires_grad for p in model.parameters())
        lxt.attribute(model, BATCH, 0)
    assert [p.requires_grad for p in model.parameters()] == flags
    for mine, theirs in zip(training_gradients(model), before, strict=True):
        assert torch.equal(mine, theirs)
    assert all(p.grad is None for p in model.parameters())


def test_parameters_take_no_relevance() -> None:
    model = build("bert")
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    lxt.attribute(model, BATCH, 0, ledger=True)
    assert all(bool((p.grad == 1).all()) for p in model.parameters())


@pytest.mark.parametrize("name", ["bert", "llama", "gemma2"])
def test_freeze_changes_no_relevance(name: str) -> None:
    model = build(name)
    given = embedded(model, name)
    grads = []
    for freeze in (True, False):
        with lxt.patch(model, freeze=freeze):
            assert any(p.requires_grad for p in model.parameters()) != freeze
            grads.append(gradient(model, given))
    assert relative_error(grads[1], grads[0]) < 1e-6


def test_hidden_states_keep_their_relevance() -> None:
    model = build("bert")
    want = lxt.attribute(model, BATCH, 0, layers=["bert.encoder.layer.0"])
    given = embedded(model)
    with lxt.patch(model):
        out = model(**given, output_hidden_states=True)
        hidden = out.hidden_states[1]
        hidden.retain_grad()
        out.logits[:, 0].sum().backward()
    relevance = hidden * hidden.grad
    assert relative_error(relevance, want.layers["bert.encoder.layer.0"]) < 1e-5


# -- exceptions ------------------------------------------------------------------------------------


def test_an_exception_in_the_middle_of_a_forward(monkeypatch: Any) -> None:
    model = build("bert")
    given = embedded(model)
    want = gradient(model, given)
    layer = model.bert.encoder.layer[1].output.dense

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise FloatingPointError("broken")

    was = snapshot(model)
    handle = layer.register_forward_pre_hook(broken)
    with lxt.patch(model) as patch, pytest.raises(FloatingPointError):
        model(**given)
    assert patch.session.stack == []
    handle.remove()
    assert differences(was, model) == []
    assert torch._C._len_torch_function_stack() == 0
    assert torch.equal(gradient(model, given), want)


def test_a_forward_that_failed_can_be_repeated() -> None:
    model = inline(lambda m, x: _fails_on_nan(m.a(x)) * m.b(x))
    x = random(2, 6).requires_grad_()
    with lxt.patch(model):
        with pytest.raises(ZeroDivisionError):
            model(x * float("nan"))
        (got,) = torch.autograd.grad(model(x)[:, 0].sum(), x)
    assert relative_error(x * got, lxt.attribute(model, x.detach(), 0).relevance) < 1e-12


def _fails_on_nan(x: Tensor) -> Tensor:
    if x.isnan().any():
        raise ZeroDivisionError
    return x


# -- nested ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner_first", [True, False])
def test_nested_patches_restored_in_any_order(inner_first: bool) -> None:
    model = build("llama")
    given = embedded(model, "llama")
    plain = gradient(model, given)
    want = {}
    for composite in COMPOSITES:
        with lxt.patch(model, composite):
            want[composite] = gradient(model, given)
    was = snapshot(model)
    outer, inner = lxt.patch(model, "attnlrp"), lxt.patch(model, "cp_lrp")
    assert torch.equal(gradient(model, given), want["cp_lrp"])  # the innermost, once
    if inner_first:
        inner.restore()
        assert torch.equal(gradient(model, given), want["attnlrp"])
        outer.restore()
    else:
        outer.restore()
        assert torch.equal(gradient(model, given), want["cp_lrp"])
        inner.restore()
    assert differences(was, model) == []
    assert torch.equal(gradient(model, given), plain)


def test_a_patch_of_a_part() -> None:
    """The part obeys its own patch, the rest the outer one; both go away."""
    model = build("llama")
    given = embedded(model, "llama")
    with lxt.patch(model, "cp_lrp"):
        whole = gradient(model, given)
    was = snapshot(model)
    with lxt.patch(model, "cp_lrp"), lxt.patch(model.model.layers[0], "attnlrp"):
        mixed = gradient(model, given)
    assert relative_error(mixed, whole) > 1e-3
    assert differences(was, model) == []


def test_attribute_inside_a_patch_is_its_own() -> None:
    model = build("bert")
    want = lxt.attribute(model, BATCH, 0, "cp_lrp").relevance
    with lxt.patch(model, "attnlrp"):
        assert torch.equal(lxt.attribute(model, BATCH, 0, "cp_lrp").relevance, want)


# -- handles ---------------------------------------------------------------------------------------


def test_handles() -> None:
    model = build("bert")
    patch = lxt.patch(model)
    assert repr(patch) == "<Patch of BertForSequenceClassification with attnlrp: active>"
    patch.restore()
    patch.restore()  # nothing happens
    assert repr(patch).endswith("restored>")
    with pytest.raises(PatchError, match="restored already"), patch:
        pass


def test_a_kept_forward_outlives_the_patch() -> None:
    model = build("bert")
    with lxt.patch(model):
        kept = model.forward
    assert torch.equal(kept(**BATCH).logits, model(**BATCH).logits)


def test_signatures_stay_readable() -> None:
    model = build("bert")
    plain = inspect.signature(model.forward)
    with lxt.patch(model):
        assert inspect.signature(model.forward) == plain


def test_no_grad_inference_under_a_patch_is_plain() -> None:
    model = build("qwen3_moe").train()  # even dropout: nothing is explained
    with lxt.patch(model), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        model(**inputs("qwen3_moe"))
    with lxt.patch(model, "attnlrp"), torch.no_grad():
        assert model(**inputs("qwen3_moe")).logits.grad_fn is None


def test_generation_under_a_patch() -> None:
    model = build("llama", head="lm")
    given = {**inputs("llama", batch=1), "max_new_tokens": 4, "do_sample": False}
    plain = model.generate(**given)
    with lxt.patch(model):
        assert torch.equal(model.generate(**given), plain)


@pytest.mark.parametrize("model", [None, 3])
def test_no_model(model: Any) -> None:
    with pytest.raises(InputError, match=r"expected a torch\.nn\.Module"):
        lxt.patch(model)


def test_unknown_composites() -> None:
    model = build("bert")
    was = snapshot(model)
    for given in ("lrp", None, nn.Linear):
        with pytest.raises(CompositeError):
            lxt.patch(model, given)
    assert differences(was, model) == []


# -- copies ----------------------------------------------------------------------------------------

COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda m: pickle.loads(pickle.dumps(m)),
}


@pytest.mark.parametrize("way", COPIES)
def test_copying(way: str) -> None:
    model = build("bert")
    with lxt.patch(model), pytest.raises(PatchError, match="restore it before copying"):
        COPIES[way](model)
    lxt.attribute(model, BATCH, 0)
    copied = COPIES[way](model)
    assert "forward" not in vars(copied)
    assert torch.equal(copied(**BATCH).logits, model(**BATCH).logits)
    want = lxt.attribute(model, BATCH, 0).relevance
    assert torch.equal(lxt.attribute(copied, BATCH, 0).relevance, want)


def test_a_state_dict_may_be_saved_meanwhile() -> None:
    model = build("bert")
    plain = model.state_dict()
    with lxt.patch(model):
        patched = model.state_dict()
    assert list(plain) == list(patched)
    assert all(torch.equal(plain[k], patched[k]) for k in plain)


def test_patches_leave_nothing_alive() -> None:
    model = build("bert")
    lxt.attribute(model, BATCH, 0, ledger=True)
    gc.collect()
    assert install._attributes == {}
    assert install._frozen == {}


# -- threads ---------------------------------------------------------------------------------------


def run_in_threads(*jobs: Callable[[], Any]) -> list[Any]:
    results: list[Any] = [None] * len(jobs)

    def work(i: int) -> None:
        try:
            results[i] = jobs[i]()
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
        assert not t.is_alive()
    return results


def test_two_threads_with_two_composites_on_one_model() -> None:
    model = build("llama")
    batch = inputs("llama")
    want = {c: lxt.attribute(model, batch, 0, c).relevance for c in COMPOSITES}
    was = snapshot(model)
    jobs = [
        lambda c=c: [lxt.attribute(model, batch, 0, c).relevance for _ in range(5)]
        for c in COMPOSITES * 2
    ]
    for c, got in zip(COMPOSITES * 2, run_in_threads(*jobs), strict=True):
        assert isinstance(got, list), got
        assert all(torch.equal(r, want[c]) for r in got)
    assert differences(was, model) == []


def test_two_models_of_one_class_do_not_meet() -> None:
    mine, theirs = build("bert"), build("bert", seed=1)
    given = embedded(theirs)
    plain = gradient(theirs, given)
    was = snapshot(theirs)
    with lxt.patch(mine):
        assert differences(was, theirs) == []
        assert torch.equal(gradient(theirs, given), plain)
        (elsewhere,) = run_in_threads(lambda: gradient(theirs, given))
    assert torch.equal(elsewhere, plain)


def test_another_thread_waits_or_is_told() -> None:
    model = build("bert")
    with lxt.patch(model):

        def late() -> Any:
            return lxt.patch(model, timeout=0.05)

        def infer() -> Tensor:
            with torch.no_grad():
                return model(**BATCH).logits

        told, trained, inferred = run_in_threads(late, lambda: model(**BATCH), infer)
    assert isinstance(told, PatchError)
    assert "patched by another thread" in str(told)
    assert isinstance(trained, PatchError)
    assert "explained by another thread" in str(trained)
    assert torch.equal(inferred, model(**BATCH).logits)
    (after,) = run_in_threads(lambda: lxt.attribute(model, BATCH, 0).relevance)
    assert torch.equal(after, lxt.attribute(model, BATCH, 0).relevance)


def test_a_lost_handle() -> None:
    model, other = build("bert"), build("gpt2")
    was = snapshot(model)
    lxt.patch(model)
    kept = lxt.patch(model.bert.encoder, "cp_lrp")
    elsewhere = lxt.patch(other)
    assert lxt.restore(model) == 2
    assert differences(was, model) == []
    assert not kept.active and elsewhere.active
    assert lxt.restore(model) == 0
    kept.restore()  # does nothing
    elsewhere.restore()


def test_a_patch_of_another_thread_stays() -> None:
    model = build("bert")
    patched, done = threading.Event(), threading.Event()

    def work() -> None:
        with lxt.patch(model):
            patched.set()
            done.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    assert patched.wait(20)
    try:
        with pytest.raises(PatchError, match="patched by another thread"):
            lxt.restore(model)
    finally:
        done.set()
        thread.join()
    assert lxt.restore(model) == 0
    ended = threading.Thread(target=lambda: lxt.patch(model))
    ended.start()
    ended.join()
    assert lxt.restore(model) == 1
