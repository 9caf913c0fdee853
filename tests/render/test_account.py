from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given

from lxt_like.errors import NumericalError
from lxt_like.explanation import Account, TextData
from lxt_like.render.account import EXPLAINED, table
from lxt_like.rules import CAUSES

from ..strategies import text_data
from .samples import review


def test_rows_of_a_review() -> None:
    result = table(review())
    assert [(row.label, row.shown) for row in result.rows] == [
        ("words", "+1.500"),
        ("special tokens", "+0.125"),
        ("bias", "+0.500"),
        ("softmax", "-0.125"),
    ]
    assert (result.result.label, result.result.shown) == ("score", "+2.000")
    assert result.checks == ("gap 0.0e+00, unruled 0.0e+00", "zero: epsilon")
    assert result.closes
    assert [row.start for row in result.rows] == [0.0, 1.5, 1.625, 2.125]
    assert result.extent() == (0.0, 2.125)


@given(text_data())
def test_what_is_shown_adds_up(data: TextData) -> None:
    result = table(data)
    if not result.closes:
        assert "does NOT add up" in result.checks[-1]
    elif "e" not in result.result.shown:
        shown = sum((Decimal(row.shown) for row in result.rows), Decimal(0))
        assert shown == Decimal(result.result.shown)


def test_without_an_account_only_the_inputs_are_summed() -> None:
    result = table(replace(review(), account=None))
    assert [row.label for row in result.rows] == ["words", "special tokens"]
    assert (result.result.label, result.result.shown) == ("inputs", "+1.625")
    assert result.checks == ()


def test_a_gap_that_shows_is_a_row() -> None:
    data = replace(review(), account=Account(2.5, 1.625, {"bias": 0.5}, gap=0.375))
    result = table(data)
    assert (result.rows[-1].label, result.rows[-1].shown) == ("gap", "+0.375")
    assert result.closes


def test_an_account_that_does_not_add_up_says_so() -> None:
    result = table(replace(review(), account=Account(9.0, 1.625, {"bias": 0.5})))
    assert not result.closes
    assert "does NOT add up: its rows sum to 2.125" in result.checks[-1]


def test_inputs_other_than_the_tokens_are_not_shown_as_the_words() -> None:
    result = table(replace(review(), account=Account(3.5, 3.0, {"bias": 0.5})))
    assert [row.label for row in result.rows] == ["inputs", "bias"]
    assert "words and special tokens sum to 1.625" in result.checks[1]


@pytest.mark.parametrize(
    "account",
    [
        Account(math.nan, 1.625),
        Account(1.625, math.inf),
        Account(1.625, 1.625, {"bias": math.nan}),
        Account(1.625, 1.625, gap=math.nan),
        Account(1.625, 1.625, unruled=math.inf),
    ],
)
def test_non_finite_numbers_are_refused(account: Account) -> None:
    with pytest.raises(NumericalError, match="only finite numbers can be shown"):
        table(replace(review(), account=account))


def test_sums_that_overflow_are_refused() -> None:
    data = review()
    words = tuple(replace(word, relevance=1.7e308) for word in data.words)
    with pytest.raises(NumericalError, match="'words' of this explanation is inf"):
        table(replace(data, words=words))


def test_every_cause_of_a_ledger_is_put_in_plain_words() -> None:
    assert set(EXPLAINED) == set(CAUSES)
