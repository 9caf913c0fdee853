"""Linear operations as rules need them: forward and transposed, with other weights than their own.

A rule asks for products with parts of the weights (W+, W-, |W|, W^2).  Several parts at once are
stacked along channels, so that they are one call of the kernel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[Tensor, Tensor]


class LinearMap(ABC):
    """The map x, W -> W x of one call, without its bias.

    ``channels``: the dimension of the output along which a bias of shape [out] lies;
    ``batched``: whether its first is that of the samples.
    """

    channels: int = -1
    batched: bool = True

    @abstractmethod
    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """W x."""

    @abstractmethod
    def transposed(self, s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        """W^T s; ``x`` gives the shape of the result, its values are not read."""

    def forward_sum(self, pairs: Sequence[Pair]) -> Tensor:
        """sum of W x over (x, W)."""
        first, *rest = (self.forward(x, w) for x, w in pairs)
        return sum(rest, first)

    def forward_each(self, x: Tensor, ws: Sequence[Tensor]) -> list[Tensor]:
        """[W x for W in ws]."""
        return [self.forward(x, w) for w in ws]

    def forward_grid(self, xs: Sequence[Tensor], rows: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """[sum of W x over (x, W in row) for row in rows]."""
        return [self.forward_sum(list(zip(xs, row, strict=True))) for row in rows]

    def transposed_sum(self, pairs: Sequence[Pair], x: Tensor) -> Tensor:
        """sum of W^T s over (s, W)."""
        first, *rest = (self.transposed(s, w, x) for s, w in pairs)
        return sum(rest, first)

    def transposed_each(self, s: Tensor, ws: Sequence[Tensor], x: Tensor) -> list[Tensor]:
        """[W^T s for W in ws]."""
        return [self.transposed(s, w, x) for w in ws]

    def transposed_grid(
        self, ss: Sequence[Tensor], rows: Sequence[Sequence[Tensor]], x: Tensor
    ) -> list[Tensor]:
        """[sum of W^T s over (s, row) for each column of rows], rows as in ``forward_grid``."""
        return [
            self.transposed_sum([(s, row[i]) for s, row in zip(ss, rows, strict=True)], x)
            for i in range(len(rows[0]))
        ]

    def sample(self, x: Tensor) -> Tensor:
        """One sample of a batch, for what does not depend on the values of ``x``."""
        return x

    def spread_bias(self, bias: Tensor, z: Tensor) -> Tensor:
        """A bias of shape [out], shaped to be added to ``z``; others as they are."""
        if bias.dim() != 1 or z.dim() <= 1:
            return bias
        shape = [1] * z.dim()
        shape[self.channels] = bias.shape[0]
        return bias.reshape(shape)


class Stacked(LinearMap):
    """A map with channels, along which its parts can be stacked: one call for several weights."""

    @abstractmethod
    def scaled(self, w: Tensor, scale: Tensor) -> Tensor:
        """The weight of ``scale`` W, one factor for each output channel."""

    def width(self, z: Tensor) -> int:
        """The number of output channels of ``z``."""
        return z.shape[self.channels]

    @abstractmethod
    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Inputs, or outputs, side by side."""

    @abstractmethod
    def split(self, joined: Tensor, n: int) -> list[Tensor]:
        """The inverse of :meth:`join`."""

    def like(self, x: Tensor, n: int) -> Tensor:
        """A tensor of the shape of ``n`` inputs side by side; its values are not read."""
        if n == 1:
            return x
        shape = list(x.shape)
        shape[self.channels] *= n
        return x.new_empty(shape)

    @abstractmethod
    def join_weights(self, rows: Sequence[Sequence[Tensor]]) -> Tensor:
        """The weight from joined inputs (columns) to joined outputs (rows)."""

    def forward_sum(self, pairs: Sequence[Pair]) -> Tensor:
        xs, ws = zip(*pairs, strict=True)
        return self.forward_grid(xs, [ws])[0]

    def forward_each(self, x: Tensor, ws: Sequence[Tensor]) -> list[Tensor]:
        return self.forward_grid([x], [[w] for w in ws])

    def forward_grid(self, xs: Sequence[Tensor], rows: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        z = self.forward(self.join(xs), self.join_weights(rows))
        return self.split(z, len(rows))

    def transposed_sum(self, pairs: Sequence[Pair], x: Tensor) -> Tensor:
        ss, ws = zip(*pairs, strict=True)
        return self.transposed_grid(ss, [[w] for w in ws], x)[0]

    def transposed_each(self, s: Tensor, ws: Sequence[Tensor], x: Tensor) -> list[Tensor]:
        return self.transposed_grid([s], [ws], x)

    def transposed_grid(
        self, ss: Sequence[Tensor], rows: Sequence[Sequence[Tensor]], x: Tensor
    ) -> list[Tensor]:
        n = len(rows[0])
        joined = self.transposed(self.join(ss), self.join_weights(rows), self.like(x, n))
        return self.split(joined, n)


class Dense(Stacked):
    """``F.linear``: x [..., in], W [out, in]."""

    def __init__(self) -> None:
        self.channels = -1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return F.linear(x, w)

    def transposed(self, s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        return s @ w

    def transposed_grid(
        self, ss: Sequence[Tensor], rows: Sequence[Sequence[Tensor]], x: Tensor
    ) -> list[Tensor]:
        return self.split(self.join(ss) @ self.join_weights(rows), len(rows[0]))

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return parts[0] if len(parts) == 1 else torch.cat(list(parts), -1)

    def sample(self, x: Tensor) -> Tensor:
        return x.reshape(-1, x.shape[-1])[:1]

    def scaled(self, w: Tensor, scale: Tensor) -> Tensor:
        return w * scale[:, None]

    def split(self, joined: Tensor, n: int) -> list[Tensor]:
        return list(joined.chunk(n, -1))

    def join_weights(self, rows: Sequence[Sequence[Tensor]]) -> Tensor:
        wide = [row[0] if len(row) == 1 else torch.cat(list(row), 1) for row in rows]
        return wide[0] if len(wide) == 1 else torch.cat(wide, 0)


class Convolution(Stacked):
    """Convolutions, plain and transposed, 1 to 3 d, grouped, strided, dilated, zero-padded.

    x [batch, in, ...] or [in, ...]; W [out, in / groups, ...], transposed [in, out / groups, ...].
    """

    def __init__(
        self,
        weight: Tensor,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        transposed: bool = False,
        output_padding: Any = 0,
        batched: bool = True,
    ) -> None:
        n = weight.dim() - 2
        self.space, self.groups, self.is_transposed, self.batched = n, groups, transposed, batched
        self.stride, self.dilation = _each(stride, n), _each(dilation, n)
        self.output_padding = _each(output_padding, n)
        self.after = [0] * n  # what 'same' adds behind, where it is odd
        if isinstance(padding, str):
            sides = [d * (k - 1) for d, k in zip(self.dilation, weight.shape[2:], strict=True)]
            total = sides if padding == "same" else [0] * n
            self.padding = [t // 2 for t in total]
            self.after = [t % 2 for t in total]
        else:
            self.padding = _each(padding, n)
        self.channels = 1 if batched else 0

    def sample(self, x: Tensor) -> Tensor:
        return x[:1] if self.batched else x

    def _call(self, x: Tensor, w: Tensor) -> Tensor:
        out: Tensor = torch.convolution(
            x,
            w,
            None,
            self.stride,
            self.padding,
            self.dilation,
            self.is_transposed,
            self.output_padding,
            self.groups,
        )
        return out

    def _pads(self) -> list[int]:
        return [p for after in reversed(self.after) for p in (0, after)]

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = x if self.batched else x[None]
        out = self._call(F.pad(x, self._pads()) if any(self.after) else x, w)
        return out if self.batched else out.squeeze(0)

    def transposed(self, s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        shape = list(x.shape if self.batched else (1, *x.shape))
        given = x if self.batched else x[None]
        if any(self.after):
            padded = [k + a for k, a in zip(shape[2:], self.after, strict=True)]
            given = x.new_empty(shape[:2] + padded)
        out: Tensor = torch.ops.aten.convolution_backward(
            s if self.batched else s[None],
            given,
            w,
            None,
            self.stride,
            self.padding,
            self.dilation,
            self.is_transposed,
            self.output_padding,
            self.groups,
            [True, False, False],
        )[0]
        for dim, size in enumerate(shape[2:], 2):
            if out.shape[dim] != size:
                out = out.narrow(dim, 0, size)
        if self.batched:
            return out
        return out.squeeze(0)

    def scaled(self, w: Tensor, scale: Tensor) -> Tensor:
        rest = [1] * self.space
        if not self.is_transposed:
            return w * scale.reshape(-1, 1, *rest)
        by_group = scale.reshape(self.groups, 1, -1, *rest)
        grouped: Tensor = w.unflatten(0, (self.groups, -1))
        return (grouped * by_group).flatten(0, 1)

    def _join(self, parts: Sequence[Tensor], dim: int) -> Tensor:
        if len(parts) == 1:
            return parts[0]
        if self.groups == 1:
            return torch.cat(list(parts), dim)
        split = [p.unflatten(dim, (self.groups, -1)) for p in parts]
        return torch.cat(split, dim + 1).flatten(dim, dim + 1)

    def _split(self, x: Tensor, n: int) -> list[Tensor]:
        dim = self.channels
        if n == 1:
            return [x]
        if self.groups == 1:
            return list(x.chunk(n, dim))
        parts = x.unflatten(dim, (self.groups, n, -1)).unbind(dim + 1)
        return [p.flatten(dim, dim + 1) for p in parts]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        return self._join(parts, self.channels)

    def split(self, joined: Tensor, n: int) -> list[Tensor]:
        return self._split(joined, n)

    def join_weights(self, rows: Sequence[Sequence[Tensor]]) -> Tensor:
        if self.is_transposed:  # [in, out / groups]: inputs lie within their group
            wide = [self._join(row, 0) for row in rows]
            return wide[0] if len(wide) == 1 else torch.cat(wide, 1)
        wide = [row[0] if len(row) == 1 else torch.cat(list(row), 1) for row in rows]
        return self._join(wide, 0)


class General(LinearMap):
    """Any function that is linear in x and in W; transposed by autograd.

    ``function``: (x, W) -> W x.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.function = function

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.function(x, w)

    def transposed(self, s: Tensor, w: Tensor, x: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = torch.zeros_like(x, dtype=s.dtype).requires_grad_()
            out = self.function(leaf, w.detach())
        (grad,) = torch.autograd.grad(out, leaf, s)
        return grad


def _each(value: Any, n: int) -> list[int]:
    if isinstance(value, (tuple, list)):
        return [int(v) for v in (value if len(value) == n else [*value] * n)]
    return [int(value)] * n
