"""``lxt.explain`` for text classification: texts in, words with relevances out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor

from ..errors import TruncationWarning
from .assemble import Reading, assemble
from .batches import Options, Row, RowResult, Runner, evaluation_mode, select
from .encode import Encoding, encode
from .heads import head_kind, require_choice
from .inputs import check_texts, positive
from .loading import load_text_model
from .result import TextExplanation
from .windows import limit_window, token_limit, truncate, windows


@overload
def explain(  # type: ignore[overload-overlap]  # a str is an Iterable[str], but comes first
    model: object,
    text: str,
    *,
    pair: str | None = None,
    target: Any = None,
    composite: Any = "attnlrp",
    tokenizer: Any = None,
    batch_size: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    ledger: bool = True,
    strict: bool = True,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
) -> TextExplanation: ...
@overload
def explain(
    model: object,
    text: Iterable[str],
    *,
    pair: Iterable[str] | None = None,
    target: Any = None,
    composite: Any = "attnlrp",
    tokenizer: Any = None,
    batch_size: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    ledger: bool = True,
    strict: bool = True,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
) -> list[TextExplanation]: ...
def explain(
    model: object,
    text: str | Iterable[str],
    *,
    pair: str | Iterable[str] | None = None,
    target: Any = None,
    composite: Any = "attnlrp",
    tokenizer: Any = None,
    batch_size: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    ledger: bool = True,
    strict: bool = True,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
) -> TextExplanation | list[TextExplanation]:
    """Explain a text classifier's prediction word by word.

    A text longer than the model takes is cut as its tokenizer would cut it, with a
    :class:`.TruncationWarning` and a note in the explanation; with ``window`` it is read in
    W overlapping windows instead.  Then the explained score is the *mean of the windows'
    scores*, the predicted class that of the mean logits, and a token's relevance is the sum of
    its relevances in the windows that hold it, divided by W (not by how many hold it), so
    that the account closes: the mean score = sum of relevances + mean of each entry.

    Args:
        model: a ``torch.nn.Module``, a text-classification pipeline, a local folder (read
            without network) or a hub id.  It is run in evaluation mode and left as it was.
        text: one text, or several; several are batched by length and returned in order.
        pair: the second sentence of each text, for models that read two.
        target: None (the predicted class), an index, a class name, a tensor or list with one
            of these per text, or an object of ``lxt.targets`` such as a ``Contrast``.
        composite: name of a preset or a ``Composite``; one without a name is recorded as the code
            that makes it.
        tokenizer: a tokenizer, or a folder or hub id of one; None: the model's own.
        batch_size: the most texts (or windows) that run at once; None: 16, or 1 with a ledger,
            which takes a backward through the whole batch for each text in it.
        window: tokens per window, special tokens included; None: cut what is too long.
        stride: tokens that neighbouring windows share; None: a quarter of what fits.
        ledger: whether to account for the whole score (costs some time).
        strict: whether an operation without a rule is an error.
        device: where a model given by name goes.
        trust_remote_code: whether code that comes with the model may run.
        progress: show a progress bar.

    Returns:
        A :class:`.TextExplanation` for one text, a list of them for several.  Relevances are
        in the units of the score (a logit, unless the target says otherwise).

    Raises:
        InputError: something is no valid text, or an option is out of range.
        TargetError: the model has no such class.
        ModelError: the model cannot be loaded, or is no sequence classifier.
        UnruledError: with ``strict``, an operation has no rule.
    """
    given = check_texts(text, pair)
    if batch_size is None:
        batch_size = 1 if ledger else 16
    positive(batch_size, "batch_size")
    if window is not None:
        positive(window, "window")
    if stride is not None:
        positive(stride, "stride", least=0)
    if not given.texts:
        return []
    loaded = load_text_model(
        model, tokenizer=tokenizer, device=device, trust_remote_code=trust_remote_code
    )
    limit = token_limit(loaded.model, loaded.tokenizer)
    side = getattr(loaded.tokenizer, "truncation_side", "right")
    encodings = [
        encode(loaded.tokenizer, *both) for both in zip(given.texts, given.pairs, strict=True)
    ]
    limit_window(window, limit)
    parts = [_parts(encoding, limit, side, window, stride) for encoding in encodings]
    _warn_of_cuts(encodings, parts, limit)

    runner = Runner(loaded, batch_size)
    options = Options(composite, ledger, strict)
    with evaluation_mode(loaded.model), _Bar(len(encodings), progress) as bar:
        results = _run(runner, encodings, parts, target, options, bar)
    readings = [
        Reading(encoding, positions, found, window)
        for encoding, positions, found in zip(encodings, parts, results, strict=True)
    ]
    name = getattr(composite, "name", None) or str(composite)
    explained = [assemble(reading, loaded, name) for reading in readings]
    return explained[0] if given.single else explained


def _parts(
    encoding: Encoding, limit: int | None, side: str, window: int | None, stride: int | None
) -> list[list[int]]:
    """The positions that the model reads at once: everything, what is not cut off, windows."""
    if window is not None:
        return windows(encoding, window, stride)
    if limit is not None and len(encoding) > limit:
        return [truncate(encoding, limit, side)]
    return [list(range(len(encoding)))]


def _warn_of_cuts(
    encodings: Sequence[Encoding], parts: Sequence[list[list[int]]], limit: int | None
) -> None:
    cut = sum(len(p) == 1 and len(p[0]) < len(e) for e, p in zip(encodings, parts, strict=True))
    if cut:
        which = "the text is" if len(encodings) == 1 else f"{cut} of {len(encodings)} texts are"
        warnings.warn(
            f"{which} longer than the {limit} tokens that the model takes and not read to the "
            "end; window= explains all of a long text",
            TruncationWarning,
            stacklevel=3,
        )


def _run(
    runner: Runner,
    encodings: Sequence[Encoding],
    parts: Sequence[list[list[int]]],
    target: Any,
    options: Options,
    bar: _Bar,
) -> list[list[RowResult]]:
    """The results of every text's parts, in order."""
    config = getattr(runner.model, "config", None)
    outputs = getattr(config, "num_labels", None) or 0
    names = list((getattr(config, "id2label", None) or {}).values())
    require_choice(target, head_kind(config, outputs), outputs, names)

    rows = [Row(i, e, p) for i, e in enumerate(encodings) for p in parts[i]]
    whole = [row for row in rows if len(parts[row.item]) == 1]
    windowed = [row for row in rows if len(parts[row.item]) > 1]
    results: list[list[RowResult]] = [[] for _ in encodings]
    for group, wanted in (
        (whole, target),
        (windowed, _predicted(runner, windowed, len(encodings)) if target is None else target),
    ):
        found: list[RowResult | None] = [None] * len(group)
        for batch in runner.batches(group):
            chosen = [group[i] for i in batch]
            part = select(wanted, [row.item for row in chosen], len(encodings))
            for i, result in zip(batch, runner.explain(chosen, part, options), strict=True):
                found[i] = result
                bar.advance(1 / len(parts[group[i].item]))
        for row, done in zip(group, found, strict=True):
            if done is not None:
                results[row.item].append(done)
    return results


def _predicted(runner: Runner, rows: Sequence[Row], items: int) -> Tensor | None:
    """The class of the mean of the windows' logits, per text ([items]; -1: no windows)."""
    if not rows:
        return None
    total: dict[int, Tensor] = {}
    for batch in runner.batches(rows):
        for i, logits in zip(batch, runner.logits([rows[i] for i in batch]), strict=True):
            item = rows[i].item
            total[item] = total.get(item, torch.zeros_like(logits)) + logits
    classes = [int(total[i].argmax()) if i in total else -1 for i in range(items)]
    return torch.tensor(classes, device=runner.device)


class _Bar:
    """A progress bar over texts on stderr, or nothing."""

    def __init__(self, total: int, shown: bool) -> None:
        self._done = 0.0
        self._bar: Any = None
        if shown:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="text")

    def advance(self, share: float) -> None:
        self._done += share
        if self._bar is not None:
            # shares of windows add up to whole texts but for rounding
            self._bar.update(int(self._done + 1e-6) - self._bar.n)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
