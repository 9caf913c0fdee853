"""``lxt-like explain`` for images: which files are meant, and how they are explained."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import demo
from ..composites import composite as resolve_composite
from ..errors import InputError, ModelError
from .classes import classes_of
from .guard import quiet_libraries
from .options import Care
from .outcomes import Report
from .progress import Progress
from .texts import Line, names_file, shortened

if TYPE_CHECKING:
    from ..explain import ImageExplanation, ImageModel

VIEWS = "overlay, side, patches, pair or trace"
TEXTS_ONLY = "for texts only, and this explains images"


def wants_images(arguments: Sequence[str], model: str | None, trust_remote_code: bool) -> bool:
    """Whether the arguments are images: by the model, or without one by their look.

    Raises:
        InputError: without a model, some are images and others are not.
    """
    if model is not None:
        from ..explain.image import is_image_model

        with suppress(ModelError):  # a model that cannot be read is reported where it is loaded
            return is_image_model(model, trust_remote_code)
        return False
    images = [argument for argument in arguments if _is_image(argument)]
    others = [argument for argument in arguments if argument not in images]
    if images and others:
        which = "a file that cannot be read as one" if names_file(others[0]) else "none"
        raise InputError(
            f"expected texts or images, got both: {shortened(images[0])!r} is an image, "
            f"{shortened(others[0])!r} is {which}"
        )
    return bool(images)


def _is_image(argument: str) -> bool:
    """Whether an argument is a folder, looks like an image, or is a file that opens as one."""
    from ..explain.image.open import SUFFIXES, opens

    if not argument:
        return False  # a text; as a path it would be the folder we are in
    path = Path(os.path.expanduser(argument))  # a path's own raises for "~ ... "
    with suppress(OSError, ValueError):  # a text can be too long to be a path
        if path.is_dir():
            return True
        if path.suffix.lower() in SUFFIXES:
            return path.is_file() or not re.search(r"\s", argument)
        return path.is_file() and opens(path)
    return False


def image_files(arguments: Sequence[str]) -> list[Line]:
    """Every image that is named, and every image inside the folders that are, as in evaluate.

    Raises:
        InputError: nothing was named, or a folder holds no image.
    """
    from ..explain.image.folders import folder_of_images

    if not arguments:
        raise InputError("no image to explain; try: lxt-like explain photo.jpg (or a folder)")
    found: list[str] = []
    for argument in arguments:
        if not argument:
            raise InputError("expected an image or a folder of them, got an empty name")
        path = Path(os.path.expanduser(argument))
        found += [f.path for f in folder_of_images(path)] if path.is_dir() else [str(path)]
    return [Line(path, path) for path in found]


def explain_images(
    lines: Sequence[Line],
    model: str | None,
    target: str | None,
    foil: str | None,
    composite: str,
    view: str | None,
    report: Report,
    progress: Progress,
    care: Care,
) -> int:
    """Explain image after image; the exit code."""
    resolve_composite(composite)
    folder = demo.vit() if model is None else model
    progress.status(f"loading {'the bundled model' if model is None else model} ...")
    with quiet_libraries(care.verbose, downloads=progress.shown):
        from ..explain import load_image_model
        from ..explain.image import explain_image

        loaded = load_image_model(folder, trust_remote_code=care.trust_remote_code)
        progress.clear()
        run = partial(
            explain_image,
            loaded,
            target=target_of(loaded, target, foil),
            composite=composite,
            batch_size=care.size,
            ledger=care.ledger,
            strict=care.strict,
            trace=view == "trace",
        )
        return report.run(lines, partial(_explain, run), care.size, progress, care.debug)


def target_of(loaded: ImageModel, target: str | None, foil: str | None) -> Any:
    """What a class on the command line means: its name or, where no class is called so, its index.

    Raises:
        TargetError: there is no such class.
        InputError: the two are the same class.
    """
    return classes_of(target, foil, dict(enumerate(loaded.labels)), len(loaded.labels))


def _explain(run: Any, paths: list[str]) -> list[ImageExplanation]:
    # one by one where they are several, so that a message names the file and not its place
    made: list[ImageExplanation] = run(paths) if len(paths) > 1 else [run(paths[0])]
    return made
