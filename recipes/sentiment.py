"""Explain reviews word by word: each review's words, the words that count most over all, a page.

    python recipes/sentiment.py "A gripping, funny film." "The jokes fall flat."
    python recipes/sentiment.py --file reviews.txt --target positive --out reviews.html
    python recipes/sentiment.py --model path/or/hub-id --composite cp_lrp "Dull."

A file holds one review per line.  Without any review the bundled samples are explained.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import lxt_like as lxt


def read_reviews(texts: list[str], file: Path | None) -> list[str]:
    """The reviews given as arguments, then those of the file; else the bundled samples."""
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        texts = texts + [line.strip() for line in lines if line.strip()]
    return texts or list(lxt.demo.reviews())


def top_words(explanations: list[lxt.TextExplanation], n: int) -> list[tuple[str, str, float, int]]:
    """(label, word, summed relevance, occurrences), strongest first.

    Words are counted apart for each explained label: +1 for "negative" is no +1 for "positive".
    """
    totals: dict[tuple[str, str], list[float]] = defaultdict(list)
    for ex in explanations:
        for word in ex.words:
            if any(c.isalnum() for c in word.text):
                totals[ex.target.label, word.text.lower()].append(word.relevance)
    rows = [(label, word, sum(each), len(each)) for (label, word), each in totals.items()]
    return sorted(rows, key=lambda row: -abs(row[2]))[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description="Explain reviews word by word.")
    parser.add_argument("texts", nargs="*", help="reviews")
    parser.add_argument("--file", type=Path, help="a text file with one review per line")
    parser.add_argument("--model", default=lxt.demo.sentiment(), help="folder or hub id")
    parser.add_argument("--target", help="the class to explain; default: the predicted one")
    parser.add_argument("--composite", default="attnlrp")
    parser.add_argument("--top", type=int, default=10, help="how many words of all reviews")
    parser.add_argument("--out", type=Path, help=".html, .png, .pdf, .svg, .tex or .json")
    args = parser.parse_args()

    reviews = read_reviews(args.texts, args.file)
    explanations = lxt.explain(args.model, reviews, target=args.target, composite=args.composite)
    for ex in explanations:
        words = "  ".join(f"{word.text} {word.relevance:+.2f}" for word in ex.top(4))
        print(f"{ex.target.label} ({ex.target.score:+.2f})  {ex.text}\n    {words}")

    print(f"\nstrongest words of {len(reviews)} reviews")
    for label, word, total, count in top_words(explanations, args.top):
        print(f"{total:+8.3f}  {word} ({count}x, for {label})")

    if args.out is not None:
        lxt.save(explanations, args.out)
        print(f"\n{args.out}")


if __name__ == "__main__":
    try:
        main()
    except (lxt.LxtError, OSError) as error:
        sys.exit(f"error: {error}")
