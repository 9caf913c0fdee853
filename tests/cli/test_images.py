"""``lxt-like explain`` with images: which are meant, what is written, and every bad one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import lxt_like as lxt
from lxt_like.cli.images import image_files, wants_images
from tests.explain.image.conftest import folder_of, picture, vit

from .conftest import Run


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(vit(), tmp_path_factory.mktemp("vit"))


@pytest.fixture
def photos(in_folder: Path) -> Path:
    """Two good images and three bad ones, one of them deeper down; a file that is none."""
    folder = in_folder / "photos"
    (folder / "more").mkdir(parents=True)
    picture(seed=0).save(folder / "a.png")
    (folder / "b.jpg").touch()
    Image.new("1", (20_001, 3)).save(folder / "c.png")
    (folder / "d.png").write_text("no image")
    picture(seed=1).convert("CMYK").save(folder / "more" / "e.jpg")
    (folder / "notes.txt").write_text("not meant")
    return folder


def test_one_image(run: Run, model: Path, photos: Path) -> None:
    result = run("explain", photos / "a.png", "--model", model, "--out", "x.png", "-o", "x.json")
    assert result.exit_code == 0, result.output
    assert "a.png · " in result.stdout and "score" in result.stdout and "cls" in result.stdout
    assert "wrote x.png" in result.stderr
    with Image.open("x.png") as made:
        assert made.width > 1000
    assert lxt.load("x.json").grid == (4, 4)  # type: ignore[union-attr]


@pytest.mark.parametrize("view", ["overlay", "side", "patches", "trace", "pair"])
def test_every_view(run: Run, model: Path, photos: Path, view: str) -> None:
    foil = ("--target", "cat", "--foil", "ship") if view == "pair" else ()
    result = run(
        "explain", photos / "a.png", "-m", model, "-q", "-o", "x.html", "--view", view, *foil
    )
    assert result.exit_code == 0, result.output
    page = Path("x.html").read_text()
    pictures = {"overlay": 1, "side": 2, "patches": 1, "trace": 5, "pair": 4}
    assert page.count("data:image/png") == pictures[view]


def test_an_image_without_a_name(refused: Callable[..., str], model: Path) -> None:
    assert "an image or a folder of them, got an empty name" in refused("explain", "", "-m", model)


def test_a_folder_with_bad_images(run: Run, model: Path, photos: Path) -> None:
    result = run("explain", photos, "-m", model, "--json")
    assert result.exit_code == 1
    assert [one["name"] for one in json.loads(result.stdout)["explanations"]] == ["a.png", "e.jpg"]
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    for line, message in zip(
        lines, ("b.jpg' is an empty", "c.png' is too large", "d.png' is no image"), strict=False
    ):
        assert message in line
    assert lines[3] == "3 of 5 images could not be explained"


@pytest.mark.parametrize("size", [1, 4])
def test_batches_with_bad_images(run: Run, model: Path, photos: Path, size: int) -> None:
    result = run("explain", photos, "-m", model, "--no-ledger", "--batch-size", size, "--json")
    assert result.exit_code == 1
    assert len(json.loads(result.stdout)["explanations"]) == 2


def test_mistakes(refused: Callable[..., str], model: Path, photos: Path) -> None:
    good = photos / "a.png"
    (photos / "none").mkdir()
    for arguments, message in (
        ((photos / "b.jpg",), "'b.jpg' is an empty file"),
        (("absent.png",), "no such image file: 'absent.png'"),
        ((photos / "none",), "no images in"),
        ((good, "--target", "horse"), "unknown class 'horse'; the model's classes are 'cat'"),
        ((good, "--target", "7"), "class index 7 is out of range"),
        ((good, "--target", "cat", "--foil", "cat"), "the foil is the target itself"),
        ((good, "--view", "round"), "the views are overlay, side, patches, pair, trace"),
        ((good, "--view", "pair"), "name the other class with --foil"),
        ((good, "--pair", "b"), "--pair: for texts only"),
        ((good, "--out", "x.tex"), "cannot tell the format of 'x.tex'"),
        ((good, "--quiet"), "--quiet prints nothing"),
        ((), "no image to explain"),
    ):
        assert message in refused("explain", *arguments, "-m", model)
    assert "--view: for images only" in refused("explain", "a film", "--view", "side")


def test_what_is_meant(photos: Path, model: Path) -> None:
    assert wants_images(["photo.jpg"], None, False)
    assert wants_images([str(photos)], None, False)
    assert wants_images(["what is this"], str(model), False)
    assert not wants_images(["A film about a photo.jpg"], None, False)
    assert not wants_images([], None, False)
    assert not wants_images(["photo.jpg"], str(lxt.demo.sentiment()), False)
    assert not wants_images(["a" * 5000], None, False)
    names = [Path(line.text).name for line in image_files([str(photos)])]
    assert names == ["a.png", "b.jpg", "c.png", "d.png", "e.jpg"]


@pytest.fixture
def mixed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The photos, a text, and an image whose suffix says nothing, where we are."""
    monkeypatch.chdir(photos)
    Path("a.png").rename("a.heic")
    picture(seed=2).save("good.png")
    return photos


