from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import InputError, TargetError
from lxt_like.evaluate import Columns, chunks, load_report
from lxt_like.evaluate import run as module
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.run import task_of
from lxt_like.evaluate.task import Row
from lxt_like.evaluate.text import TextTask
from lxt_like.explain.loading import TextModel
from tests.explain import makers

from . import tiny
from .conftest import PROCESSOR, pictures, vit

TEXTS = ["a good film", "a bad film", "the film is bad", "good good", "bad", "is the film good"]
QUICK: dict[str, Any] = {"methods": ["random", "attnlrp", "gradient"], "steps": 4}


def timeless(report: lxt.Report) -> dict[str, Any]:
    tables = {name: table.to_pylist() for name, table in report.tables.items()}
    for row in tables["per_sample"]:
        del row["milliseconds"]
    return tables


def test_images_of_a_folder(vit_folder: Path, tmp_path: Path) -> None:
    folder = tiny.pictures(tmp_path / "pictures")
    seen: list[tuple[int, int | None]] = []
    made = lxt.evaluate(vit_folder, folder, out=tmp_path / "out", **QUICK,
                        progress=lambda *at: seen.append(at))  # fmt: skip
    assert seen == [(6, 6)]
    assert made.summary["operators"] == ["mean", "drop"]
    assert made.summary["methods"] == ["random", "attnlrp", "gradient"]
    assert made.summary["reference"] == "attnlrp"
    rows = made.tables["per_sample"].to_pylist()
    assert len(rows) == 6 * (5 + 2) * 2
    # the folders' names are the model's classes, however they are written
    assert {row["label"] for row in rows} == set(tiny.NAMES)
    assert made.summary["predictions"]["labelled"] == 6
    names = sorted(p.name for p in (tmp_path / "out").glob("*.*"))
    assert names == [
        "curves.parquet", "per_sample.parquet", "relevance.parquet", "report.html", "run.json",
        "samples.parquet", "summary.json", "table.tex",
    ]  # fmt: skip
    assert load_report(tmp_path / "out").summary == made.summary
    assert made.summary["table"][0]["megabytes"] is not None


def test_the_numbers_are_those_of_single_steps(bert_folder: Path) -> None:
    """A sample's curve, with the words taken out by hand and nothing batched."""
    made = lxt.evaluate(bert_folder, TEXTS, methods=["attnlrp"], operators=["zero"])
    task: Any = task_of(bert_folder, "text")
    for i, text in enumerate(TEXTS):
        batch = task.prepare([Row("x", text)])
        values = torch.tensor(made.tables["relevance"].to_pylist()[i]["values"])
        order = values.argsort(descending=True).tolist()
        ids = batch.inputs["input_ids"]
        embed = task.model.get_input_embeddings()(ids)
        areas = []
        for ranked in (order, order[::-1]):
            curve = []
            for k in range(len(ranked) + 1):
                gone = torch.isin(batch.member, torch.tensor(ranked[:k], dtype=torch.long))
                rest = {n: v for n, v in batch.inputs.items() if n != "input_ids"}
                with torch.no_grad():
                    logits = task.model(inputs_embeds=embed * ~gone[..., None], **rest).logits
                curve.append(float(logits[0, batch.targets[0]]))
            areas.append(np.trapezoid(curve, dx=1 / len(ranked)))
        row = made.tables["per_sample"].to_pylist()[i]
        assert row["srg"] == pytest.approx(areas[1] - areas[0], abs=1e-4)


def test_bad_images_are_listed_and_skipped(vit_folder: Path, tmp_path: Path) -> None:
    folder = tiny.pictures(tmp_path / "pictures")
    (folder / "cat" / "00empty.png").write_bytes(b"")
    (folder / "cat" / "99cut.png").write_bytes((folder / "cat" / "00.png").read_bytes()[:200])
    (folder / "cat" / "notes.txt").write_text("no image")
    made = lxt.evaluate(vit_folder, folder, **QUICK)
    assert [row["sample"] for row in made.skipped] == ["cat/00empty.png", "cat/99cut.png"]
    assert "empty file" in made.skipped[0]["reason"]
    assert made.summary["predictions"]["samples"] == 6
    assert "cat/99cut.png" in made.to_html()
    assert "2 samples skipped" in str(made)
    # the good ones are as if the bad ones had never been
    for path in ("00empty.png", "99cut.png"):
        (folder / "cat" / path).unlink()
    again = lxt.evaluate(vit_folder, folder, **QUICK)
    for one, other in zip(timeless(made)["per_sample"], timeless(again)["per_sample"], strict=True):
        assert one["sample"] == other["sample"]
        assert one["srg"] == pytest.approx(other["srg"], abs=1e-4)


