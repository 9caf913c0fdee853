from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from lxt_like.errors import InputError, NumericalError
from lxt_like.explanation import TextData
from lxt_like.render import from_json, to_json

from ..strategies import text_data
from .checks import check_json
from .samples import plain, review

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> str:
    document = json.loads(to_json(review()))
    change(document)
    return json.dumps(document)


def test_round_trip() -> None:
    assert from_json(to_json(review())) == review()
    assert from_json(to_json([review()])) == [review()]
    assert from_json(to_json((review(), plain("x")))) == [review(), plain("x")]


def test_schema_is_stated() -> None:
    document = json.loads(to_json(review()))
    assert list(document) == ["schema", "version", "explanation"]
    assert (document["schema"], document["version"]) == ("lxt_like/text-explanation", 1)
    assert document["explanation"]["words"][1] == {
        "text": "gripping", "start": 2, "end": 10, "relevance": 1.25, "segment": 0,
    }  # fmt: skip


@pytest.mark.parametrize("value", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 2**53 + 0.0])
def test_floats_round_trip(value: float) -> None:
    loaded = from_json(to_json(plain("a", {"a": value})))
    assert isinstance(loaded, TextData)
    assert loaded.words[0].relevance.hex() == value.hex()


@pytest.mark.parametrize(
    "text", ["\ud800", "\ud83d\ude00", "a\udc00\ud800\udc00", "😀", "\x00\x1b\x9b\u202e\u2028"]
)
def test_odd_characters_round_trip(text: str) -> None:
    written = to_json(plain(text))
    assert from_json(written) == plain(text)
    written.encode("utf-8")


def test_readable_text_stays_readable() -> None:
    assert '"这部电影 naïve 👩‍👧"' in to_json(plain("这部电影 naïve 👩‍👧"))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_is_refused(bad: float) -> None:
    with pytest.raises(NumericalError, match="word 0 is"):
        to_json(plain("a", {"a": bad}))


def test_other_documents() -> None:
    cases = {
        "not json": "not well-formed JSON",
        "": "not well-formed JSON",
        "[" * 100_000: "not well-formed JSON",
        "1" * 5000: "not well-formed JSON",
        "[]": "got 'list'",
        "{}": "got None",
        '{"schema": "other", "version": 1}': "got 'other'",
        '{"schema": "lxt_like/text-explanation", "version": 1}': "missing explanation",
        '{"schema": "lxt_like/text-explanation", "version": "1"}': "whole number as",
        '{"schema": "lxt_like/text-explanation", "version": 2}': "update lxt_like",
        '{"schema": "lxt_like/text-explanation", "version": 1, "explanations": []}': "at least 1",
        '{"x": NaN}': "finite numbers only, got NaN",
    }
    for text, message in cases.items():
        with pytest.raises(InputError, match=message):
            from_json(text)
    with pytest.raises(InputError, match="as a string, got bytes"):
        from_json(b"{}")  # type: ignore[arg-type]


def paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document below the top level."""
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    for key, child in items if isinstance(value, (dict, list)) else ():
        found += paths(child, (*at, key)) if isinstance(child, (dict, list)) else [(*at, key)]
    return found


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


ALL_PATHS = paths(json.loads(to_json(review())))


@pytest.mark.parametrize("wrong", [{"odd": 1}, [[]], "text", 1.5, True, None, -7, 10**400])
def test_every_field_is_checked(wrong: object) -> None:
    """A value of another type, at any place: InputError, or what it loads as says the same."""
    for path in ALL_PATHS:
        document = json.loads(to_json(review()))
        parent = at(document, path[:-1])
        if parent[path[-1]] == wrong and type(parent[path[-1]]) is type(wrong):
            continue
        parent[path[-1]] = wrong
        text = json.dumps(document)
        if (message := refusal(text)) is None:
            assert at(json.loads(to_json(from_json(text))), path) == wrong, path
        else:
            assert len(message) < 1000


def refusal(text: str) -> str | None:
    """What an InputError says about a document, None if it loads; any other error is raised."""
    try:
        from_json(text)
    except InputError as error:
        return str(error)
    return None


def test_every_field_is_needed_and_no_other_taken() -> None:
    for path in ALL_PATHS:
        document = json.loads(to_json(review()))
        parent = at(document, path[:-1])
        if isinstance(parent, dict):
            del parent[path[-1]]
            with pytest.raises(InputError, match=r"missing|expected"):
                from_json(json.dumps(document))
            document = json.loads(to_json(review()))
            at(document, path[:-1])["other"] = 1
            with pytest.raises(InputError, match="unknown field 'other'"):
                from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["explanation"]["words"][0].update(end=99), r"^explanation: word 0 \('A'"),
        (lambda d: d["explanation"]["words"][0].update(relevance="1"), r"words\[0\]\.relevance: "),
        (lambda d: d["explanation"]["account"]["entries"].append(["bias", 1]), "listed twice"),
        (lambda d: d["explanation"].update(texts=[]), "explanation.texts: expected at least 1"),
        (lambda d: d["explanation"]["target"].update(index=True), "target.index: expected a whole"),
    ],
)
def test_errors_name_the_place(change: Change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_json(changed(change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: part(d, "target").update(probability=7.0), "from 0 to 1, got 7"),
        (lambda d: part(d, "target").update(score=77.0), "score is 77, but the account's score 2"),
        (lambda d: part(d, "words", 1).update(relevance=99.0), "99.375, but that of the tokens"),
        (lambda d: part(d, "tokens", 0).update(relevance=9.0), "but the account's inputs 1.625"),
        (lambda d: part(d, "account").update(inputs=3.0), "1.625, but the account's inputs 3"),
        (lambda d: part(d, "account").update(gap=0.5), "2.5, but the account's score 2"),
        (lambda d: part(d, "account").update(entries=[["bias", 9.0]]), "10.625, but the account's"),
    ],
)
def test_a_document_that_contradicts_itself(change: Change, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        from_json(changed(change))


def test_rounding_is_no_contradiction() -> None:
    for change in (
        lambda d: part(d, "target").update(score=2.0004),
        lambda d: part(d, "words", 1).update(relevance=1.2503),
        lambda d: part(d, "target").update(probability=1 + 1e-7),
    ):
        from_json(changed(change))


def part(document: Any, *path: Any) -> Any:
    return at(document["explanation"], path)


def test_account_keeps_its_order() -> None:
    loaded = from_json(to_json(review()))
    assert isinstance(loaded, TextData)
    assert loaded.account is not None
    assert list(loaded.account.entries) == ["bias", "softmax", "epsilon"]
    assert from_json(to_json(replace(review(), account=None))) == replace(review(), account=None)


@settings(max_examples=100, deadline=None)
@given(text_data())
def test_odd_texts(data: TextData) -> None:
    check_json(data)
