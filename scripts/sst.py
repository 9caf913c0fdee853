"""The Stanford Sentiment Treebank as training samples (Socher et al. 2013).

``DIR/text/sst2/{train,dev}.tsv`` hold sentences (``sentence<TAB>0 or 1``); ``DIR/text/sst_trees/
train.txt`` holds bracketed trees with a label 0..4 on every node.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

_NODE = re.compile(r"\(([0-4])|(\))|([^\s()]+)")
_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "``": '"', "''": '"', "\\/": "/"}


@dataclass(frozen=True)
class Sample:
    """One text in all its surface forms, 0 (negative) or 1 (positive), and whether a sentence."""

    forms: tuple[str, ...]
    label: int
    sentence: bool


def key(text: str) -> str:
    """What two texts share that differ only in case, punctuation or spacing."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def tree_phrases(line: str) -> list[tuple[int, str]]:
    """(label 0..4, phrase) of every node of a bracketed tree, the whole sentence last."""
    out: list[tuple[int, str]] = []
    stack: list[tuple[int, list[str]]] = []
    for label, close, word in _NODE.findall(line):
        if label:
            stack.append((int(label), []))
        elif close:
            node, words = stack.pop()
            out.append((node, " ".join(words)))
            if stack:
                stack[-1][1].extend(words)
        else:
            stack[-1][1].append(word)
    return out


def natural(text: str) -> str:
    """Treebank tokens as people write them: ``do n't`` -> ``don't``, ``-LRB-`` -> ``(``."""
    text = text.lower()
    for code, sign in _BRACKETS.items():
        text = text.replace(code, sign)
    text = text.replace(" n't", "n't").replace(" '", "'")
    return re.sub(r" ([.,!?;:)])", r"\1", text).replace("( ", "(")


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        sys.exit(f"Expected {path}: --data must hold text/sst2 and text/sst_trees")
    return path.read_text(encoding="utf-8").splitlines()


def _pairs(path: Path) -> list[tuple[str, int]]:
    rows = (line.split("\t") for line in _lines(path) if line.strip())
    return [(text, int(label)) for text, label in rows]


def read_dev(data: Path) -> list[tuple[str, int]]:
    """The SST-2 dev sentences: (text, 0 or 1)."""
    return _pairs(data / "text" / "sst2" / "dev.tsv")


def read_train(data: Path, dev: list[tuple[str, int]]) -> list[Sample]:
    """Sentences and phrases of the training part, each once, none of them a sentence of `dev`.

    Texts with the same `key` are one sample: its forms are all their spellings, its label the sign
    of their mean score (labels 0..4 less 2, neutral nodes left out). Texts that are equal to a dev
    sentence up to case, punctuation and spacing are dropped.
    """
    held_out = {key(text) for text, _ in dev}
    forms: dict[str, dict[str, None]] = defaultdict(dict)  # a dict keeps order, a set would not
    scores: dict[str, int] = defaultdict(int)
    sentences: set[str] = set()

    def add(text: str, score: int) -> str:
        name = key(text)
        if name and name not in held_out and score:
            forms[name].update(dict.fromkeys((natural(text), text.lower())))
            scores[name] += score
        return name

    for text, label in _pairs(data / "text" / "sst2" / "train.tsv"):
        sentences.add(add(text, 4 * label - 2))
    for line in _lines(data / "text" / "sst_trees" / "train.txt"):
        phrases = tree_phrases(line)
        for label, text in phrases:
            add(text, label - 2)
        sentences.add(key(phrases[-1][1]))
    return [
        Sample(tuple(spellings), int(scores[name] > 0), name in sentences)
        for name, spellings in forms.items()
        if scores[name]
    ]
