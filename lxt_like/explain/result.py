"""What ``lxt.explain`` returns: the data of an explanation that can show and save itself."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..explanation import Explained, GenerationData, ImageData, TextData, Word
from .image.result import ImageExplanation

if TYPE_CHECKING:
    from .generation.result import GenerationExplanation


class TextExplanation(TextData):
    """One explained text.

    ``print(ex)`` shows coloured words in a terminal, a notebook shows HTML, ``ex.save(path)``
    writes ``.html .png .pdf .svg .tex .json`` by suffix.  The numbers are those of
    :class:`.TextData`; two explanations are equal if all of these are.
    """

    __slots__ = ()

    @classmethod
    def of(cls, data: TextData) -> TextExplanation:
        """The same explanation, able to show itself."""
        fields = {f.name: getattr(data, f.name) for f in dataclasses.fields(TextData)}
        return cls(**fields)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the explanation to a file in the format of its suffix.

        Raises:
            InputError: no such format; the message lists the known ones.
            RenderError: the file cannot be written.
        """
        from ..render import save

        save(self, path)

    def top(self, n: int = 5) -> tuple[Word, ...]:
        """The ``n`` words with the largest relevance of either sign, largest first.

        Raises:
            InputError: ``n`` is negative.
        """
        if n < 0:
            raise InputError(f"expected a number of words >= 0, got {n}")
        order = sorted(range(len(self.words)), key=self._magnitude, reverse=True)
        return tuple(self.words[i] for i in order[:n])

    def _magnitude(self, i: int) -> float:
        return abs(self.words[i].relevance)

    def __str__(self) -> str:
        from ..render.terminal import to_terminal

        return to_terminal(self)

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 40 else self.text[:37] + "..."
        return (
            f"TextExplanation({text!r}, target={self.target.label!r}, "
            f"score={self.target.score:.4g}, words={len(self.words)})"
        )

    def _repr_html_(self) -> str:
        from ..render.html import to_html

        return to_html(self, fragment=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TextData):
            return NotImplemented
        names = [f.name for f in dataclasses.fields(TextData)]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = TextData.__hash__


def save(
    explanations: Explained | Iterable[Explained],
    path: str | os.PathLike[str],
    view: str | None = None,
) -> None:
    """Write one explanation, or a list of them, to one file.

    Args:
        explanations: of texts, generated texts or images.
        path: its suffix names the format.
        view: of images: "side" (as None), "overlay", "patches", "pair" or "trace".

    Raises:
        InputError: no such format or view; the message lists the known ones.
        RenderError: the file cannot be written.
    """
    from ..render import save as write

    if isinstance(explanations, Iterable):
        explanations = list(explanations)
    elif not isinstance(explanations, TextData | GenerationData | ImageData):
        raise InputError(
            "expected an explanation, as lxt.explain returns it, or a list of them, got "
            f"{type(explanations).__name__}"
        )
    write(explanations, path, view)


def load(path: str | os.PathLike[str]) -> Any:
    """Read back what was saved as ``.json``: equal to what was saved.

    Returns:
        A :class:`TextExplanation`, :class:`.GenerationExplanation` or :class:`.ImageExplanation`,
        or a list if one was saved.

    Raises:
        InputError: there is no such file, or it holds no explanation of a version we know.
    """
    from ..render import load as read

    data = read(path)
    return [_shown(one) for one in data] if isinstance(data, list) else _shown(data)


def _shown(data: Explained) -> TextExplanation | GenerationExplanation | ImageExplanation:
    if isinstance(data, TextData):
        return TextExplanation.of(data)
    if isinstance(data, ImageData):
        return ImageExplanation.of(data)
    from .generation.result import GenerationExplanation

    return GenerationExplanation.of(data)
