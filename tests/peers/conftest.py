"""The other library, where it is installed."""

from __future__ import annotations

import pytest

from .zennit_stub import Zennit, available, load


@pytest.fixture(scope="session")
def zennit() -> Zennit:
    """zennit's modules; the tests that ask for them are skipped where it is not installed."""
    if not available():
        pytest.skip("zennit is not installed: pip install --no-deps zennit==0.5.1")
    return load()
