"""Patch a Hugging Face checkpoint and look at the relevance of its hidden layers and heads.

    python recipes/patch_checkpoint.py
    python recipes/patch_checkpoint.py --model path/or/hub-id --text "Paris is the capital of"
    python recipes/patch_checkpoint.py --composite cp_lrp

Any sequence classifier or causal language model will do; the default is the bundled classifier.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

import lxt_like as lxt


def load(name: str) -> tuple[Any, Any]:
    """(model in evaluation mode, tokenizer) of a folder or hub id."""
    heads = AutoConfig.from_pretrained(name).architectures or [""]
    classifier = heads[0].endswith("SequenceClassification")
    auto = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    return auto.from_pretrained(name).eval(), AutoTokenizer.from_pretrained(name)


def by_hand(model: Any, inputs: dict[str, torch.Tensor], composite: str) -> list[torch.Tensor]:
    """Relevance of each hidden state [1, tokens, width], for the largest logit.

    This is all that a patch needs: a forward and a backward of your own.
    """
    embeds = model.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
    with lxt.patch(model, composite):
        out = model(
            inputs_embeds=embeds,
            attention_mask=inputs["attention_mask"],
            output_hidden_states=True,
        )
        for hidden in out.hidden_states:
            hidden.retain_grad()
        logits = out.logits if out.logits.dim() == 2 else out.logits[:, -1]
        logits.max().backward()
    # outside the patch the model is its old self, and hidden * gradient is the relevance
    return [(hidden * hidden.grad).detach() for hidden in out.hidden_states]


def blocks(model: nn.Module) -> list[str]:
    """The names of the transformer's layers: the members of its longest module list."""
    lists = {n: m for n, m in model.named_modules() if isinstance(m, nn.ModuleList)}
    longest = max(lists, key=lambda name: len(lists[name]))
    return [f"{longest}.{i}" for i in range(len(lists[longest]))]


def main() -> None:
    parser = argparse.ArgumentParser(description="Relevance inside a Hugging Face checkpoint.")
    parser.add_argument("--model", default=str(lxt.demo.sentiment()), help="folder or hub id")
    parser.add_argument("--text", default="A gripping, funny film with a terrific cast.")
    parser.add_argument("--composite", default="attnlrp")
    args = parser.parse_args()
    model, tokenizer = load(args.model)
    inputs = dict(tokenizer(args.text, return_tensors="pt"))

    print("lxt.patch: relevance of the hidden states, summed over tokens and neurons")
    for i, relevance in enumerate(by_hand(model, inputs, args.composite)):
        print(f"  {'embeddings' if i == 0 else f'layer {i}':<12}{float(relevance.sum()):+.4f}")

    names = blocks(model)
    a = lxt.attribute(model, inputs, composite=args.composite, ledger=True, layers=names)
    print("\nlxt.attribute: the ledger")
    print(a.ledger)

    middle = names[len(names) // 2]
    print(f"\nlayers=: relevance of each token at {middle}")
    tokens = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    for token, value in zip(tokens, a.layers[middle][0].sum(-1).tolist(), strict=True):
        print(f"  {token:<16}{value:+.4f}")

    print("\nheads: the strongest, by the sum over tokens")
    heads = [
        (float(value), name, head)
        for name, relevance in a.heads.items()
        for head, value in enumerate(relevance[0].sum(-1))
    ]
    for value, name, head in sorted(heads, key=lambda row: -abs(row[0]))[:5]:
        print(f"  {value:+.4f}  {name} head {head}")


if __name__ == "__main__":
    try:
        main()
    except (lxt.LxtError, OSError) as error:
        sys.exit(f"error: {error}")
