"""What a target means can depend on the text: then one text fails, with its place, and not all."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from transformers import BertForMaskedLM, BertForQuestionAnswering, BertForTokenClassification

import lxt_like as lxt
from lxt_like.cli.classes import class_of
from lxt_like.errors import TargetError

from ..evaluate import tiny
from ..explain import makers
from ..explain.image.conftest import folder_of, picture, vit
from .conftest import Run, classifier
from .test_tasks import TAGS


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    words, bytes_ = makers.wordpiece(), makers.byte_bpe()
    made = {
        "filler": (makers.encoder(BertForMaskedLM, words), words),
        "tagger": (makers.encoder(BertForTokenClassification, words, **TAGS), words),
        "answerer": (makers.encoder(BertForQuestionAnswering, words), words),
        "writer": (makers.gpt2(bytes_), bytes_),
    }
    for name, (model, tokenizer) in made.items():
        folder = tmp_path_factory.mktemp(name)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made[name] = str(folder)  # type: ignore[assignment]
    return {name: str(folder) for name, folder in made.items()}


def fails_at(
    run: Run, lines: list[str], bad: set[int], said: str, *options: str, ledger: bool
) -> None:
    """Exit code 1; every bad line reported with its place, all others explained."""
    Path("lines.txt").write_text("\n".join(lines) + "\n")
    more = () if ledger else ("--no-ledger",)
    result = run("explain", "-f", "lines.txt", *options, "--json", *more)
    assert result.exit_code == 1, result.stderr
    *errors, count = result.stderr.splitlines()
    places = [error.split(": ")[1] for error in errors]
    assert places == [f"lines.txt, line {n + 1}" for n in sorted(bad)]
    assert all(said in error for error in errors), errors
    assert count == f"{len(bad)} of {len(lines)} texts could not be explained"
    made = json.loads(result.stdout)["explanations"]
    good = [line for n, line in enumerate(lines) if n not in bad]
    assert [one["texts"][0] for one in made] == good


@pytest.mark.parametrize("ledger", [True, False])
def test_a_text_with_two_masks(
    run: Run, folders: dict[str, str], in_folder: Path, ledger: bool
) -> None:
    lines = ["a [MASK] film", "[MASK] and [MASK]", "not [MASK]"]
    said = "the text has 2 masks, and one is explained at a time"
    fails_at(run, lines, {1}, said, "-m", folders["filler"], ledger=ledger)


@pytest.mark.parametrize("ledger", [True, False])
def test_a_word_that_stands_in_a_text_twice(
    run: Run, folders: dict[str, str], in_folder: Path, ledger: bool
) -> None:
    lines = ["the film film", "a good film", "film the dull film"]
    options = ("-m", folders["tagger"], "-t", "film=PER")
    said = "'film' stands 2 times in the text: name it with the words behind it"
    fails_at(run, lines, {0, 2}, said, *options, ledger=ledger)
    result = run("explain", "film the dull film", "-m", folders["tagger"], "-t", "film the=PER")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("ledger", [True, False])
def test_the_next_token_is_the_foil(
    run: Run, folders: dict[str, str], in_folder: Path, ledger: bool
) -> None:
    lines = ["A gripping film", "I want", "and my", "Dull ", "money back"]
    found = lxt.explain(folders["writer"], lines, ledger=False)
    foil = json.loads(found[1].target.label)
    bad = {n for n, ex in enumerate(found) if ex.target.index == found[1].target.index}
    assert len(bad) < 4
    options = ("-m", folders["writer"], "--foil", foil)
    fails_at(run, lines, bad, "the prediction is the foil", *options, ledger=ledger)


@pytest.mark.parametrize("ledger", [True, False])
def test_the_answer_is_the_foil(
    run: Run, folders: dict[str, str], in_folder: Path, ledger: bool
) -> None:
    lines, context = ["not dull?", "who?", "film", "funny?"], "the good film"
    found = lxt.explain(folders["answerer"], [(line, context) for line in lines], ledger=False)
    labels = [json.loads(ex.target.label) for ex in found]
    foil = min(labels, key=Counter(labels).__getitem__)
    bad = {n for n, label in enumerate(labels) if label == foil}
    assert len(bad) < 4
    options = ("-m", folders["answerer"], "--pair", context, "--foil", foil)
    fails_at(run, lines, bad, "the predicted answer is the foil", *options, ledger=ledger)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_class_of_an_image_is_the_foil(run: Run, in_folder: Path, size: int) -> None:
    model = folder_of(vit(), in_folder / "vit")
    photos = in_folder / "photos"
    photos.mkdir()
    for seed in range(7):
        picture(seed=seed).save(photos / f"{seed}.png")
    images = sorted(photos.iterdir())
    labels = [ex.target.label for ex in lxt.explain(str(model), images, ledger=False)]
    foil = min(labels, key=Counter(labels).__getitem__)
    bad = [image.name for image, label in zip(images, labels, strict=True) if label == foil]
    assert 0 < len(bad) < 4
    options = ("-m", model, "--foil", foil, "--batch-size", size, "--no-ledger", "--json")
    result = run("explain", photos, *options)
    assert result.exit_code == 1, result.stderr
    *errors, count = result.stderr.splitlines()
    for error, name in zip(errors, bad, strict=True):
        assert f"{name}: the prediction is the foil {foil!r} itself" in error
    assert count == f"{len(bad)} of 7 images could not be explained"
    made = json.loads(result.stdout)["explanations"]
    assert [one["name"] for one in made] == [i.name for i in images if i.name not in bad]


def test_the_windows_of_a_text_are_predicted_together(run: Run, in_folder: Path) -> None:
    good = "A gripping and funny film. A warm, lovely story. Great acting."
    bad = "Dull and overlong. A boring mess."
    options = ("--window", "20", "--stride", "0", "--foil", "negative", "--no-ledger")
    result = run("explain", f"{good} {bad}", *options)
    assert result.exit_code == 0, result.stderr
    said = "'negative' as target and as foil"
    lines = [f"{good} {bad}", f"{bad} {bad} {good}", "Great!"]
    fails_at(run, lines, {1}, said, *options[:-1], ledger=False)


NAMES = {0: "1", 1: "2", 2: "Three"}


@pytest.mark.parametrize(
    ("given", "index"),
    [("1", 0), ("2", 1), ("0", 0), ("-1", 2), ("+2", 2), ("Three", 2), ("three", 2), ("-2", 1)],
)
def test_a_class_is_a_name_before_it_is_a_number(given: str, index: int) -> None:
    assert class_of(given, NAMES, 3) == index


@pytest.mark.parametrize("given", ["3", "-4", "four", "", "1.0", " 0"])
def test_no_such_class(given: str) -> None:
    with pytest.raises(TargetError):
        class_of(given, NAMES, 3)


def test_every_command_reads_a_class_alike(run: Run, refused: Any, in_folder: Path) -> None:
    """Five stars, named 1 to 5: by the name, where it is one, by the place where it is not."""
    names = {i: str(i + 1) for i in range(5)}
    stars = classifier(
        in_folder / "stars", labels=5, id2label=names, label2id={n: i for i, n in names.items()}
    )
    Path("texts.txt").write_text("a good film\na bad film\n")
    for target, index in (("1", 0), ("5", 4), ("0", 0), ("-1", 4)):
        for command in ("explain", "audit"):
            made = run(command, "a film", "-m", stars, "-t", target, "--json")
            assert made.exit_code == 0, made.stderr
            document = json.loads(made.stdout)
            assert document.get("explanation", document)["target"]["index"] == index
        out = Path(f"out{target}")
        done = run("evaluate", stars, "texts.txt", "-o", out, "--target", target, "--steps", 2,
                   "--methods", "random")  # fmt: skip
        assert done.exit_code == 0, done.stderr
        record = json.loads((out / "run.json").read_text())
        assert record["settings"]["target"] == index
    for command in (("explain", "a", "-m", stars), ("evaluate", stars, "texts.txt", "-o", "x")):
        assert "index 6 is out of range" in refused(*command, "-t", "6")
        assert "unknown class 'six'" in refused(*command, "-t", "six")


def test_the_class_of_an_image_by_name_and_by_number(refused: Any, in_folder: Path) -> None:
    model = folder_of(vit(), in_folder / "vit")
    picture().save("a.png")
    said = "the foil is the target itself"
    assert said in refused("explain", "a.png", "-m", model, "-t", "1", "--foil", "dog")
    assert "unknown class ''" in refused("explain", "a.png", "-m", model, "-t", "")
    assert "unknown class ''" in refused("explain", "a film", "-t", "")
    tiny_vit = tiny.vit(in_folder / "tiny")
    assert "unknown class 'x'" in refused("evaluate", tiny_vit, "a.png", "-t", "x", "-o", "out")


@pytest.mark.parametrize("given", ["=PER", "=", " =PER"])
def test_a_tag_at_no_word(refused: Any, folders: dict[str, str], given: str) -> None:
    said = "expected WORD=TAG, or a tag alone, got"
    assert said in refused("explain", "a film", "-m", folders["tagger"], "-t", given)
