"""The snapshot sees each kind of change a patch can leave behind, and nothing else."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.models.tiny import FAMILIES, build, inputs
from tests.restore.snapshot import Snapshot, differences, snapshot


@pytest.fixture
def model() -> Any:
    return build("llama")


@pytest.fixture
def before(model: Any) -> Snapshot:
    return snapshot(model)


@pytest.mark.parametrize("name", FAMILIES)
def test_use_leaves_no_difference(name: str) -> None:
    model = build(name)
    batch = inputs(name)
    before = snapshot(model)
    logits = model(**batch).logits
    torch.autograd.grad(logits.sum(), model.get_input_embeddings().weight)
    with torch.no_grad():
        model(**batch)
    gc.collect()
    assert differences(before, model) == []


def _norm(model: Any) -> Any:
    return model.get_submodule("model.layers.0.input_layernorm")


def _forward_attribute(model: Any) -> None:
    norm = _norm(model)
    norm.forward = norm.forward


def _plain_attribute(model: Any) -> None:
    _norm(model).variance_epsilon = 1e-3


def _hidden_attribute(model: Any) -> None:
    _norm(model).__dict__["_lxt"] = None


def _attribute_order(model: Any) -> None:
    attributes = _norm(model).__dict__
    attributes["training"] = attributes.pop("training")


def _class(model: Any) -> None:
    norm = _norm(model)
    norm.__class__ = type(type(norm).__name__, (type(norm),), {})


def _module(model: Any) -> None:
    layer = model.get_submodule("model.layers.0")
    twin = type(layer.input_layernorm)(32)
    twin.weight = layer.input_layernorm.weight
    layer.input_layernorm = twin


def _wrapped_module(model: Any) -> None:
    layer = model.get_submodule("model.layers.0")
    layer.mlp = nn.Sequential(layer.mlp)


def _module_order(model: Any) -> None:
    children = model.get_submodule("model.layers.0")._modules
    children["self_attn"] = children.pop("self_attn")


def _parameter(model: Any) -> None:
    norm = _norm(model)
    norm.weight = nn.Parameter(norm.weight.detach().clone())


def _parameter_aliased(model: Any) -> None:
    # equal values in the same memory, and still another object
    norm = _norm(model)
    norm.weight = nn.Parameter(norm.weight.detach())


def _parameter_data(model: Any) -> None:
    weight = _norm(model).weight
    weight.data = weight.data.clone()


def _requires_grad(model: Any) -> None:
    _norm(model).weight.requires_grad_(False)


def _grad(model: Any) -> None:
    weight = _norm(model).weight
    weight.grad = torch.zeros_like(weight)


def _training(model: Any) -> None:
    _norm(model).train()


@torch.no_grad()
def _value(model: Any) -> None:
    _norm(model).weight[3] += 1e-6


@torch.no_grad()
def _value_there_and_back(model: Any) -> None:
    _norm(model).weight.mul_(2).div_(2)


def _value_behind_autograd(model: Any) -> None:
    _norm(model).weight.data[3] = -0.0


def _buffer(model: Any) -> None:
    rotary = model.get_submodule("model.rotary_emb")
    rotary.inv_freq = rotary.inv_freq.clone()


def _buffer_value(model: Any) -> None:
    model.get_submodule("model.rotary_emb").inv_freq[0] += 1


def _new_buffer(model: Any) -> None:
    _norm(model).register_buffer("cache", torch.zeros(1), persistent=False)


def _tensor_hook(model: Any) -> None:
    _norm(model).weight.register_hook(torch.clone)


def _accumulate_hook(model: Any) -> None:
    _norm(model).weight.register_post_accumulate_grad_hook(id)


def _parameter_attribute(model: Any) -> None:
    _norm(model).weight.rule = "epsilon"


def _config(model: Any) -> None:
    model.config._attn_implementation_internal = "lxt"


def _no_hook(*args: object, **kwargs: object) -> None:
    """Does nothing, of any signature."""


def _hook(register: str) -> Callable[[Any], None]:
    def plant(model: Any) -> None:
        getattr(_norm(model), register)(_no_hook)

    plant.__name__ = register
    return plant


def _two_swapped_hooks(model: Any) -> None:
    # same number of hooks under the same keys, only the function differs
    hooks = _norm(model)._forward_hooks
    hooks[-1] = id


HOOKS = [
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_full_backward_pre_hook",
    "register_state_dict_post_hook",
    "register_state_dict_pre_hook",
    "register_load_state_dict_pre_hook",
    "register_load_state_dict_post_hook",
]

CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "forward attribute": (_forward_attribute, "input_layernorm.forward: added"),
    "plain attribute": (_plain_attribute, "input_layernorm.variance_epsilon: was 1e-06"),
    "hidden attribute": (_hidden_attribute, "input_layernorm._lxt: added"),
    "attribute order": (_attribute_order, "input_layernorm: attribute names"),
    "class": (_class, "input_layernorm: class"),
    "module": (_module, "input_layernorm: object"),
    "wrapped module": (_wrapped_module, "mlp.0: object: added"),
    "module order": (_module_order, "layers.0._modules: keys"),
    "parameter": (_parameter, "input_layernorm.weight: object"),
    "aliased parameter": (_parameter_aliased, "input_layernorm.weight: object"),
    "parameter data": (_parameter_data, "input_layernorm.weight: storage"),
    "requires_grad": (_requires_grad, "input_layernorm.weight: requires_grad: was True"),
    "grad": (_grad, "input_layernorm.weight: grad: was None"),
    "training": (_training, "input_layernorm.training: was False"),
    "value": (_value, "state_dict model.layers.0.input_layernorm.weight: values"),
    "value there and back": (_value_there_and_back, "input_layernorm.weight: version"),
    "value behind autograd": (_value_behind_autograd, "input_layernorm.weight: values"),
    "buffer": (_buffer, "buffer model.rotary_emb.inv_freq: object"),
    "buffer value": (_buffer_value, "buffer model.rotary_emb.inv_freq: values"),
    "new buffer": (_new_buffer, "buffer model.layers.0.input_layernorm.cache: object: added"),
    "tensor hook": (_tensor_hook, "input_layernorm.weight: _backward_hooks"),
    "accumulate hook": (_accumulate_hook, "weight: _post_accumulate_grad_hooks"),
    "parameter attribute": (_parameter_attribute, "input_layernorm.weight.rule: added"),
    "configuration": (_config, "config['_attn_implementation_internal']"),
    "hook function": (_two_swapped_hooks, "input_layernorm._forward_hooks[-1]"),
    **{name: (_hook(name), "input_layernorm._") for name in HOOKS},
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_is_seen(model: Any, change: str) -> None:
    plant, words = CHANGES[change]
    _norm(model)._forward_hooks[-1] = print
    before = snapshot(model)
    plant(model)
    found = differences(before, model)
    assert any(words in line for line in found), found


def test_a_class_level_patch_is_seen(
    model: Any, before: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(_norm(model)), "forward", torch.relu)
    assert any("class LlamaRMSNorm.forward: was" in line for line in differences(before, model))
    monkeypatch.undo()
    assert differences(before, model) == []


def test_a_patched_global_is_seen(
    model: Any, before: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = sys.modules[type(model).__module__]
    monkeypatch.setattr(file, "eager_attention_forward", torch.relu)
    assert any("modeling_llama.eager_attention_forward" in d for d in differences(before, model))


def test_a_hook_on_every_module_is_seen(model: Any, before: Snapshot) -> None:
    hook = torch.nn.modules.module.register_module_forward_hook(_no_hook)
    found = differences(before, model)
    hook.remove()
    assert any("torch.nn.modules.module._global_forward_hooks" in line for line in found)
    assert differences(before, model) == []


def test_undone_changes_leave_no_difference(model: Any, before: Snapshot) -> None:
    norm = _norm(model)
    norm.forward = norm.forward
    del norm.forward
    norm.register_forward_hook(print).remove()
    norm.train()
    norm.eval()
    assert differences(before, model) == []


def test_nan_values_equal_themselves() -> None:
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.fill_(float("nan"))
    before = snapshot(model)
    assert differences(before, model) == []
