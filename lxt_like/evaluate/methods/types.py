"""What a method is, and how it is listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ...composites import Composite
from ...errors import LxtError
from ..task import Batch, Task
from .functions import told

Scores = Callable[[Task, Batch], list[Tensor]]
"""Per sample signed scores, float32 [units]."""


class UnsuitableError(LxtError):
    """A method cannot be used with a model; the message is the reason."""


@dataclass(frozen=True)
class Method:
    """A method with its name in a report; ``seed`` tells repetitions of one name apart.

    ``given``: what it was made of, the name of a known method or a composite; None: ``run`` itself.
    """

    name: str
    run: Scores
    seed: int = 0
    given: str | Composite | None = None

    def __call__(self, task: Task, batch: Batch) -> list[Tensor]:
        return self.run(task, batch)

    @property
    def identity(self) -> str:
        """What decides its scores, as text: the same in another process."""
        # a preset may have been given its bounds, so what runs tells more than its name
        composite = getattr(self.run, "composite", self.given)
        if isinstance(composite, Composite):
            try:
                return composite.to_json()
            except (TypeError, ValueError):  # a rule of one's own
                return repr(composite)
        if isinstance(self.given, str):
            return self.given
        return told(self.run)


@dataclass(frozen=True)
class Entry:
    """A method in the registry.

    Attributes:
        make: from a task to the function that scores; raises :class:`UnsuitableError` where the
            model cannot do it.
        fast: whether it is in the default set.
        seeds: how many repetitions with different random numbers.
        kinds: of tasks it is for.
        source: what it is and where it comes from.
    """

    name: str
    make: Callable[[Task, int], Scores]
    source: str
    fast: bool = True
    seeds: int = 1
    kinds: tuple[str, ...] = ("text", "image")
