"""The front door: the public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import lxt_like


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
    for first in ("lxt_like.explain.words", "lxt_like.patch.install", "lxt_like.cli"):
        code = (
            f"import {first}, lxt_like; print(callable(lxt_like.explain), callable(lxt_like.patch))"
        )
        assert run(code) == "True True"


def test_importing_is_cheap() -> None:
    """Nothing that only some uses need: no transformers, no plotting, no tables."""
    heavy = ("transformers", "matplotlib", "rich", "jinja2", "datasets", "pandas", "typer")
    code = f"import sys, lxt_like; print([m for m in {heavy!r} if m in sys.modules])"
    assert run(code) == "[]"
