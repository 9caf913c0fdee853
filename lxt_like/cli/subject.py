"""What ``plan`` and ``audit`` look at: a model with what it reads, texts or images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn

from .. import demo
from ..composites import Composite
from ..composites import composite as resolve_composite
from ..explain.image import ImageModel, load_image_model, open_image
from ..explain.image.run import boxed
from ..explain.loading import TextModel
from ..explain.tasks import task_for
from ..targets import Target, as_target
from .guard import quiet_libraries
from .images import TEXTS_ONLY, wants_images
from .images import target_of as image_target
from .model import inputs_of, opened, read, target_of
from .options import refuse
from .progress import Progress
from .texts import text_of


@dataclass(frozen=True)
class Reading:
    """One input as the model reads it, and what the target means there."""

    inputs: Any
    target: Target
    label: str
    index: int | None


class Subject(ABC):
    """A model, ready to read what is named on the command line.

    ``composite``: the rules, with the bounds of the model's pixels where they need some;
    ``sample``: what is read if nothing was named, with the second text ``pair``, if it has one.
    """

    name: str
    model: nn.Module
    composite: Composite
    sample: str
    pair: str | None = None

    @abstractmethod
    def inputs(self, given: str) -> Any:
        """What the model is called with."""

    @abstractmethod
    def read(self, given: str, target: str | None, foil: str | None) -> Reading:
        """The same with the target."""


class Texts(Subject):
    """A model that reads texts, alone or with a second one, or with what it has written."""

    def __init__(
        self,
        loaded: TextModel,
        composite: str,
        given: str | None,
        pair: str | None,
        prefix: str | None,
    ) -> None:
        self.loaded, self.prefix = loaded, prefix
        self.name, self.model = loaded.name, loaded.model
        self.composite = resolve_composite(composite)
        self.sample, second = task_for(loaded).sample(demo.reviews()[0])
        self.pair = second if given is None and pair is None else pair

    def inputs(self, given: str) -> Any:
        return inputs_of(self.loaded, given, self.pair, self.prefix)

    def read(self, given: str, target: str | None, foil: str | None) -> Reading:
        chosen = target_of(self.loaded, target, foil)
        made = read(self.loaded, given, chosen, self.pair, self.prefix)
        return Reading(made.inputs, made.target, made.found.label, made.found.index)


class Images(Subject):
    """An image classifier."""

    def __init__(self, loaded: ImageModel, composite: str) -> None:
        self.loaded = loaded
        self.name, self.model = loaded.name, loaded.model
        self.composite, _ = boxed(composite, loaded.preprocess)
        self.sample = str(demo.photo())

    def inputs(self, given: str) -> Any:
        return self.loaded.inputs(self.loaded.batch([open_image(given).image]))

    def read(self, given: str, target: str | None, foil: str | None) -> Reading:
        pixels = self.loaded.batch([open_image(given).image])
        names = dict(enumerate(self.loaded.labels))
        chosen = as_target(image_target(self.loaded, target, foil))
        found = chosen.resolve(self.loaded.logits(pixels), names)
        index = None if foil or found.indices is None else int(found.indices[0])
        return Reading(self.loaded.inputs(pixels), chosen, found.labels[0], index)


@contextmanager
def subject(
    given: str | None,
    model: str | None,
    composite: str,
    progress: Progress,
    verbose: bool,
    trust_remote_code: bool,
    pair: str | None = None,
    prefix: str | None = None,
) -> Iterator[Subject]:
    """The model ``model``, or the bundled one that reads what was ``given``.

    An unknown composite is refused before anything is loaded.
    """
    resolve_composite(composite)
    if not wants_images([] if given is None else [given], model, trust_remote_code):
        if given is not None:
            text_of(given)
        with opened(model, composite, progress, verbose, trust_remote_code) as loaded:
            yield Texts(loaded, composite, given, pair, prefix)
        return
    refuse({"pair": pair, "prefix": prefix}, TEXTS_ONLY)
    progress.status(f"loading {'the bundled model' if model is None else model} ...")
    with quiet_libraries(verbose, downloads=progress.shown):
        folder = demo.vit() if model is None else model
        images = load_image_model(folder, trust_remote_code=trust_remote_code)
        progress.clear()
        yield Images(images, composite)
