"""Generated texts in every format: what is shown, what it says, and what cannot be injected."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from rich.cells import cell_len

import lxt_like as lxt
from lxt_like.errors import InputError, NumericalError
from lxt_like.render import from_json, save, to_html, to_json, to_latex, to_terminal
from lxt_like.render.colors import LIGHT
from lxt_like.render.escape import one_line
from lxt_like.render.figure import figure_bytes
from lxt_like.render.generation_figure import matrix_strips
from lxt_like.render.matrix import matrix_of, token_name

from .checks import SGR, TAGS, assert_harmless
from .generated import generated
from .samples import review

HOSTILE = [
    "</td></table><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202eright-to-left\u2066",
    "&lt;b&gt; &amp;",
    "$x_1$ \\write18{ls}",
]


def small() -> Any:
    return generated(["why", "this"], [" one", "two", "."])


def test_the_matrix() -> None:
    data = small()
    assert data.relevance.tolist() == [
        [1.0, 2.0, 0.0, 0.0, 0.0],
        [-1.0, -2.0, 10.0, 0.0, 0.0],
        [1.0, 2.0, 10.0, 11.0, 0.0],
    ]
    assert data.special.tolist() == [0.5] * 3
    assert (data.relevance.sum(1) + data.special + 0.25).tolist() == data.scores.tolist()
    assert [word.text for word in data.words] == ["why", "this"]
    assert [word.relevance for word in data.words] == [1.0, 2.0]
    shown = matrix_of(data)
    assert (shown.rows, shown.columns) == (("one", "two", "."), ("why", "this", "one", "two"))
    assert shown.values.tolist() == data.relevance[:, :4].tolist()
    assert (shown.words, shown.peak) == (2, 11.0)
    assert shown.strongest(1, 2) == [2, 1]
    assert matrix_of(generated(["a"], ["b"])).columns == ("a",)
    assert matrix_of(generated([], ["b"])).columns == ()


def test_names_of_tokens() -> None:
    assert [token_name(t) for t in (" a", "  ", "", "\n", "a b")] == [
        "a",
        "␣␣",
        "␣",
        "\\x0a",
        "a b",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 100])
@pytest.mark.parametrize("color", [False, True])
def test_terminal(width: int, color: bool) -> None:
    for data in (small(), generated(HOSTILE, HOSTILE), generated([], ["\n"])):
        shown = to_terminal(data, width, color)
        plain = SGR.sub("", shown)
        assert_harmless(plain)
        assert all(cell_len(line) <= width for line in plain.split("\n"))
        if not color:
            assert plain == shown
        assert plain.count("50.0") >= len(data.tokens)


def test_terminal_names_the_strongest_of_each_token() -> None:
    lines = to_terminal(small(), 80, color=False).split("\n")
    assert ' one   +3.75  50.0 %   this +2.0 · why +1.0' in lines  # fmt: skip
    assert ' two   +7.75  50.0 %   "one" +10.0 · this -2.0 · why -1.0' in lines
    assert ' .    +24.75  50.0 %   "two" +11.0 · "one" +10.0 · this +2.0 · why +1.0' in lines
    assert any(line.split()[:2] == ["score", "+36.25"] for line in lines)


class _Reader(HTMLParser):
    """Tags that open and close, and what they say."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.radios: list[dict[str, str | None]] = []
        self.cells: list[str] = []
        self.rest = 0
        self.words: list[str] = []
        self.forms = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag in TAGS | {"form", "input", "label", "thead"}, tag
        assert not any(name.startswith("on") or name in ("src", "href") for name in given)
        classes = (given.get("class") or "").split()
        if tag == "input":
            self.radios.append(given)
        elif tag != "meta":
            self.stack.append(tag)
        if tag == "form":
            self.forms += 1
            assert "action" not in given
        if tag == "td" and "title" in given and "lxt-tokens" not in classes:
            self.cells.append(given["title"] or "")
        if "lxt-unwritten" in classes:
            self.rest += int(given["colspan"] or 0)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


