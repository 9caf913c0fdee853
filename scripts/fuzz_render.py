"""Fuzz the renderers: odd strings through terminal, HTML, LaTeX, JSON, PNG, PDF and SVG.

    python scripts/fuzz_render.py --text 10000 --figures 500

Every string must come out without an exception and without an unescaped character: each
document is read back by a reader of its own (tests/render/checks.py) and compared.  Strings
come from tests/strategies.py.  Exit code 1 and the smallest failing explanation if not.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from lxt_like.explanation import TextData  # noqa: E402
from tests.render.checks import check_figures, check_text_formats  # noqa: E402
from tests.strategies import odd_texts, text_data  # noqa: E402


def fuzz(
    name: str,
    count: int,
    number: int,
    texts: st.SearchStrategy[str],
    check: Callable[[TextData, int], None],
) -> bool:
    """Run ``check`` on ``count`` explanations; report, and return whether all passed."""
    seen: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(data=text_data(texts), width=st.integers(20, 120))
    def one(data: TextData, width: int) -> None:
        seen["explanations"] += 1
        seen["strings"] += len(data.texts)
        seen["characters"] += sum(map(len, data.texts))
        check(data, width)

    start = time.perf_counter()
    try:
        one()
    except Exception:  # whatever it is, it is the finding: shown whole, and exit code 1
        traceback.print_exc()
        return False
    seconds = time.perf_counter() - start
    counts = ", ".join(f"{value:,} {what}" for what, value in seen.items())
    print(f"{name}: {counts} in {seconds:.0f} s, no exception, nothing unescaped", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", type=int, default=10_000, help="through the text formats")
    parser.add_argument("--figures", type=int, default=500, help="through PNG, PDF and SVG")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("error")  # a missing glyph, a deprecated call: findings, too
    passed = True
    if args.text:
        passed &= fuzz("text formats", args.text, args.seed, odd_texts(), check_text_formats)
    if args.figures:
        passed &= fuzz(
            "figures",
            args.figures,
            args.seed,
            odd_texts(),
            lambda data, width: check_figures(data, 2.5 + width / 40),
        )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
