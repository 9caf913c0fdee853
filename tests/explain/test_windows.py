from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import transformers
from torch import nn

from lxt_like.errors import InputError
from lxt_like.explain.encode import encode
from lxt_like.explain.windows import limit_window, token_limit, truncate, windows

ENDLESS = SimpleNamespace(model_max_length=int(1e30))
SMALL = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}


@pytest.mark.parametrize(
    ("name", "config", "limit"),
    [
        ("Bert", {**SMALL, "max_position_embeddings": 48}, 48),
        ("Roberta", {**SMALL, "max_position_embeddings": 50, "pad_token_id": 1}, 48),
        (
            "GPT2",
            {"vocab_size": 40, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 48},
            48,
        ),
        ("DistilBert", {"vocab_size": 40, "dim": 16, "n_layers": 1, "n_heads": 2}, 512),
        (
            "OPT",
            {"vocab_size": 40, "hidden_size": 16, "ffn_dim": 16, "num_hidden_layers": 1}
            | {"num_attention_heads": 2, "max_position_embeddings": 48, "word_embed_proj_dim": 16},
            48,
        ),
        ("Llama", {**SMALL, "max_position_embeddings": 48}, 48),
        (
            "DebertaV2",
            {**SMALL, "position_biased_input": False, "relative_attention": True}
            | {"pos_att_type": ["c2p", "p2c"]},
            None,
        ),
        (
            "XLNet",
            {"vocab_size": 40, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16},
            None,
        ),
    ],
)
def test_the_limit_of_a_model(name: str, config: dict[str, Any], limit: int | None) -> None:
    made = getattr(transformers, f"{name}Config")(**config)
    model = getattr(transformers, f"{name}ForSequenceClassification")(made)
    assert token_limit(model, ENDLESS) == limit
    if limit is not None:
        assert token_limit(model, SimpleNamespace(model_max_length=20)) == 20


def test_a_module_without_positions_or_configuration_has_no_limit() -> None:
    assert token_limit(nn.Linear(2, 2), ENDLESS) is None


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("lengths", [(9, None), (9, 9), (20, 3), (3, 20), (7, 8), (8, 7), (30, 30)])
@pytest.mark.parametrize("limit", [8, 11, 12, 17])
def test_cut_as_the_tokenizer_cuts(
    wordpiece: Any, lengths: tuple[int, int | None], limit: int, side: str
) -> None:
    text, pair = (
        None if n is None else " ".join("abcdefghij"[i % 10] for i in range(n)) for n in lengths
    )
    encoding = encode(wordpiece, text or "", pair)
    wordpiece.truncation_side = side
    try:
        theirs = wordpiece(text, pair, truncation=True, max_length=limit)["input_ids"]
    finally:
        wordpiece.truncation_side = "right"
    if len(encoding) > limit:
        assert [encoding.ids[i] for i in truncate(encoding, limit, side)] == theirs


def test_no_room_for_a_text(wordpiece: Any) -> None:
    with pytest.raises(InputError, match="2 special tokens, got a limit of 2"):
        truncate(encode(wordpiece, "a b c"), 2)


def test_windows_overlap_and_cover(wordpiece: Any) -> None:
    encoding = encode(wordpiece, " ".join("abcdefghij"))
    found = windows(encoding, 6, 1)
    texts = ["".join(encoding.pieces[i] for i in w[1:-1]) for w in found]
    assert texts == ["abcd", "defg", "ghij"]
    assert all(w[0] == 0 and w[-1] == 11 for w in found)
    # the last window is as long as the others
    assert ["".join(encoding.pieces[i] for i in w[1:-1]) for w in windows(encoding, 7, 0)] == [
        "abcde",
        "fghij",
    ]
    assert ["".join(encoding.pieces[i] for i in w[1:-1]) for w in windows(encoding, 9, 2)] == [
        "abcdefg",
        "defghij",
    ]


def test_of_a_pair_the_longer_text_slides(wordpiece: Any) -> None:
    encoding = encode(wordpiece, "x y", "a b c d e")
    texts = [[encoding.pieces[i] for i in w] for w in windows(encoding, 8, 0)]
    assert texts == [
        ["[CLS]", "x", "y", "[SEP]", "a", "b", "c", "[SEP]"],
        ["[CLS]", "x", "y", "[SEP]", "c", "d", "e", "[SEP]"],
    ]


def test_what_fits_is_one_window(wordpiece: Any) -> None:
    encoding = encode(wordpiece, "a b")
    assert windows(encoding, 4) == [[0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        (2, None, "got window=2, which the special tokens fill \\(2 tokens\\)"),
        (4, 2, "from 0 to 1, got 2"),
    ],
)
def test_windows_that_do_not_work(
    wordpiece: Any, window: int, stride: int | None, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        windows(encode(wordpiece, "a b c d e f"), window, stride)


def test_windows_beyond_the_limit() -> None:
    limit_window(None, 8)
    limit_window(8, None)
    limit_window(8, 8)
    with pytest.raises(InputError, match="at most 8 tokens, which is what the model takes, got 9"):
        limit_window(9, 8)
