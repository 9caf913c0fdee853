"""The registry refuses what is twice or nothing, and knows a function by all its names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lxt_like.errors import RegistryError
from lxt_like.intercept.registry import (
    ENTRIES,
    Entry,
    Func,
    functions,
    handles,
    in_place,
    name_of,
    positional,
    register,
    register_properties,
)
from lxt_like.rules import KINDS


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    entries = dict(ENTRIES)
    yield
    assert entries.items() <= ENTRIES.items()  # a refused registration changes nothing
    ENTRIES.clear(), ENTRIES.update(entries)


def writes() -> dict[Func, Func]:
    return {f: e.in_place_of for f, e in ENTRIES.items() if e.in_place_of is not None}


def test_all_names_of_a_function() -> None:
    found = functions("softmax")
    assert {torch.softmax, torch.Tensor.softmax, F.softmax, torch.special.softmax} <= set(found)
    assert functions("no_such_function") == []
    assert functions("Tensor") == []  # a class is no function


def test_duplicates_are_refused() -> None:
    with pytest.raises(RegistryError, match="'softmax' already has the entry 'softmax'"):
        register("activation", ["softmax"])
    with pytest.raises(RegistryError, match="already has the entry"):
        in_place("mul", "mul_")
    with pytest.raises(RegistryError, match="'mT' already has an entry"):
        register_properties("move", ["mT"])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(RegistryError, match="have no function 'no_such_function'"):
        register("linear", ["no_such_function"])


def test_a_handler_is_found_under_every_name() -> None:
    @handles("linear", "trace")
    def handler(*args: object) -> None: ...

    assert ENTRIES[torch.trace] == ENTRIES[torch.Tensor.trace] == Entry("trace", "linear", handler)


def test_entries_have_known_kinds() -> None:
    inner = {"move", "cast", "sum", "scale", "power", "quotient", "matmul", "composite", "dropout"}
    inner |= {"in-place", "look-up", "leaf"}
    assert {e.kind for e in ENTRIES.values()} <= {*KINDS, *inner}
    assert all(callable(f) for f in ENTRIES)
    assert all(plain in ENTRIES for plain in writes().values())


# what an in-place function is given here besides its tensor
MORE: dict[str, tuple[Any, ...]] = {"threshold_": (1.0, 0.5)}
MORE |= {"pow_": (3,), "__ipow__": (3,), "clamp_": (1.0,), "clip_": (1.0,)}
MORE |= {"lerp_": (torch.tensor([2.0, -1.0]), 0.3)}
MORE |= dict.fromkeys(("clamp_min_", "clamp_max_"), (1.0,))
SQUARE, CUBE = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.arange(8.0).view(2, 2, 2)
MORE |= {"addmv_": (SQUARE, SQUARE[0]), "addmm_": (SQUARE, SQUARE), "addbmm_": (CUBE, CUBE)}
MORE |= {"baddbmm_": (CUBE, CUBE), "float_power_": (3,)}
MORE |= dict.fromkeys(("addcmul_", "addcdiv_"), (SQUARE[0], SQUARE[1]))
TWO = torch.tensor([1, 0])
MORE |= {
    "scatter_reduce_": (0, TWO, SQUARE[0], "sum"),
    "index_reduce_": (0, TWO, SQUARE[0], "amax"),
}
INTO = {"addmm_": SQUARE, "addbmm_": SQUARE, "baddbmm_": CUBE, "float_power_": SQUARE.double()}


def test_no_in_place_function_computes_another() -> None:
    for f, plain in writes().items():
        x = INTO.get(f.__name__, torch.tensor([0.5, 2.0]))
        binary = ENTRIES[plain].kind in ("product", "quotient")
        more = MORE.get(f.__name__, (x.clone(),) if binary else ())
        assert torch.equal(f(x.clone(), *more), plain(x, *more)), f


def test_names() -> None:
    assert name_of(torch.matmul) == "matmul"
    assert name_of(torch.Tensor.mT.__get__) == "mT"
    assert name_of(torch.atan) == "torch.atan"
    assert name_of(torch.Tensor.__array__) == "torch.Tensor.__array__"


x, y, z = (torch.zeros(1) for _ in range(3))


@pytest.mark.parametrize(
    ("func", "args", "kwargs", "moved", "left"),
    [
        (torch.mul, (x,), {"other": y}, (x, y), {}),
        (torch.mul, (), {"other": y, "input": x}, (x, y), {}),
        (torch.Tensor.mul, (x,), {"other": y}, (x, y), {}),
        (torch.mm, (x,), {"mat2": y}, (x, y), {}),
        (torch.addmm, (x,), {"mat2": z, "mat1": y, "beta": 2}, (x, y, z), {"beta": 2}),
        (torch.addmm, (), {"input": x, "mat1": y, "mat2": z}, (x, y, z), {}),
        (torch.where, (x,), {"other": z, "input": y}, (x, y, z), {}),
        (torch.pow, (), {"input": x, "exponent": 2}, (x, 2), {}),
        (F.softmax, (), {"input": x, "dim": -1}, (x,), {"dim": -1}),
        (F.softmax, (x,), {"dim": -1}, (x,), {"dim": -1}),
        (torch.einsum, ("a,b", x, y), {}, ("a,b", x, y), {}),
        (torch.atan, (), {"input": x}, (), {"input": x}),  # not ours: as it came
    ],
)
def test_operands_by_name(
    func: object, args: object, kwargs: dict[str, object], moved: tuple[object, ...], left: object
) -> None:
    got, rest = positional(func, args, kwargs)
    assert len(got) == len(moved)
    assert all(a is b or a == b for a, b in zip(got, moved, strict=True))
    assert rest == left
