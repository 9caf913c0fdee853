from __future__ import annotations

import math

from lxt_like.render.drawing import MARGIN, Strip, height, stack


def heights(pages: list[list[Strip]]) -> list[list[float]]:
    return [[strip.height for strip in page] for page in pages]


def test_one_page_without_limit() -> None:
    pages = stack([[Strip(10), Strip(20)], [Strip(30)]], 100, math.inf)
    assert heights(pages) == [[10, 20, 32, 30]]
    assert height(pages[0]) == 92 + 2 * MARGIN


def test_a_card_that_fits_is_not_cut() -> None:
    assert heights(stack([[Strip(60)], [Strip(30), Strip(40)]], 100, 120)) == [[60], [30, 40]]


def test_a_long_card_is_cut_between_strips() -> None:
    assert heights(stack([[Strip(50)] * 5], 100, 120)) == [[50, 50], [50, 50], [50]]


def test_a_strip_higher_than_the_page_stands_alone() -> None:
    assert heights(stack([[Strip(10), Strip(500), Strip(10)]], 100, 120)) == [[10], [500], [10]]
