"""Documents whose numbers cannot all be of one explanation."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..errors import InputError
from ..explanation import Account, GenerationData, ImageData, TargetInfo, TextData

TOLERANCE = 1e-3
"""Relative to the sum of what was added up: far above rounding in any precision we sum in."""


def refuse_text(data: TextData, where: str) -> None:
    """InputError where words, tokens, score and account tell of different sums."""
    words = [word.relevance for word in data.words]
    words += [token.relevance for token in data.tokens if token.word is None]
    tokens = [token.relevance for token in data.tokens]
    if data.tokens:
        _agree(
            "the sum of words and special tokens is", words, "but that of the tokens", tokens, where
        )
    _refuse_account(
        data.account, data.target, words, "the sum of words and special tokens is", where
    )


def refuse_image(data: ImageData, where: str) -> None:
    """InputError where pixels, score and account tell of different sums."""
    values = data.channels.astype(np.float64)
    # by their signs: one number each would be slow
    sums = [float(values[values > 0].sum()), float(values[values < 0].sum())]
    _refuse_account(data.account, data.target, sums, "the sum of the pixels is", where)


def refuse_generation(data: GenerationData, where: str) -> None:
    """InputError where the numbers of the whole are not the sums of its steps'."""
    sums = "but the sum of the steps'"
    scores = [step.target.score for step in data.steps]
    _agree("the score of the whole is", [data.total.target.score], sums, scores, where)
    columns = data.relevance.T.tolist()
    whole = [(word.text, word.relevance) for word in data.words]
    whole += [(token.text, token.relevance) for token in data.written]
    for (text, relevance), column in zip(whole, columns, strict=True):
        what = f"the relevance of {text!r} for the whole is"
        _agree(what, [relevance], sums, column, where)
    account, accounts = data.total.account, [step.account for step in data.steps]
    known = [one for one in accounts if one is not None]
    if len(known) != (0 if account is None else len(accounts)):
        raise InputError(
            f"{where}: the document contradicts itself: expected an account of the whole and of "
            "each step, or none at all"
        )
    entries = {} if account is None else account.entries
    for cause in dict.fromkeys([*entries, *(cause for one in known for cause in one.entries)]):
        each = [one.entries.get(cause, 0.0) for one in known]
        _agree(f"{cause!r} of the whole is", [entries.get(cause, 0.0)], sums, each, where)


def require_probability(value: float | None, where: str) -> None:
    """InputError for a number that is none."""
    if value is not None and not -TOLERANCE <= value <= 1 + TOLERANCE:
        raise InputError(f"{where}: expected a probability from 0 to 1, got {value:g}")


def _refuse_account(
    account: Account | None, target: TargetInfo, shares: list[float], what: str, where: str
) -> None:
    if account is None:
        return
    place = f"{where}.account"
    _agree(
        "the target's score is", [target.score], "but the account's score", [account.score], place
    )
    _agree(what, shares, "but the account's inputs", [account.inputs], place)
    rows = [account.inputs, *account.entries.values(), account.gap]
    _agree(
        "the sum of inputs, entries and gap is",
        rows,
        "but the account's score",
        [account.score],
        place,
    )


def _agree(
    what: str, left: Iterable[float], other: str, right: Iterable[float], where: str
) -> None:
    left, right = [*left], [*right]
    largest = max(map(abs, (*left, *right)), default=0.0) or 1.0  # sums of any float stay finite
    one, two = (math.fsum(value / largest for value in side) for side in (left, right))
    scale = math.fsum(abs(value / largest) for value in (*left, *right))
    if abs(one - two) > TOLERANCE * scale:
        raise InputError(
            f"{where}: the document contradicts itself: {what} {one * largest:g}, {other} "
            f"{two * largest:g}"
        )
