"""Where a model embeds the token ids that it was given, and in which layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """How embedded ids lie: as given; time first; or between tokens that the model added.

    Attributes:
        transposed: [tokens, batch] instead of [batch, tokens].
        start: the first of the given tokens among all that were embedded.
        length: how many of them were embedded; None: nothing else was.
        left_out: how many of the given tokens the model drops in front and at the end.
        copies: how often each sample's tokens are embedded, one after the other: once a frame.
        told: whether that is certain; False: it may just as well be the other way round.
    """

    transposed: bool = False
    start: int = 0
    length: int | None = None
    left_out: tuple[int, int] = (0, 0)
    copies: int = 1
    told: bool = True

    def take(self, embedded: Tensor) -> Tensor:
        """The embeddings of the given tokens: [batch, tokens, ...], or as they are."""
        x = embedded.transpose(0, 1) if self.transposed else embedded
        if self.copies > 1:
            return x.reshape(-1, self.copies, *x.shape[1:]).sum(1)
        if self.length is not None:
            x = x.narrow(1, self.start, self.length)
        if any(self.left_out):
            return torch.nn.functional.pad(x, (0, 0, *self.left_out))
        return x.contiguous()

    def put(self, marks: Tensor, shape: torch.Size) -> Tensor:
        """Marks of the given tokens, [batch, tokens] bool, among embedded ids of ``shape``."""
        front, end = self.left_out
        x = marks[:, front : marks.shape[1] - end]
        if self.length is not None:
            x = torch.nn.functional.pad(x, (self.start, shape[1] - self.start - self.length))
        x = x.repeat_interleave(self.copies, 0) if self.copies > 1 else x
        return (x.T if self.transposed else x).reshape(shape)


def layout_of(ids: Tensor, given: Tensor) -> Layout | None:
    """The layout of ``given`` within the embedded ``ids``; None: they are others."""
    given = given.to(ids.device)
    if ids.numel() == given.numel() and torch.equal(ids.reshape(-1), given.reshape(-1)):
        return _turned(ids, given) if _is_symmetric(given) else Layout()
    if ids.dim() != 2 or given.dim() != 2:
        return None
    if ids.shape == given.shape[::-1] and torch.equal(ids.T, given):
        return Layout(transposed=True)
    copies, rest = divmod(ids.shape[0], given.shape[0])
    if copies > 1 and not rest and ids.shape[1] == given.shape[1]:
        return Layout(copies=copies) if is_repeated(ids, given) else None
    length = given.shape[1]
    if ids.shape[1] < length and _storage(ids) == _storage(given):
        if ids.stride() != given.stride() or ids.shape[0] != given.shape[0]:
            return None
        start = (ids.storage_offset() - given.storage_offset()) // given.stride(1)
        return Layout(left_out=(start, length - start - ids.shape[1]))
    if ids.shape[0] == given.shape[0] and ids.shape[1] > length:
        same = (ids.unfold(1, length, 1) == given[:, None]).all(-1).all(0)
        if bool(same.any()):
            return Layout(start=int(same.to(torch.uint8).argmax()), length=length)
    return None


def _is_symmetric(given: Tensor) -> bool:
    """Whether the ids, [batch, tokens], are the same with the axes exchanged."""
    return given.dim() == 2 and 1 < len(given) == given.shape[1] and torch.equal(given, given.T)


def _turned(ids: Tensor, given: Tensor) -> Layout:
    """The layout of ids that are no other time first: what their memory says."""
    if is_same(ids, given) and given.stride(0) != given.stride(1):
        if ids.dim() == 2:
            return Layout(transposed=ids.stride() == given.stride()[::-1])
        if given.is_contiguous():
            return Layout()
    return Layout(told=False)


def counts(given: Tensor) -> bool:
    """Whether ids may be what a model numbers places or segments by: none is far from the next."""
    return not bool((given.diff(dim=-1).abs() > 1).any())


def shifted(ids: Tensor, given: Tensor) -> Layout | None:
    """The layout of ids moved on by one behind a start token, as a decoder gets them."""
    length = given.shape[-1]
    if ids.shape != given.shape or ids.dim() != 2 or length < 2:
        return None
    if not torch.equal(ids[:, 1:], given.to(ids.device)[:, :-1]):
        return None
    return Layout(start=1, length=length - 1, left_out=(0, 1))


def is_alike(ids: Tensor, given: Tensor) -> bool:
    """Whether one id stands where the given have others: for an image, whose embedding goes in."""
    if ids.shape != given.shape or ids.dim() != 2:
        return False
    replaced = ids[ids != given.to(ids.device)]
    return replaced.numel() < ids.numel() and bool((replaced == replaced[:1]).all())


def _storage(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def is_same(ids: Tensor, given: Tensor) -> bool:
    """Whether ``ids`` is the given tensor itself, or a view of all of it."""
    return ids.numel() == given.numel() and ids.data_ptr() == given.data_ptr()


def is_repeated(ids: Tensor, given: Tensor) -> bool:
    """Whether ``ids`` holds each row of the given several times, copies side by side."""
    copies = ids.shape[0] // given.shape[0]
    wanted = (copies * given.shape[0], *given.shape[1:])
    return ids.shape == wanted and torch.equal(ids, given.repeat_interleave(copies, 0))


def table_of(module: nn.Module) -> Any:
    """What tells the tables apart: the weight, which modules may share, or the module itself."""
    weight = module._parameters.get("weight")
    return module if weight is None else weight


TABLES = (nn.Embedding, nn.EmbeddingBag)
"""What looks up ids."""


def is_plain(module: nn.Module) -> bool:
    """Whether the module is a table and nothing else."""
    return any(type(module).forward is table.forward for table in TABLES)


def looks_up(module: nn.Module, ids: Tensor, out: Tensor) -> bool:
    """Whether ``out`` is the table at ``ids``, or a multiple; a position table may ask their shape.

    Of what is no plain table (quantised, with a layer of its own) that is taken for granted.
    """
    weight = module._parameters.get("weight")
    if not isinstance(module, nn.Embedding) or weight is None or is_plain(module):
        return True
    if weight.device != ids.device or not 0 <= int(ids.min()) <= int(ids.max()) < len(weight):
        return False
    rows, values = weight.detach()[ids].double(), out.detach().double()
    if rows.shape != values.shape:
        return False
    factor = (values * rows).sum() / rows.square().sum()
    return torch.allclose(values, factor * rows, rtol=1e-2, atol=1e-2 * float(values.abs().max()))


def input_embeddings(model: nn.Module) -> list[nn.Module]:
    """The modules that the model, its encoder and its decoder call their input embeddings."""
    owners: list[Any] = [model]
    for part in ("get_encoder", "get_decoder"):
        owner = _called(model, part)
        if owner is not None and all(owner is not o for o in owners):
            owners.append(owner)
    found = [
        _called(owner, "get_input_embeddings") or getattr(owner, "embed_tokens", None)
        for owner in owners
    ]
    known = [m for m in found if isinstance(m, nn.Module)]
    return [m for i, m in enumerate(known) if all(m is not f for f in known[:i])]


def word_tables(model: nn.Module) -> list[nn.Module]:
    """All modules that may embed the words: the input embeddings, and tables of their weights."""
    known = input_embeddings(model)
    weights = [weight for m in known if (weight := getattr(m, "weight", None)) is not None]
    tied = [
        m
        for m in model.modules()
        if isinstance(m, nn.Embedding) and any(m.weight is weight for weight in weights)
    ]
    return known + [m for m in tied if all(m is not k for k in known)]


def input_embedding(model: nn.Module) -> nn.Module | None:
    """What the model calls its input embedding; None where it has none, or several (CANINE)."""
    return _called(model, "get_input_embeddings")


def _called(owner: Any, name: str) -> nn.Module | None:
    method = getattr(owner, name, None)
    try:
        found = method() if callable(method) else None
    except (NotImplementedError, AttributeError, TypeError):  # how models say that they have none
        return None
    return found if isinstance(found, nn.Module) else None
