"""What is explained: token ids at their embedding, float tensors directly."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, ModelError
from ..intercept.twins import Twin, put_twin
from ..numerics import Amount, contribution, is_finite, upcast
from ..rules.live import explain_at
from .arguments import holds_tokens, is_aside, is_direct, is_float, is_hidden
from .bags import bagged, rows_of
from .embedded import Layout
from .given import refuse_layout
from .hub import load_model
from .lookups import Lookups, Match


def module_of(model: Any) -> nn.Module:
    """The module of a model, a transformers pipeline, a local folder or a hub id.

    Raises:
        InputError: for anything else.
        ModelError: a folder or hub id that cannot be loaded.
    """
    if isinstance(model, (str, os.PathLike)):
        return load_model(os.fspath(model))
    if isinstance(model, nn.Module):
        return model
    inner_model = getattr(model, "model", None)
    if isinstance(inner_model, nn.Module):
        return inner_model
    raise InputError(
        "expected a torch.nn.Module, a transformers pipeline, a local folder or a hub id, got "
        f"{type(model).__name__}: {str(model)[:80]!r}"
    )


class _Explained:
    """One explained tensor: the leaf whose gradient is wanted."""

    def __init__(
        self, leaf: Tensor, shape: torch.Size, layout: Layout | None = None, table: Any = None
    ) -> None:
        self.leaf, self.shape, self.table = leaf, shape, table
        self.tokens, self.layout = layout is not None, layout or Layout()
        self._twin: Tensor | None = None
        self._nodes = [explain_at(leaf)]

    @property
    def twin(self) -> Tensor:
        """Receives relevance that a rule of the first layer hands straight to the input."""
        if self._twin is None:
            # takes no memory until it gets a gradient
            kind = upcast(self.leaf.detach()[:0]).dtype
            made = torch.zeros((), dtype=kind, device=self.leaf.device).expand(self.leaf.shape)
            self._twin = made.requires_grad_()
            self._nodes.append(explain_at(self._twin))
        return self._twin

    @property
    def handed(self) -> Tensor | None:
        """What the twin received."""
        return None if self._twin is None else self._twin.grad

    def forget(self) -> None:
        """Forget the gradients."""
        self.leaf.grad = None
        if self._twin is not None:
            self._twin.grad = None

    def gradient(self) -> Tensor:
        """The modified gradient."""
        value = self.layout.take(self._gradient())
        return value.reshape(*self.shape, -1) if self.tokens else value

    def _gradient(self) -> Tensor:
        return torch.zeros_like(self.leaf) if self.leaf.grad is None else self.leaf.grad

    def relevance(self) -> Tensor:
        """In the input's shape, or one number a token."""
        value = contribution(upcast(self.leaf.detach()), upcast(self._gradient()))
        if self.handed is not None:
            value = value + self.handed
        if not self.tokens:
            return value
        return self.layout.take(value).reshape(*self.shape, -1).sum(-1)

    def added(self) -> Tensor | None:
        """[batch]: the relevance of tokens that the model itself put beside the given ones."""
        if self.layout.length is None:
            return None
        rest = contribution(self.leaf.detach(), self._gradient()).double()
        return rest.flatten(1).sum(1) - self.layout.take(rest).flatten(1).sum(1)


