"""Small explanations written by hand, for tests that need to know what must come out."""

from __future__ import annotations

from lxt_like.explanation import Account, TargetInfo, TextData, Token, Word


def review() -> TextData:
    """``A gripping film.``: 1.25 + 0.25 words, 0.125 special, 0.5 bias, -0.125 softmax = 2."""
    text = "A gripping  film."
    return TextData(
        texts=(text,),
        target=TargetInfo("POSITIVE", 1, 2.0, 0.9876),
        words=(
            Word("A", 0, 1, 0.0),
            Word("gripping", 2, 10, 1.25),
            Word("film", 12, 16, 0.5),
            Word(".", 16, 17, -0.25),
        ),
        tokens=(
            Token("[CLS]", 101, 0.25, special=True),
            Token("a", 1037, 0.0, 0, 1, 0),
            Token("grip", 13750, 1.0, 2, 6, 1),
            Token("##ping", 4691, 0.25, 6, 10, 1),
            Token("film", 2143, 0.5, 12, 16, 2),
            Token(".", 1012, -0.25, 16, 17, 3),
            Token("[SEP]", 102, -0.125, special=True),
        ),
        account=Account(2.0, 1.625, {"bias": 0.5, "softmax": -0.125, "epsilon": 0.0}),
        model="tiny",
        composite="attnlrp",
        notes=("Two words were not read.",),
    )


def plain(
    text: str,
    relevances: dict[str, float] | None = None,
    account: Account | None = None,
    label: str = "YES",
) -> TextData:
    """A text cut at spaces; one token a word; relevance 0.5 where none is given."""
    given = relevances or {}
    words: list[Word] = []
    position = 0
    for part in text.split(" "):
        if part:
            words.append(Word(part, position, position + len(part), given.get(part, 0.5)))
        position += len(part) + 1
    tokens = [Token(w.text, 1, w.relevance, w.start, w.end, i) for i, w in enumerate(words)]
    return TextData((text,), TargetInfo(label, 0, 1.0), tuple(words), tuple(tokens), account)
