"""The devices that a model can be put on."""

from __future__ import annotations

import torch

from ..errors import InputError


def usable(device: str | torch.device | int) -> torch.device:
    """``device`` if this machine has it.

    Raises:
        InputError: it is no device, or none that is there; the message lists those.
    """
    try:
        found = torch.device(device)
        if found.type != "meta":  # where nothing can be computed
            torch.empty(1, device=found)
            return found
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ImportError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise InputError(_refusal(device, *reason)) from error
    raise InputError(_refusal(device, "tensors there have no values"))


def _refusal(device: object, reason: str = "") -> str:
    there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    there += ["mps"] if torch.backends.mps.is_available() else []
    there += [f"xpu:{i}" for i in range(torch.xpu.device_count())]
    return (
        f"expected device to be one that can be used here ({', '.join(there)}), got {device!r}"
        + (f": {reason[:200]}" if reason else "")
    )
