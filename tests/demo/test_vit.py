"""The bundled vision transformer and the picture that ships with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lxt_like as lxt
import lxt_like.demo
from lxt_like import demo
from lxt_like.errors import ModelError


@pytest.fixture
def folder() -> Path:
    return demo.vit()


def test_it_sees_the_ship(folder: Path) -> None:
    ex = lxt.explain(folder, demo.photo())
    assert ex.target.label == "ship" and ex.target.probability > 0.6
    assert ex.grid == (8, 8) and ex.cell == (4, 4)
    assert {"cls", "position", "bias", "softmax"} == set(ex.account.entries)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert size <= 8_000_000


def test_the_picture_is_what_its_script_draws() -> None:
    import runpy

    script = Path(__file__).resolve().parents[2] / "scripts" / "draw_photo.py"
    drawn = np.asarray(runpy.run_path(str(script))["draw"]()).astype(int)
    with Image.open(demo.photo()) as shipped:
        assert np.abs(np.asarray(shipped) - drawn).mean() < 1


def test_a_missing_file_is_a_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(lxt_like.demo, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ModelError, match=r"preprocessor_config\.json.*scripts/train_vit\.py"):
        demo.vit()
