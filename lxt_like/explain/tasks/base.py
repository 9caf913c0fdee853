"""What all tasks share: from texts to rows, from a user's target to the engine's, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from ...errors import InputError
from ..chat import encode_chat
from ..encode import Encoding, encode
from ..loading import TextModel
from ..messages import Chat
from ..rows import Found, Row
from ..windows import truncate


class Task(ABC):
    """One kind of prediction of a text model.

    A task is asked row by row (:meth:`asks`), so that mistakes are found before anything is
    computed, and puts the rows of a batch together (:meth:`target`).
    """

    name: ClassVar[str]
    """As in "this is a model for ..."."""
    parts: ClassVar[tuple[str, ...]] = ("text", "pair")
    """What its texts are called; one name: it takes no pair."""
    windows: ClassVar[bool] = False
    """Whether a long text may be read in windows: only where their scores have a mean."""
    chats: ClassVar[bool] = False
    """Whether a conversation is read, in the tokenizer's chat template."""

    def __init__(self, loaded: TextModel) -> None:
        self.loaded = loaded
        self.tokenizer = loaded.tokenizer
        self.config: Any = getattr(loaded.model, "config", None)

    def encode(self, text: str | Chat, pair: str | None, prefix: str | None) -> Encoding:
        """The tokens of one text as the model takes them, nothing cut off.

        Raises:
            InputError: a chat, a pair or a prefix that this kind of model does not take, or
                none that it needs.
        """
        if isinstance(text, Chat) and not self.chats:
            raise InputError(
                f"expected a text, got a chat, since this is a model for {self.name}: chats are "
                "for causal language models"
            )
        if pair is not None and len(self.parts) == 1:
            raise InputError(f"expected no pair, since this is a model for {self.name}")
        if prefix is not None:
            raise InputError(
                "expected no prefix, the beginning of an encoder-decoder's output, since this is "
                f"a model for {self.name}"
            )
        if isinstance(text, Chat):
            return encode_chat(self.tokenizer, text)
        return encode(self.tokenizer, text, pair)

    def sample(self, text: str) -> tuple[str, str | None]:
        """A text and its pair that this kind of model can be tried on, made of a plain ``text``."""
        return text, None

    def cut(self, encoding: Encoding, limit: int | None) -> list[int]:
        """Positions of the tokens that the model reads, if it takes at most ``limit``."""
        if limit is None or len(encoding) <= limit:
            return list(range(len(encoding)))
        return truncate(encoding, limit, getattr(self.tokenizer, "truncation_side", "right"))

    def joined(self, target: Any, total: int) -> Any:
        """``target`` for ``total`` texts in the form that the other methods take."""
        return target

    @abstractmethod
    def asks(self, target: Any, rows: Sequence[Row], total: int) -> list[Any]:
        """What ``target`` asks of each row; ``total``: how many texts the target is for."""

    @abstractmethod
    def target(self, asks: Sequence[Any]) -> Any:
        """The engine's target for the rows of one batch."""

    @abstractmethod
    def found(
        self, a: Any, target: Any, inputs: Mapping[str, Tensor], rows: Sequence[Row]
    ) -> list[Found]:
        """What was explained, row by row, from an attribution ``a``."""
