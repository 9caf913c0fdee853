"""``lxt.explain_generation``: a prompt in, each token of the output explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import fsum, prod
from typing import Any

import torch

from ...errors import InputError, ModelError
from ...explanation import TargetInfo, total_account
from ..assemble import Reading, assemble
from ..batches import Options, Runner, evaluation_mode
from ..chat import with_chats
from ..encode import Encoding, followed
from ..inputs import batch_size_of, check_texts, positive
from ..loading import load_text_model
from ..messages import Chat
from ..result import TextExplanation
from ..run import Bar, run
from ..segment import is_letter
from ..tasks import task_for
from ..tasks.next_token import NextToken
from ..windows import token_limit
from ..words import words_and_tokens
from .greedy import generated
from .output import Output, begun, given_output, output_of_ids
from .result import GenerationExplanation


def explain_generation(
    model: object,
    prompt: str | Sequence[Mapping[str, str]],
    output: Output | None = None,
    *,
    max_new_tokens: int = 20,
    composite: Any = "attnlrp",
    tokenizer: Any = None,
    batch_size: int | None = None,
    ledger: bool = True,
    strict: bool = True,
    device: str | torch.device | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
) -> GenerationExplanation:
    """Explain each token of a language model's output by the prompt and the tokens before it.

    Step t is what :func:`lxt_like.explain` says of one next token: the logit of output token t
    after the prompt and the output's tokens before t.  All steps share their tokens, so that
    their relevances can be compared and added up.

    Args:
        model: a causal language model or an encoder-decoder: a ``torch.nn.Module``, a pipeline,
            a local folder (read without network) or a hub id.  It is run in evaluation mode and
            left as it was.
        prompt: what the model reads; of an encoder-decoder the source.  A list of
            ``{"role": ..., "content": ...}`` is a chat, as in :func:`lxt_like.explain`.
        output: what to explain: a text as it stands behind the prompt (begin it with a space
            for a new word), or the ids of its tokens; None: what the model writes by itself,
            the likeliest token each time, to the end token (which is left out).
        max_new_tokens: the most tokens to generate.
        composite: name of a preset or a ``Composite``.
        tokenizer: a tokenizer, or a folder or hub id of one; None: the model's own.
        batch_size: the most steps that run at once; None: 16, or 8 with a ledger.
        ledger: whether to account for each token's whole score.
        strict: whether an operation without a rule is an error.
        device: where a model given by name goes.
        trust_remote_code: whether code that comes with the model may run.
        progress: show a progress bar.

    Returns:
        A :class:`.GenerationExplanation`; its relevances are in the units of the logits.

    Raises:
        InputError: prompt or output have no tokens or more than the model takes, or the model
            ends its output at once.
        ModelError: the model cannot be loaded, writes no text, or cannot generate.
        UnruledError: with ``strict``, an operation has no rule.
    """
    asked = with_chats(prompt)
    if not isinstance(asked, str | Chat):
        raise InputError(f"expected prompt to be one str or chat, got {type(prompt).__name__}")
    (text,) = check_texts(asked).texts
    positive(max_new_tokens, "max_new_tokens")
    batch_size = batch_size_of(batch_size, ledger)
    loaded = load_text_model(
        model, tokenizer=tokenizer, device=device, trust_remote_code=trust_remote_code
    )
    task = task_for(loaded)
    if not isinstance(task, NextToken):
        raise ModelError(
            "expected a model that writes text (a causal language model or an encoder-decoder), "
            f"got {type(loaded.model).__name__}, a model for {task.name}: see lxt.explain"
        )
    read = task.encode(text, None, None)
    if read.decoder is None and not read.content(0) and not read.templated:
        raise InputError(
            f"expected a prompt with at least one token, got {prompt!r}: a decoder-only model's "
            "output is explained by what it goes on from"
        )
    limit = token_limit(loaded.model, task.tokenizer)
    runner = Runner(loaded, batch_size)
    with evaluation_mode(loaded.model):
        if output is None:
            _require_room(read, max_new_tokens, limit, "max_new_tokens")
            written = output_of_ids(task, read, generated(runner, read, max_new_tokens))
        else:
            written = given_output(task, read, output)
            _require_room(read, len(written), limit, "output")
        encodings = [followed(read, begun(written, t)) for t in range(len(written))]
        with Bar(len(encodings), progress, unit="token") as bar:
            whole = [[list(range(len(encoding)))] for encoding in encodings]
            options = Options(composite, ledger, strict)
            results = run(runner, task, encodings, whole, written.ids, options, bar)
    readings = [Reading(*each) for each in zip(encodings, whole, results, strict=True)]
    name = getattr(composite, "name", None) or str(composite)
    return GenerationExplanation(
        _total(followed(read, written), readings, loaded.name, name, _notes(read, output)),
        tuple(assemble(reading, task, name) for reading in readings),
        tuple(task.vocabulary.text(i) for i in written.ids),
    )


def _total(
    whole: Encoding, readings: Sequence[Reading], model: str, composite: str, notes: tuple[str, ...]
) -> TextExplanation:
    """The sum of all steps as one explanation."""
    results = [reading.results[0] for reading in readings]
    shares: list[list[float]] = [[] for _ in range(len(whole))]
    for result in results:
        for share, relevance in zip(shares, result.relevance, strict=False):
            share.append(relevance)  # later tokens are not written yet
    words, tokens = words_and_tokens(whole, [fsum(share) for share in shares])
    count = len(results)
    chances = [result.found.probability for result in results]
    target = TargetInfo(
        f"output of {count} token{'' if count == 1 else 's'}",
        None,
        fsum(result.score for result in results),
        None if None in chances else prod(p for p in chances if p is not None),
    )
    accounts = [result.account for result in results if result.account is not None]
    account = total_account(accounts) if accounts else None
    return TextExplanation(whole.texts, target, words, tokens, account, model, composite, notes)


def _require_room(read: Encoding, count: int, limit: int | None, what: str) -> None:
    """The last token of an output is never read.

    Raises:
        InputError: the model does not take the prompt with ``count`` tokens behind it.
    """
    if limit is None:
        return
    source = len(read) if read.decoder is None else read.decoder
    if source > limit:
        raise InputError(
            f"expected a prompt of at most {limit} tokens, which is what the model takes, got "
            f"{source}: shorten it"
        )
    before = len(read) - (read.decoder or 0)
    most = limit - before + 1
    if count > most:
        raise InputError(
            f"expected {'an output' if what == 'output' else what} of at most {most}, since the "
            f"model takes {limit} tokens and {before} of them come before the output, got {count}: "
            "shorten the prompt or the output"
        )


def _notes(read: Encoding, output: Output | None) -> tuple[str, ...]:
    """What a reader must see where a text is joined to a prompt within a word."""
    prompt = read.texts[0]
    if read.decoder is not None or not isinstance(output, str) or not prompt:
        return read.notes
    if read.spaced is not None or not (is_letter(prompt[-1]) and is_letter(output[0])):
        return read.notes
    return (
        *read.notes,
        f"The output goes on where the prompt ends: {prompt[-12:] + output[:12]!r}. Begin it with "
        "a space for a new word.",
    )
