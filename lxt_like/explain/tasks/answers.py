"""Extractive question answering: where in the context the answer begins and ends."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError, ModelError, SampleTargetError, TargetError
from ...targets import Answer, Contrast, Names, Resolved, Target, one
from ..encode import Encoding
from ..messages import Chat
from ..rows import Found, Row
from .base import Task
from .places import all_in

LONGEST = 30
"""Tokens in a predicted answer at most, as is usual for SQuAD."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Wanted:
    """One answer: its possible ``spans`` (first and last place in the row), None: any."""

    spans: tuple[Span, ...] | None
    text: str | None = None


@dataclass(frozen=True)
class AnswerAsk:
    """What is asked of one row; ``context``: the places an answer may be made of."""

    context: tuple[int, ...]
    answer: Wanted
    foil: Wanted | None
    part: str


@dataclass(frozen=True)
class AnswerTarget(Target):
    """start logit + end logit of an answer, one ask per row."""

    asks: tuple[AnswerAsk, ...]

    def read(self, output: Any, inputs: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        start, end = (_field(output, name) for name in ("start_logits", "end_logits"))
        ids = inputs.get("input_ids")
        if isinstance(ids, Tensor) and not start.shape == end.shape == ids.shape:
            raise ModelError(
                f"expected a start and an end logit for each of the tokens, {list(ids.shape)}, "
                f"got {list(start.shape)} and {list(end.shape)}"
            )
        return start, end

    def resolve(self, logits: Any, names: Names) -> Resolved:
        start, end = logits
        scores = []
        for k, ask in enumerate(self.asks):
            span = chosen(ask, ask.answer, start[k], end[k])
            score = _score(start[k], end[k], span, ask.part)
            if ask.foil is not None:
                other = chosen(ask, ask.foil, start[k], end[k])
                if other == span:
                    raise SampleTargetError(_same(ask.answer.text, ask.foil.text))
                score = score - _score(start[k], end[k], other, ask.part)
            scores.append(score)
        return Resolved(torch.stack(scores), None, ("",) * len(scores))


class Answers(Task):
    """Target: None (the predicted answer), ``"start"`` or ``"end"`` of it, an answer as it stands
    in the context, an ``Answer``, or a ``Contrast`` of two answers.
    """

    name = "extractive question answering"
    parts = ("question", "context")

    def encode(self, text: str | Chat, pair: str | None, prefix: str | None) -> Encoding:
        if pair is None:
            raise InputError(
                "expected a question and a context, since this is a model for extractive question "
                "answering: (question, context), dict(question=..., context=...), or pair=context"
            )
        return super().encode(text, pair, prefix)

    def sample(self, text: str) -> tuple[str, str | None]:
        return "What is it like?", text

    def asks(self, target: Any, rows: Sequence[Row], total: int) -> list[Any]:
        return [self._ask(row, one(target, row.item, total, "text")) for row in rows]

    def target(self, asks: Sequence[Any]) -> Any:
        return AnswerTarget(tuple(asks))

    def found(
        self, a: Any, target: Any, inputs: Mapping[str, Tensor], rows: Sequence[Row]
    ) -> list[Found]:
        starts, ends = (part.detach().cpu() for part in target.read(a.output, inputs))
        return [
            self._named(row, ask, start, end)
            for row, ask, start, end in zip(rows, target.asks, starts, ends, strict=True)
        ]

    def _ask(self, row: Row, given: Any) -> AnswerAsk:
        context = tuple(k for k, p in enumerate(row.positions) if row.encoding.segments[p] == 1)
        if not context:
            raise InputError(
                f"expected a context with an answer in it, got {row.encoding.texts[1]!r}, of "
                "which the model reads no token"
            )
        foil = None
        part = "both"
        answer = given
        if isinstance(given, Contrast):
            answer, foil = given.c, self._wanted(row, given.foil)
        elif isinstance(given, Answer):
            answer, part = given.text, given.part
        elif given in ("start", "end"):
            answer, part = None, str(given)
        wanted = Wanted(None) if answer is None else self._wanted(row, answer)
        if foil is not None and wanted == foil:
            raise TargetError(f"a contrast needs two answers, got {foil.text!r} twice")
        return AnswerAsk(context, wanted, foil, part)

    def _wanted(self, row: Row, answer: Any) -> Wanted:
        if not isinstance(answer, str):
            raise TargetError(
                "expected an answer as it stands in the context, 'start', 'end', an Answer or a "
                f"Contrast of two answers, got {type(answer).__name__}: {answer!r}"
            )
        context = row.encoding.texts[1]
        exact = [*re.finditer(re.escape(answer), context)] if answer.strip() else []
        hits = exact or [*re.finditer(re.escape(answer), context, re.IGNORECASE)]
        if not hits or not answer.strip():
            raise SampleTargetError(
                f"expected an answer that stands in the context, got {answer!r}: give a part of "
                "the context, word for word"
            )
        place = {p: k for k, p in enumerate(row.positions)}
        spans = []
        for hit in hits:
            tokens = all_in(row.encoding, 1, *hit.span())
            if tokens and tokens[0] in place and tokens[-1] in place:
                spans.append((place[tokens[0]], place[tokens[-1]]))
        if not spans:
            raise InputError(
                f"the model does not read as far as {answer!r}, since the context is too long for "
                "it: shorten the context"
            )
        return Wanted(tuple(spans), answer)

    def _named(self, row: Row, ask: AnswerAsk, start: Tensor, end: Tensor) -> Found:
        span = chosen(ask, ask.answer, start, end)
        label = f'"{_text(row, span, ask.answer)}"'
        notes = []
        if ask.foil is not None:
            other = chosen(ask, ask.foil, start, end)
            label += f' rather than "{_text(row, other, ask.foil)}"'
            return Found(label, None, start)
        if ask.part != "both":
            label = f"{ask.part} of {label}"
        first = row.encoding.ids[row.positions[0]]
        none = _score(start, end, (0, 0), "both")
        if (
            ask.answer.spans is None
            and first == getattr(self.tokenizer, "cls_token_id", None)
            and bool(none > _score(start, end, span, "both"))
        ):
            notes.append('The model finds "no answer" likelier than any answer in the context.')
        return Found(label, None, start, _probability(ask, start, end, span), tuple(notes))


def chosen(ask: AnswerAsk, wanted: Wanted, start: Tensor, end: Tensor) -> Span:
    """The likeliest of the wanted spans; of any, at most :data:`LONGEST` tokens of the context.

    Args:
        ask: what is asked of the row.
        wanted: one of its answers.
        start: [tokens], the start logits.
        end: [tokens], the end logits.
    """
    if wanted.spans is not None:
        totals = [float(start[s].detach() + end[e].detach()) for s, e in wanted.spans]
        return wanted.spans[totals.index(max(totals))]
    places = torch.tensor(ask.context, device=start.device)
    total = start.detach()[places][:, None] + end.detach()[places][None, :]
    allowed = torch.ones_like(total, dtype=torch.bool).triu().tril(LONGEST - 1)
    best = int(total.masked_fill(~allowed, -torch.inf).argmax())
    return ask.context[best // len(places)], ask.context[best % len(places)]


def _score(start: Tensor, end: Tensor, span: Span, part: str) -> Tensor:
    if part == "start":
        return start[span[0]]
    if part == "end":
        return end[span[1]]
    return start[span[0]] + end[span[1]]


def _probability(ask: AnswerAsk, start: Tensor, end: Tensor, span: Span) -> float:
    """softmax over the context's tokens: of the start, the end, or the product of both."""
    shares = []
    for logits, place, part in ((start, span[0], "start"), (end, span[1], "end")):
        if ask.part in ("both", part):
            over = logits[list(ask.context)].double().softmax(-1)
            shares.append(float(over[ask.context.index(place)]))
    return shares[0] * (shares[1] if len(shares) > 1 else 1.0)


def _text(row: Row, span: Span, wanted: Wanted) -> str:
    if wanted.text is not None:
        return wanted.text
    spans = [row.encoding.spans[row.positions[k]] or (0, 0) for k in span]
    return row.encoding.texts[1][spans[0][0] : spans[1][1]].strip()


def _same(answer: str | None, foil: str | None) -> str:
    if answer is None:
        said, name = f"the predicted answer is the foil {foil!r} itself", "an answer"
    else:
        said, name = f"the answer {answer!r} and the foil {foil!r} are the same tokens", "another"
    return f"{said}, so nothing sets them apart: name {name} or another foil"


def _field(output: Any, name: str) -> Tensor:
    value = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
    if not isinstance(value, Tensor):
        raise ModelError(
            f"expected {name} in the output of a question answering model, got none: heads that "
            "search with beams are not explained"
        )
    return value
