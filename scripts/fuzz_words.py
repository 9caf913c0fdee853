"""Odd strings through the mapping of tokens to words, with six kinds of tokenizer.

python scripts/fuzz_words.py [number of strings] [seed]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.explain.checks import fuzz_words

    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as folder:
        done = fuzz_words(n, Path(folder), seed)
    print(f"{done} odd strings: every token in one word or none, every word in its text")


if __name__ == "__main__":
    main()
