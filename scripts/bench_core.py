#!/usr/bin/env python
"""Cost of an attribution against the plain input gradient of the same model, paired in one run.

    python scripts/bench_core.py            # both models, about five minutes on two cores
    python scripts/bench_core.py --quick    # fewer pairs

For each case it prints the median over pairs of time(lrp) / time(gradient), in alternating
order, and the ratio of the bytes that stay alive between forward and backward (distinct live
storages, parameters and inputs aside).  Both sides keep parameters frozen and seed one logit.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lxt_like as lxt

Case = tuple[str, nn.Module, Tensor, float, float]


def llama(tokens: int) -> tuple[nn.Module, Tensor]:
    """A Llama-like causal language model, 8 layers of 512."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=512,
        intermediate_size=1376,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=2048,
        use_cache=False,
    )
    model = LlamaForCausalLM(config).eval()
    return model, model.get_input_embeddings()(torch.randint(0, 1000, (1, tokens))).detach()


def bert(batch: int, tokens: int) -> tuple[nn.Module, Tensor]:
    """A BERT-like classifier, 6 layers of 384."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1000,
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=6,
        num_attention_heads=12,
    )
    model = BertForSequenceClassification(config).eval()
    return model, model.get_input_embeddings()(torch.randint(0, 1000, (batch, tokens))).detach()


def score_of(logits: Tensor) -> Tensor:
    """The largest logit, at the last position of a language model."""
    logits = logits[:, -1] if logits.dim() == 3 else logits
    return logits.gather(-1, logits.argmax(-1, keepdim=True)).sum()


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    """Input x gradient."""
    x = x.detach().clone().requires_grad_()
    score_of(model(inputs_embeds=x).logits).backward()
    assert x.grad is not None
    return x.detach() * x.grad


def lrp(model: nn.Module, x: Tensor) -> Tensor:
    """``lxt.attribute``, patching and strictness included."""
    return lxt.attribute(model, {"inputs_embeds": x}).relevance


def live_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes of distinct storages alive after the forward that were not before it."""
    gc.collect()
    before = {t.untyped_storage().data_ptr() for t in _live()}
    score = forward()
    gc.collect()
    saved: dict[int, int] = {}
    todo, seen = [score.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for t in _saved(node):
            saved[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        todo.extend(n for n, _ in node.next_functions)
    for t in _live():
        saved[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
    return sum(n for ptr, n in saved.items() if ptr not in before)


def _live() -> list[Tensor]:
    kinds = ((obj, type(obj)) for obj in gc.get_objects())
    # torch's compiler leaves tensors without memory behind
    return [obj for obj, kind in kinds if issubclass(kind, Tensor) and kind is not FakeTensor]


def _saved(node: object) -> list[Tensor]:
    """Tensors an autograd node keeps for its backward."""
    found: list[Tensor] = []
    for name in dir(node):
        if name.startswith("_saved_") or name == "saved_tensors":
            value = getattr(node, name)
            items = value if isinstance(value, (tuple, list)) else (value,)
            found += [t for t in items if isinstance(t, Tensor)]
    return found


def memory_ratio(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """Bytes between forward and backward: (gradient, lrp)."""

    def plain() -> Tensor:
        leaf = x.detach().clone().requires_grad_()
        return score_of(model(inputs_embeds=leaf).logits)

    base = live_bytes(plain)
    with lxt.patch(model):
        return base, live_bytes(plain)


def time_ratio(model: nn.Module, x: Tensor, pairs: int) -> tuple[float, float, float]:
    """Median over pairs of lrp / gradient, and both medians in ms."""
    runs = (gradient, lrp)
    for run in runs:
        run(model, x)
    times: list[list[float]] = [[], []]
    for i in range(pairs):
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            start = time.perf_counter()
            runs[side](model, x)
            times[side].append(time.perf_counter() - start)
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    return ratio, statistics.median(times[0]) * 1e3, statistics.median(times[1]) * 1e3


def main() -> int:
    """Print the table; exit 1 if a bound is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="7 pairs instead of 25")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    pairs = 7 if options.quick else 25
    cases: list[Case] = [
        ("llama 8x512, 256 tokens", *llama(256), 1.03, 0.75),
        ("llama 8x512, 1024 tokens", *llama(1024), 1.03, 0.75),
        ("bert 6x384, 16x64", *bert(16, 64), 1.03, 0.85),
    ]
    rows, ok = [], True
    print(f"{'case':<26} {'time ratio':>10} {'gradient':>10} {'lrp':>10} {'memory ratio':>13}")
    for name, model, x, most_time, most_memory in cases:
        model.requires_grad_(False)
        ratio, plain_ms, lrp_ms = time_ratio(model, x, pairs)
        base, ours = memory_ratio(model, x)  # after: walking all objects leaves the heap in pieces
        memory = ours / base
        ok &= ratio <= most_time and memory <= most_memory
        print(
            f"{name:<26} {ratio:>10.3f} {plain_ms:>7.0f} ms {lrp_ms:>7.0f} ms {memory:>13.3f}"
            f"   ({base / 1e6:.1f} -> {ours / 1e6:.1f} MB)",
            flush=True,
        )
        rows.append({"case": name, "time": ratio, "memory": memory, "pairs": pairs})
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