def test_nothing_to_evaluate(vit_folder: Path, bert_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no images in .*nothing; images end in"):
        lxt.evaluate(vit_folder, tmp_path / "empty")
    (tmp_path / "empty" / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"could be evaluated; the first of 1: a\.png: .*empty"):
        lxt.evaluate(vit_folder, tmp_path / "empty", **QUICK)
    with pytest.raises(InputError, match="unknown method 'lrp'"):
        lxt.evaluate(bert_folder, TEXTS, methods=["lrp"])
    with pytest.raises(InputError, match="no removal operator 'blur'"):
        lxt.evaluate(bert_folder, TEXTS, operators="blur")
    with pytest.raises(TargetError, match="wonderful"):
        lxt.evaluate(bert_folder, TEXTS, target="wonderful")
    with pytest.raises(InputError, match="reference 'cp_lrp' is none"):
        lxt.evaluate(bert_folder, TEXTS, reference="cp_lrp", **QUICK)


def test_an_interrupted_run_goes_on(
    bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    real, seen, most = chunks.evaluate_chunk, [], [4]

    def counted(plan: Any, samples: Any) -> Any:
        if len(seen) == most[0]:
            raise KeyboardInterrupt
        seen.extend(sample.content for _, sample in samples)
        return real(plan, samples)

    monkeypatch.setattr(module, "evaluate_chunk", counted)
    with pytest.raises(KeyboardInterrupt):
        lxt.evaluate(bert_folder, TEXTS, out=tmp_path / "out", **QUICK)
    assert seen == TEXTS[:4]
    seen.clear()
    most[0] = -1
    made = lxt.evaluate(bert_folder, TEXTS, out=tmp_path / "out", **QUICK)
    assert seen == TEXTS[4:]
    whole = lxt.evaluate(bert_folder, TEXTS, **QUICK)
    assert timeless(made) == timeless(whole)
    seen.clear()
    lxt.evaluate(bert_folder, TEXTS, out=tmp_path / "out", **QUICK)
    assert seen == []
    for change in ({"steps": 3}, {"seed": 1}, {"methods": ["random"]}):
        with pytest.raises(InputError, match="other settings"):
            lxt.evaluate(bert_folder, TEXTS, out=tmp_path / "out", **{**QUICK, **change})
    with pytest.raises(InputError, match=r"other settings \(data\)"):
        lxt.evaluate(bert_folder, [*TEXTS, "more"], out=tmp_path / "out", **QUICK)


def test_a_method_of_ones_own_and_one_that_fails(bert_folder: Path) -> None:
    def lengths(task: Any, batch: Any) -> list[torch.Tensor]:
        return [torch.tensor([float(len(w.text)) for w in words]) for _, words in batch.details]

    def moody(task: Any, batch: Any) -> list[torch.Tensor]:
        if any(row.content == "bad" for row in batch.rows):
            raise RuntimeError("I do not like it")
        return lengths(task, batch)

    def short(task: Any, batch: Any) -> list[torch.Tensor]:
        return [torch.zeros(1) for _ in range(len(batch))]

    def divided(task: Any, batch: Any) -> list[torch.Tensor]:
        parts = [1 / (row.content == "bad") for row in batch.rows]
        return [s * p for s, p in zip(lengths(task, batch), parts, strict=True)]

    def careless(task: Any, batch: Any) -> list[torch.Tensor]:
        assert all(row.content != "bad" for row in batch.rows)
        return [s.tolist() for s in lengths(task, batch)]  # lists are scores, too

    methods = [lengths, moody, ("wrong", short), "centre", ("none", lambda t, b: None)]
    made = lxt.evaluate(bert_folder, TEXTS, methods=[*methods, divided, careless], steps=4)
    known = {row["method"]: row["n"] for row in made.summary["table"]}
    assert known["lengths"] == 6
    assert known["moody"] == 5  # what it can do it does
    left = {row["method"]: row["reason"] for row in made.summary["left_out"]}
    assert "failed on 1 sample, the first: I do not like it" in left["moody"]
    assert "expected 3 scores" in left["wrong"]
    assert "image models only" in left["centre"]
    assert f"failed on {len(TEXTS)} samples, the first: TypeError: 'None" in left["none"]
    assert "failed on 5 samples, the first: ZeroDivisionError: division" in left["divided"]
    assert "failed on 1 sample, the first: AssertionError" in left["careless"]
    assert (known["divided"], known["careless"]) == (1, 5)
    json.dumps(made.summary)


def test_thorough_adds_numbers(bert_folder: Path) -> None:
    wanted = ["attnlrp", "cp_lrp", "rollout"]
    made = lxt.evaluate(bert_folder, TEXTS[:3], methods=wanted, thorough=True, steps=3)
    depends, adds_up = made.summary["extras"]
    assert [row[0] for row in depends["rows"]] == wanted
    assert [row[0] for row in adds_up["rows"]] == wanted[:2]
    for _, outside, unexplained, note in adds_up["rows"]:
        assert outside > 1e-3  # a model with biases
        assert unexplained < 1e-4
        assert note == ""
    assert "Does it add up?" in made.to_html()
    row = made.tables["per_sample"].to_pylist()[0]
    assert -1 <= row["tau_loo"] <= 1
    assert -1 <= row["mu_fidelity"] <= 1


def test_thorough_makes_a_method_anew_whatever_its_name(vit_folder: Path, tmp_path: Path) -> None:
    folder = tiny.pictures(tmp_path, 2)
    rows = []
    for wanted in (["gradcam", "rollout"], [("attnlrp", "gradcam"), ("mine", "rollout")]):
        made = lxt.evaluate(vit_folder, folder, methods=wanted, thorough=True, steps=2)
        rows.append([row[1:] for row in made.summary["extras"][0]["rows"]])
    assert rows[0] == rows[1]
    assert all(row[2] == "" for row in rows[0])


@pytest.mark.parametrize("kind", ["image", "text", "own", "several"])
def test_a_head_without_probabilities_gives_a_report_without_them(
    kind: str, tmp_path: Path
) -> None:
    tokenizer = makers.wordpiece()
    model: Any = {
        "image": lambda: vit(num_labels=1),
        "several": lambda: vit(num_labels=4, problem_type="regression"),
        "text": lambda: TextModel(makers.bert(tokenizer, 1).eval(), tokenizer, "tiny"),
        "own": lambda: torch.nn.Sequential(
            torch.nn.Conv2d(3, 2, 8, 8), torch.nn.Flatten(), torch.nn.Linear(32, 1)
        ).eval(),
    }[kind]()
    task: Any = TextTask(model) if kind == "text" else ImageTask.load(model, PROCESSOR, cell=8)
    data = TEXTS if kind == "text" else [row.content for row in pictures(4)]
    made = lxt.evaluate(task, data, out=tmp_path / "out", methods=["random", "attnlrp"], steps=3)
    assert load_report(tmp_path / "out").summary == made.summary
    for curve in made.summary["curves"]:
        assert curve["morf_probability"] is None and curve["lerf_probability"] is None
        assert np.isfinite(curve["morf_logit"]["mean"]).all()
    assert all(row["mean"] is not None for row in made.summary["table"])
    assert (tmp_path / "out" / "report.html").read_text().count("<svg") >= 2


def test_a_model_that_fails_on_what_is_removed_gives_no_curve(tmp_path: Path) -> None:
    class Broken(torch.nn.Module):
        """NaN for a picture with a flat patch."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3 * 32 * 32, 3)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            flat = pixels[..., :8, :8].std((1, 2, 3)) < 0.3
            out: torch.Tensor = self.linear(pixels.flatten(1))
            return out.masked_fill(flat[:, None], float("nan"))

    made = lxt.evaluate(
        Broken().eval(), [row.content for row in pictures(3)], out=tmp_path / "out", cell=8,
        processor=PROCESSOR, methods=["random"], operators=["zero"],
    )  # fmt: skip
    assert made.summary["curves"][0]["morf_logit"] is None
    assert made.summary["table"][0]["n"] == 0
    assert (tmp_path / "out" / "report.html").exists()


def test_a_target_that_is_no_class_leaves_the_folder_alone(
    bert_folder: Path, tmp_path: Path
) -> None:
    for wrong in ("wonderful", 7, "goood"):
        with pytest.raises(TargetError):
            lxt.evaluate(bert_folder, TEXTS, target=wrong, out=tmp_path / "out", **QUICK)
    assert not (tmp_path / "out").exists()
    made = lxt.evaluate(bert_folder, TEXTS, target=1, out=tmp_path / "out", **QUICK)
    assert len({row["target"] for row in made.tables["per_sample"].to_pylist()}) == 1


def test_a_folder_is_of_one_class_however_it_is_called(tmp_path: Path) -> None:
    tokenizer = makers.wordpiece()
    model = makers.bert(tokenizer, 3, id2label={0: "1", 1: "cat", 2: "0"})

    def target(given: Any, out: str) -> Any:
        made = lxt.evaluate(
            model, TEXTS, processor=tokenizer, target=given, out=tmp_path / out, **QUICK
        )
        return made.summary["settings"]["target"]

    assert target("1", "a") == target(0, "a") == target(np.int64(0), "a") == 0
    with pytest.raises(InputError, match=r"other settings \(target\)"):
        target(1, "a")
    with pytest.raises(InputError, match=r"other settings \(target\)"):
        target(None, "a")
    assert target("cat", "b") == target("CAT", "b") == target(1, "b") == target(-2, "b") == 1
    for each in (["cat", "1"], [1], np.array([0, 1]), torch.tensor([0])):
        with pytest.raises(TargetError, match=r"expected one class for all samples, .* entries"):
            target(each, "c")
    assert not (tmp_path / "c").exists()


def test_an_image_that_the_model_cannot_take_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def unscaled(image: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 7), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    ).eval()  # fmt: skip
    drawn = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    images = [drawn[:32, :32], drawn[:5, :5], drawn[:, :20], drawn[:6, :6]]
    options: dict[str, Any] = {
        "processor": unscaled, "cell": 8, "methods": ["random", "attnlrp"], "steps": 3,
    }  # fmt: skip
    for some in (images, [images[1], images[0], images[3]]):  # of several sizes, and of one
        made = lxt.evaluate(model, some, **options)
        assert [row["index"] for row in made.skipped] == [
            i for i, image in enumerate(some) if len(image) < 7
        ]
        assert all("Kernel size" in row["reason"] for row in made.skipped)
        assert made.summary["predictions"]["samples"] == len(some) - 2
    with pytest.raises(InputError, match=r"could be evaluated; the first of 1: 0: .*Kernel size"):
        lxt.evaluate(model, images[1:2], **options)

    for fault in (torch.OutOfMemoryError("full"), RuntimeError("can't allocate memory: 9 bytes")):

        def full(*_: Any, fault: RuntimeError = fault) -> Any:
            raise fault

        monkeypatch.setattr(ImageTask, "prepare", full)
        with pytest.raises(RuntimeError, match=r"full|allocate"):
            lxt.evaluate(model, images[:1], **options)


def test_labels_of_other_libraries_whole_numbers(bert_folder: Path) -> None:
    def truth(label: Any) -> Any:
        made = lxt.evaluate(bert_folder, [(TEXTS[0], label)], **QUICK)
        return made.tables["per_sample"].to_pylist()[0]["label"]

    assert truth(np.int64(1)) == truth(np.uint8(1)) == truth(1)
    rows = [{"text": TEXTS[0], "label": np.int32(1)}]
    made = lxt.evaluate(bert_folder, rows, **QUICK)
    assert made.tables["per_sample"].to_pylist()[0]["label"] == truth(1)
    for wrong in (True, np.bool_(True), 1.0):
        with pytest.raises(InputError, match="a label's name or index, got"):
            lxt.evaluate(bert_folder, [(TEXTS[0], wrong)], **QUICK)


def test_one_sample_is_one_sample(bert_folder: Path) -> None:
    made = lxt.evaluate(bert_folder, ["", "a good film"], **QUICK)
    said = [str(made), repr(made), made.to_html()]
    assert all("1 sample" in text and "1 samples" not in text for text in said)
    assert "1 sample skipped, the first" in str(made)


def test_texts_without_words_are_skipped(bert_folder: Path) -> None:
    made = lxt.evaluate(bert_folder, ["", "a good film", "  "], **QUICK)
    assert len(made.skipped) == 2
    assert made.summary["predictions"] == {"samples": 1, "labelled": 0, "correct": 0}


def test_labels_that_are_no_classes(bert_folder: Path) -> None:
    made = lxt.evaluate(bert_folder, [(t, "grand") for t in TEXTS], **QUICK)
    said = f"{len(TEXTS)} samples have labels that are no class of the model (grand)"
    assert any(said in note for note in made.summary["data"]["notes"])
    assert f"note: {said}" in str(made)


def test_masks_give_localisation(bert_folder: Path) -> None:
    rows = [
        {"text": "a good film", "mask": [0, 1, 0]},
        {"text": "bad", "mask": [1, 0, 1]},
        {"text": "good good", "mask": None},
    ]
    made = lxt.evaluate(bert_folder, rows, columns=Columns(mask="mask"), **QUICK)
    values = {row["sample"]: row["values"] for row in made.tables["relevance"].to_pylist()
              if row["method"] == "attnlrp"}  # fmt: skip
    found = {row["sample"]: row["pointing_game"] for row in made.tables["per_sample"].to_pylist()
             if row["method"] == "attnlrp"}  # fmt: skip
    assert found == {"0": float(np.argmax(values["0"]) == 1), "2": None}
    assert [row["sample"] for row in made.skipped] == ["1"]
    assert "mask" in made.skipped[0]["reason"]


def lengths(task: Any, batch: Any) -> list[torch.Tensor]:
    return [torch.tensor([float(len(w.text)) for w in words]) for _, words in batch.details]
