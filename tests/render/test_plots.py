"""Charts: what is drawn is what was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import InputError, NumericalError
from lxt_like.render import bars, trace_figure

ODD = ["$x^2$", "a\nb", "é😀", "<b>&", "_" * 80, "\x1b[31m"]


def texts(figure: Any) -> list[str]:
    return [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]


def test_bars_add_up(tmp_path: Path) -> None:
    names = [f"feature {i}" for i in range(20)]
    values = [(-1) ** i * (20 - i) / 10 for i in range(20)]
    made = bars(
        names, values, tmp_path / "b.png", kept={"bias": 0.5}, score=sum(values) + 0.5, top=6,
        shown={"feature 0": 43},
    )  # fmt: skip
    figure = made.draw()
    axes = figure.axes[0]
    widths = [p.get_width() for p in axes.patches]
    assert len(widths) == 8
    assert sum(widths) == pytest.approx(sum(values) + 0.5)
    labels = [t.get_text() for t in axes.get_yticklabels()]
    assert labels[0] == "feature 0 = 43"
    assert labels[6:] == ["14 more features", "bias"]
    assert axes.get_xlabel() == f"sum of the bars {sum(widths):+.5g}   score {sum(widths):+.5g}"
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")


def test_trace_marks_turns(tmp_path: Path) -> None:
    layers = ["input", "conv", "head"]
    made = trace_figure(
        layers,
        {"3": [1.0, -2.0, 4.0], "8": [1.0, 1.0, 1.0]},
        positive=[2, 2, 4],
        negative=[-1, -4, 0],
    )
    axes = made.draw().axes[0]
    turned = [line.get_xdata()[0] for line in axes.lines if line.get_fillstyle() == "none"]
    assert turned == [1, 2]
    assert [p.get_height() for p in axes.patches] == [2, 2, 4, -1, -4, 0]
    for suffix in (".png", ".pdf", ".svg"):
        made.save(tmp_path / f"t{suffix}")
        assert made.content(suffix) == made.content(suffix)


def test_a_trace_draws_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    x = torch.randn(3, 4)
    one = lxt.trace(model, x[:1], 1)
    axes = trace_figure(one, path=tmp_path / "t.svg").draw().axes[0]
    assert (tmp_path / "t.svg").exists()
    assert [t.get_text() for t in axes.get_xticklabels()] == [row.layer for row in one.rows]
    heights = [row.positive[0] for row in one.rows] + [row.negative[0] for row in one.rows]
    assert [p.get_height() for p in axes.patches] == heights
    three = lxt.trace(model, x, [1, 0, 1])
    axes = trace_figure(three, title="three").draw().axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    for i, label in enumerate(["1 (0)", "0", "1 (2)"]):
        assert lines[label] == [row.net[i] for row in three.rows]
    for call, said in (
        (lambda: trace_figure(one, "t.png"), "give only path= and title="),
        (lambda: trace_figure(["a"]), "expected what lxt.trace returns, .* got NoneType"),
    ):
        with pytest.raises(InputError, match=said):
            call()


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_odd_names(suffix: str) -> None:
    values = [float(i) for i in range(len(ODD))]
    assert bars(ODD, values, title="$\\frac{", kept={"$b$": 1.0}).content(suffix)
    assert trace_figure(ODD, {"$s$": values}, title="$").content(suffix)
    shown = texts(bars(ODD, values).draw())
    assert not any("\n" in t or "\x1b" in t for t in shown)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bars(["a"], [1.0, 2.0]), InputError, "1 names for 2 values"),
        (lambda: bars([], []), InputError, "0 names"),
        (lambda: bars(["a"], [float("nan")]), NumericalError, "NaN"),
        (lambda: bars(["a"], [1.0], kept={"b": float("inf")}), NumericalError, "NaN or infinity"),
        (lambda: bars(["a"], [1.0], top=0), InputError, "top"),
        (lambda: bars(torch.randn(1), ["a"]), InputError, "no numbers .*'a'.* names first"),
        (lambda: bars(["a"], [[1.0, 2.0]]), InputError, "no numbers"),
        (lambda: trace_figure(["a"], {"s": [1, 2]}), InputError, "2 values for 1 layers"),
        (lambda: trace_figure(["a"], {}), InputError, "at least one"),
        (lambda: trace_figure(["a"], {"s": [float("nan")]}), NumericalError, "NaN"),
    ],
)
def test_refusals(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
