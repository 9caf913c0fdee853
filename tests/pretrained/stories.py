"""stories260K: a small Llama that tells stories, rebuilt from its llama2.c files."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from ..explain import makers
from .models import need

SPECIALS = ["<unk>", "<s>", "</s>"]


def stories() -> tuple[Any, Any]:
    """The model in float32, evaluation mode, and its tokenizer; skips the test without them."""
    folder = ("weights", "stories260K")
    return _model(need(*folder, "stories260K.bin")), _tokenizer(need(*folder, "tok512.bin"))


def _model(path: Path) -> Any:
    """llama2.c: seven int32 (sizes), then the float32 weights kind by kind, layer by layer."""
    data = path.read_bytes()
    dim, hidden, layers, heads, kv_heads, vocabulary, length = struct.unpack("7i", data[:28])
    numbers = torch.from_numpy(np.frombuffer(data, dtype="<f4", offset=28).copy())
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=dim,
        intermediate_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config)
    width = dim // heads
    kv = width * kv_heads
    state: dict[str, Tensor] = {}
    at = 0

    def take(*shape: int) -> Tensor:
        nonlocal at
        size = int(np.prod(shape))
        at += size
        return numbers[at - size : at].reshape(shape)

    state["model.embed_tokens.weight"] = take(vocabulary, dim)
    for name, *shape in (
        ("input_layernorm", dim),
        ("self_attn.q_proj", dim, dim),
        ("self_attn.k_proj", kv, dim),
        ("self_attn.v_proj", kv, dim),
        ("self_attn.o_proj", dim, dim),
        ("post_attention_layernorm", dim),
        ("mlp.gate_proj", hidden, dim),
        ("mlp.down_proj", dim, hidden),
        ("mlp.up_proj", hidden, dim),
    ):
        for i, weight in enumerate(take(layers, *shape)):
            if name.endswith(("q_proj", "k_proj")):
                # its RoPE turns neighbouring numbers, transformers' those of the two halves
                rows = weight.reshape(-1, width // 2, 2, dim).transpose(1, 2)
                weight = rows.reshape(weight.shape)
            state[f"model.layers.{i}.{name}.weight"] = weight
    state["model.norm.weight"] = take(dim)
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model.eval()


def _tokenizer(path: Path) -> Any:
    """llama2.c: the longest piece's length, then score, length and bytes of each piece.

    Its BPE merges the neighbours whose union scores highest.
    """
    data = path.read_bytes()
    at = 4
    scores: dict[str, float] = {}
    while at < len(data):
        score, size = struct.unpack_from("<fi", data, at)
        piece = data[at + 8 : at + 8 + size].decode().replace(" ", "▁")
        number = len(scores)
        scores[SPECIALS[number] if number < len(SPECIALS) else piece] = score
        at += 8 + size
    ids = {piece: i for i, piece in enumerate(scores)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in sorted(scores, key=scores.__getitem__, reverse=True)
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    special = [AddedToken(t, special=True) for t in SPECIALS]
    return makers.sentencepiece(ids, merges, special)