@pytest.mark.parametrize("given", ["a.heic", "./a.heic"])
def test_an_image_whatever_its_suffix(run: Run, mixed: Path, given: str) -> None:
    made = run("explain", given, "good.png", "--json")
    assert made.exit_code == 0, made.output
    assert [e["name"] for e in json.loads(made.stdout)["explanations"]] == ["a.heic", "good.png"]
    assert json.loads(run("audit", given, "--json").stdout)["ok"]


def test_images_and_texts_are_told_apart(
    refused: Callable[..., str], run: Run, mixed: Path
) -> None:
    both = "expected texts or images, got both: 'good.png' is an image, "
    for given in (("good.png", "A text"), ("A text", "good.png"), ("good.png", "A text", "")):
        assert refused("explain", *given) == both + "'A text' is none"
    said = both + "'notes.txt' is a file that cannot be read as one"
    assert refused("explain", "good.png", "notes.txt") == said
    assert "'gone.heic' is none" in refused("explain", "good.png", "gone.heic")
    said = "expected a text, got the name of a file, "
    sentiment = str(lxt.demo.sentiment())
    for command in ("explain", "audit", ("plan", "--text")):
        start = (command,) if isinstance(command, str) else command
        assert said + "'notes.txt'" in refused(*start, "notes.txt")
        assert said + "'good.png'" in refused(*start, "good.png", "--model", sentiment)
    assert said in refused("explain", "A text", "notes.txt")
    assert said in refused("explain", "notes.txt", "--generate", "2", "--model", sentiment)
    assert "no such file: '~no one/x'" in refused("explain", "--file", "~no one/x")
    assert "no such image file: '~no-one/x.png'" in run("explain", "~no-one/x.png").stderr
    Path("Dull").touch()
    assert run("explain", "Dull", "gone.txt", "~2 hours of it", "--json").exit_code == 0


def test_a_folder_is_the_same_images_everywhere(run: Run, model: Path, in_folder: Path) -> None:
    folder = in_folder / "animals"
    (folder / "x.png").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    picture(seed=0).save(folder / "deer.png")
    picture(seed=0).save(folder / ".hidden" / "deer.png")
    (folder / "._deer.png").write_bytes(b"what a Mac leaves behind")
    (folder / "link.png").symlink_to(folder / "nowhere.png")
    result = run("explain", folder, "-m", model, "--json")
    assert [one["name"] for one in json.loads(result.stdout)["explanations"]] == ["deer.png"]
    assert "1 of 2 images could not be explained" in result.stderr
    report = lxt.evaluate(model, folder, methods=["random"], steps=2)
    assert [row["sample"] for row in report.tables["samples"].to_pylist()] == ["deer.png"]
    assert [row["sample"] for row in report.skipped] == ["link.png"]
    (folder / "link.png").unlink()
    assert run("explain", folder, "-m", model, "--json").exit_code == 0
