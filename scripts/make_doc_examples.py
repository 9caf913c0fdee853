"""Makes what README.md and docs/ show of the bundled model: printed examples and the picture.

    python scripts/make_doc_examples.py            writes them; run it when the model changes
    python scripts/make_doc_examples.py --check    exit code 1 if a page shows other numbers

A page marks an example by the comment <!-- example: NAME --> above a block of text.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lxt_like as lxt
from lxt_like.render.terminal import to_terminal

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "why.png"
SENTENCE = "The photography is gorgeous, but the story is a tedious mess."
PAIR = ["A gripping, funny film.", "The jokes fall flat."]

_MARKED = re.compile(r"(<!-- example: (\S+) -->\n```text\n)(.*?)(```\n)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
TOLERANCE = 2e-3
"""How far a number may be off before its page is out of date: other kernels round otherwise."""


def _model() -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = lxt.demo.sentiment()
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def explained() -> str:
    """``print(ex)``, as the README shows it."""
    return to_terminal(lxt.explain(lxt.demo.sentiment(), SENTENCE), width=80, color=False)


def explained_cp() -> str:
    """The same prediction under CP-LRP."""
    ex = lxt.explain(lxt.demo.sentiment(), SENTENCE, composite="cp_lrp")
    return to_terminal(ex, width=80, color=False)


def ledger() -> str:
    """``print(a.ledger)`` of two texts."""
    model, tokenizer = _model()
    inputs = tokenizer(PAIR, padding=True, return_tensors="pt")
    return str(lxt.attribute(model, inputs, ledger=True).ledger)


def audit() -> str:
    """The first operations of an audit, and its verdict."""
    model, tokenizer = _model()
    lines = str(lxt.audit(model, tokenizer(PAIR[0], return_tensors="pt"))).splitlines()
    return "\n".join([*lines[:9], "...", lines[-1]])


EXAMPLES: dict[str, Callable[[], str]] = {
    "explained": explained,
    "explained-cp": explained_cp,
    "ledger": ledger,
    "audit": audit,
}


def pages() -> list[Path]:
    """README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def render(name: str) -> str:
    """One example without trailing blanks.

    Raises:
        KeyError: no such example.
    """
    return "".join(f"{line.rstrip()}\n" for line in EXAMPLES[name]().strip("\n").splitlines())


def same(shown: str, made: str) -> bool:
    """Whether two printed examples agree: their words, and their numbers within TOLERANCE.

    Lines of rounding noise (gap, unruled) and the lengths of bars are left out.
    """
    one, other = (_comparable(text) for text in (shown, made))
    if _NUMBER.sub("#", one) != _NUMBER.sub("#", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(abs(float(a) - float(b)) <= TOLERANCE * max(1, abs(float(b))) for a, b in pairs)


def _comparable(text: str) -> str:
    lines = [line for line in text.splitlines() if not re.match(r" *(gap|unruled)\b", line)]
    text = re.sub(r"[━╸╺─-]{2,}|[━╸╺]", "", "\n".join(lines))
    return " ".join(text.split())


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes the printed examples and the picture.")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    check = parser.parse_args().check
    made: dict[str, str] = {}
    stale: list[str] = []

    def fresh(match: re.Match[str]) -> str:
        head, name, shown, tail = match.groups()
        text = made.setdefault(name, render(name))
        if same(shown, text):
            return match[0]
        stale.append(name)
        return head + text + tail

    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = _MARKED.sub(fresh, before)
        if not check and after != before:
            page.write_text(after, encoding="utf-8")
    if check:
        if stale:
            print(f"out of date: {', '.join(stale)}: run python scripts/make_doc_examples.py")
        return 1 if stale else 0
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    lxt.explain(lxt.demo.sentiment(), SENTENCE).save(PICTURE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
