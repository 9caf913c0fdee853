"""``lxt.evaluate``: which explanations of a model are faithful, over a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .columns import Columns
    from .report import Report

Progress = Callable[[int, int | None], None]
"""Called with how many samples are done and how many there are, if that is known."""


def evaluate(
    model: Any,
    data: Any,
    *,
    methods: Iterable[Any] | str | None = None,
    operators: Sequence[str] | str | None = None,
    samples: int | None = None,
    out: str | os.PathLike[str] | None = None,
    target: Any = None,
    thorough: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    reference: str | None = None,
    columns: Columns | None = None,
    split: str | None = None,
    processor: Any = None,
    labels: Any = None,
    cell: int | tuple[int, int] | None = None,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Compare how faithful explanations of a model's predictions are, over many samples.

    Units (words, patches) are removed most and least relevant first; see the docs page on
    evaluation for what the numbers mean.

    Args:
        model: a text or image classifier, anything that :func:`lxt.explain` takes, or a ``Task``.
        data: texts or images: a list (of them, of (them, label), or of dicts), a table (pandas,
            pyarrow, polars, a dict of columns), an image folder whose sub-folders are classes, a
            .txt, .tsv, .csv or .jsonl file, a ``datasets`` data set, a folder of one, or a hub id,
            which is streamed.
        methods: names, composites, functions ``(task, batch) -> list of scores``, or
            (name, any of these); None: a default set of cheap ones.
        operators: ways to remove units; None: the two that suit the model.
        samples: how many samples at most, drawn at random where the number is known.
        out: folder for the report; a run that was interrupted there goes on where it was.
        target: the class to explain and to watch for all samples, by name or index; None: the
            predicted one.
        thorough: with all methods, tau-LOO, mu-fidelity and sanity checks: much slower.
        steps: points of a curve; None: one for each unit up to 256, about 50 above.
        batch_size: rows in one forward; None: chosen by length.
        seed: of random orders, ties, draws and resampling.
        reference: the method that the others are compared with; None: ``attnlrp`` if it is among
            them, else the first that looks at the model.
        columns: which columns of a table hold what, where it cannot be guessed.
        split: which split of a data set.
        processor: tokenizer or image processor, where the model's own is not to be used.
        labels, cell, device, trust_remote_code: as for :func:`lxt.explain`.
        progress: called after each part of the work.

    Samples that cannot be read are skipped and listed in the report with the reason.

    Raises:
        InputError: no data, an unknown method, operator or column, or not one sample that could
            be evaluated.
        TargetError: the model has no such class.
        ModelError: the model cannot be loaded or is of another kind than the data.
    """
    from .data import limited, open_source
    from .run import compare, task_of

    source = limited(open_source(data, columns, split), samples, seed)
    task = task_of(model, source.kind, processor, labels, cell, device, trust_remote_code)
    return compare(
        task,
        source,
        methods,
        operators,
        out=out,
        target=target,
        thorough=thorough,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        reference=reference,
        progress=progress,
    )
