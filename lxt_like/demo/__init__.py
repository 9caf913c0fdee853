"""The bundled models and samples: small, real, and usable without a network."""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError

_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

_REVIEWS = (
    "A gripping, funny film with a terrific cast.",
    "The plot is thin and the jokes fall flat.",
    "Not bad at all: I enjoyed every minute of it.",
    "The photography is gorgeous, but the story is a tedious mess.",
    "It starts slowly, but the final hour is deeply moving.",
    "I really wanted to like this movie, but it isn't funny.",
)


def sentiment() -> Path:
    """Folder of the bundled sentiment classifier: give it wherever a model is taken.

    A BERT of 6 layers, 384 wide, labels ``negative`` and ``positive``, fine-tuned on English film
    reviews; data, accuracy and limits are in the folder's README.md. Plain ``from_pretrained``
    loads it in float32.

    Raises:
        ModelError: a file of the model is missing from the installation.
    """
    folder = Path(__file__).resolve().parent / "sentiment"
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            f"The bundled sentiment model is incomplete: expected {', '.join(missing)} in {folder}."
            " Reinstall lxt-like, or train the model with scripts/train_sentiment.py."
        )
    return folder


def reviews() -> tuple[str, ...]:
    """Short review sentences to try an explanation on, with negation and contrast among them."""
    return _REVIEWS
