"""``python -m lxt_like.demo [FOLDER]``: sample reviews and a picture, by the bundled models."""

from __future__ import annotations

import sys
from pathlib import Path

from ..errors import LxtError
from ..explain import explain
from ..explain.result import save
from . import photo, reviews, sentiment, vit


def main(folder: str = "out") -> int:
    """Explain the samples and print them.

    Writes ``demo.html`` and ``demo.png`` (the reviews), ``image.html`` and ``image.png`` (the
    picture) into ``folder``.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    explanations = explain(str(sentiment()), list(reviews()))
    for explanation in explanations:
        print(explanation)
    for name in ("demo.html", "demo.png"):
        save(explanations, out / name)
        print(out / name)
    picture = explain(str(vit()), str(photo()))
    print(picture)
    for name in ("image.html", "image.png"):
        save(picture, out / name)
        print(out / name)
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(*sys.argv[1:2]))
    except LxtError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
