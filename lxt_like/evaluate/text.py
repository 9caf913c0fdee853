"""Text classifiers as an evaluation task: the units are words."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, ModelError
from ..explain.batches import Runner, evaluation_mode
from ..explain.encode import Encoding
from ..explain.heads import Kind, head_kind
from ..explain.loading import TextModel, load_text_model
from ..explain.rows import Row as Tokens
from ..explain.tasks import task_for
from ..explain.tasks.classes import Classification
from ..explain.windows import token_limit
from ..explain.words import words_and_tokens
from ..outputs import logits_of
from ..targets import class_names
from .identity import fingerprint
from .operators.text import text_operators
from .task import Batch, Operator, Row, Task, pool_by, settle, take

_PROBE = "a plain sentence to look at"


class TextTask:
    """A model for text classification; units are the words of the raw text.

    A text that is longer than the model takes is cut as its tokenizer would cut it.

    Attributes:
        loaded: the model, its tokenizer and its name.
        pads: whether rows of different lengths may share a forward.
        details of a batch: per sample ``(encoding, words)``.
    """

    kind = "text"
    chunk = 4096
    tokens = True
    prefix = 0

    def __init__(self, loaded: TextModel) -> None:
        reading = task_for(loaded)
        if not isinstance(reading, Classification):
            raise ModelError(
                f"expected a model for text classification, got one for {reading.name}: its "
                "predictions can be explained one by one, but not yet evaluated over many texts"
            )
        self.reading = reading
        self.loaded = loaded
        self.model = loaded.model
        self.name = loaded.name
        self.runner = Runner(loaded, 1 << 30)
        encodings = [self.reading.encode(text, None, None) for text in ("a", _PROBE)]
        with evaluation_mode(self.model):
            self.runner.try_padding([Tokens(0, e, [*range(len(e))]) for e in encodings])
        self.pads = self.runner.pads
        if not self.runner.knows_padding:  # such models take one row at a time
            self.chunk = 1
        self.limit = token_limit(loaded.model, loaded.tokenizer)
        self.labels = self._labels()
        self.operators: dict[str, Operator]
        self.operators, self.refused = text_operators(self, _PROBE)

    @staticmethod
    def load(
        model: Any,
        tokenizer: Any = None,
        *,
        device: str | torch.device | None = None,
        trust_remote_code: bool = False,
    ) -> TextTask:
        """From a module, a pipeline, a local folder or a hub id; as for :func:`lxt.explain`."""
        return TextTask(
            load_text_model(
                model, tokenizer=tokenizer, device=device, trust_remote_code=trust_remote_code
            )
        )

    @property
    def device(self) -> torch.device:
        return self.runner.device

    @property
    def tokenizer(self) -> Any:
        return self.loaded.tokenizer

    def prepare(self, rows: Sequence[Row], target: Any = None) -> Batch:
        """See :class:`.Task`."""
        if not rows:
            raise InputError("expected at least one sample")
        encodings = [self._encoded(row) for row in rows]
        kept = [self.reading.cut(e, self.limit) for e in encodings]
        found = [
            words_and_tokens(e, [0.0] * len(e), positions)
            for e, positions in zip(encodings, kept, strict=True)
        ]
        tokens = [Tokens(i, e, kept[i]) for i, e in enumerate(encodings)]
        inputs = self.runner.inputs(tokens)
        longest = inputs["input_ids"].shape[1]
        member = torch.full((len(rows), longest), -1, dtype=torch.long)
        for i, (_, pieces) in enumerate(found):
            # special tokens and white space are in no word
            units = [-1 if t.word is None else t.word for t in pieces]
            member[i, : len(units)] = torch.tensor(units)
        nothing = torch.zeros(len(rows), device=self.device)
        batch = Batch(
            rows=list(rows),
            inputs=inputs,
            units=[len(words) for words, _ in found],
            targets=nothing.long(),
            score=nothing,
            probability=nothing,
            predicted=nothing.long(),
            member=member.to(self.device),
            lengths=torch.tensor([len(k) for k in kept], device=self.device),
            details=[(e, words) for e, (words, _) in zip(encodings, found, strict=True)],
        )
        return settle(batch, self, self._clean(batch), target)

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :class:`.Task`."""
        with evaluation_mode(self.model):
            return logits_of(self.model(**inputs), inputs)

    def probabilities(self, logits: Tensor) -> Tensor:
        """See :class:`.Task`."""
        exact = logits.detach().double()
        kind: Kind = head_kind(getattr(self.model, "config", None), exact.shape[-1])
        if kind == "values":
            return torch.full_like(exact, float("nan"))
        return exact.sigmoid() if kind == "labels" else exact.softmax(-1)

    def call(self, inputs: Mapping[str, Tensor]) -> Any:
        """See :class:`.Task`."""
        return dict(inputs)

    def pool(self, batch: Batch, relevance: Tensor) -> list[Tensor]:
        """See :class:`.Task`; ``relevance`` [B, tokens], or [B, tokens, width]."""
        values = relevance.flatten(2).sum(-1) if relevance.dim() > 2 else relevance
        return pool_by(batch.member, values, batch.units)

    def probe(self) -> Batch:
        """See :class:`.Task`."""
        return self.prepare([Row("probe", _PROBE)])

    def fingerprint(self) -> str:
        """See :class:`.Task`."""
        return fingerprint(self.model, (self.kind, self.labels, self.limit))

    def with_model(self, model: nn.Module) -> Task:
        """See :class:`.Task`."""
        made = copy.copy(self)
        made.loaded = replace(self.loaded, model=model)
        made.model = model
        made.runner = Runner(made.loaded, 1 << 30)
        made.operators, made.refused = text_operators(made, _PROBE)
        return made

    def _encoded(self, row: Row) -> Encoding:
        texts = row.content if isinstance(row.content, tuple | list) else (row.content,)
        if wrong := [type(text).__name__ for text in texts if not isinstance(text, str)]:
            raise InputError(
                f"sample {row.id!r}: expected a text or a pair of texts, got {wrong[0]}"
            )
        if len(texts) not in (1, 2):
            raise InputError(
                f"sample {row.id!r}: expected a text or a pair of texts, got {len(texts)} texts"
            )
        try:
            return self.reading.encode(texts[0], texts[1] if len(texts) == 2 else None, None)
        except InputError as error:
            raise InputError(f"sample {row.id!r}: {error}") from error

    def _clean(self, batch: Batch) -> Tensor:
        """Logits [B, C] of the untouched inputs."""
        with torch.inference_mode():
            if self.pads:
                return self.logits(batch.inputs).clone()
            rows = []
            for i in range(len(batch)):
                own = take(batch, torch.tensor([i]))
                trimmed = {n: v[:, : int(batch.lengths[i])] for n, v in own.items()}
                rows.append(self.logits(trimmed))
            return torch.cat(rows)

    def _labels(self) -> list[str]:
        names = class_names(self.model)
        outputs = getattr(getattr(self.model, "config", None), "num_labels", None) or len(names)
        if not outputs:
            tokens = Tokens(0, (e := self.reading.encode(_PROBE, None, None)), [*range(len(e))])
            outputs = self.runner.logits([tokens]).shape[1]
        return [names.get(i, str(i)) for i in range(int(outputs))]
