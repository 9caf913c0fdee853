"""Make a BERT classifier smaller: fewer word pieces, fewer positions, narrower MLPs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LABELS = {0: "negative", 1: "positive"}
Batch = tuple[dict[str, torch.Tensor], torch.Tensor]
"""Model inputs and labels."""


def pick_pieces(vocab: dict[str, int], texts: Iterable[list[str]], common: int) -> list[str]:
    """The pieces to keep, in their old order, special tokens first.

    Kept: pieces that occur at least twice in `texts`, all Latin letters, digits and punctuation
    (alone and as ``##`` continuation), and the first `common` words of the vocabulary, which BERT
    orders by frequency.
    """
    counts = Counter(piece for pieces in texts for piece in pieces)
    first_word = vocab["the"]

    def wanted(piece: str, index: int) -> bool:
        bare = piece.removeprefix("##") if piece != "##" else piece
        if len(bare) == 1 and (ord(bare) < 0x250 or 0x2000 <= ord(bare) < 0x2100):
            return True
        return counts[piece] >= 2 or first_word <= index < first_word + common

    ordered = sorted(vocab.items(), key=lambda item: item[1])
    kept = [piece for piece, index in ordered if piece not in SPECIAL and wanted(piece, index)]
    return [*SPECIAL, *kept]


def cut_tokenizer(base: Path, pieces: list[str], positions: int) -> PreTrainedTokenizerFast:
    """The tokenizer of `base` with the vocabulary `pieces` (index = place in the list)."""
    spec = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    index = {piece: i for i, piece in enumerate(pieces)}
    spec["model"]["vocab"] = index
    spec["truncation"] = spec["padding"] = None
    spec["added_tokens"] = [
        {**token, "id": index[token["content"]]}
        for token in spec["added_tokens"]
        if token["content"] in SPECIAL
    ]
    for name, token in spec["post_processor"].get("special_tokens", {}).items():
        token["ids"] = [index[name]]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        model_max_length=positions,
        do_lower_case=True,
        **{f"{token.strip('[]').lower()}_token": token for token in SPECIAL},
    )


def cut_model(base: Path, old_ids: list[int], positions: int) -> BertForSequenceClassification:
    """The encoder of `base` with the embedding rows `old_ids` and a fresh two-class head."""
    model = BertForSequenceClassification.from_pretrained(
        base, num_labels=len(LABELS), dtype=torch.float32
    )
    model.config.id2label = dict(LABELS)
    model.config.label2id = {name: i for i, name in LABELS.items()}
    embeddings = model.bert.embeddings
    rows = embeddings.word_embeddings.weight.detach()[old_ids].clone()
    embeddings.word_embeddings = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=0)
    rows = embeddings.position_embeddings.weight.detach()[:positions].clone()
    embeddings.position_embeddings = nn.Embedding.from_pretrained(rows, freeze=False)
    for name in ("position_ids", "token_type_ids"):
        setattr(embeddings, name, getattr(embeddings, name)[:, :positions])
    model.config.vocab_size = len(old_ids)
    model.config.max_position_embeddings = positions
    return model


def prune_mlps(model: BertForSequenceClassification, data: list[Batch], width: int) -> None:
    """Keep the `width` neurons of each MLP with the largest importance, in place.

    Importance of a neuron: sum over the tokens of ``data`` of |activation * dLoss/dactivation|,
    its first-order effect on the loss if it were set to zero.
    """
    layers = model.bert.encoder.layer
    scores = [torch.zeros(layer.intermediate.dense.out_features) for layer in layers]
    for inputs, labels in data:
        seen: list[torch.Tensor] = []

        def keep_output(
            _module: nn.Module, _args: object, out: torch.Tensor, seen: list[torch.Tensor] = seen
        ) -> None:
            out.retain_grad()
            seen.append(out)

        hooks = [layer.intermediate.register_forward_hook(keep_output) for layer in layers]
        F.cross_entropy(model(**inputs).logits, labels, reduction="sum").backward()
        for hook in hooks:
            hook.remove()
        for score, out in zip(scores, seen, strict=True):
            assert out.grad is not None
            score += (out.detach() * out.grad).abs().sum((0, 1))
    model.zero_grad(set_to_none=True)
    for layer, score in zip(layers, scores, strict=True):
        keep = score.topk(width).indices.sort().values
        up, down = layer.intermediate.dense, layer.output.dense
        up.weight = nn.Parameter(up.weight.detach()[keep].clone())
        up.bias = nn.Parameter(up.bias.detach()[keep].clone())
        down.weight = nn.Parameter(down.weight.detach()[:, keep].clone())
        up.out_features = down.in_features = width
    model.config.intermediate_size = width
