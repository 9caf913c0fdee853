"""Why a network misreads a digit: the pixels, and the layers that amplified the error.

    python recipes/digits_mistakes.py
    python recipes/digits_mistakes.py --out mistakes --count 6

A small convolutional network learns scikit-learn's 8 x 8 digits (a few seconds).  For the test
digits that it misreads most confidently, relevance for the wrong class *rather than* the right one
is traced back: which pixels speak for the error, and at which layer the decision turns.
Writes mistakes.png (the digits and their heat maps) and trace.png (relevance over layers).

Needs scikit-learn, which carries the digits: pip install scikit-learn
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.render import Picture, heatmap, trace_figure


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Train and test images [n, 1, 8, 8] in [-1, 1], and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1
    y = torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    test, train = order[:600], order[600:]
    return x[train], y[train], x[test], y[test]


def network() -> nn.Sequential:
    """Three convolutions with BatchNorm, one dense layer."""
    layers: dict[str, nn.Module] = {}
    for i, (into, out) in enumerate(((1, 16), (16, 32), (32, 32)), 1):
        layers[f"conv{i}"] = nn.Conv2d(into, out, 3, padding=1)
        layers[f"norm{i}"], layers[f"relu{i}"] = nn.BatchNorm2d(out), nn.ReLU()
        if i == 2:
            layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(
        OrderedDict(layers | {"flat": nn.Flatten(), "dense": nn.Linear(32 * 16, 10)})
    )


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    """Adam on cross-entropy."""
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("mistakes"), help="for the pictures")
    parser.add_argument("--count", type=int, default=6, help="digits to show")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    torch.manual_seed(0)
    x, y, test_x, test_y = digits()
    model = network()
    train(model, x, y, options.epochs)
    with torch.no_grad():
        logits = model(test_x)
    read = logits.argmax(1)
    wrong = (read != test_y).nonzero().flatten()
    print(f"{len(test_x) - len(wrong)} of {len(test_x)} test digits read right")
    if not len(wrong):
        print("no mistake to explain; try fewer --epochs")
        return
    lead = logits[wrong, read[wrong]] - logits[wrong, test_y[wrong]]
    chosen = wrong[lead.argsort(descending=True)[: options.count]]
    images, right, seen = test_x[chosen], test_y[chosen].tolist(), read[chosen].tolist()

    target = lxt.Contrast(seen, right)
    composite = lxt.composites.EpsilonGammaBox(low=-1.0, high=1.0)
    found = lxt.attribute(model, images, target, composite, ledger=True)
    assert found.ledger is not None
    print(found.ledger)

    options.out.mkdir(parents=True, exist_ok=True)
    titles = [f"{r} read as {s}" for r, s in zip(right, seen, strict=True)]
    grey = list(images.neg())
    size = {"scale": 16, "columns": len(titles), "gap": 6}
    above = heatmap(grey, cmap="gray", symmetric=False, titles=titles, **size)
    below = heatmap(found.relevance, image=grey, alpha=0.75, **size)
    Picture(np.concatenate([above.array(), below.array()])).save(options.out / "mistakes.png")

    # a convolution's own output means little once its BatchNorm is merged into it
    shown = [name for name, _ in model.named_children() if not name.startswith("conv")]
    trace = lxt.trace(model, images, target, composite, layers=shown)
    for i, title in enumerate(titles):
        layer, gain = trace.amplified(i)[0]
        turns = ", ".join(trace.turns(i)) or "nowhere"
        print(
            f"{title}: {found.score[i]:+.2f}; turns at {turns}; grows most in {layer} ({gain:+.2f})"
        )
    layers = [row.layer for row in trace.rows]
    series = {title: [row.net[i] for row in trace.rows] for i, title in enumerate(titles[:4])}
    trace_figure(layers, series, options.out / "trace.png", title="wrong rather than right class")
    print(f"wrote {options.out / 'mistakes.png'} and {options.out / 'trace.png'}")


if __name__ == "__main__":
    main()
