"""The parts of the sentiment training that decide what is learnt and what is thrown away."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from cut_minilm import SPECIAL, pick_pieces, prune_mlps
from sst import Sample, natural, read_dev, read_train, tree_phrases


def test_tree_phrases_are_its_nodes_with_their_labels():
    line = "(3 (2 It) (3 (1 (2 's) (1 (2 not) (1 bad))) (2 .)))"
    assert tree_phrases(line) == [
        (2, "It"),
        (2, "'s"),
        (2, "not"),
        (1, "bad"),
        (1, "not bad"),
        (1, "'s not bad"),
        (2, "."),
        (3, "'s not bad ."),
        (3, "It 's not bad ."),
    ]


@pytest.mark.parametrize(
    ("treebank", "written"),
    [
        ("It does n't work .", "it doesn't work."),
        ("you ca n't , he 's", "you can't, he's"),
        ("-LRB- a gem -RRB- \\/ ``", '(a gem) / "'),
    ],
)
def test_natural_spelling(treebank, written):
    assert natural(treebank) == written


def test_no_dev_sentence_is_learnt(tmp_path):
    for folder in ("sst2", "sst_trees"):
        (tmp_path / "text" / folder).mkdir(parents=True)
    (tmp_path / "text/sst2/dev.tsv").write_text("so bad\t0\n")
    (tmp_path / "text/sst2/train.tsv").write_text("a gem\t1\nso bad\t0\n")
    (tmp_path / "text/sst_trees/train.txt").write_text(
        "(4 (2 A) (4 Gem))\n(0 (0 (2 So) (1 bad)) (2 !))\n(2 (2 a) (2 film))\n"
    )
    dev = read_dev(tmp_path)
    assert dev == [("so bad", 0)]
    assert read_train(tmp_path, dev) == [
        Sample(("a gem",), 1, True),
        Sample(("gem",), 1, False),
        Sample(("bad",), 0, False),
    ]


def test_missing_data_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"sst2/dev\.tsv: --data must hold"):
        read_dev(tmp_path)


def test_pieces_kept():
    vocab = [
        "[PAD]",
        "[unused1]",
        *SPECIAL[1:],
        "a",
        "##a",
        "語",
        "—",
        "the",
        "of",
        "rare",
        "twice",
    ]
    kept = pick_pieces({p: i for i, p in enumerate(vocab)}, [["rare", "twice"], ["twice"]], 2)
    assert kept == [*SPECIAL, "a", "##a", "—", "the", "of", "twice"]


def test_pruning_drops_the_neurons_that_do_nothing():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=6,
        max_position_embeddings=16,
    )
    model = BertForSequenceClassification(config).eval()
    dead = [[0, 3], [1, 5]]
    with torch.no_grad():
        for layer, columns in zip(model.bert.encoder.layer, dead, strict=True):
            layer.output.dense.weight[:, columns] = 0
    inputs = {"input_ids": torch.randint(0, 11, (5, 7))}
    before = model(**inputs).logits
    prune_mlps(model, [(inputs, torch.tensor([0, 1, 1, 0, 1]))], 4)
    assert model.bert.encoder.layer[0].output.dense.weight.shape == (8, 4)
    torch.testing.assert_close(model(**inputs).logits, before)
