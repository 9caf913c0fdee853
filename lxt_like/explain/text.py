"""``lxt.explain`` for texts: texts in, words with relevances out, whatever is predicted."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import torch

from ..classes import plain
from ..errors import InputError, TruncationWarning
from .assemble import Reading, assemble
from .batches import Options, Runner, evaluation_mode
from .chat import with_chats
from .encode import Encoding
from .inputs import (
    as_question,
    batch_size_of,
    check_prefixes,
    check_texts,
    positive,
    split_questions,
)
from .loading import load_text_model
from .result import TextExplanation
from .run import Bar, run
from .tasks import Task, task_for
from .tasks.answers import Answers
from .windows import limit_window, token_limit, windows


@overload
def explain_text(  # type: ignore[overload-overlap]  # a str is an Iterable[str], but comes first
    model: object,
    text: str | Mapping[str, str],
    *,
    pair: str | None = None,
    prefix: str | None = None,
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
def explain_text(
    model: object,
    text: Iterable[str | Mapping[str, str] | tuple[str, str]],
    *,
    pair: Iterable[str] | None = None,
    prefix: str | Iterable[str] | None = None,
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
def explain_text(
    model: object,
    text: object,
    *,
    pair: str | Iterable[str] | None = None,
    prefix: str | Iterable[str] | None = None,
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
    """Explain a text model's prediction word by word.

    The model's head says what is predicted, and so what a target is:

    =========================  ===============================  ==============================
    head                       text                             target; None
    =========================  ===============================  ==============================
    sequence classification    a text, perhaps with its pair    a class; the predicted one
    token classification       a text                           ``Token(word, tag)``; the tag
                                                                that is most certain, not "O"
    question answering         (question, context), or          an answer, "start", "end";
                               dict(question=, context=)        the predicted answer
    masked language model      a text with one mask             a token; the likeliest
    causal language model      a prompt, or a chat              a token; the likeliest next
    encoder-decoder            a source, perhaps with the       a token; the likeliest next
                               ``prefix`` of its output
    =========================  ===============================  ==============================

    A text longer than the model takes is cut as its tokenizer would cut it, with a
    :class:`.TruncationWarning` and a note in the explanation; with ``window`` it is read in
    W overlapping windows instead.  Then the explained score is the *mean of the windows'
    scores*, the predicted class that of the mean logits, and a token's relevance is the sum of
    its relevances in the windows that hold it, divided by W (not by how many hold it), so
    that the account closes: the mean score = sum of relevances + mean of each entry.

    Args:
        model: a ``torch.nn.Module``, a pipeline for a text task, a local folder (read
            without network) or a hub id.  It is run in evaluation mode and left as it was.
        text: one text, or several; several are batched by length and returned in order.  A
            list of ``{"role": ..., "content": ...}`` is one chat, which the tokenizer's chat
            template writes; its words are those of the messages, what the template adds counts
            among the special tokens.
        pair: the second text of each text, for models that read two (a context, a hypothesis).
        prefix: what an encoder-decoder has written so far; None: nothing, its start token.
        target: None (what the model predicts), an index, a name, a tensor, array or list with
            one of these per text, or an object of ``lxt.targets`` such as a ``Contrast``.  A
            negative class index counts from the last class; ids of tokens are not negative.
        composite: name of a preset or a ``Composite``; one without a name is recorded as the code
            that makes it.
        tokenizer: a tokenizer, or a folder or hub id of one; None: the model's own.
        batch_size: the most texts (or windows) that run at once; None: 16, or 8 with a ledger.
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
        TargetError: the model has no such class, tag or token, or the text no such answer.
        ModelError: the model cannot be loaded, or has no head that is known.
        UnruledError: with ``strict``, an operation has no rule.
    """
    target = plain(target)
    text = with_chats(text)
    texts, pairs = split_questions(text, pair)
    given = check_texts(texts, pairs)
    check_prefixes(prefix, given)
    batch_size = batch_size_of(batch_size, ledger)
    if window is not None:
        positive(window, "window")
    if stride is not None:
        positive(stride, "stride", least=0)
        if window is None:
            raise InputError(
                f"expected a window beside stride={stride}, which says what windows share"
            )
    if not given.texts:
        return []
    loaded = load_text_model(
        model, tokenizer=tokenizer, device=device, trust_remote_code=trust_remote_code
    )
    task = task_for(loaded)
    if isinstance(task, Answers):
        given = as_question(given, text)
    limit = token_limit(loaded.model, loaded.tokenizer)
    columns = (given.texts, given.pairs, check_prefixes(prefix, given))
    encodings = [task.encode(*each) for each in zip(*columns, strict=True)]
    limit_window(window, limit)
    parts = [_parts(task, encoding, limit, window, stride) for encoding in encodings]
    _warn_of_cuts(task, encodings, parts, limit)

    runner = Runner(loaded, batch_size)
    options = Options(composite, ledger, strict)
    with evaluation_mode(loaded.model), Bar(len(encodings), progress) as bar:
        results = run(runner, task, encodings, parts, target, options, bar)
    readings = [
        Reading(encoding, positions, found, window)
        for encoding, positions, found in zip(encodings, parts, results, strict=True)
    ]
    name = getattr(composite, "name", None) or str(composite)
    explained = [assemble(reading, task, name) for reading in readings]
    return explained[0] if given.single else explained


def _parts(
    task: Task, encoding: Encoding, limit: int | None, window: int | None, stride: int | None
) -> list[list[int]]:
    """The positions that the model reads at once: everything, what is not cut off, windows."""
    if window is None:
        return [task.cut(encoding, limit)]
    if not task.windows:
        raise InputError(
            f"expected no window, since this is a model for {task.name}: windows have a mean "
            "score in text classification only"
        )
    return windows(encoding, window, stride)


def _warn_of_cuts(
    task: Task, encodings: Sequence[Encoding], parts: Sequence[list[list[int]]], limit: int | None
) -> None:
    cut = sum(len(p) == 1 and len(p[0]) < len(e) for e, p in zip(encodings, parts, strict=True))
    if cut:
        which = "the text is" if len(encodings) == 1 else f"{cut} of {len(encodings)} texts are"
        hint = "; window= explains all of a long text" if task.windows else ""
        warnings.warn(
            f"{which} longer than the {limit} tokens that the model takes and not read "
            f"{'to the end' if task.windows else 'as a whole'}{hint}",
            TruncationWarning,
            stacklevel=3,
        )
