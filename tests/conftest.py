"""What holds for all tests."""

import logging
import os
import re
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# one thread: the tensors are tiny, and threads only get in each other's way
torch.set_num_threads(1)

# one machine's luck must not decide: with CI set the same examples are drawn every time
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


_REMOVED = re.compile(r"deprecat|will be removed|no longer supported", re.IGNORECASE)


class _Alarm(logging.Handler):
    """transformers logs most of its deprecations; one that our calls cause fails the test."""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.WARNING and _REMOVED.search(message):
            raise FutureWarning(f"transformers: {message}")


@pytest.fixture(autouse=True, scope="session")
def drift_alarm() -> Iterator[None]:
    """What transformers is about to remove fails the tests today."""
    alarm = _Alarm()
    logging.getLogger("transformers").addHandler(alarm)
    yield
    logging.getLogger("transformers").removeHandler(alarm)


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A test that silences transformers silences no other test's alarm."""
    logger = logging.getLogger("transformers")
    level, muted = logger.level, logger.disabled
    yield
    logger.setLevel(level)
    logger.disabled = muted
