"""The bundled models and samples: small, real, and usable without a network."""

from __future__ import annotations

from pathlib import Path

from ..errors import ModelError

_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

_IMAGE_FILES = ("config.json", "model.safetensors", "preprocessor_config.json")

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
    return _folder("sentiment", _FILES)


def vit() -> Path:
    """Folder of the bundled vision transformer: give it wherever a model is taken.

    A ViT of 6 layers, 128 wide, for images of 32 x 32 pixels in patches of 4 x 4, trained on
    CIFAR-10: airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck.  Data, accuracy
    and limits are in the folder's README.md.

    Raises:
        ModelError: a file of the model is missing from the installation.
    """
    return _folder("vit", _IMAGE_FILES)


def _folder(name: str, files: tuple[str, ...]) -> Path:
    folder = Path(__file__).resolve().parent / name
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise ModelError(
            f"The bundled {name} model is incomplete: expected {', '.join(missing)} in {folder}."
            f" Reinstall lxt-like, or train the model with scripts/train_{name}.py."
        )
    return folder


def photo() -> Path:
    """A picture to try an explanation on: a ship at sea, drawn by ``scripts/draw_photo.py``."""
    return Path(__file__).resolve().parent / "pictures" / "ship.png"


def reviews() -> tuple[str, ...]:
    """Short review sentences to try an explanation on, with negation and contrast among them."""
    return _REVIEWS
