"""Many texts: each explained or failing by itself, shown as it comes, none of the work lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import (
    CompositeError,
    InputError,
    LxtError,
    PatchError,
    RuleError,
    SampleTargetError,
    TargetError,
    UnruledError,
)
from .guard import MISTAKE, SOME_FAILED, describe
from .progress import Progress
from .streams import NoReaderError, emit, emit_json, error_line, say
from .texts import Line

if TYPE_CHECKING:
    from ..explain import GenerationExplanation, ImageExplanation, TextExplanation
    from ..explanation import Explained

    Made = TextExplanation | GenerationExplanation | ImageExplanation

Explain = Callable[[list[str]], "Sequence[Made]"]
Outcome = tuple[Line, "Made | Exception"]

_NOT_THE_TEXT = (CompositeError, PatchError, RuleError, TargetError, UnruledError)
"""What is wrong with these is wrong for every text, but for a SampleTargetError."""

_ALIKE = 3
"""So many texts that fail alike from the first on: it is not the texts."""


def each(lines: Sequence[Line], run: Explain, size: int, debug: bool = False) -> Iterator[Outcome]:
    """Every text with its explanation, or with the error that it alone caused, in order.

    ``run`` gets ``size`` texts at once, and each alone where that fails.  Raises what is no text's
    fault (an error about rules or targets), whatever a lone text raises and, to ``debug``,
    whatever was not foreseen.
    """
    for start in range(0, len(lines), size):
        chunk = lines[start : start + size]
        try:
            results = run([line.text for line in chunk])
        except Exception as error:
            unforeseen = debug and not isinstance(error, LxtError)
            if len(lines) == 1 or unforeseen or (len(chunk) == 1 and _of_every_text(error)):
                raise
            if len(chunk) == 1:
                yield chunk[0], error
            else:
                for line in chunk:
                    yield line, _alone(line, run)
            continue
        yield from zip(chunk, results, strict=True)


def _of_every_text(error: Exception) -> bool:
    return isinstance(error, _NOT_THE_TEXT) and not isinstance(error, SampleTargetError)


def _alone(line: Line, run: Explain) -> Made | Exception:
    try:
        return run([line.text])[0]
    except Exception as error:  # it is reported with the text's place
        if _of_every_text(error):
            raise
        return error


class Report:
    """What became of the texts: printed as they come, kept for the files, failures counted.

    ``code`` is the exit code so far.  ``single``: JSON is one explanation, not a list of one.
    ``noun``: what they are, texts or images; ``view``: which picture of an image is saved.
    """

    def __init__(
        self,
        outs: Sequence[str],
        single: bool,
        as_json: bool,
        quiet: bool,
        noun: str = "texts",
        view: str | None = None,
    ) -> None:
        self.noun, self.view = noun, view
        self.outs = outs
        self.single = single
        self.as_json = as_json
        self.quiet = quiet
        self.printing = not (as_json or quiet)
        self.kept: list[Made] = []
        self.failures: list[Exception] = []
        self.total = self.done = self.code = 0

    def run(
        self, lines: Sequence[Line], explain: Explain, size: int, progress: Progress, debug: bool
    ) -> int:
        """Explain ``size`` at once and write what there is, in the end; the exit code."""
        try:
            self.take(each(lines, explain, size, debug), len(lines), progress)
        finally:  # also if it was interrupted: what is computed is not lost
            self.finish()
        return self.code

    def take(self, outcomes: Iterator[Outcome], total: int, progress: Progress) -> None:
        """Print and keep what comes until there is no more, or no hope."""
        self.total = total
        progress.start(total)
        for line, outcome in outcomes:
            progress.clear()
            shown = outcome if isinstance(outcome, Exception) else self._shown(outcome)
            if isinstance(shown, Exception):
                self._fail(line, shown)
                if self._hopeless():
                    break
            elif not isinstance(outcome, Exception):
                self._keep(outcome, shown)
            progress.advance()
        progress.close()
        if self.failures:
            untried = total - self.done - len(self.failures)
            rest = f"; the other {untried} were not tried" if untried else ""
            say(f"{len(self.failures)} of {total} {self.noun} could not be explained{rest}")

    def finish(self) -> None:
        """Write what there is into every file, and as JSON to stdout if that is wanted."""
        from ..render import save, to_json

        if not self.kept:
            return
        data: Explained | list[Explained] = self.kept[0] if self.single else [*self.kept]
        for path in self.outs:
            try:
                save(data, path, self.view)
            except Exception as error:  # the other files are still wanted
                error_line(describe(error))
                self.code = MISTAKE if isinstance(error, LxtError) else SOME_FAILED
                continue
            if not self.quiet:
                some = (
                    f" ({self.done} of {self.total} {self.noun})" if self.done < self.total else ""
                )
                say(f"wrote {path}{some}")
        if self.as_json:
            emit_json(to_json(data))

    def _shown(self, made: Made) -> str | LxtError:
        """What to print; an error where there is a number that cannot be shown."""
        from ..render.terminal import separator, to_terminal

        if not self.printing:
            return ""
        try:
            return (separator() if self.done else "") + to_terminal(made)
        except LxtError as error:
            return error

    def _keep(self, made: Made, shown: str) -> None:
        if self.outs or self.as_json:
            self.kept.append(made)
        self.done += 1
        try:
            emit(shown)
        except NoReaderError:
            if not self.outs:
                raise
            self.printing = False  # the files are still wanted

    def _fail(self, line: Line, error: Exception) -> None:
        if self.total == 1:
            raise error
        self.failures.append(error)
        self.code = SOME_FAILED
        error_line(f"{line.where}: {describe(error)}")

    def _hopeless(self) -> bool:
        """Whether nothing but the same error has come: of the model, not of the texts."""
        alike = len({describe(failure) for failure in self.failures}) == 1
        of_the_text = isinstance(self.failures[0], InputError)
        return not self.done and alike and not of_the_text and len(self.failures) >= _ALIKE
