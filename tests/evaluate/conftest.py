from __future__ import annotations

from pathlib import Path

import pytest

from . import tiny


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny vision transformer."""
    return tiny.vit(tmp_path_factory.mktemp("vit"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny text classifier."""
    return tiny.bert(tmp_path_factory.mktemp("bert"))
