"""Numbers of things in messages."""

from __future__ import annotations


def counted(count: int, noun: str = "sample") -> str:
    """``1 sample``, ``2 samples``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
