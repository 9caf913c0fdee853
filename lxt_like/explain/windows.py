"""What a model takes of a text that is too long for it: its limit, its cut, its windows."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import InputError
from .encode import Encoding

_NO_LIMIT = 1 << 30  # tokenizers say 1e30 where they know of none
_POSITION_TABLES = frozenset(
    {
        "position_embeddings",
        "position_embedding",
        "char_position_embeddings",
        "positions_embed",
        "embed_positions",
        "wpe",
    }
)


def token_limit(model: nn.Module, tokenizer: Any) -> int | None:
    """The most tokens, special ones included, that ``model`` reads; None: no limit.

    The least of what the tokenizer says, the rows of a learned table of positions (less the
    rows that RoBERTa and BART leave unused) and, for rotary positions, the length the model
    was made for.  Relative positions (T5, DeBERTa, XLNet) set no limit.
    """
    limits: list[int] = []
    said = getattr(tokenizer, "model_max_length", None)
    if isinstance(said, int | float) and 0 < said < _NO_LIMIT:
        limits.append(int(said))
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _POSITION_TABLES:
            offset = getattr(module, "offset", None)
            if not isinstance(offset, int):
                # RoBERTa counts positions from padding_idx + 1
                offset = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - offset)
    config = getattr(model, "config", None)
    made_for = getattr(config, "max_position_embeddings", None)
    if getattr(config, "rope_parameters", None) and isinstance(made_for, int) and made_for > 0:
        limits.append(made_for)
    return min(limits) if limits else None


def truncate(encoding: Encoding, limit: int, side: str = "right") -> list[int]:
    """Positions of the tokens that are kept if at most ``limit`` may be.

    Special tokens stay; of a pair the longer text gives way first, as with the tokenizers'
    ``longest_first``.

    Args:
        encoding: the whole text or pair.
        limit: the most tokens, special ones included.
        side: ``"right"`` cuts the end of a text, ``"left"`` its beginning.
    """
    room = _room(encoding, limit)
    lengths = [len(encoding.content(s)) for s in range(len(encoding.texts))]
    kept = _shares(lengths, room)
    dropped: set[int] = set()
    for segment, keep in enumerate(kept):
        content = encoding.content(segment)
        dropped.update(content[: len(content) - keep] if side == "left" else content[keep:])
    return [i for i in range(len(encoding)) if i not in dropped]


def windows(encoding: Encoding, window: int, stride: int | None = None) -> list[list[int]]:
    """Overlapping windows over the text (of a pair: over the longer one, beside all of the other).

    Each window is what the tokenizer would make of that part of the text: the special tokens,
    and of a pair the whole other text, stand in every one.  All windows are equally long; the
    last one ends with the text.

    Args:
        encoding: the whole text or pair.
        window: tokens in a window, special ones included.
        stride: tokens that neighbouring windows share; None: a quarter of what fits.

    Returns:
        The positions of each window's tokens; a single window if all of it fits.

    Raises:
        InputError: nothing fits beside the special tokens, or the windows would not advance.
    """
    contents = [encoding.content(s) for s in range(len(encoding.texts))]
    sliding = max(contents, key=len)
    room = window - (len(encoding) - len(sliding))
    fits = len(encoding) <= window
    if fits and (stride is None or 0 <= stride < max(room, 1)):
        return [list(range(len(encoding)))]
    if not fits and room < 1:
        raise InputError(
            f"expected a window with room for the text, got window={window}, which the special "
            f"tokens{' and the shorter text of the pair' if len(contents) > 1 else ''} fill "
            f"({len(encoding) - len(sliding)} tokens): take a larger window"
        )
    shared = room // 4 if stride is None else stride
    if not 0 <= shared < room:
        raise InputError(
            f"expected a stride (tokens that neighbouring windows share) from 0 to {room - 1}, "
            f"got {shared}: window={window} leaves {room} tokens for the text"
        )
    last = len(sliding) - room
    starts = [*range(0, last, room - shared), last]
    fixed = set(range(len(encoding))) - set(sliding)
    return [sorted(fixed.union(sliding[start : start + room])) for start in starts]


def _room(encoding: Encoding, limit: int) -> int:
    special = sum(s is None for s in encoding.segments)
    if limit <= special:
        raise InputError(
            f"expected room for more than the {special} special tokens, got a limit of {limit} "
            "tokens: check the tokenizer's model_max_length"
        )
    return limit - special


def _shares(lengths: list[int], room: int) -> list[int]:
    if len(lengths) == 1:
        return [min(lengths[0], room)]
    shorter, longer = sorted(lengths)
    if shorter + longer > room:
        if shorter > room // 2:
            shorter = room // 2
        longer = room - shorter
    return [shorter, longer] if lengths[0] <= lengths[1] else [longer, shorter]


def limit_window(window: int | None, limit: int | None) -> None:
    """Refuse windows that the model cannot read.

    Raises:
        InputError: ``window`` exceeds ``limit``.
    """
    if window is not None and limit is not None and window > limit:
        raise InputError(
            f"expected a window of at most {limit} tokens, which is what the model takes, "
            f"got {window}"
        )
