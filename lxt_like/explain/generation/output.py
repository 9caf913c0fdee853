"""The tokens of an output, each with its place in the output's text: given, or generated."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
from torch import Tensor

from ...classes import plain
from ...errors import InputError
from ..encode import Encoding, encode, encode_output, pieces_of, writing
from ..inputs import check_texts
from ..segment import Span
from ..tasks.next_token import NextToken

Output = str | Sequence[int] | Tensor | np.ndarray[Any, Any]
"""An output as it may be given: a text, or the ids of its tokens."""

_BROKEN = "\ufffd"
"""What bytes decode to that are no character."""

_ANCHORS = ("", "\n", ".")
"""What an output may stand behind while it is tokenized, so that no space is put before it."""


def given_output(task: NextToken, read: Encoding, output: Output) -> Encoding:
    """The tokens of an output that was given.

    A text is tokenized as it stands behind the prompt.  Where a token of that reaches over the
    border it is tokenized by itself, so that the prompt's tokens are the same in every step.

    Raises:
        InputError: it is neither a text nor ids of tokens, or has no token.
    """
    if not isinstance(output, str):
        made = output_of_ids(task, read, _ids(output, _vocabulary_size(task)))
    elif not output:
        raise InputError("expected an output of at least one token, got ''")
    else:
        check_texts(output)
        made = _tokenized(task, read, output)
    if not made.ids:
        raise InputError(f"expected an output of at least one token, got {output!r}")
    return made


def output_of_ids(task: NextToken, read: Encoding, ids: list[int]) -> Encoding:
    """The tokens ``ids`` behind what the model has ``read``, and the text that they make.

    Where each stands is seen from what the tokens up to it decode to.  All tokens that make up
    one character (bytes of an emoji) stand at that character.
    """
    tokenizer = task.tokenizer
    before = read.ids if read.decoder is None else []
    with writing(tokenizer) if read.decoder is not None else nullcontext():
        base, whole = _decoded(tokenizer, before), _decoded(tokenizer, before + ids)
        if not whole.startswith(base):  # the prompt ends within a character
            before, base, whole = [], "", _decoded(tokenizer, ids)
        reached = [
            _shared(_decoded(tokenizer, before + ids[:k]), whole) - len(base)
            for k in range(1, len(ids))
        ]
    text = whole[len(base) :]
    spans: list[Span | None] = []
    done = 0
    for reach in [*reached, len(text)][: len(ids)]:
        start, end = done, max(reach, done)
        if start == end:  # a part of a character: of the next, or of one that stays broken
            start -= int(end == len(text) or text[:end].endswith(_BROKEN))
            start = max(start, 0)
            end = min(start + 1, len(text))
        spans.append((start, end))
        done = max(reach, done)
    return Encoding((text,), ids, pieces_of(tokenizer, ids), [0] * len(ids), spans)


def begun(written: Encoding, count: int) -> Encoding:
    """The first ``count`` tokens of an output, with the text as far as they reach."""
    spans = written.spans[:count]
    end = max((span[1] for span in spans if span is not None), default=0)
    return Encoding(
        (written.texts[0][:end],) if count else (),
        written.ids[:count],
        written.pieces[:count],
        written.segments[:count],
        spans,
    )


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin alike with."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _ids(output: Any, size: int) -> list[int]:
    """The ids as whole numbers, each one that a vocabulary of this size has."""
    given: Any = output.tolist() if isinstance(output, Tensor) else plain(output)
    if isinstance(given, Sequence) and len(given) == 1 and isinstance(given[0], list):
        given = given[0]  # as a model generates it: [1, tokens]
    whole = isinstance(given, Sequence) and not isinstance(given, bytes)
    ids = (
        [int(i) for i in given if isinstance(i, Integral) and not isinstance(i, bool)]
        if whole
        else []
    )
    if not whole or len(ids) != len(given) or any(i < 0 for i in ids):
        raise InputError(
            "expected output to be a str, a list of token ids, or None to let the model generate, "
            f"got {type(output).__name__}: {str(output)[:60]!r}"
        )
    if beyond := [i for i in ids if i >= size]:
        raise InputError(
            f"expected token ids from 0 to {size - 1}, which is the model's vocabulary, got "
            f"{beyond[0]}"
        )
    return ids


def _vocabulary_size(task: NextToken) -> int:
    """How many tokens the model can write, which may be more than its tokenizer knows."""
    head = getattr(task.loaded.model, "get_output_embeddings", lambda: None)()
    rows = getattr(head, "out_features", None)
    return rows if isinstance(rows, int) else len(task.vocabulary)


def _decoded(tokenizer: Any, ids: list[int]) -> str:
    if not ids:
        return ""
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _tokenized(task: NextToken, read: Encoding, output: str) -> Encoding:
    if read.decoder is not None:
        return encode_output(task.tokenizer, output)
    prompt = read.texts[0]
    tokenizer = task.tokenizer
    both = prompt + output
    whole = (
        encode(tokenizer, both, special=False) if read.templated else task.encode(both, None, None)
    )
    behind = _behind(prompt, read.ids, whole, output)
    if behind is not None:
        return behind
    wanted = _decoded(tokenizer, read.ids) + output
    for anchor in _ANCHORS:
        ids = tokenizer(anchor, add_special_tokens=False)["input_ids"] if anchor else []
        if anchor and not ids:
            continue  # nothing to stand behind: white space is no token here
        found = _behind(anchor, ids, encode(tokenizer, anchor + output, special=False), output)
        if found is not None and _decoded(tokenizer, read.ids + found.ids) == wanted:
            return found
    return encode(tokenizer, output, special=False)


def _behind(text: str, ids: list[int], whole: Encoding, output: str) -> Encoding | None:
    """The tokens of ``output`` where it stands behind ``text``; None: one reaches over the border.

    ``ids``: the tokens of ``text`` alone; ``whole``: of both together.
    """
    first = len(ids)
    rest = whole.segments[first:]
    if whole.ids[:first] != ids or not rest or any(segment != 0 for segment in rest):
        return None
    spans: list[Span | None] = [
        None if span is None else (max(span[0] - len(text), 0), max(span[1] - len(text), 0))
        for span in whole.spans[first:]
    ]
    return replace(
        whole,
        texts=(output,),
        ids=whole.ids[first:],
        pieces=whole.pieces[first:],
        segments=[0] * len(rest),
        spans=spans,
        extras={},
    )
