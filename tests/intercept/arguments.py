"""Arguments for torch's functions, made from the names of their parameters.

Some fit and some do not: whoever uses them tries them out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any

import torch
from torch import Tensor

SHAPES = ((4, 4), (4,), (2, 4, 4), (2, 4, 4, 4), (2, 3, 4, 4, 4))

Make = Callable[..., Tensor]


def unit(*shape: int, seed: int = 0) -> Tensor:
    """Numbers between 0.1 and 0.9, where logarithms and inverse functions are defined."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1


def signed(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class World:
    """Tensors of one shape and what fits them."""

    def __init__(self, shape: tuple[int, ...], make: Make) -> None:
        self.shape, self.make = shape, make

    def tensor(self, i: int) -> Tensor:
        return self.make(*self.shape, seed=i)

    def values(self, name: str, i: int) -> list[Any]:
        """What a parameter of this name, the i-th, may be given."""
        shape, make = self.shape, self.make
        known = NUMBERS.get(name)
        if known is not None:
            return known
        count = torch.Size(shape).numel()
        rows = count // shape[-1]
        channels = shape[1] if len(shape) > 1 else shape[0]
        places = torch.arange(count).reshape(shape) % min(shape)
        each = torch.stack([torch.randperm(shape[-1]) for _ in range(rows)]).reshape(shape)
        made: dict[str, list[Any]] = {
            "size": [(2, 2), 4, shape, (6, 6)],
            "shape": [shape, (-1,)],
            "index": [torch.tensor([1, 0]), places, 0],
            "indices": [torch.tensor([1, 0]), each, (torch.tensor([1, 0]),)],
            "mask": [torch.arange(count).reshape(shape) % 3 == 0],
            "condition": [torch.arange(count).reshape(shape) % 3 == 0],
            "split_sizes": [[1, shape[-1] - 1]],
            "repeats": [2, (2,) * len(shape)],
            "normalized_shape": [shape[-1:]],
            "dims": [(0, 1), (0,), tuple(range(len(shape)))[::-1]],
            "source": [0, self.tensor(i), self.make(2, *shape[1:], seed=i)],
            "value": [0.3, self.tensor(i)],
            "other": [self.tensor(i), 0.7],
            "target": [self.tensor(i), torch.arange(shape[0]) % shape[-1]],
            "weight": [
                self.tensor(i),
                0.3,
                make(3, shape[-1], seed=i),
                make(3, channels, *([2] * (len(shape) - 2)), seed=i),
                make(shape[-1], seed=i),
            ],
            "tensors": [[self.tensor(i), self.tensor(i + 1)]],
            "operands": [[self.tensor(i), self.tensor(i + 1)]],
            "tuple": [[self.tensor(i), self.tensor(i + 1)]],
            "batch1": [make(2, *shape[-2:], seed=i)],
            "batch2": [make(2, *shape[-2:], seed=i)],
            "running_mean": [make(channels, seed=i), None],
            "running_var": [unit(channels, seed=i), None],
        }
        return made.get(name, [self.tensor(i)])


_HALF = torch.tensor([0.4], dtype=torch.float64)
_SAME: list[tuple[Any, str]] = [
    (
        2,
        "k n chunks chunk split_size sections kernel_size split_size_or_sections "
        "indices_or_sections block_size upscale_factor downscale_factor scale_factor "
        "length ord",
    ),
    (1, "step shifts destination dim1 axis1 margin decimals"),
    (
        0,
        "start dim0 axis0 diagonal offset storage_offset dimension interpolation_mode "
        "padding_mode start_dim",
    ),
    (True, "keepdim sorted largest upper left use_input_stats stable center"),
    (
        False,
        "training train descending align_corners swap wrap accumulate unbiased "
        "cudnn_enabled normalized",
    ),
    (None, "window onesided weights"),
]
NUMBERS: dict[str, list[Any]] = {
    **{name: [value] for value, names in _SAME for name in names.split()},
    "axis": [-1],
    "dim": [-1, 0],
    "output_size": [2, (2, 2), (2, 2, 2)],
    "pad": [(1, 1)],
    "reps": [(2,)],
    "min": [0.2],
    "max": [0.7],
    "lower": [0.1],
    "upper_": [0.3],
    "threshold": [0.3],
    "exponent": [2.0, 3],
    "p": [2.0, 0.0],
    "q": [0.4, _HALF],
    "groups": [1, 2],
    "num_groups": [2, 1],
    "eps": [1e-5],
    "momentum": [0.1],
    "dtype": [torch.float64, torch.float32],
    "equation": ["ij,jk->ik"],
    "alpha": [0.7],
    "beta": [0.7],
    "fill_value": [0.4],
    "maxnorm": [1.0],
    "stride": [1, (1, 1)],
    "padding": [0, (0, 0)],
    "dilation": [1, (1, 1)],
    "n_fft": [4],
    "mode": ["mean", 0],
    "reduce": ["sum", "amax"],
    "reduction": [1, "mean"],
    "axes": [(0, 1)],
    "end_dim": [-1],
    "unflattened_size": [(2, 2)],
    "memory_format": [torch.contiguous_format],
}
"""What parameters take that are no tensors, by their names."""


def _special(make: Make) -> dict[str, list[list[Any]]]:
    """Calls whose arguments do not have one shape, by the function's last name."""
    square, vector, image = make(4, 4), make(4, seed=1), make(1, 2, 4, 4, seed=2)
    volume, series = make(1, 2, 4, 4, 4), make(1, 2, 5)
    table, ids = make(5, 3, seed=3), torch.tensor([[1, 2], [4, 0]])
    grid, triangle = make(1, 3, 3, 2, seed=4) - 0.5, torch.tril(make(4, 4)) + torch.eye(4)
    column, theta = make(4, 1, seed=5), make(1, 2, 3, seed=5)
    wide, state = make(12, 4, seed=6), make(2, 4, seed=7)
    gates, cell = make(16, 4, seed=8), make(16, 4, seed=9)
    steps, first = make(3, 2, 4), make(1, 2, 4)
    at = torch.tensor([[1, 0, 2, 3]])
    lu, pivots = torch.linalg.lu_factor(triangle)
    ld, places = torch.linalg.ldl_factor(triangle @ triangle.mT)
    scale, shift, running = make(2, seed=1), make(2, seed=2), (make(2), unit(2))
    samples = make(1, 2, 2)
    recurrent = [True, 1, 0.0, False, False, False]
    spectrum = torch.stft(make(8), 4, window=torch.ones(4).double(), return_complex=True)
    made: dict[str, list[Any]] = {
        "addmv": [vector, square, make(4, seed=2)],
        "addr": [square, vector, make(4, seed=2)],
        "mv": [square, vector],
        "affine_grid": [theta, (1, 2, 3, 3)],
        "affine_grid_generator": [theta, (1, 2, 3, 3), False],
        "cholesky": [triangle @ triangle.mT],
        "clamp": [square, 0.2, 0.7],
        "clip": [square, 0.2, 0.7],
        "conv_tbc": [make(4, 2, 3), make(2, 3, 3), make(3, seed=1)],
        "conv_transpose1d": [series, make(2, 3, 2), make(3, seed=1)],
        "conv_transpose2d": [image, make(2, 3, 2, 2), make(3, seed=1)],
        "convolution": [image, make(3, 2, 2, 2), make(3), [1], [0], [1], False, [0], 1],
        "cross": [make(4, 3), make(4, 3, seed=1)],
        "ctc_loss": [make(5, 1, 4), torch.tensor([[1, 2]]), torch.tensor([5]), torch.tensor([2])],
        "diagonal_scatter": [square, vector],
        "fold": [make(1, 8, 4), (3, 3), 2],
        "grid_sample": [image, grid, "bilinear", "zeros", False],
        "grid_sampler": [image, grid, 0, 0, False],
        "grid_sampler_2d": [image, grid, 0, 0, False],
        "grid_sampler_3d": [volume, make(1, 3, 3, 3, 3) - 0.5, 0, 0, False],
        "gru": [steps, first, [wide, wide + 0.1, make(12), make(12)], *recurrent],
        "gru_cell": [state, state + 0.1, wide, wide + 0.1],
        "householder_product": [square, vector],
        "index_reduce": [square, 0, torch.tensor([0, 2]), square[:2], "amax"],
        "interpolate": [image, None, 2.0],
        "istft": [spectrum, 4, None, None, torch.ones(4).double()],
        "ldl_solve": [ld, places, column],
        "logsumexp": [square, -1],
        "lp_pool1d": [series, 2.0, 2],
        "lp_pool2d": [image, 2.0, 2],
        "lp_pool3d": [volume, 2.0, 2],
        "lstm": [steps, [first, first], [gates, cell, make(16), make(16)], *recurrent],
        "lstm_cell": [state, (state + 0.1, state + 0.2), gates, cell],
        "lu_unpack": [lu, pivots],
        "multigammaln": [unit(4) + 2, 2],
        "mvlgamma": [unit(4) + 2, 2],
        "ormqr": [square, vector, square + 0.1],
        "orgqr": [square, vector],
        "permute": [image, (0, 2, 1, 3)],
        "poisson_nll_loss": [square, square + 0.1, True, False, 1e-8, 1],
        "polygamma": [1, unit(4)],
        "repeat": [square, 2, 1],
        "repeat_interleave": [square, 2],
        "rnn_relu": [steps, first, [wide[:4], wide[4:8], make(4), make(4)], *recurrent],
        "rnn_tanh": [steps, first, [wide[:4], wide[4:8], make(4), make(4)], *recurrent],
        "scatter": [square, 0, at, square + 0.2],
        "select_scatter": [square, vector, 0, 1],
        "solve_triangular": [triangle, column],
        "split_with_sizes": [square, [1, 3]],
        "stft": [
            make(8),
            4,
            None,
            None,
            torch.ones(4).double(),
            True,
            "reflect",
            False,
            None,
            True,
        ],
        "constant": [square, 0.3],
        "imag": [torch.view_as_complex(make(4, 2))],
        "tensorinv": [make(4, 4), 1],
        "tensorsolve": [make(2, 3, 6), make(2, 3)],
        "tile": [square, (2, 1)],
        "unflatten": [square, 1, (2, 2)],
        "unsafe_split_with_sizes": [square, [1, 3]],
        "view_as_complex": [make(4, 2)],
        "view_as_complex_copy": [make(4, 2)],
        "view_as_real": [torch.view_as_complex(make(4, 2))],
        "view_as_real_copy": [torch.view_as_complex(make(4, 2))],
        "where": [square > 0.4, square, vector],
        "__getitem__": [square, (slice(None), 1)],
        "__setitem__": [square, (slice(None), 1), vector],
        "multi_head_attention_forward": [
            *(make(3, 1, 4, seed=i) for i in range(3)),
            *(4, 2, make(12, 4), make(12), None, None, False, 0.0, make(4, 4), make(4)),
        ],
    }
    several: dict[str, list[list[Any]]] = {
        "batch_norm": [
            [image, *running, scale, shift],
            [image, scale, shift, *running, False, 0.1, 1e-5, False],
        ],
        "embedding": [[ids, table], [table, ids]],
        "embedding_bag": [[ids, table], [table, ids.flatten(), torch.tensor([0, 2])]],
        "fractional_max_pool2d": [[image, 2, (2, 2), None, False, samples]],
        "fractional_max_pool3d": [[volume, 2, (2, 2, 2), None, False, make(1, 2, 3)]],
        "instance_norm": [
            [image, None, None, scale, shift],
            [image, scale, shift, None, None, True, 0.1, 1e-5, False],
        ],
        "lu_solve": [[lu, pivots, column], [column, lu, pivots]],
        "where": [[square, square > 0.4, vector]],
    }
    return {
        n: [*([made[n]] if n in made else []), *several.get(n, [])] for n in {**made, **several}
    }


def calls(function: Any, stub: Any) -> Iterator[list[Any]]:
    """Arguments for ``function``, whose signature is that of ``stub``."""
    name = getattr(function, "__name__", "")
    name = re.sub("^(linalg|special)_", "", name)
    for make in (unit, signed):
        yield from _special(make).get(name.rstrip("_") if name[:2] != "__" else name, [])
    try:
        parameters = list(inspect.signature(stub).parameters.values())
    except ValueError:
        return
    loose = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    for shape in SHAPES:
        for make in (unit, signed):
            world = World(shape, make)
            choices = [world.values(n, i) for i, n in enumerate(needed)]
            more = [[], [world.tensor(7)], [world.tensor(7), world.tensor(8)]]
            for rest in more[1:] if loose else more[:1]:
                for chosen in islice(product(*choices), 24):
                    yield [*chosen, *rest]
            if loose:
                for chosen in islice(product(*choices), 24):
                    yield [*chosen]
