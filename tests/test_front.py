"""The front door: the public names, and what importing them costs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lxt_like
from lxt_like.errors import InputError


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_every_public_name_is_there() -> None:
    assert sorted(set(lxt_like.__all__)) == sorted(lxt_like.__all__)
    for name in lxt_like.__all__:
        assert getattr(lxt_like, name) is not None


def test_the_functions_hide_the_modules_of_their_name() -> None:
    """``lxt.explain`` is the function whichever module was imported first."""
    for first in (
        "lxt_like.explain.words",
        "lxt_like.patch.install",
        "lxt_like.evaluate.run",
        "lxt_like.cli",
    ):
        code = f"""import {first}, lxt_like as lxt
            lxt.Report, lxt.tune, lxt.load_image_model
            import lxt_like.evaluate.tuning, lxt_like.explain.image
            print(*map(callable, (lxt.explain, lxt.patch, lxt.evaluate)))"""
        assert run(code.replace("    ", "")) == "True True True"


def test_importing_is_cheap() -> None:
    """Nothing that only some uses need: no transformers, no plotting, no tables."""
    heavy = ("transformers", "matplotlib", "rich", "jinja2", "datasets", "pandas", "typer")
    code = f"import sys, lxt_like; print([m for m in {heavy!r} if m in sys.modules])"
    assert run(code) == "[]"


def test_what_only_some_uses_need_is_loaded_when_it_is_asked_for() -> None:
    rooms = (
        "lxt_like.render",
        "lxt_like.explain.text",
        "lxt_like.explain.generation",
        "lxt_like.evaluate.run",
    )
    code = f"""import sys, lxt_like as lxt
        print(any(room in sys.modules for room in {rooms!r}))
        print({{*lxt.__all__}} <= {{*dir(lxt)}})
        print(lxt.Report is lxt.Report, "lxt_like.render" in sys.modules)"""
    assert run(code.replace("    ", "")).split() == ["False", "True", "True", "True"]
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        _ = lxt_like.explian  # type: ignore[attr-defined]


def test_importing_takes_a_tenth_of_a_second(tmp_path: Path) -> None:
    """Beside torch, from compiled files; without the garbage that importing torch left."""
    code = """import gc, time, torch
        gc.disable()
        start = time.process_time()
        import lxt_like
        print(time.process_time() - start)"""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    taken = [
        float(
            subprocess.run(
                [sys.executable, "-c", code.replace("    ", "")],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            ).stdout
        )
        for _ in range(4)
    ]
    assert min(taken) < 0.15


@pytest.mark.parametrize("kind", ["array", "objects", "one", "bytes"])
def test_an_array_of_strings_is_texts(kind: str) -> None:
    model, texts = lxt_like.demo.sentiment(), ["A film.", "Bad."]
    if kind == "bytes":
        for given in (b"A film.", [b"A film."], np.array([b"A film."])):
            with pytest.raises(InputError, match="decode it first"):
                lxt_like.explain(model, given, ledger=False)
        return
    given = np.array("A film.") if kind == "one" else np.array(texts)
    if kind == "objects":
        given = np.array(texts, dtype=object)
    found = lxt_like.explain(model, given, ledger=False)
    assert found == lxt_like.explain(model, given.tolist(), ledger=False)
    with pytest.raises(InputError, match="leave missing texts out"):
        lxt_like.explain(model, np.array(["A film.", None], dtype=object))


def test_bytes_and_arrays_of_numbers_are_images(tmp_path: Path) -> None:
    model = lxt_like.demo.vit()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    one = lxt_like.explain(model, pixels, ledger=False)
    paths = np.array([str(tmp_path / "a.png")])
    for same in (file.getvalue(), [file.getvalue()], paths):
        found = lxt_like.explain(model, same, ledger=False)
        found = found[0] if isinstance(found, list) else found
        assert np.array_equal(found.channels, one.channels)
