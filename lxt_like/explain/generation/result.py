"""What ``lxt.explain_generation`` returns: the data, able to show and save itself."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import numpy as np

from ...explanation import Array, GenerationData, Word
from ..result import TextExplanation


@dataclass(frozen=True, slots=True, eq=False)
class WordMatrix:
    """A generated text word by word.

    Attributes:
        words: of the prompt.
        written: the words of the output; their relevance is what they did for those behind them.
        relevance: float64 [written words, prompt words + written words]: what each did for each
            word of the output, the sum of its tokens.  Below the diagonal and on it (the first
            tokens of a word for its last ones), 0 elsewhere.
        scores: float64 [written words], the logits of each word's tokens summed.
    """

    words: tuple[Word, ...]
    written: tuple[Word, ...]
    relevance: Array
    scores: Array


class GenerationExplanation(GenerationData):
    """One explained output of a language model.

    ``print(ex)`` shows for each token what it came from, a notebook shows HTML where a token can
    be chosen, ``ex.save(path)`` writes ``.html .png .pdf .svg .json`` by suffix.  ``ex.steps`` are
    the explanations of the single tokens, ``ex.relevance`` is the matrix of all of them, and
    ``ex.total`` the whole output's.  The numbers are those of :class:`.GenerationData`; two
    explanations are equal if all of these are.
    """

    __slots__ = ()

    @classmethod
    def of(cls, data: GenerationData) -> GenerationExplanation:
        """The same explanation, able to show itself."""
        steps = tuple(TextExplanation.of(step) for step in data.steps)
        return cls(TextExplanation.of(data.total), steps, data.tokens)

    def by_word(self) -> WordMatrix:
        """The matrix with the output's tokens summed to words.

        Tokens of the output that stand for white space alone are no words and left out.
        """
        words = [word for word in self.total.words if word.segment == 1]
        first = len(self.words)
        members = np.zeros((len(words), len(self.tokens)))
        for t, token in enumerate(self.written):
            if token.word is not None:
                members[token.word - first, t] = 1.0
        tokens = self.relevance
        both = np.hstack([tokens[:, :first], tokens[:, first:] @ members.T])
        return WordMatrix(self.words, tuple(words), members @ both, members @ self.scores)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the explanation to a file in the format of its suffix.

        Raises:
            InputError: no such format; the message lists the known ones.
            RenderError: the file cannot be written.
        """
        from ...render import save

        save(self, path)

    def __str__(self) -> str:
        from ...render.terminal import to_terminal

        return to_terminal(self)

    def __repr__(self) -> str:
        prompt, output = (
            text if len(text) <= 40 else text[:37] + "..." for text in (self.prompt, self.output)
        )
        return (
            f"GenerationExplanation({prompt!r}, output={output!r}, tokens={len(self.tokens)}, "
            f"words={len(self.words)})"
        )

    def _repr_html_(self) -> str:
        from ...render.html import to_html

        return to_html(self, fragment=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GenerationData):
            return NotImplemented
        names = [f.name for f in dataclasses.fields(GenerationData)]
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = GenerationData.__hash__
