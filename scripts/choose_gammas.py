#!/usr/bin/env python
"""Which gammas the presets for vision transformers should have: faithfulness over a grid.

    python scripts/choose_gammas.py IMAGES [--model vit] [--samples 200]

``IMAGES`` is a folder of images that the model was not trained on.  For each pair of gammas (at
linear layers; at the convolution that embeds the patches) the table shows the SRG under two
operators, mean over the images with its 95 % interval, best sum first: the defaults of
``attnlrp_gamma`` and its kin are the best pair on the bundled model.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lxt_like as lxt
from lxt_like.composites import AttnLRPGamma

LINEAR, CONV = (0.0, 0.05, 0.1, 0.25, 0.5), (0.25, 1.0)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", default="vit")
    parser.add_argument("--samples", type=int, default=200)
    options = parser.parse_args()
    model = lxt.demo.vit() if options.model == "vit" else options.model
    pairs = {f"{a:g} / {b:g}": AttnLRPGamma(a, b) for a, b in itertools.product(LINEAR, CONV)}
    report = lxt.evaluate(
        model, options.images, methods=[*pairs.items()], samples=options.samples, steps=16
    )
    rows: dict[str, dict[str, str]] = {}
    total: dict[str, float] = {}
    for row in report.table:
        name, operator = str(row["method"]), str(row["operator"])
        if row["mean"] is None:
            raise SystemExit(f"error: {name} has no figures under {operator}: too few images")
        total[name] = total.get(name, 0.0) + float(row["mean"])
        shown = f"{row['mean']:.2f} ({row['low']:.2f} ... {row['high']:.2f})"
        rows.setdefault(name, {})[operator] = shown
    operators = list(next(iter(rows.values())))
    print(f"{'linear / conv':<14} " + " ".join(f"{o:>22}" for o in operators))
    for name in sorted(rows, key=lambda n: -total[n]):
        print(f"{name:<14} " + " ".join(f"{rows[name][o]:>22}" for o in operators))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
