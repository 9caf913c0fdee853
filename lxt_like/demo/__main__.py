"""``python -m lxt_like.demo [FOLDER]``: the sample reviews, explained by the bundled model."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import LxtError
from ..explain import explain
from ..explain.result import save
from . import reviews, sentiment


def main(folder: str = "out") -> int:
    """Explain the samples, print them, and write ``demo.html`` and ``demo.png`` into ``folder``."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    explanations = explain(str(sentiment()), list(reviews()))
    for explanation in explanations:
        print(explanation)
    for name in ("demo.html", "demo.png"):
        save(explanations, out / name)
        print(out / name)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(*sys.argv[1:2]))
    except LxtError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
