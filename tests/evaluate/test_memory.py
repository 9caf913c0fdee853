from __future__ import annotations

import torch

from lxt_like.evaluate.memory import peak_megabytes

CPU = torch.device("cpu")


def test_what_lives_at_once_counts() -> None:
    def work() -> None:
        a = torch.zeros(1_000_000)  # 4 MB
        b = a + 1
        del a
        c = b * 2
        c.view(10, -1).add_(1)  # a view, and in place: nothing new
        del b
        _ = c + 1

    assert peak_megabytes(work, CPU) == 8.0


def test_a_backward_counts() -> None:
    x = torch.zeros(1000, 1000, requires_grad=True)

    def work() -> None:
        (x.exp().exp().exp()).sum().backward()

    # three results are kept for the backward, and gradients on the way
    assert 16.0 <= peak_megabytes(work, CPU) <= 21.0
