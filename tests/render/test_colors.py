from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lxt_like.errors import NumericalError
from lxt_like.render import colors
from lxt_like.render.colors import ANY, DARK, LIGHT, ColorScale, contrast, ink, normalise

from .samples import plain, review

SCALES = pytest.mark.parametrize("scale", [LIGHT, DARK, ANY], ids=lambda s: s.name)
STEPS = [step / 50 for step in range(-50, 51)]

# Machado, Oliveira, Fernandes 2009: what a dichromat sees, on linear RGB
DEFICIENCIES = {
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216),
               (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413),
               (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602),
               (0.004733, 0.691367, 0.303900)),
}  # fmt: skip


def linear(color: colors.RGB) -> list[float]:
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color]


def seen(color: colors.RGB, deficiency: str) -> colors.RGB:
    """In OKLab, where a distance of 0.02 is just noticeable."""
    rgb = linear(color)
    red, green, blue = (
        colors._gamma(sum(m * c for m, c in zip(row, rgb, strict=True)))
        for row in DEFICIENCIES[deficiency]
    )
    return colors._oklab((red, green, blue))


def test_known_contrasts() -> None:
    """The ratios that WCAG states: black on white 21, #777 on white just below 4.5."""
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21.0)
    assert contrast((0x77 / 255,) * 3, (1, 1, 1)) == pytest.approx(4.48, abs=0.005)


@SCALES
def test_text_is_readable_on_every_color(scale: ColorScale) -> None:
    for value in STEPS:
        assert contrast(ink(scale(value)), scale(value)) >= 4.5


@SCALES
def test_ends_are_the_stated_colors(scale: ColorScale) -> None:
    assert colors.to_hex(scale(1.0)) == scale.positive
    assert colors.to_hex(scale(-1.0)) == scale.negative
    assert colors.to_hex(scale(0.0)) == scale.neutral


@SCALES
def test_stronger_is_farther_from_neutral(scale: ColorScale) -> None:
    neutral = linear(scale(0.0))
    for sign in (1, -1):
        distances = [math.dist(neutral, linear(scale(sign * step / 20))) for step in range(21)]
        assert distances == sorted(distances)
        assert distances[-1] > 0.2


@SCALES
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_signs_differ_for_color_blind_readers(scale: ColorScale, deficiency: str) -> None:
    for value in (0.3, 0.6, 1.0):
        apart = math.dist(seen(scale(value), deficiency), seen(scale(-value), deficiency))
        assert apart > 0.18 * value


def test_any_is_readable_as_text_on_black_and_on_white() -> None:
    for value in (-0.7, 0.7, -1.0, 1.0):
        assert contrast(ANY(value), (1, 1, 1)) >= 4.0
        assert contrast(ANY(value), (0, 0, 0)) >= 3.5


def test_pages_text_is_readable() -> None:
    for card, text in (("#ffffff", "#5b636d"), ("#1b1f24", "#a3abb5"), ("#1b1f24", "#ffb4a8")):
        assert contrast(colors._from_hex(card), colors._from_hex(text)) >= 4.5


def test_values_outside_are_clipped() -> None:
    assert LIGHT(7.0) == LIGHT(1.0)
    assert normalise(-9.0, 3.0) == -1.0
    assert normalise(1.5, 3.0) == 0.5


def test_nothing_relevant() -> None:
    zeros = plain("a b", {"a": 0.0, "b": 0.0})
    assert colors.largest(zeros) == 0.0
    assert normalise(0.0, 0.0) == 0.0


def test_largest_is_of_the_words_not_of_special_tokens() -> None:
    data = review()
    loud = replace(data.tokens[0], relevance=99.0)
    assert colors.largest(replace(data, tokens=(loud, *data.tokens[1:]))) == 1.25
    assert colors.largest(replace(data, words=())) == 1.0
    assert colors.largest(replace(data, words=(), tokens=())) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_relevance_is_refused(bad: float) -> None:
    data = review()
    words = (replace(data.words[0], relevance=bad), *data.words[1:])
    with pytest.raises(NumericalError, match=r"word 0 \('A'\) is .*overflow"):
        colors.largest(replace(data, words=words))
    tokens = (*data.tokens[:-1], replace(data.tokens[-1], relevance=bad))
    with pytest.raises(NumericalError, match=r"token 6 \('\[SEP\]'\)"):
        colors.largest(replace(data, tokens=tokens))
    with pytest.raises(NumericalError):
        LIGHT(bad)
    with pytest.raises(NumericalError):
        normalise(bad, 1.0)
