"""The alarm of conftest.py: what transformers or torch will remove fails the tests today."""

from __future__ import annotations

import warnings

import pytest
from transformers.utils import logging


def test_logged_deprecations_fail() -> None:
    logger = logging.get_logger("transformers.models.bert.modeling_bert")
    with pytest.raises(FutureWarning, match="`head_mask` is deprecated"):
        logger.warning_once("`head_mask` is deprecated and will be removed in v6")
    logger.info("`head_mask` is deprecated")  # not shown to users either


def test_warned_deprecations_fail() -> None:
    with pytest.raises(FutureWarning):
        warnings.warn("`x` will be removed", FutureWarning, stacklevel=1)
