"""Invented rows of an evaluation: random numbers of known means, images and texts to show."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from lxt_like.evaluate.pictures import thumbnail

MEANS = {"random": 0.0, "attnlrp": 2.0, "integrated_gradients": 1.9, "rollout": 0.3}
LABELS = ("cat", "dog <b>")
Tables = dict[str, list[dict[str, Any]]]


def tables(count: int = 12, images: bool = True, seed: int = 0) -> Tables:
    rng = np.random.default_rng(seed)
    made: Tables = {name: [] for name in ("per_sample", "curves", "relevance", "samples")}
    for i in range(count):
        sample, predicted = f"s{i}", LABELS[i % 2]
        correct = i % 5 != 0
        picture = Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        made["samples"].append(
            {"sample": sample, "index": i, "predicted": predicted, "correct": correct,
             "words": None if images else ["Good", "<film>", "&", "cast"],
             "thumbnail": thumbnail(picture) if images else None,
             "rows": 2 if images else None, "columns": 2 if images else None}
        )  # fmt: skip
        for method, mean in MEANS.items():
            for run in range(2 if method == "random" else 1):
                made["relevance"].append(
                    {"sample": sample, "method": method, "seed": run,
                     "values": rng.normal(size=4).astype(np.float32).tolist()}
                )  # fmt: skip
                for operator in ("mean", "blur"):
                    srg = float(rng.normal(mean, 0.5))
                    made["per_sample"].append(
                        {"sample": sample, "index": i, "method": method, "seed": run,
                         "operator": operator, "label": LABELS[0], "predicted": predicted,
                         "target": predicted, "correct": correct, "units": 4, "score": 3.0,
                         "probability": 0.9, "srg": srg, "insertion": 2 + srg / 2,
                         "deletion": 2 - srg / 2, "comprehensiveness": 1.0, "sufficiency": 0.5,
                         "srg_probability": srg / 10, "milliseconds": 3.0 + mean}
                    )  # fmt: skip
                    falling = np.linspace(3, -1, 5)
                    made["curves"].append(
                        {"sample": sample, "method": method, "seed": run, "operator": operator,
                         "k": [0, 0.25, 0.5, 0.75, 1.0],
                         "morf_logit": (falling - srg * np.array([0, 1, 1, 1, 0]) / 3).tolist(),
                         "lerf_logit": falling.tolist(),
                         "morf_probability": [0.9, 0.4, 0.2, 0.1, 0.1],
                         "lerf_probability": [0.9, 0.9, 0.8, 0.5, 0.1]}
                    )  # fmt: skip
    return made
