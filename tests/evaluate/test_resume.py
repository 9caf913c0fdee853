"""A folder is gone on with for the same samples and the same functions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lxt_like as lxt
from lxt_like.errors import InputError

from .test_run import QUICK, TEXTS, timeless


def test_a_stream_that_changed_is_not_gone_on_with(bert_folder: Path, tmp_path: Path) -> None:
    import datasets

    texts = [f"{text} {i}" for i in range(4) for text in TEXTS]

    def run(changed: list[str], out: str, **options: Any) -> lxt.Report:
        data = datasets.Dataset.from_dict({"text": changed}).to_iterable_dataset()
        return lxt.evaluate(bert_folder, data, out=tmp_path / out, **QUICK, **options)

    first = run(texts, "a")
    assert timeless(first) == timeless(run(texts, "a"))
    for other in (["other", *texts[1:]], texts[:-1], texts[:16], [*texts, "more"]):
        with pytest.raises(InputError, match=r"other samples \(data\)"):
            run(other, "a")
    # what was left out is computed from the samples that are there now
    run(texts, "b", samples=20)
    with pytest.raises(InputError, match=r"other settings \(data\)"):
        run(texts, "b", samples=21)
