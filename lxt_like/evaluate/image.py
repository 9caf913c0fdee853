"""Image classifiers as an evaluation task: the units are patches."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..explain.batches import evaluation_mode
from ..explain.heads import head_kind
from ..explain.image import ImageModel, load_image_model, prepare
from ..explain.image.grid import Grid
from ..explain.image.model import call
from .identity import fingerprint
from .operators.pixels import pixel_operators
from .operators.tokens import token_dropping
from .task import Batch, Operator, Row, Task, settle


class ImageTask:
    """An image classifier; units are the patches of a vision transformer, cells otherwise.

    A batch's only input is ``pixels`` [B, 3, H, W]; ``details`` are the
    :class:`.Prepared` images.
    """

    kind = "image"
    chunk = 4096
    pads = True

    def __init__(self, image: ImageModel) -> None:
        self.image = image
        self.model = image.model
        self.name = image.name
        self.labels = list(image.labels)
        self.tokens, self.prefix = image.cells.tokens, image.cells.prefix
        self.operators: dict[str, Operator] = {}
        self.refused: dict[str, str] = {}
        self._find_operators()

    @staticmethod
    def load(
        model: Any,
        processor: Any = None,
        labels: Any = None,
        *,
        cell: int | tuple[int, int] | None = None,
        device: str | torch.device | None = None,
        trust_remote_code: bool = False,
    ) -> ImageTask:
        """From anything that :func:`.load_image_model` takes."""
        return ImageTask(
            load_image_model(
                model,
                processor,
                labels,
                cell=cell,
                device=device,
                trust_remote_code=trust_remote_code,
            )
        )

    @property
    def device(self) -> torch.device:
        return self.image.device

    def prepare(self, rows: Sequence[Row], target: Any = None) -> Batch:
        """See :class:`.Task`."""
        if not rows:
            raise InputError("expected at least one sample")
        opened = []
        for row in rows:
            try:
                opened.append(prepare(self.image, row.content))
            except InputError as error:
                raise InputError(f"sample {row.id!r}: {error}") from error
        pixels = self.image.stacked([o.pixels for o in opened])
        return self._settled(list(rows), pixels, target, opened)

    def logits(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """See :class:`.Task`."""
        with evaluation_mode(self.model):
            return call(self.model, inputs["pixels"])

    def probabilities(self, logits: Tensor) -> Tensor:
        """See :class:`.Task`."""
        exact = logits.detach().double()
        kind = head_kind(getattr(self.model, "config", None), exact.shape[-1])
        if kind == "values":
            return torch.full_like(exact, float("nan"))
        return exact.sigmoid() if kind == "labels" else exact.softmax(-1)

    def call(self, inputs: Mapping[str, Tensor]) -> Any:
        """See :class:`.Task`."""
        return self.image.inputs(inputs["pixels"])

    def pool(self, batch: Batch, relevance: Tensor) -> list[Tensor]:
        """See :class:`.Task`; ``relevance`` [B, channels, H, W] or [B, H, W]."""
        values = relevance.detach().double()
        flat = values.sum(1) if values.dim() == 4 else values
        return [*self.grid(flat).sum(flat).flatten(1).float().cpu()]

    def probe(self) -> Batch:
        """See :class:`.Task`."""
        return self._settled([Row("probe", None)], self.noise(1), None, [])

    def fingerprint(self) -> str:
        """See :class:`.Task`."""
        found = self.image.preprocess
        sample = found(_striped()).flatten()[::97]
        rest = (self.kind, self.labels, self.image.cells, found.order, sample.tolist())
        return fingerprint(self.model, rest)

    def with_model(self, model: nn.Module) -> Task:
        """See :class:`.Task`."""
        made = copy.copy(self)
        made.image = replace(self.image, model=model)
        made.model = model
        made._find_operators()
        return made

    def grid(self, pixels: Tensor) -> Grid:
        """The units of pixels [..., H, W]: a preprocessing may keep each image's own size."""
        return self.image.cells.on(*pixels.shape[-2:])

    def cells(self, pixels: Tensor) -> Tensor:
        """The unit of each pixel, [H, W]."""
        return self.grid(pixels).index(*pixels.shape[-2:]).to(pixels.device)

    def noise(self, count: int) -> Tensor:
        """Pixels [count, 3, H, W] without meaning, within the bounds of real ones."""
        low, high = self.image.preprocess.bounds
        height, width = self.image.preprocess(_striped()).shape[-2:]
        generator = torch.Generator().manual_seed(0)
        drawn = torch.rand(count, 3, height, width, generator=generator)
        return self.image.placed(low + drawn * (high - low))

    def _settled(self, rows: list[Row], pixels: Tensor, target: Any, details: list[Any]) -> Batch:
        nothing = torch.zeros(len(rows), device=pixels.device)
        grid = self.grid(pixels)
        units = grid.rows * grid.cols
        at = torch.arange(units, device=pixels.device)
        batch = Batch(
            rows=rows,
            inputs={"pixels": pixels},
            units=[units] * len(rows),
            targets=nothing.long(),
            score=nothing,
            probability=nothing,
            predicted=nothing.long(),
            member=at.expand(len(rows), -1),
            lengths=torch.full((len(rows),), units + self.prefix, device=pixels.device),
            details=details,
        )
        step = max(1, self.chunk // (units + self.prefix))
        with torch.inference_mode():
            parts = [self.logits({"pixels": part}) for part in pixels.split(step)]
        # tensors made here can go into a backward, those of inference mode cannot
        return settle(batch, self, torch.cat(parts), target)

    def _find_operators(self) -> None:
        pixels, refused = pixel_operators()
        dropped = token_dropping(self)
        found: dict[str, Operator] = {"mean": pixels.pop("mean")}
        if isinstance(dropped, str):
            refused = {"drop": dropped, **refused}
        else:
            found["drop"] = dropped
        self.operators = {**found, **pixels}
        self.refused = refused


def _striped() -> Any:
    """A picture with colours and edges, so that any change of a preprocessing shows."""
    import numpy as np
    from PIL import Image

    down, right = np.mgrid[0:97, 0:131]
    made = np.stack([down * 2, right, (down * right) % 256], -1).astype("uint8")
    return Image.fromarray(made)
