"""An explained image written by hand: a ramp of relevance on a chequered picture."""

from __future__ import annotations

import numpy as np

from lxt_like.explanation import Account, ImageData, LayerMap, Side, TargetInfo


def chequered(height: int = 8, width: int = 12) -> ImageData:
    """Pixels sum to 1.5; 1.5 + 0.25 bias + 0.25 cls = 2."""
    down, right = np.mgrid[:height, :width]
    pixels = np.stack([(down + right) % 2 * 255, right * 20, down * 30], -1).astype(np.uint8)
    ramp = (right - width / 2 + 0.5) / width
    ramp = ramp + (1.5 - ramp.sum()) / ramp.size
    channels = np.stack([ramp, np.zeros_like(ramp), np.zeros_like(ramp)]).astype(np.float32)
    half = (channels.sum(0) / 2).astype(np.float32)
    return ImageData(
        pixels=pixels,
        channels=channels,
        cell=(4, 4),
        grid=(height // 4, width // 4),
        target=TargetInfo("cat", 0, 2.0, 0.75),
        top=(TargetInfo("cat", 0, 2.0, 0.75), TargetInfo("dog", 1, 0.5, 0.2)),
        account=Account(2.0, 1.5, {"bias": 0.25, "cls": 0.25}),
        layers=(LayerMap("encoder.layer.0", np.array([[1.0, -1.0, 2.0]], np.float32), 0.5),),
        sides=(Side("cat", 2.0, half), Side("dog", 0.5, -half)),
        name="chequers.png",
        model="tiny",
        composite="attnlrp",
        notes=("Two frames.",),
    )
