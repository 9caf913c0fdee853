"""Transformers built from torch's own modules, and wrappers around a language model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.models.zoo import WIDTH, randomised

TYPES = (
    "nn.TransformerEncoder",
    "nn.TransformerEncoder (norm first)",
    "nn.Transformer",
    "nn.MultiheadAttention",
    "mean-pooled sentence encoder",
)


class _Encoder(nn.Module):
    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 48, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x).mean(1))


class _Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Transformer(WIDTH, 4, 2, 2, 48, batch_first=True)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.both(x, x.flip(1)).mean(1))


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x + self.attention(x, x, x)[0])[:, 0])


class _Sentence(nn.Module):
    """Mean pooling, unit length, similarity to fixed vectors: as sentence encoders are used."""

    def __init__(self) -> None:
        super().__init__()
        from tests.models import zoo

        self.model: Any = zoo.build("bert", "sequence-classification").bert
        self.anchors = nn.Parameter(torch.randn(3, WIDTH))

    def get_input_embeddings(self) -> nn.Module:
        return self.model.get_input_embeddings()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(hidden.dtype)
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        unit = nn.functional.normalize(pooled, dim=-1)
        return nn.functional.linear(unit, nn.functional.normalize(self.anchors, dim=-1))


def build(name: str, task: str) -> nn.Module:
    """One of TYPES."""
    torch.manual_seed(0)
    made: dict[str, Any] = {
        TYPES[0]: lambda: _Encoder(False),
        TYPES[1]: lambda: _Encoder(True),
        TYPES[2]: _Both,
        TYPES[3]: _Attention,
        TYPES[4]: _Sentence,
    }
    return randomised(made[name]())


def example(model: nn.Module) -> Any:
    """Features [2, 8, width], or ids with padding."""
    generator = torch.Generator().manual_seed(1)
    if isinstance(model, _Sentence):
        mask = torch.ones((2, 8), dtype=torch.int64)
        mask[1, 6:] = 0
        return {
            "input_ids": torch.randint(3, 99, (2, 8), generator=generator),
            "attention_mask": mask,
        }
    return torch.randn((2, 8, WIDTH), generator=generator)
