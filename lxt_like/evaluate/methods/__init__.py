"""Methods to compare: each gives signed scores per unit for every sample of a batch."""

from .registry import DEFAULT, METHODS, make_methods
from .types import Entry, Method

__all__ = ["DEFAULT", "METHODS", "Entry", "Method", "make_methods"]
