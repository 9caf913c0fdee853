"""The front door: complete, cheap to open, and the same whatever was imported before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import lxt_like
from lxt_like import _front


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_public_name_is_there():
    assert lxt_like.__all__ == _front.__all__
    assert set(lxt_like.__all__) <= set(dir(lxt_like))
    for name in lxt_like.__all__:
        assert getattr(lxt_like, name) is getattr(_front, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'lxt_like' has no attribute 'explane'"):
        _ = lxt_like.explane


def test_importing_the_package_alone_imports_no_torch():
    assert run("import sys, lxt_like; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize(
    "first",
    [
        "import lxt_like.explain.words, lxt_like.patch.install",
        "from lxt_like.patch import patch; from lxt_like.explain import explain",
        "from lxt_like import explain, patch",
        "from lxt_like import *",
    ],
)
def test_the_functions_hide_the_modules_of_their_name(first):
    code = f"{first}\nimport lxt_like as lxt\nprint(lxt.explain.__name__, lxt.patch.__name__)"
    assert run(code + "\nprint(type(lxt.explain).__name__)").split() == [
        "explain",
        "patch",
        "function",
    ]
