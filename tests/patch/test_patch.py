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
from lxt_like.errors import CompositeError, InputError, PatchError, UnruledError
from lxt_like.patch import install
from tests.models.tiny import FAMILIES, build, inputs
from tests.oracles.arrays import relative_error
from tests.restore.snapshot import differences, snapshot
from tests.support import COMPOSITES, Inline, draw, inline, random

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


# -- wrappers --------------------------------------------------------------------------------------


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
        assert relative_error(got.relevance, lxt.attribute(model, batch, 0).relevance) < 1e-6, way
        assert relative_error(got.relevance, want.relevance) < 1e-6, way
        for before, module in zip(was, model.modules(), strict=True):
            assert list(before) == list(vars(module)), way
            assert all(before[key] is vars(module)[key] for key in before), way


# -- strictness ------------------------------------------------------------------------------------


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class Unknown(nn.Module):
    """One operation without a rule, in a module of its own."""

    def __init__(self, op: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class LastOfLSTM(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(3, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x.unflatten(-1, (2, 3)))[0][:, -1]


UNKNOWN: dict[str, tuple[nn.Module, str]] = {
    "custom function": (Unknown(Cube.apply), "CubeBackward"),
    "atan": (Unknown(torch.atan), "AtanBackward"),
    "sinh": (Unknown(lambda x: x.sinh()), "SinhBackward"),
    "cumprod": (Unknown(lambda x: x.cumprod(-1)), "CumprodBackward"),
    "cummax": (Unknown(lambda x: x.cummax(-1).values), "CummaxBackward"),
    "logcumsumexp": (Unknown(lambda x: x.logcumsumexp(-1)), "LogcumsumexpBackward"),
    "log_softmax": (Unknown(lambda x: x.log_softmax(-1)), "LogSoftmaxBackward"),
    "sqrt": (Unknown(lambda x: x.abs().sqrt()), "SqrtBackward"),
    "var": (Unknown(lambda x: x.var(-1, keepdim=True).expand(-1, 6)), "VarBackward"),
    "norm": (Unknown(lambda x: x.norm(dim=-1, keepdim=True).expand(-1, 6)), "NormBackward"),
    "addcmul": (Unknown(lambda x: torch.addcmul(x, x, x)), "AddcmulBackward"),
    "lerp": (Unknown(lambda x: torch.lerp(x, x * 2, x)), "LerpBackward"),
    "prod": (Unknown(lambda x: x.prod(-1, keepdim=True).expand(-1, 6)), "ProdBackward"),
    "pow of a power": (Unknown(lambda x: 2.0**x), "PowBackward"),
    "clamp by a tensor": (
        Unknown(lambda x: torch.clamp(x, min=torch.full((6,), 0.1))),
        "ClampBackward",
    ),
    "bilinear": (
        Unknown(lambda x: nn.functional.bilinear(x, x, torch.ones(6, 6, 6))),
        "TrilinearBackward|BilinearBackward",
    ),
    "LSTM": (LastOfLSTM(nn.LSTM), "Lstm|Rnn"),
    "GRU": (LastOfLSTM(nn.GRU), "Gru|Rnn|Sigmoid|Tanh|Stack|Mul"),
}


# what they cost is nothing: f(2 x) = 2 f(x), but nobody has looked at them yet
HOMOGENEOUS = {"cummax", "norm"}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_operations_are_named(name: str) -> None:
    odd, node = UNKNOWN[name]
    model = nn.Sequential(nn.Linear(6, 6), odd, nn.Linear(6, 3)).eval()
    x = random(2, 6).float()
    was = snapshot(model)
    with pytest.raises(UnruledError, match=rf"({node}).*(in 1|in 1\.rnn).*What to do: "):
        lxt.attribute(model, x, 0)
    with pytest.raises(UnruledError, match=node), lxt.patch(model):
        model(x.clone().requires_grad_())
    assert differences(was, model) == []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = lxt.attribute(model, x, 0, strict=False, ledger=True)
    ours = [w for w in caught if issubclass(w.category, lxt.errors.UnruledWarning)]
    assert len(ours) == 1
    assert "plain gradient" in str(ours[0].message)
    assert (got.ledger.unruled.max() < 1e-6) == (name in HOMOGENEOUS)
    assert got.ledger.closed == (name in HOMOGENEOUS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lean = lxt.attribute(model, x, 0, strict=False).relevance
    assert relative_error(lean, got.relevance) < 1e-5


OFF_THE_PATH: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "an unused branch": lambda m, x: (torch.atan(m.b(x)), m.a(x))[1],
    "under a detached scale": lambda m, x: m.a(x) * torch.atan(m.b(x)).detach(),
    "in a norm's scale": lambda m, x: m.a(x) / torch.atan(m.b(x)).abs().sqrt(),
    "without grad": lambda m, x: m.a(x) + torch.no_grad()(torch.atan)(m.b(x)),
    "of constants": lambda m, x: m.a(x) + torch.atan(m.b.weight[0]),
    "in the choice of indices": lambda m, x: m.a(x).gather(1, torch.atan(x).argsort(-1)),
}


@pytest.mark.parametrize("name", OFF_THE_PATH)
def test_unknown_operations_off_the_path_do_not_matter(name: str) -> None:
    lxt.attribute(inline(OFF_THE_PATH[name]), random(2, 6), 0)


def test_side_outputs_are_not_explained() -> None:
    class Out(dict[str, Tensor]): ...

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Out:
            return Out(logits=self.head(x), aux_loss=torch.atan(x).sum())

    with lxt.patch(Two()) as patch:
        patch.model(random(2, 6).float().requires_grad_())
