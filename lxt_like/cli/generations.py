"""``lxt-like explain --generate N`` and ``--output TEXT``: each token of what a model writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .model import opened
from .options import Care
from .outcomes import Report
from .progress import Progress
from .texts import Line

if TYPE_CHECKING:
    from ..explain import GenerationExplanation


def wants_output(generate: int | None, output: str | None) -> bool:
    """Whether whole outputs are to be explained.

    Raises:
        InputError: both ways to get one were asked for, or an output without text.
    """
    if generate is not None and output is not None:
        raise InputError("--generate lets the model write and --output says what: leave one out")
    if output == "":
        raise InputError(
            "--output: expected an output of at least one token, got '': --generate N lets the "
            "model write"
        )
    return generate is not None or output is not None


def explain_outputs(
    lines: Sequence[Line],
    model: str | None,
    generate: int | None,
    output: str | None,
    ask: Callable[[str], Any],
    composite: str,
    report: Report,
    progress: Progress,
    care: Care,
) -> int:
    """Explain the output for prompt after prompt; the exit code."""
    with opened(model, composite, progress, care.verbose, care.trust_remote_code) as loaded:
        from ..explain import explain_generation

        run = partial(
            explain_generation,
            loaded.model,
            output=output,
            max_new_tokens=20 if generate is None else generate,
            tokenizer=loaded.tokenizer,
            composite=composite,
            batch_size=care.batch_size,
            ledger=care.ledger,
            strict=care.strict,
        )
        return report.run(lines, partial(_explain, run, ask), 1, progress, care.debug)


def _explain(
    run: Any, ask: Callable[[str], Any], prompts: list[str]
) -> list[GenerationExplanation]:
    return [run(prompt=ask(prompt)) for prompt in prompts]