@pytest.mark.parametrize("fragment", [False, True])
@pytest.mark.parametrize("parts", [(["why", "this"], [" one", "two", "."]), (HOSTILE, HOSTILE)])
def test_html(fragment: bool, parts: Any) -> None:
    data = generated(*parts)
    page = to_html(data, fragment=fragment)
    assert_harmless(page.replace("\t", " "))
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert not reader.stack
    assert reader.forms == 1
    count, words = len(data.tokens), len(data.words)
    assert len(reader.radios) == count + 1
    assert [r for r in reader.radios if "checked" in r] == reader.radios[:1]
    assert {(r["type"], r["name"]) for r in reader.radios} == {("radio", "token")}
    assert len(reader.cells) == words * count + count * (count - 1) // 2
    assert reader.rest == count * (count - 1) // 2
    first = one_line(data.words[0].text)
    assert reader.cells[0] == f"{first} +1.0"
    assert reader.cells[words] == f"{first} -1.0"


def test_several_on_one_page_and_with_texts() -> None:
    page = to_html([small(), review(), small()])
    assert page.count("<article") == 3
    assert page.count("<form") == 2


def test_a_matrix_too_large_for_a_page_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lxt_like.render.html_generation.MOST_CELLS", 11)
    page = to_html(small())
    assert "too large for a page" in page
    assert '<table class="lxt-matrix">' not in page
    assert '<table class="lxt-matrix">' in to_html(generated(["a"], ["b", "c"]))


def test_json_round_trip(tmp_path: Path) -> None:
    for data in (small(), generated(HOSTILE, HOSTILE), generated([], ["\ud83d", "\ude3a"])):
        assert from_json(to_json(data)) == data
        assert from_json(to_json([data, small()])) == [data, small()]
        assert_harmless(to_json(data))
    ex = lxt.GenerationExplanation.of(small())
    ex.save(tmp_path / "why.json")
    back = lxt.load(tmp_path / "why.json")
    assert back == ex
    assert isinstance(back, lxt.GenerationExplanation)
    assert isinstance(back.steps[0], lxt.TextExplanation)
    assert json.loads(to_json(ex))["schema"] == "lxt_like/generation-explanation"
    lxt.save([ex, ex], tmp_path / "why.json")
    assert lxt.load(tmp_path / "why.json") == [ex, ex]
    with pytest.raises(InputError, match="explanations of one kind"):
        to_json([ex, review()])


def spoiled(change: Any) -> str:
    document = json.loads(to_json(small()))
    change(document["explanation"])
    return json.dumps(document)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: e["steps"].pop(), "each of the 3 tokens of the output, got 2 steps"),
        (lambda e: e["tokens"].pop(), "got 3 steps and 2 texts"),
        (lambda e: e["steps"].reverse(), "step 0 must read the 0 tokens"),
        (lambda e: e["steps"][2]["tokens"][-1].update(id=9), "step 2 must read the 2 tokens"),
        (lambda e: e["steps"][1]["words"].pop(0), "explanation"),
        (lambda e: e.update(total=e["steps"][0]), "expected a prompt and an output, got 1"),
        (lambda e: e.update(more=1), "unknown field 'more'"),
        (lambda e: e.pop("tokens"), "missing tokens"),
        (lambda e: e["tokens"].__setitem__(0, 3), r"tokens\[0\]: expected a string"),
        (lambda e: e["steps"][0]["target"].update(score="x"), r"steps\[0\]\.target\.score"),
    ],
)
def test_a_spoiled_document_is_refused(change: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        from_json(spoiled(change))


def moved(part: Any, by: float) -> None:
    """Relevance from the first row that is not special to the second, in words and tokens."""
    for rows in (part["words"], [t for t in part["tokens"] if not t["special"]]):
        rows[0]["relevance"] += by
        rows[1]["relevance"] -= by


def scored(part: Any, by: float) -> None:
    part["target"]["score"] += by
    part["account"]["score"] += by
    part["account"]["entries"][0][1] += by


def caused(part: Any) -> None:
    part["account"]["entries"][0][0] = "positions"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: scored(e["total"], 1.0), "the score of the whole is"),
        (lambda e: scored(e["steps"][1], 1.0), "the score of the whole is"),
        (lambda e: moved(e["total"], 1.0), "relevance of 'why' for the whole is 2, but .* 1$"),
        (lambda e: moved(e["steps"][1], 1.0), "relevance of 'why' for the whole is"),
        (lambda e: caused(e["total"]), "'positions' of the whole is"),
        (lambda e: e["total"].update(account=None), "an account of the whole"),
        (lambda e: e["steps"][2].update(account=None), "an account of the whole"),
    ],
)
def test_a_total_that_is_no_sum_is_refused(change: Any, said: str) -> None:
    """Each part fits together by itself; only the parts do not fit each other."""
    with pytest.raises(InputError, match=f"contradicts itself: .*{said}"):
        from_json(spoiled(change))


