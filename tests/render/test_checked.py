from __future__ import annotations

import pytest

from lxt_like.errors import InputError
from lxt_like.render.checked import Node, read_real, read_string, shown


def test_reads_each_type() -> None:
    value = {"s": "a", "parts": ["a", "b"], "r": 1, "w": 2, "f": True, "n": None, "l": ["x"]}
    node = Node(value, "here", tuple(value))
    assert (node.string("s"), node.string("parts"), node.real("r")) == ("a", "ab", 1.0)
    assert (node.whole("w"), node.flag("f"), node.optional("n", node.whole)) == (2, True, None)
    assert node.items("l", read_string) == ["x"]


def test_errors_name_place_and_value() -> None:
    node = Node({"a": "1", "b": 1.0, "c": 1}, "here", ("a", "b", "c"))
    for read, name, message in (
        (node.real, "a", "here.a: expected a number, got str '1'"),
        (node.whole, "b", "here.b: expected a whole number, got float 1.0"),
        (node.flag, "c", "here.c: expected true or false, got int 1"),
        (node.string, "c", "here.c: expected a string, got int 1"),
    ):
        with pytest.raises(InputError) as caught:
            read(name)
        assert str(caught.value) == message
    with pytest.raises(InputError, match="here: unknown field 'b', 'c'"):
        Node({"a": 1, "b": 1, "c": 1}, "here", ("a",))
    with pytest.raises(InputError, match="here: missing z"):
        Node({}, "here", ("z",))
    with pytest.raises(InputError, match="x: expected a number that fits a float"):
        read_real(10**400, "x")


def test_shown_is_short() -> None:
    assert shown(None) == "null"
    assert shown([1, 2]) == "list of length 2"
    assert len(shown("x" * 1000)) < 60
