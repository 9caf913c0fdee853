"""One tree of errors: everything can be caught as LxtError, and where it is natural as builtin."""

from __future__ import annotations

import inspect

import pytest

from lxt_like import errors

TREE = [c for _, c in inspect.getmembers(errors, inspect.isclass)]
ERRORS = [c for c in TREE if not issubclass(c, Warning)]


@pytest.mark.parametrize("cls", ERRORS, ids=lambda c: c.__name__)
def test_tree(cls: type[Exception]) -> None:
    assert issubclass(cls, errors.LxtError)
    assert cls.__doc__
    assert str(cls("what to do")) == "what to do"


def test_natural_bases() -> None:
    assert issubclass(errors.InputError, ValueError)
    assert issubclass(errors.TargetError, errors.InputError)
    assert issubclass(errors.NumericalError, ArithmeticError)
    assert issubclass(errors.PatchError, RuntimeError)
    assert {c for c in TREE if issubclass(c, Warning)} == {
        errors.UnruledWarning,
        errors.SkippedWarning,
        errors.UnexplainedWarning,
        errors.UnreachedWarning,
        errors.BoundsWarning,
        errors.TruncationWarning,
    }
