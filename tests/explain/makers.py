"""Tokenizers and tiny random classifiers, made on the spot: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ByT5Tokenizer,
    CanineTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

CORPUS = [
    "A gripping, funny film that doesn't let go; state-of-the-art and 3.5 stars.",
    "Dull, overlong and not funny at all ... I want my money back!",
    "été naïve Ärger 你好 世界 😀 film's end",
]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
VOCABULARY = [
    *SPECIALS,
    *_LETTERS,
    *("##" + c for c in _LETTERS),
    *".,;!?'-()",
    *["film", "funny", "grip", "##ping", "dull", "not", "good", "the", "你"],
]

UNIGRAM = """
n t o r e d y . s u a an l i ▁film ' , é p th ve ▁m ▁sta e- ll ▁f ▁g ng at g ▁a f - 3 w
Ä 😀 c D ; I ï k 5 界 A 好 b ! 你 世 .. ▁n on ar h v m er
""".split()
"""What a trainer finds in the corpus, likeliest first; trained anew, its ids differ each time."""


def wordpiece() -> Any:
    """A BERT tokenizer: lower case, accents stripped, [UNK] for what it does not know."""
    ids = {piece: i for i, piece in enumerate(VOCABULARY)}
    backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return _fast(
        backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def slow_wordpiece(folder: Path) -> BertTokenizerLegacy:
    """The same vocabulary in pure Python, without offsets."""
    file = folder / "vocab.txt"
    file.write_text("\n".join(VOCABULARY), encoding="utf-8")
    return BertTokenizerLegacy(str(file))


def byte_bpe(pad: bool = True) -> Any:
    """A GPT-2 tokenizer: bytes, a space belongs to the word behind it, no special tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    return _fast(backend, eos_token="<|end|>", **({"pad_token": "<|end|>"} if pad else {}))


def unigram() -> Any:
    """A SentencePiece-like tokenizer: NFKC, metaspace, <unk> for what it does not know."""
    special = [(piece, 0.0) for piece in ("<pad>", "<unk>", "<s>", "</s>")]
    common = [(piece, -3.0 - 0.05 * i) for i, piece in enumerate(UNIGRAM)]
    backend = Tokenizer(models.Unigram([*special, ("▁", -1.9), *common], 1, False))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 2), ("</s>", 3)],
    )
    return _fast(backend, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def sentencepiece(
    ids: dict[str, int], merges: list[tuple[str, str]], added: Sequence[AddedToken] = ()
) -> Any:
    """Llama's: a space before everything, <0x..> for the bytes of what it does not know."""
    backend = Tokenizer(models.BPE(ids, merges, unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    backend.add_special_tokens([*added])
    return _fast(backend, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def byt5() -> ByT5Tokenizer:
    return ByT5Tokenizer()


def canine() -> CanineTokenizer:
    return CanineTokenizer()


def bert(tokenizer: Any, labels: int = 2, seed: int = 0, **config: Any) -> Any:
    """A random BERT classifier that fits ``tokenizer``; not zero anywhere, biases included."""
    torch.manual_seed(seed)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=config.pop("max_position_embeddings", 64),
            num_labels=labels,
            **config,
        )
    )
    return stirred(model)


def encoder(head: Any, tokenizer: Any, seed: int = 0, **config: Any) -> Any:
    """A random BERT with another head (a class of transformers)."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    torch.manual_seed(seed)
    made = BertConfig(
        vocab_size=len(tokenizer),
        intermediate_size=48,
        max_position_embeddings=64,
        **sizes,
        **config,
    )
    return stirred(head(made))


def gpt2(tokenizer: Any, seed: int = 0, positions: int = 64) -> Any:
    """A random causal language model."""
    torch.manual_seed(seed)
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": positions}
    special = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    return stirred(GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes, **special)))


def t5(tokenizer: Any, seed: int = 0) -> Any:
    """A random encoder-decoder; ids 0 to 3 are <pad>, <unk>, <s>, </s>."""
    torch.manual_seed(seed)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    special = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0}
    return stirred(
        T5ForConditionalGeneration(T5Config(vocab_size=len(tokenizer), **sizes, **special))
    )


def stirred(model: Any) -> Any:
    """The model with no parameter left at zero or one, in evaluation mode."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def _fast(backend: Tokenizer, **special: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)
