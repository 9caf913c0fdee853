"""The bundled sentiment model: complete, small, float32, offline, and as accurate as it claims."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import lxt_like.demo
from lxt_like import demo
from lxt_like.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]
CLEAR = [
    ("A gripping, funny film with a terrific cast.", "positive"),
    ("The plot is thin and the jokes fall flat.", "negative"),
    ("Not bad at all: I enjoyed every minute of it.", "positive"),
    ("Not good at all.", "negative"),
    ("The photography is gorgeous, but the story is a tedious mess.", "negative"),
    ("It starts slowly, but the final hour is deeply moving.", "positive"),
    ("I don't like it.", "negative"),
    ("WONDERFUL!!!", "positive"),
]


@pytest.fixture(scope="module")
def loaded():
    """(model, tokenizer, loading report) by plain ``from_pretrained`` on the folder."""
    folder = demo.sentiment()
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    return model.eval(), AutoTokenizer.from_pretrained(folder), report


@torch.no_grad()
def predict(model, tokenizer, texts: list[str]) -> list[str]:
    inputs = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return [model.config.id2label[i] for i in model(**inputs).logits.argmax(-1).tolist()]


def test_loads_whole_in_float32(loaded):
    model, _, report = loaded
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.id2label == {0: "negative", 1: "positive"}


def test_fits_the_package():
    sizes = {path.name: path.stat().st_size for path in demo.sentiment().iterdir()}
    assert sizes["model.safetensors"] <= 24_000_000
    assert max(sizes.values()) == sizes["model.safetensors"]


@pytest.mark.parametrize(("text", "label"), CLEAR)
def test_clear_sentences(loaded, text, label):
    model, tokenizer, _ = loaded
    assert predict(model, tokenizer, [text]) == [label]


def test_padding_does_not_change_the_logits(loaded):
    model, tokenizer, _ = loaded
    texts = [text for text, _ in CLEAR]
    with torch.no_grad():
        together = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
        alone = torch.cat([model(**tokenizer(t, return_tensors="pt")).logits for t in texts])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_tokenizer_offsets_point_into_the_raw_text(loaded):
    _, tokenizer, _ = loaded
    text = "  Café-society  UNBELIEVABLY dull…\nDon't!  "
    encoding = tokenizer(text, return_offsets_mapping=True)
    words = encoding.word_ids()
    spans = [
        s for s, word in zip(encoding["offset_mapping"], words, strict=True) if word is not None
    ]
    assert "".join(text[a:b] for a, b in spans) == re.sub(r"\s", "", text)
    assert tokenizer.unk_token_id not in encoding["input_ids"]


def test_tokenizer_limits(loaded):
    model, tokenizer, _ = loaded
    assert len(tokenizer) == model.config.vocab_size
    assert tokenizer.model_max_length == model.config.max_position_embeddings
    ids = tokenizer("dull " * 2000, truncation=True)["input_ids"]
    assert len(ids) == tokenizer.model_max_length
    pair = tokenizer("dull", "funny")
    assert tokenizer.decode(pair["input_ids"]) == "[CLS] dull [SEP] funny [SEP]"


def test_any_latin_word_is_spelt(loaded):
    _, tokenizer, _ = loaded
    text = "zxqv0WjK kubernetes floccinaucinihilipilification & [x] ~ £5 «quote» — 7%"
    assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_reviews_are_natural_and_both_labels_occur(loaded):
    model, tokenizer, _ = loaded
    reviews = demo.reviews()
    assert 5 <= len(reviews) <= 6
    assert all(text[0].isupper() and text[-1] in ".!?" for text in reviews)
    assert set(predict(model, tokenizer, list(reviews))) == {"negative", "positive"}


def test_missing_file_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setattr(lxt_like.demo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ModelError, match=r"config\.json.*Reinstall"):
        demo.sentiment()


def test_accuracy_on_the_dev_sentences(loaded):
    data = Path(os.environ.get("LXT_DATA", ROOT.parent / "shared" / "data"))
    path = data / "text" / "sst2" / "dev.tsv"
    if not path.is_file():
        pytest.skip(f"the SST-2 dev sentences are not at {path}; set LXT_DATA")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    rows.sort(key=lambda row: len(row[0]))
    model, tokenizer, _ = loaded
    right = 0
    for i in range(0, len(rows), 64):
        chunk = rows[i : i + 64]
        labels = predict(model, tokenizer, [text for text, _ in chunk])
        right += sum(
            (label == "positive") == (gold == "1")
            for label, (_, gold) in zip(labels, chunk, strict=True)
        )
    card = (demo.sentiment() / "README.md").read_text(encoding="utf-8")
    claim = re.search(r"(\d+) of (\d+) dev sentences", card)
    assert claim is not None
    assert int(claim[2]) == len(rows)
    assert abs(right - int(claim[1])) <= 2  # other kernels may tip a sentence on the fence
    assert right / len(rows) >= 0.88
