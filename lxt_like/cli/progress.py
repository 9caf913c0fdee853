"""What a waiting person sees on stderr; nothing of it where stderr is no terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .streams import is_terminal

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress:
    """A status line, later a bar over texts or images; gone when the work is done.

    Anything printed meanwhile must be printed after :meth:`clear`.
    """

    def __init__(self, wanted: bool = True, unit: str = "text") -> None:
        self.unit = unit
        self.shown = wanted and is_terminal(sys.stderr)
        self._status = ""
        self._bar: tqdm[None] | None = None

    def status(self, text: str) -> None:
        """Say what is being done."""
        self.clear()
        if self.shown:
            self._status = text
            sys.stderr.write(text)
            sys.stderr.flush()

    def start(self, total: int | None) -> None:
        """Count ``total`` of them, if that is known; a single one is not worth a bar."""
        self.clear()
        if self.shown and (total is None or total > 1):
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=self.unit, leave=False, dynamic_ncols=True)

    def advance(self, count: int = 1) -> None:
        """One more is done, or ``count``."""
        if self._bar is not None:
            self._bar.update(count)
            self._bar.refresh()  # it was cleared, and update draws only now and then

    def clear(self) -> None:
        """Take what is shown off the screen, for a moment in case of the bar."""
        if self._status:
            sys.stderr.write("\r" + " " * len(self._status) + "\r")
            sys.stderr.flush()
            self._status = ""
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        """Leave nothing behind."""
        self.clear()
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
