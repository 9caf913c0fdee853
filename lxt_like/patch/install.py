"""What a patch changes on a model, and how it is put back: identical objects, in any order.

Each module gets instance attributes in place of its ``forward`` and of the ways to call it; each
parameter's ``requires_grad`` is switched off.  Patches of one module stack up; the last one
applies, and the last to go restores.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from ..errors import ModelError, PatchError
from ..intercept import install_functions, remove_functions, types_of
from .scoped import Scoped, ScopedCheckpoint, ScopedMethod, entrances

if TYPE_CHECKING:
    from .patch import Patch

LOCK = threading.Condition()
"""Guards the tables below; signalled when a patch goes."""

_holding: dict[Patch, frozenset[int]] = {}  # patch -> ids of all the modules it is about
_attributes: dict[tuple[int, str], Scoped] = {}
_frozen: dict[int, list[Any]] = {}  # id(parameter) -> [parameter, its flag, patches holding it]


_OPAQUE_KERNELS = ("flex_attention", "flash_attention", "paged|")
"""transformers' names of attention kernels that are one node, or none, in autograd's graph."""

Modules = Sequence[tuple[str, nn.Module]]


_WRAPPERS = (torch.jit.ScriptModule, nn.DataParallel, nn.parallel.DistributedDataParallel)


def _is_foreign(cls: type[nn.Module]) -> bool:
    """Whether modules of this class never run their forward in Python, or run another's."""
    return issubclass(cls, _WRAPPERS) or cls.__name__ == "OptimizedModule"


def modules_of(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """``model.named_modules()``, several times faster."""
    found: list[tuple[str, nn.Module]] = []
    seen: set[int] = set()
    todo = [("", model)]
    while todo:
        path, module = todo.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found.append((path, module))
        if module._modules:
            start = f"{path}." if path else ""
            todo += [(start + n, m) for n, m in reversed(module._modules.items()) if m is not None]
    return found


def refuse_unpatchable(modules: Modules) -> None:
    """Raise PatchError for models whose forward Python never runs.

    ModelError: some weights do not exist yet.
    """
    for name, module in modules:
        own = module.__dict__
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
            raise ModelError(
                f"{name or 'the model'} ({type(module).__name__}) has no weights yet: run the "
                "model once on an input, which makes them, and explain it then"
            )
        if _is_foreign(type(module)) or "config" in own or own.get("_compiled_call_impl"):
            _refuse(name or "the model", module)
        for at, parameter in own["_parameters"].items():
            if parameter is not None and parameter.is_inference():
                raise PatchError(
                    f"the parameter {f'{name}.{at}' if name else at} was made under "
                    "torch.inference_mode(), so autograd cannot use the model; load it outside, or "
                    "copy.deepcopy it outside"
                )


def _refuse(here: str, module: nn.Module) -> None:
    """Raise for a module that looks foreign, with the reason, if it is."""
    if isinstance(module, torch.jit.ScriptModule):
        raise PatchError(
            f"{here} is a TorchScript module, whose operations cannot be intercepted; "
            "patch the eager model it was made from"
        )
    if type(module).__name__ == "OptimizedModule" or module._compiled_call_impl is not None:
        raise PatchError(
            f"{here} is compiled by torch.compile; patch the model before compiling it, or the "
            "original, model._orig_mod"
        )
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        raise PatchError(f"{here} is a {type(module).__name__}; patch its .module instead")
    config = module.__dict__.get("config")
    kernel = "" if config is None else str(getattr(config, "_attn_implementation", ""))
    if kernel and (kernel.startswith(_OPAQUE_KERNELS) or "/" in kernel):
        raise PatchError(
            f"{here} attends by {kernel!r}, a compiled kernel whose softmax cannot be "
            "intercepted; model.set_attn_implementation('sdpa') computes the same"
        )


def _wanted(modules: Modules, patch: Patch) -> Iterator[tuple[str, nn.Module, str, type[Scoped]]]:
    """What to scope: every module, or for a lean patch those that something depends on."""
    others = bool(_attributes)  # an outer patch must not apply
    for path, module in modules:
        own = module.__dict__
        watched = not patch.lean or patch.watches(path, module)
        if (
            (watched or not path or others)
            and (type(module).forward is not nn.Module.forward or "forward" in own)
            and (watched or not path or (id(module), "forward") in _attributes)
        ):
            yield path, module, "forward", Scoped
        if not path or others or not patch.lean:
            for attribute, cls in entrances(module):
                asked = patch.by_hand or (not path and cls is not ScopedMethod)
                if asked or (id(module), attribute) in _attributes:
                    yield path, module, attribute, cls
        if "_gradient_checkpointing_func" in own:
            yield path, module, "_gradient_checkpointing_func", ScopedCheckpoint


def busy(modules: Modules, patch: Patch) -> Patch | None:
    """A patch of another thread that holds one of ``modules``, if there is one."""
    for other, held in _holding.items():
        if other.owner != patch.owner and any(id(module) in held for _, module in modules):
            return other
    return None


def patches_of(modules: Modules) -> list[Patch]:
    """The patches that hold one of ``modules``, the last first."""
    ids = {id(module) for _, module in modules}
    return [patch for patch, held in reversed(_holding.items()) if ids & held]


def install(modules: Modules, patch: Patch, freeze: bool) -> None:
    """Put ``patch`` on every module; all or nothing.  The caller holds LOCK."""
    _holding[patch] = frozenset(id(module) for _, module in modules)
    try:
        install_functions()
        for path, module, attribute, cls in _wanted(modules, patch):
            key = (id(module), attribute)
            scoped = _attributes.get(key)
            if scoped is None:
                scoped = cls(module, attribute)
                scoped.put()
                _attributes[key] = scoped
            scoped.patches.append((patch, path, types_of(module), patch.watches(path, module)))
        if freeze:
            for parameter in parameters_of(modules):
                held = _frozen.get(id(parameter))
                if held is None:
                    held = _frozen[id(parameter)] = [parameter, parameter.requires_grad, []]
                held[2].append(patch)
                if parameter.requires_grad:
                    parameter.requires_grad_(False)
    except BaseException:
        uninstall(patch)
        raise


def parameters_of(modules: Modules) -> list[nn.Parameter]:
    """The parameters of ``modules``, each once."""
    found = {id(p): p for _, m in modules for p in m._parameters.values() if p is not None}
    return list(found.values())


def frozen(parameters: Sequence[nn.Parameter]) -> frozenset[int]:
    """The ids of those that required grad until a patch switched it off."""
    held = ((id(p), _frozen.get(id(p))) for p in parameters)
    return frozenset(at for at, entry in held if entry is not None and entry[1])


def uninstall(patch: Patch) -> None:
    """Take ``patch`` off wherever it is.  The caller holds LOCK."""
    _holding.pop(patch, None)
    if not _holding:
        remove_functions()
    for key, scoped in list(_attributes.items()):
        scoped.patches = [p for p in scoped.patches if p[0] is not patch]
        if not scoped.patches:
            del _attributes[key]
            scoped.take_back()
    for identity, (parameter, flag, holders) in list(_frozen.items()):
        holders[:] = [p for p in holders if p is not patch]
        if not holders:
            del _frozen[identity]
            parameter.requires_grad_(flag)
    LOCK.notify_all()
