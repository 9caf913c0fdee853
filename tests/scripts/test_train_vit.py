"""The vision transformer's training on a handful of images: saved, resumed, taught."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import one_hot

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import cifar
import resnet20
import train_vit


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 images of two colours, 16 to test with."""
    folder = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(0)
    for name, n in (("train", 64), ("test5k", 16)):
        labels = np.arange(n) % 2
        files = []
        for label in labels:
            pixels = rng.integers(0, 60, (32, 32, 3)).astype(np.uint8)
            pixels[..., 2 * label] += 150
            stored = io.BytesIO()
            Image.fromarray(pixels).save(stored, "JPEG")
            files.append(stored.getvalue())
        np.savez(
            folder / f"cifar10_{name}_jpeg.npz",
            data=np.frombuffer(b"".join(files), dtype=np.uint8),
            offsets=np.cumsum([0, *map(len, files)]),
            labels=labels,
            names=np.array(["red", "blue", *"cdefghij"]),
        )
    return folder


def run(data: Path, out: Path, epochs: int, *more: str) -> None:
    size = ["--width", "32", "--layers", "1", "--batch", "16", "--rate", "0.01"]
    where = ["--data", str(data), "--out", str(out), "--device", "cpu"]
    assert train_vit.main([*where, *size, "--epochs", str(epochs), *more]) == 0


def test_it_learns_is_saved_and_goes_on(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "a", 8)
    card = (tmp_path / "a" / "README.md").read_text()
    assert "100.0% of 16 test images" in card and "ResNet" not in card
    weights = (tmp_path / "a" / "model.safetensors").read_bytes()
    with pytest.raises(SystemExit, match="8 epochs behind it"):
        run(data, tmp_path / "a", 2)
    run(data, tmp_path / "a", 8)  # nothing is left to do
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == weights
    config = (tmp_path / "a" / "config.json").read_text()
    assert "eager" not in config and '"red"' in config


def test_a_stopped_run_ends_where_a_whole_one_does(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "whole", 3)
    saved = torch.save

    def stop(state: dict[str, object], file: Path) -> None:
        saved(state, file)
        if state["epoch"] == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train_vit.torch, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "stopped", 3)
    monkeypatch.undo()
    run(data, tmp_path / "stopped", 3)
    a, b = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "stopped"))
    assert a == b
    run(data, tmp_path / "stopped", 4)  # and on
    assert "begun for 3 epochs" in (tmp_path / "stopped" / "README.md").read_text()


def test_a_teacher(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    empty = resnet20.Teacher()
    file = tmp_path / "resnet20.th"
    torch.save({"state_dict": {f"module.{k}": t for k, t in empty.state_dict().items()}}, file)
    run(data, tmp_path / "out", 1, "--teacher", str(file))
    assert "teacher: " in capsys.readouterr().out
    card = (tmp_path / "out" / "README.md").read_text()
    assert "ResNet-20" in card and "--teacher resnet20.th" in card and "--width 32" in card
    logits, taught = torch.randn(4, 10), torch.randn(4, 10)
    soft = one_hot(torch.tensor([0, 1, 0, 1]), 10).float()
    p, q = (torch.softmax(t / 2, -1) for t in (taught, logits))
    wanted = 0.9 * 4 * (p * (p / q).log()).sum(-1).mean()
    wanted += 0.1 * -(soft * logits.log_softmax(-1)).sum(-1).mean()
    assert torch.allclose(train_vit.loss_of(logits, soft, taught), wanted)


def test_mixed_labels_are_shares() -> None:
    torch.manual_seed(0)
    x, y = torch.zeros(4, 3, 8, 8) + torch.arange(4.0).view(4, 1, 1, 1), torch.arange(4)
    kinds = set()
    for _ in range(40):
        out, soft = cifar.mixed(x, y, 4)
        assert torch.allclose(soft.sum(-1), torch.ones(4))
        # the mean of the pixels tells the share, too
        assert torch.allclose(out.mean((1, 2, 3)), soft @ torch.arange(4.0), atol=1e-5)
        kinds.add("plain" if torch.equal(out, x) else "cut" if out.frac().any() == 0 else "mix")
    assert kinds == {"plain", "cut", "mix"}
