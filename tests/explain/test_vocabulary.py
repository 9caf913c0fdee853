from __future__ import annotations

from typing import Any

import pytest

from lxt_like.errors import TargetError
from lxt_like.explain.vocabulary import Vocabulary

from . import makers

KINDS = ["wordpiece", "byte_bpe", "unigram", "byt5", "canine"]


@pytest.fixture(params=KINDS, scope="module")
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return Vocabulary(getattr(makers, request.param)())


def test_every_token_is_found_by_its_text(vocabulary: Vocabulary) -> None:
    lost = []
    for index in range(min(len(vocabulary), 400)):
        text = vocabulary.text(index)
        try:
            found, _ = vocabulary.find(text, spaced=text.startswith(" "))
        except TargetError:
            lost.append(text)
            continue
        # a token may have the very text of another (ByT5's bytes, "▁" and " ")
        assert found == index or vocabulary.text(found) == text, text
    # pieces that are no text of their own: single bytes, unknown
    assert all(not text.isascii() or "\\x" in text or text.startswith("<") for text in lost), lost


def test_labels_keep_spaces_apart() -> None:
    for kind in ("byte_bpe", "unigram"):
        vocabulary = Vocabulary(getattr(makers, kind)())
        with_space, _ = vocabulary.find(" a", spaced=False)
        without, note = vocabulary.find("a", spaced=False)
        assert (vocabulary[with_space], vocabulary[without]) == ('" a"', '"a"')
        assert note == f'\'a\' was read as the token "a" (id {without}); " a" is another ' + (
            f"(id {with_space})."
        )
        assert vocabulary.find("a", spaced=True)[0] == with_space


def test_it_is_a_mapping_of_all_ids() -> None:
    vocabulary = Vocabulary(makers.wordpiece())
    assert list(vocabulary) == list(range(len(vocabulary)))
    assert vocabulary.get(4) == '"[MASK]"'
    assert vocabulary.get(10_000) is None
    assert Vocabulary(makers.byte_bpe())[199] == '"\\n"'


def test_a_byte_is_escaped_once() -> None:
    tokenizer = makers.byte_bpe()
    vocabulary = Vocabulary(tokenizer)
    labels = {}
    for text in ("\u0142", "\\", '"'):  # the first is \xc5\x82
        for index in tokenizer(text, add_special_tokens=False)["input_ids"]:
            labels[vocabulary.text(index)] = vocabulary[index]
    assert labels == {
        "\\xc5": '"\\xc5"', "\\x82": '"\\x82"', "\\": '"\\\\"', '"': '"\\""',
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("wordpiece", "gripping film", r'3 tokens \("grip", "##ping", "film"\)'),
        ("wordpiece", "☃", "'☃', which is not in its vocabulary"),
        ("wordpiece", "", "'', which is not in its vocabulary"),
        ("byt5", "é", "2 tokens"),
        ("byt5", "film", "4 tokens"),
        ("byte_bpe", "  a", "tokens"),
    ],
)
def test_what_is_no_token(kind: str, given: str, said: str) -> None:
    with pytest.raises(TargetError, match=said):
        Vocabulary(getattr(makers, kind)()).find(given, spaced=True)


def test_folded_as_the_tokenizer_folds() -> None:
    vocabulary: Any = Vocabulary(makers.wordpiece())
    assert vocabulary.find("Good", spaced=True) == vocabulary.find("good", spaced=True)