def test_rounding_does_not_make_another_sum() -> None:
    def rounded(explanation: Any) -> None:
        for word in explanation["total"]["words"]:
            word["relevance"] *= 1 + 1e-6
        explanation["total"]["target"]["score"] *= 1 - 1e-6

    from_json(spoiled(rounded))


def test_another_prompt_in_a_step_is_refused() -> None:
    data = small()
    other = replace(generated(["why", "that"], [" one"]).steps[0])
    with pytest.raises(InputError, match="step 0 has another prompt"):
        to_json(replace(data, steps=(other, *data.steps[1:])))


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_figures(suffix: str) -> None:
    for data in (small(), generated(HOSTILE, HOSTILE), generated([], ["b"])):
        made = figure_bytes(data, suffix)
        assert made == figure_bytes(data, suffix)
        assert len(made) > 1000


def test_the_figure_shows_the_matrix() -> None:
    data = small()
    [strip] = [strip for strip in matrix_strips(data, 400) if strip.rasters]
    [raster] = strip.rasters
    assert raster.pixels.shape == (3, 4, 3)
    for row, values in enumerate(matrix_of(data).values):
        for column, value in enumerate(values):
            wanted = np.round(np.array(LIGHT(value / 11)) * 255)
            written = column < 2 + row
            assert (np.abs(raster.pixels[row, column] - wanted).max() <= 1) == written
    upright = [label.text for label in strip.labels if label.upwards]
    assert upright == ["why", "this", "one", "two"]
    assert [label.text for label in strip.labels if not label.upwards] == ["one", "two", "."]


def test_a_figure_is_as_wide_as_its_matrix() -> None:
    wide = generated([f"word{i}" for i in range(60)], [f" token{i}" for i in range(60)])
    pixels = imread(io.BytesIO(figure_bytes(wide, ".png", dpi=72)))
    assert 119 * 12 < pixels.shape[1] < 119 * 12 + 140
    assert figure_bytes(wide, ".pdf").startswith(b"%PDF")
    narrow = imread(io.BytesIO(figure_bytes(wide, ".png", dpi=72, width=7.0)))
    assert narrow.shape[1] == 504
    strips = list(matrix_strips(wide, 464))
    assert any("left out" in label.text for strip in strips for label in strip.labels)
    long = imread(io.BytesIO(figure_bytes(generated(["w"] * 900, ["t"] * 3), ".png", dpi=72)))
    assert long.shape[1] <= 40 * 72


def test_what_cannot_be_shown(tmp_path: Path) -> None:
    data = generated(["a", "b"], ["c", "d"], broken=float("nan"))
    for render in (to_terminal, to_html, to_json):
        with pytest.raises(NumericalError):
            render(data)
    with pytest.raises(NumericalError):
        figure_bytes(data, ".png")
    with pytest.raises(InputError, match="LaTeX shows explanations of texts only"):
        to_latex(small())
    with pytest.raises(InputError, match=re.escape("use one of .html, .png, .pdf, .svg, .json")):
        save(small(), tmp_path / "why.tex")
