"""What ``lxt.explain`` returns for an image: the data, able to show and save itself."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ...explanation import ImageData, LayerMap, Side

if TYPE_CHECKING:
    from ...render.heatmap import Picture


class ImageExplanation(ImageData):
    """One explained image.

    ``print(ex)`` shows a small picture in a terminal, a notebook shows HTML, ``ex.save(path)``
    writes ``.png .pdf .svg .html .json`` by suffix.  ``ex.relevance`` [H, W] and ``ex.patches``
    [rows, cols] are signed and raw.  The rest are the fields of :class:`.ImageData`; two
    explanations are equal if all of these are.
    """

    __slots__ = ()

    @classmethod
    def of(cls, data: ImageData) -> ImageExplanation:
        """The same explanation, able to show itself."""
        fields = {f.name: getattr(data, f.name) for f in dataclasses.fields(ImageData)}
        return cls(**fields)

    def picture(self, view: str = "overlay", scale: int | None = None) -> Picture:
        """The bare picture: "overlay", "side", "patches", "pair" or "trace".

        Raises:
            InputError: no such view, or a view that this explanation has no data for.
        """
        from ...render.views import view_of

        return view_of(self, view, scale)

    def save(self, path: str | os.PathLike[str], view: str = "side") -> None:
        """Write the explanation to a file in the format of its suffix.

        Args:
            path: ``.png .pdf .svg .html .json``.
            view: which picture the first four show, see :meth:`picture`.

        Raises:
            InputError: no such format or view; the message lists the known ones.
            RenderError: the file cannot be written.
        """
        from ...render import save

        save(self, path, view=view)

    def top_patches(self, n: int = 5) -> tuple[tuple[int, int, float], ...]:
        """(row, column, relevance) of the ``n`` patches with the largest relevance of either sign.

        Raises:
            InputError: ``n`` is negative.
        """
        if n < 0:
            raise InputError(f"expected a number of patches >= 0, got {n}")
        patches = self.patches
        order = np.argsort(-np.abs(patches), axis=None, kind="stable")[:n]
        places = [(int(i) // self.grid[1], int(i) % self.grid[1]) for i in order]
        return tuple((row, col, float(patches[row, col])) for row, col in places)

    def __str__(self) -> str:
        from ...render.terminal import to_terminal

        return to_terminal(self)

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return (
            f"ImageExplanation({self.name!r}, target={self.target.label!r}, "
            f"score={self.target.score:.4g}, {height} x {width} pixels, "
            f"{self.grid[0]} x {self.grid[1]} patches)"
        )

    def _repr_html_(self) -> str:
        from ...render.html import to_html

        return to_html(self, fragment=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ImageData):
            return NotImplemented
        return all(
            _same(getattr(self, f.name), getattr(other, f.name))
            for f in dataclasses.fields(ImageData)
        )

    __hash__ = ImageData.__hash__


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, LayerMap | Side) and type(one) is type(other):
        names = [f.name for f in dataclasses.fields(one)]
        return all(_same(getattr(one, n), getattr(other, n)) for n in names)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other