class Inputs:
    """The arguments of a call, with leaves in place of what is explained.

    ``twins``: rules of the first layer are in force.

    Raises:
        InputError: for inputs that are no tensors, empty, of the wrong dtype, or hold nothing
            that can be explained.
    """

    def __init__(self, model: nn.Module, given: Any, twins: bool = True) -> None:
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self._lookups = Lookups(model)
        self._ids = self._lookups.ids
        self._found: dict[str, list[_Explained]] = {}  # ids: once for each time they are embedded
        self._hidden: list[str] = []
        self._twins = twins
        if isinstance(given, Tensor):
            self.args = (self._take("input", given, model),)
        elif isinstance(given, Mapping):
            self.kwargs = {str(k): self._take(str(k), v, model) for k, v in given.items()}
            self._hidden = [name for name, value in self.kwargs.items() if is_hidden(name, value)]
        else:
            raise InputError(
                "inputs: expected a tensor or a mapping of keyword arguments "
                f"(such as a tokenizer returns with return_tensors='pt'), got "
                f"{type(given).__name__}"
            )
        if "inputs_embeds" in self.kwargs:
            self._ids.pop("input_ids", None)
        self._lookups.refuse(self.kwargs)
        if not (self._ids or self._found):
            self._refuse_empty(self.kwargs)
        if not (self._ids or self._found):
            raise InputError(
                f"inputs hold nothing to explain: got {', '.join(self.kwargs) or 'no tensor'}; "
                "expected input_ids, or a float tensor such as pixel_values or inputs_embeds"
            )

    @property
    def names(self) -> list[str]:
        """The names of what is explained."""
        return [*self._found, *(n for n in self._ids if n not in self._found)]

    def _take(self, name: str, value: Any, model: nn.Module) -> Any:
        if name == "past_key_values" and value is not None and holds_tokens(value):
            raise InputError(
                "past_key_values holds earlier tokens, which would get no relevance; give all "
                "tokens at once, without a cache"
            )
        if not isinstance(value, Tensor):
            return value
        if is_direct(name, value):
            refuse_layout(name, value)
        if value.is_inference():
            value = value.clone()  # autograd may have to save it
        if is_direct(name, value):
            if name.endswith("input_ids"):
                raise InputError(f"{name} must hold integer token ids, got {value.dtype}")
            _check_dtype(name, value, model)
            leaf = value.detach().requires_grad_()
            made = _Explained(leaf, leaf.shape)
            self._found[name] = [made]
            given = leaf.clone()  # the model may write into what it is given
            if self._twins:
                put_twin(given, Twin.of(made.twin))
            return given
        if is_aside(name):
            return value
        if name == "input" or name.endswith("input_ids"):
            self._refuse_empty({name: value})
            if value.dtype not in (torch.int64, torch.int32):
                raise InputError(f"{name} must hold int64 or int32 token ids, got {value.dtype}")
            self._ids[name] = value
        return value

    def _refuse_empty(self, arguments: Mapping[str, Any]) -> None:
        """Raise for what would be explained if it held anything."""
        for name, value in arguments.items():
            told = name == "input" or name.endswith("input_ids") or is_float(value)
            if isinstance(value, Tensor) and told and not (value.dim() and value.numel()):
                raise InputError(
                    f"{name} is empty: shape {tuple(value.shape)}; give at least one sample"
                )

    def on_exit(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Any:
        """Replace the output of the embedding of explained ids by a leaf."""
        return self._replace(module, args, kwargs, out, keep=True)

    def on_count(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> Any:
        """The same for a forward that only counts operations: nothing is kept."""
        return self._replace(module, args, kwargs, out, keep=False)

    def _replace(
        self,
        module: nn.Module,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        keep: bool,
    ) -> Any:
        if not self.is_embedding(module):
            return out
        if isinstance(out, tuple) and out:  # a quantised embedding comes with its scale
            return (self._replace(module, args, kwargs, out[0], keep), *out[1:])
        found = self._embedded(module, args, kwargs, out)
        if found is None:
            return out
        name, match = found
        bag = module if isinstance(module, nn.EmbeddingBag) else None
        value = out.detach() if bag is None else rows_of(bag, args[0] if args else kwargs["input"])
        leaf = value.requires_grad_()
        if keep:
            made = _Explained(leaf, self._ids[name].shape, match.layout, match.table)
            self._found.setdefault(name, []).append(made)
        given = leaf.clone()  # the model may write into it
        explain_at(given)
        return given if bag is None else bagged(bag, given, args, kwargs, out)

    def _embedded(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
    ) -> tuple[str, Match] | None:
        """The explained ids that ``module`` has just embedded, if it has, and how they match."""
        if not isinstance(out, Tensor) or not self.is_embedding(module):
            return None
        ids = args[0] if args else kwargs.get("input", kwargs.get("input_ids"))
        if not isinstance(ids, Tensor):
            return None
        return self._lookups.find(module, ids, out, self._found)

    def is_embedding(self, module: nn.Module) -> bool:
        """Whether the module may embed the token ids."""
        return self._lookups.is_embedding(module)

    def seek(self) -> bool:
        """Whether to run the forward again: only now is it known which look-ups take the ids."""
        if not self._lookups.again(self._found):
            return False
        for name in self._ids:
            self._found.pop(name, None)
        return True

    def check_found(self) -> None:
        """Raise if the forward never embedded the ids that are to be explained."""
        missing = [n for n in self._ids if n not in self._found]
        if missing:
            raise ModelError(
                f"no embedding module took {', '.join(missing)} as it is, so there is no place to "
                "explain it; give inputs_embeds instead"
            )

    def relevance(self) -> Any:
        """The relevance: a tensor, or a dict by name."""
        parts = {
            name: sum((e.relevance() for e in rest), first.relevance())
            for name, (first, *rest) in self._found.items()
        }
        return next(iter(parts.values())) if len(parts) == 1 else parts

    def gradient(self) -> Any:
        """The modified gradient in the shape of what was explained, alike.

        Of ids that several tables embed: one table's behind the other's.
        """
        parts = {}
        for name, found in self._found.items():
            tables: dict[int, Tensor] = {}
            for e in found:
                before = tables.get(id(e.table))
                tables[id(e.table)] = e.gradient() if before is None else before + e.gradient()
            parts[name] = (
                torch.cat([*tables.values()], -1) if len(tables) > 1 else tables.popitem()[1]
            )
        return next(iter(parts.values())) if len(parts) == 1 else parts

    def entries(self) -> dict[str, Tensor]:
        """What tokens that the model added keep, per sample: an entry of the ledger."""
        added = [a for found in self._found.values() for e in found if (a := e.added()) is not None]
        return {"constant": torch.stack(added).sum(0)} if added else {}

    def total(self) -> Amount:
        """The sum of all relevance so far, in float64."""
        found = [Amount.of(e.relevance()) for es in self._found.values() for e in es]
        return sum(found, Amount())

    def forget(self) -> None:
        """Forget what a backward left: it is run anew."""
        for e in (e for es in self._found.values() for e in es):
            e.forget()

    def unreached(self) -> list[str]:
        """Names of what no differentiable path leads to from the score: their relevance is 0."""
        return [
            name
            for name, found in self._found.items()
            if all(e.leaf.grad is None and e.handed is None for e in found)
        ]

    def doubts(self) -> list[str]:
        """What may carry relevance of the inputs, and is not explained, in words."""
        return [
            f"{name} holds float tensors, which are not explained: their share is no relevance of "
            "an input, but an entry of the ledger; a tensor is explained where it is an "
            "argument of its own"
            for name in self._hidden
        ] + [
            f"{path} looks up ids equal to {name}, and it cannot be told whether it embeds them or "
            f"only numbers places: its share is no relevance of {name} (the ledger has it as "
            "constant); give the model a get_input_embeddings() to say which table is the words'"
            for name, path in self._lookups.doubts()
        ]

    def by_rows(self, samples: int) -> bool:
        """Whether each explained tensor has one row for each of ``samples``."""
        return all(found[0].shape[:1] == (samples,) for found in self._found.values())

    def check_batch(self, samples: int, flat: bool) -> None:
        """Raise if the scores cannot be those of the samples that were given.

        Args:
            samples: how many scores there are.
            flat: they are all that the model returned, so that they may be one sample's classes.

        Raises:
            InputError: what is explained has no axis of ``samples``, or none but its features'.
        """
        shapes = {name: found[0].shape for name, found in self._found.items()}
        if samples == 1 or not shapes:
            return
        if flat:  # an axis is the batch, or several together; or another argument says how to cut
            (name, shape), *others = shapes.items()
            features = len(shape) == 1 and not others and not self._found[name][0].tokens
            told = any(
                isinstance(v, Tensor) and v.dim() and n not in shapes
                for n, v in self.kwargs.items()
            )
            fits = not features and (told or any(_cuts(s, samples) for s in shapes.values()))
        else:  # an axis of their own says what they are, whatever the inputs are made of
            fits = any(
                len(shape) > 1 or samples in shape or self._found[name][0].tokens
                for name, shape in shapes.items()
            )
        if not fits:
            given = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
            raise InputError(
                f"expected a batch axis: got {samples} scores of {given}, which may be "
                f"one sample's classes; give a single sample as {next(iter(shapes))}[None]; where "
                "each is a sample's score, say so by lxt.targets.Output(lambda output: output)"
            )

    def check_ids(self, error: Exception) -> None:
        """Raise if token ids may have caused ``error``, which the model's forward raised."""
        for name, ids in self._ids.items():
            if ids.dim() == 1:
                raise InputError(
                    f"the model failed on {name} of shape {tuple(ids.shape)} ({error}); expected "
                    f"[batch, tokens]: give one sample as {name}[None]"
                ) from error
            rows = self._lookups.rows()
            # a failed kernel leaves a GPU that answers nothing
            strange = (
                ids[(ids < 0) | (ids >= rows)] if rows and ids.device.type == "cpu" else ids[:0]
            )
            if strange.numel():
                raise InputError(
                    f"the model failed on {name}, which holds the id {int(strange[0])} ({error}); "
                    f"expected ids from 0 to {rows - 1}: is the tokenizer that of this model?"
                ) from error

    def check_finite(self) -> None:
        """Raise if what was given to be explained holds NaN or infinity: the cause of others."""
        for name, found in self._found.items():
            if not all(e.tokens or is_finite(e.leaf.detach()) for e in found):
                raise InputError(f"{name} holds NaN or infinity")


def _check_dtype(name: str, value: Tensor, model: nn.Module) -> None:
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is None or value.is_complex() or torch.is_autocast_enabled(value.device.type):
        return
    if parameter.dtype != value.dtype:
        raise InputError(
            f"{name} is {value.dtype} but the model is {parameter.dtype}; "
            f"convert it with {name}.to({parameter.dtype})"
        )


def _cuts(shape: Sequence[int], samples: int) -> bool:
    """Whether one of the first two axes, or the first ones together, are ``samples`` long."""
    return samples in shape[:2] or samples in accumulate(shape, mul)
