"""``lxt-like explain --generate N`` and ``--output TEXT``: each token of what a model writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .model import opened
from .outcomes import Report, each
from .progress import Progress
from .texts import Line

if TYPE_CHECKING:
    from ..explain import GenerationExplanation


def wants_output(generate: int | None, output: str | None) -> bool:
    """Whether whole outputs are to be explained.

    Raises:
        InputError: both ways to get one were asked for.
    """
    if generate is not None and output is not None:
        raise InputError("--generate lets the model write and --output says what: leave one out")
    return generate is not None or output is not None


def require_outputs_only(given: Mapping[str, Any]) -> None:
    """Raise InputError if an option that whole outputs do not have was given."""
    wrong = [f"--{name}" for name, value in given.items() if value is not None]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: not for whole outputs (--generate, --output)")


def explain_outputs(
    lines: Sequence[Line],
    model: str | None,
    generate: int | None,
    output: str | None,
    composite: str,
    report: Report,
    progress: Progress,
    *,
    batch_size: int | None,
    ledger: bool,
    strict: bool,
    trust_remote_code: bool,
    verbose: bool,
    debug: bool,
) -> int:
    """Explain the output for prompt after prompt; the exit code."""
    with opened(model, composite, progress, verbose, trust_remote_code) as loaded:
        from ..explain import explain_generation

        run = partial(
            explain_generation,
            loaded.model,
            output=output,
            max_new_tokens=20 if generate is None else generate,
            tokenizer=loaded.tokenizer,
            composite=composite,
            batch_size=batch_size,
            ledger=ledger,
            strict=strict,
        )
        outcomes = each(lines, partial(_explain, run), 1, debug)
        try:
            report.take(outcomes, len(lines), progress)
        finally:  # also if it was interrupted: what is computed is not lost
            report.finish()
    return report.code


def _explain(run: Any, prompts: list[str]) -> list[GenerationExplanation]:
    return [run(prompt=prompt) for prompt in prompts]
