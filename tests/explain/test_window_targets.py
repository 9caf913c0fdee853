"""A long text read in windows has one predicted class, however a target says that it is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import lxt_like as lxt
from lxt_like.errors import TargetError
from lxt_like.explain.encode import encode
from lxt_like.explain.windows import windows

from . import makers
from .agreement import same

TEXTS = [
    "a gripping funny film that doesn't let go. dull, overlong and not funny at all",
    "a film",
    "i want my money back! the film, the film",
]
UNSAID: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda c: c,
    "logit": lxt.Logit,
    "log p": lxt.LogProb,
    "log odds": lxt.targets.LogOdds,
    "contrast": lambda c: lxt.Contrast(c, "bad"),
}


@pytest.mark.parametrize("which", UNSAID)
@pytest.mark.parametrize("seed", [10, 21])
def test_windows_share_the_class_of_the_whole_text(wordpiece: Any, which: str, seed: int) -> None:
    """A mean of the windows' logits by hand says which."""
    make = UNSAID[which]
    options: dict[str, Any] = {"window": 16, "stride": 4, "tokenizer": wordpiece}
    model = makers.bert(wordpiece, 3, seed, id2label={0: "bad", 1: "mixed", 2: "good"})
    predicted, several = [], 0
    for text in TEXTS:
        encoding = encode(wordpiece, text)
        parts = [[encoding.ids[i] for i in part] for part in windows(encoding, 16, 4)]
        with torch.no_grad():
            logits = [model(input_ids=torch.tensor([part])).logits[0] for part in parts]
        predicted.append(int(torch.stack(logits).mean(0).argmax()))
        several += len({int(one.argmax()) for one in logits}) > 1
    assert several > 0 not in predicted  # windows that differ, no text that is the foil
    found = lxt.explain(model, TEXTS, target=make(None), **options, batch_size=3)
    for ex, text, c in zip(found, TEXTS, predicted, strict=True):
        same(ex, lxt.explain(model, text, target=make(c), **options))


def test_a_text_that_is_predicted_to_be_the_foil(classifier: Any, wordpiece: Any) -> None:
    options: dict[str, Any] = {"window": 16, "tokenizer": wordpiece}
    predicted = lxt.explain(classifier, TEXTS[0], **options).target.label
    with pytest.raises(TargetError, match=f"two classes, got '{predicted}' as target and as foil"):
        lxt.explain(classifier, TEXTS[0], target=lxt.Contrast(None, predicted), **options)
