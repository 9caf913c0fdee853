"""What made a diagnosis: every feature's share of a score, with an account a reviewer can sum.

    python recipes/tabular_diagnosis.py
    python recipes/tabular_diagnosis.py --patient 12 --out why.png

A small network learns the breast cancer data of scikit-learn (569 tumours, 30 measurements from
images of cell nuclei) in a few seconds.  For one tumour of the test set the score "malignant rather
than benign" is shared among the measurements: for, against, and what the network's biases add.
Inputs are standardised, so a feature at its average contributes nothing.

This shows what the network went by, not what causes cancer; correlated measurements share what
either of them could carry alone.  Needs scikit-learn: pip install scikit-learn
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lxt_like as lxt
from lxt_like.render import bars


class Data:
    """Standardised features and labels of train and test patients."""

    def __init__(self) -> None:
        from sklearn.datasets import load_breast_cancer

        data = load_breast_cancer()
        self.features = [str(name) for name in data.feature_names]
        self.classes = [str(name) for name in data.target_names]
        raw, self.y = torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)
        order = torch.randperm(len(raw), generator=torch.Generator().manual_seed(0))
        self.test, self.train = order[:150], order[150:]
        mean, std = raw[self.train].mean(0), raw[self.train].std(0)
        self.raw, self.x = raw, (raw - mean) / std


def train(x: Tensor, y: Tensor) -> nn.Sequential:
    """An MLP of 30-32-16-2, by AdamW on cross-entropy."""
    model = nn.Sequential(
        *(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    )
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.1)
    for _ in range(60):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patient", type=int, help="number in the test set; default: least sure")
    parser.add_argument("--out", type=Path, default=Path("diagnosis.png"))
    options = parser.parse_args()
    torch.manual_seed(0)
    data = Data()
    model = train(data.x[data.train], data.y[data.train])
    with torch.no_grad():
        logits = model(data.x[data.test])
    right = (logits.argmax(1) == data.y[data.test]).float().mean()
    print(f"{right:.1%} of {len(data.test)} test tumours classified right")

    malignant, benign = (data.classes.index(name) for name in ("malignant", "benign"))
    margin = logits[:, malignant] - logits[:, benign]
    i = int(margin.abs().argmin()) if options.patient is None else options.patient
    if not 0 <= i < len(data.test):
        parser.error(f"--patient lies in 0..{len(data.test) - 1}")
    at = int(data.test[i])
    found = lxt.attribute(
        model,
        data.x[at : at + 1],
        lxt.Contrast(malignant, benign),
        "epsilon",
        ledger=True,
    )
    assert found.ledger is not None
    account = found.ledger.account(0)
    shares = found.relevance[0].tolist()
    print(f"\ntumour {i}, in truth {data.classes[int(data.y[at])]}: malignant rather than benign")
    order = sorted(range(30), key=lambda j: -abs(shares[j]))
    for j in order:
        print(f"  {data.features[j]:<26} {data.raw[at, j]:>10.4g}  {shares[j]:>+9.4f}")
    print(f"  {'all features':<26} {'':>10}  {account.inputs:>+9.4f}")
    for cause, amount in account.entries.items():
        print(f"  {cause:<26} {'':>10}  {amount:>+9.4f}")
    total = account.inputs + sum(account.entries.values())
    print(f"  {'sum':<26} {'':>10}  {total:>+9.4f}   (score {account.score:+.4f})")
    bars(
        data.features,
        shares,
        options.out,
        shown={n: f"{float(v):.4g}" for n, v in zip(data.features, data.raw[at], strict=True)},
        kept=account.entries,
        score=account.score,
        title=f"tumour {i}: malignant rather than benign",
    )
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
