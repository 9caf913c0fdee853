from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel, pipeline

import lxt_like as lxt
from lxt_like.errors import InputError, ModelError, PatchError
from lxt_like.explain import loading
from lxt_like.explain.devices import usable
from lxt_like.explain.loading import is_local, load_text_model

from . import makers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny-classifier")
    tokenizer = makers.wordpiece()
    makers.bert(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Any attempt to open a connection fails, and is noted."""
    tried: list[Any] = []

    def refuse(*args: Any, **_: Any) -> None:
        tried.append(args)
        raise OSError("connection refused by the test")

    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("time.sleep", _no_sleep)
    return tried


def small(tokenizer: Any) -> BertConfig:
    return BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )


def _no_sleep(_seconds: float) -> None:
    """In place of the pauses between the hub client's attempts."""


def test_a_folder(folder: Path, no_network: list[Any]) -> None:
    for given in (folder, str(folder), f"{folder}/"):
        loaded = load_text_model(given)
        assert loaded.name == folder.name
        assert not loaded.model.training
        assert loaded.tokenizer("a b")["input_ids"] == makers.wordpiece()("a b")["input_ids"]
    assert no_network == []


def test_a_module_and_its_tokenizer(folder: Path, no_network: list[Any]) -> None:
    tokenizer = makers.wordpiece()
    model = makers.bert(tokenizer)
    loaded = load_text_model(model, tokenizer=tokenizer)
    assert loaded.model is model
    assert loaded.tokenizer is tokenizer
    assert loaded.name == "BertForSequenceClassification"
    # a tokenizer by name, and one found where the module was loaded from
    assert load_text_model(model, tokenizer=folder).tokenizer("a")["input_ids"]
    again = load_text_model(load_text_model(folder).model)
    assert again.tokenizer("a")["input_ids"] == tokenizer("a")["input_ids"]
    assert again.name == folder.name
    assert no_network == []


def test_a_pipeline(folder: Path) -> None:
    made = pipeline("text-classification", model=str(folder))
    loaded = load_text_model(made)
    assert loaded.model is made.model
    assert loaded.tokenizer is made.tokenizer


def test_a_pipeline_for_something_else() -> None:
    tokenizer = makers.wordpiece()
    config = small(tokenizer)
    made = pipeline("feature-extraction", model=BertModel(config), tokenizer=tokenizer)
    with pytest.raises(ModelError, match="got one for 'feature-extraction'"):
        load_text_model(made)


@pytest.mark.parametrize("name", ["./nope", "/no/where", "~/nope-at-all", "a/b/c", "nope/", "a b"])
def test_what_looks_like_a_path_is_never_looked_up(name: str, no_network: list[Any]) -> None:
    with pytest.raises(ModelError, match=r"no folder .* \(nothing was looked up"):
        load_text_model(name)
    assert no_network == []


def test_a_name_beside_an_existing_folder_is_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_local("models/sentiment")
    (tmp_path / "models").mkdir()
    assert is_local("models/sentiment")
    assert not is_local("sentiment")


def test_a_hub_id_without_a_network(no_network: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # asked for: it tries
    with pytest.raises(ModelError, match="cannot load the model 'nobody-here/no-such-model'"):
        load_text_model("nobody-here/no-such-model")
    assert no_network


def test_files_and_folders_that_hold_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_text_model(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match="got the file"):
        load_text_model(file)
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ModelError, match="cannot load the model"):
        load_text_model(tmp_path)


def test_an_encoder_without_a_head_is_refused(tmp_path: Path) -> None:
    tokenizer = makers.wordpiece()
    BertModel(small(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="is a BertModel: it has no sequence classification head"):
        load_text_model(tmp_path)
    # a configuration that does not say, or says wrongly, what the weights are
    config = json.loads((tmp_path / "config.json").read_text())
    for architectures in (None, ["BertForSequenceClassification"]):
        (tmp_path / "config.json").write_text(
            json.dumps({**config, "architectures": architectures})
        )
        with pytest.raises(ModelError, match=r"classifier\.bias.*would be random"):
            load_text_model(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    tokenizer = makers.wordpiece()
    makers.bert(tokenizer, 2).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    labels = {
        "id2label": {i: f"L{i}" for i in range(3)},
        "label2id": {f"L{i}": i for i in range(3)},
    }
    (tmp_path / "config.json").write_text(json.dumps({**config, **labels}))
    with pytest.raises(ModelError):
        load_text_model(tmp_path)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    tokenizer = makers.wordpiece()
    model = makers.bert(tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="only safetensors"):
        load_text_model(tmp_path)


def test_no_tokenizer(tmp_path: Path) -> None:
    tokenizer = makers.wordpiece()
    model = makers.bert(tokenizer)
    with pytest.raises(ModelError, match=r"no tokenizer: .* pass tokenizer="):
        load_text_model(model)
    model.save_pretrained(tmp_path)
    # transformers makes one that knows special tokens only, and says nothing
    with pytest.raises(ModelError, match=r"no tokenizer files in .* would know no word"):
        load_text_model(tmp_path)
    with pytest.raises(ModelError, match="no folder"):
        load_text_model(model, tokenizer="./nope")
    assert load_text_model(tmp_path, tokenizer=tokenizer).tokenizer is tokenizer


@pytest.mark.parametrize("model", [3, None, {"a": 1}, nn.Linear])
def test_what_is_no_model(model: object) -> None:
    with pytest.raises(InputError, match="expected model to be"):
        load_text_model(model)


def test_what_is_no_tokenizer(classifier: Any) -> None:
    with pytest.raises(InputError, match="expected tokenizer to be"):
        load_text_model(classifier, tokenizer=3)


def test_a_module_stays_where_it_is(
    classifier: Any, wordpiece: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_text_model(classifier, tokenizer=wordpiece, device="cpu").model is classifier
    monkeypatch.setattr(loading, "input_device", lambda _model: torch.device("cuda:1"))
    with pytest.raises(InputError, match="'cuda:1', where the given model is, got 'cpu'"):
        load_text_model(classifier, tokenizer=wordpiece, device="cpu")


def test_a_compiled_model_is_refused_as_everywhere() -> None:
    model = nn.Linear(2, 2)
    compiled = torch.compile(model)
    with pytest.raises(PatchError, match=r"compiled by torch\.compile.*_orig_mod"):
        load_text_model(compiled)


def test_a_folder_is_read_without_a_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    from lxt_like.demo import sentiment

    shown = logging.is_progress_bar_enabled()
    load_text_model(sentiment())
    assert "Loading" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled() == shown


@pytest.mark.parametrize(
    "device", ["nope", "cuda:99", "mps:7", "xpu:99", "meta", -1, 99, 1.5, "", "cuda:-1"]
)
def test_a_device_that_cannot_be_used(device: Any, wordpiece: Any, classifier: Any) -> None:
    message = r"device to be one that can be used here \(cpu.*\), got " + re.escape(repr(device))
    with pytest.raises(InputError, match=message):
        lxt.explain(lxt.demo.sentiment(), "A film.", device=device)
    with pytest.raises(InputError, match=message):
        lxt.explain(classifier, "A film.", tokenizer=wordpiece, device=device)
    with pytest.raises(InputError, match=message):
        lxt.explain(lxt.demo.vit(), "photo.jpg", device=device)
    with pytest.raises(InputError, match=message):
        lxt.evaluate(lxt.demo.sentiment(), ["A film."], device=device)


def test_devices_that_can_be_used() -> None:
    assert usable("cpu") == usable(torch.device("cpu")) == torch.device("cpu")
    if torch.cuda.is_available():
        assert usable(0) == torch.device("cuda:0")
