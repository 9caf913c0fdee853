"""The bundled vision transformer on images that it never saw."""

from __future__ import annotations

import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

import lxt_like as lxt
from tests.pretrained import models


def test_its_accuracy_is_what_its_card_says() -> None:
    """84.6 % of all 5,000; here of the first 2,000 (83.2 %)."""
    x, labels = models.small_photographs(2000)
    model = AutoModelForImageClassification.from_pretrained(lxt.demo.vit()).eval()
    processor = AutoImageProcessor.from_pretrained(lxt.demo.vit())
    # from ResNet-20's normalisation to the model's own
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    own = [torch.tensor(v).view(-1, 1, 1) for v in (processor.image_mean, processor.image_std)]
    pixels = x * std.view(-1, 1, 1) + mean.view(-1, 1, 1)
    with torch.no_grad():
        logits = model((pixels - own[0]) / own[1]).logits
    right = float((logits.argmax(-1) == labels).float().mean())
    assert right >= 0.825
    assert "84.6% of 5,000 test images" in (lxt.demo.vit() / "README.md").read_text()
