"""Localisation and plausibility by hand, and average precision against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from lxt_like.errors import InputError
from lxt_like.evaluate import localisation as loc
from lxt_like.evaluate.image import ImageTask
from lxt_like.evaluate.task import Row
from lxt_like.evaluate.text import TextTask

SCORES = np.array([3.0, -2.0, 1.0, 0.0, 2.0])
MASK = np.array([1, 0, 0, 0, 1])


def test_by_hand() -> None:
    assert loc.pointing_game(SCORES, MASK) == 1
    assert loc.mass_accuracy(SCORES, MASK) == pytest.approx(5 / 6)  # negative relevance is no mass
    assert loc.rank_accuracy(SCORES, MASK) == 1
    assert loc.rank_accuracy(SCORES, [0, 1, 1, 0, 1]) == pytest.approx(2 / 3)
    assert loc.token_f1(SCORES, MASK, k=3) == pytest.approx(4 / 5)
    assert loc.iou(SCORES, MASK, k=3) == pytest.approx(2 / 3)


def test_ties_count_as_on_average() -> None:
    flat = np.zeros(4)
    assert loc.rank_accuracy(flat, [1, 0, 0, 0]) == pytest.approx(1 / 4)
    assert loc.pointing_game(flat, [1, 1, 0, 0]) == pytest.approx(1 / 2)
    assert np.isnan(loc.mass_accuracy(flat, [1, 0, 0, 0]))


@pytest.mark.parametrize("seed", range(5))
def test_auprc_agrees_with_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores, mask = draw.normal(size=30).round(seed % 2), draw.random(30) < 0.3
    assert loc.auprc(scores, mask) == pytest.approx(average_precision_score(mask, scores))


def test_empty_and_full_masks_say_nothing() -> None:
    for mask in (np.zeros(5), np.ones(5)):
        assert all(np.isnan(v) for v in loc.agreement(SCORES, mask).values())


def test_a_mask_of_pixels_goes_the_way_of_the_image(image_task: ImageTask) -> None:
    big = np.zeros((64, 96, 3), dtype="uint8")
    mask = np.zeros((64, 96))
    mask[:32, :24] = 1  # the upper left quarter by half: 2 of 4 rows, 1 of 4 columns of patches
    patches = np.arange(16) == 7
    rows = [Row("a", big, mask=mask), Row("b", big, mask=patches), Row("c", big)]
    found = loc.unit_masks(image_task, image_task.prepare(rows))
    assert found[0] is not None and list(np.flatnonzero(found[0])) == [0, 4]
    assert found[1] is not None and list(np.flatnonzero(found[1])) == [7]
    assert found[2] is None
    with pytest.raises(InputError, match="sample 'x'"):
        loc.unit_masks(image_task, image_task.prepare([Row("x", big, mask=np.zeros((5, 9)))]))


def test_rationales_are_words(text_task: TextTask) -> None:
    rows = [Row("a", "a good film", mask=[0, 1, 0]), Row("b", "a good film", mask=[1])]
    rows.append(Row("c", "a good film", mask=[True, False, False]))
    found = [list(m) for m in loc.unit_masks(text_task, text_task.prepare(rows)) if m is not None]
    assert found == [[False, True, False]] * 2 + [[True, False, False]]
    with pytest.raises(InputError, match="3 units"):
        loc.unit_masks(text_task, text_task.prepare([Row("d", "a good film", mask=[7])]))
