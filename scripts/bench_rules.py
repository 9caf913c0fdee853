#!/usr/bin/env python
"""Cost of the classical rules against zennit's, paired in one run on the same convolutions.

    python scripts/bench_rules.py            # a few minutes on two cores
    python scripts/bench_rules.py --quick    # smaller images, fewer pairs

A stack of three 3x3 convolutions with ReLU on 8 x 64 x 56 x 56 values of either sign, then a mean
and a dense layer (epsilon).  Each side computes an attribution from the input tensor on: set-up,
forward and backward, with frozen parameters, on one thread (with more, a single other process on
the machine makes both sides several times slower, and not evenly).  Per rule it prints

- the median over pairs of time(zennit) / time(ours), in alternating order,
- peak memory of both: the largest sum of what torch's allocator had handed out during the run and
  not taken back, from the allocator's own events (torch.profiler), which see buffers inside kernels
  and temporaries of any length as well as what autograd keeps, and no other process,
- kernel calls per convolution beyond the model's own forward: forward + transposed.

Exit code 1 if a rule is slower than its target or needs more memory than zennit's.
Needs zennit: pip install --no-deps zennit==0.5.1
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lxt_like as lxt
from lxt_like import composites, rules
from tests.peers.zennit_stub import Zennit, available, load
from tests.rules.calls import Calls

Run = Callable[[], object]
CONVOLUTIONS = 3
EPS = 1e-6

# rule -> ours, zennit's name and arguments, how many times faster at least
CASES: dict[str, tuple[rules.Rule, str, dict[str, float], float]] = {
    "epsilon": (rules.Epsilon(EPS), "Epsilon", {}, 2.0),
    "z+": (rules.ZPlus(), "ZPlus", {}, 2.5),
    "gamma": (rules.Gamma(0.25), "Gamma", {"gamma": 0.25}, 2.0),
    "alpha-beta": (rules.AlphaBeta(2.0, 1.0), "AlphaBeta", {"alpha": 2.0, "beta": 1.0}, 6.0),
}


@dataclass(frozen=True)
class Row:
    """The figures of one rule; times in ms, memory in MB."""

    rule: str
    ratio: float
    target: float
    zennit_ms: float
    ours_ms: float
    zennit_mb: float
    ours_mb: float
    zennit_calls: tuple[float, float]
    ours_calls: tuple[float, float]

    @property
    def ok(self) -> bool:
        """Whether the targets are met."""
        return self.ratio >= self.target and self.ours_mb <= self.zennit_mb

    def __str__(self) -> str:
        theirs, ours = (f"{f:.3g}+{t:.3g}" for f, t in (self.zennit_calls, self.ours_calls))
        return (
            f"{self.rule:<11} {self.ratio:>6.2f} {self.target:>7.1f} {self.zennit_ms:>9.0f} ms"
            f" {self.ours_ms:>7.0f} ms {self.zennit_mb:>9.1f} MB {self.ours_mb:>7.1f} MB"
            f" {theirs:>8} {ours:>7}{'' if self.ok else '   MISSED'}"
        )


def stack(batch: int, size: int, channels: int = 64) -> tuple[nn.Module, Tensor, Tensor]:
    """The model, its input and the target class of each sample."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(CONVOLUTIONS):
        layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    x = torch.randn(batch, channels, size, size)
    return model.eval().requires_grad_(False), x, torch.arange(batch) % 10


def ours(model: nn.Module, x: Tensor, target: Tensor, rule: rules.Rule) -> Run:
    """``lxt.attribute`` under ``rule`` at convolutions."""
    composite = composites.Epsilon(EPS) + lxt.Composite([lxt.Assign(rule, kind="conv")])
    return lambda: lxt.attribute(model, x, target, composite).relevance


def theirs(zennit: Zennit, model: nn.Module, x: Tensor, target: Tensor, rule: Any) -> Run:
    """zennit's attribution under ``rule`` at convolutions."""
    composite = zennit.composites.LayerMapComposite(
        [
            (zennit.types.Convolution, rule),
            *zennit.composites.layer_map_base(EPS),
            (nn.Linear, zennit.rules.Epsilon(EPS)),
        ]
    )

    def start(logits: Tensor) -> Tensor:
        hot = torch.zeros_like(logits).scatter_(-1, target[:, None], 1.0)
        return hot * logits.detach()

    def run() -> Tensor:
        with zennit.attribution.Gradient(model, composite) as attribute:
            found: Tensor = attribute(x.detach().clone().requires_grad_(), start)[1]
        return found

    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the profiler's native part writes to standard error."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def peak_bytes(run: Run) -> int:
    """The most bytes that ``run`` had from torch's allocator at one time."""
    gc.collect()
    with quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        kept = run()
    results = profiled.profiler.kineto_results  # type: ignore[union-attr]
    events = [e for e in results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    del kept
    return peak


def calls(run: Run) -> tuple[float, float]:
    """Calls per convolution beyond its own forward: (forward, transposed)."""
    with Calls() as counted:
        run()
    return counted.forward / CONVOLUTIONS - 1, counted.transposed / CONVOLUTIONS


def times(runs: tuple[Run, Run], pairs: int) -> list[list[float]]:
    """Seconds of both, alternating which goes first."""
    for run in runs:
        run()
    found: list[list[float]] = [[], []]
    for i in range(pairs):
        for side in (0, 1) if i % 2 == 0 else (1, 0):
            begun = time.perf_counter()
            runs[side]()
            found[side].append(time.perf_counter() - begun)
    return found


def compare(name: str, zennit: Zennit, batch: int, size: int, pairs: int) -> Row:
    """One rule on both sides; they must agree, or the comparison means nothing."""
    rule, their_name, options, target = CASES[name]
    model, x, classes = stack(batch, size)
    runs = (
        theirs(zennit, model, x, classes, getattr(zennit.rules, their_name)(**options)),
        ours(model, x, classes, rule),
    )
    a, b = (run() for run in runs)
    assert isinstance(a, Tensor) and isinstance(b, Tensor)
    off = float((a - b).abs().sum() / a.abs().sum())
    if off > 1e-2:  # float32, and zennit's stabilizers
        raise AssertionError(f"{name}: the relevances differ by {off:.1%}")
    del a, b
    first, second = times(runs, pairs)
    ratio = statistics.median(t / o for t, o in zip(first, second, strict=True))
    memory = [peak_bytes(run) / 1e6 for run in runs]
    counts = [calls(run) for run in runs]
    ms = [statistics.median(t) * 1e3 for t in (first, second)]
    return Row(name, ratio, target, *ms, *memory, *counts)


def main() -> int:
    """Print the table; exit code 1 if a target is missed, 2 without zennit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 x 64 x 28 x 28, 7 pairs")
    parser.add_argument("--pairs", type=int, help="pairs of runs for each rule")
    parser.add_argument("--threads", type=int, default=1, help="threads of both sides")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    if not available():
        print("error: zennit is needed: pip install --no-deps zennit==0.5.1", file=sys.stderr)
        return 2
    torch.set_num_threads(options.threads)
    batch, size, pairs = (2, 28, 7) if options.quick else (8, 56, 9)
    pairs = options.pairs or pairs
    print(f"{batch} x 64 x {size} x {size}, {pairs} pairs, {torch.get_num_threads()} threads")
    print(
        f"{'rule':<11} {'faster':>6} {'target':>7} {'zennit':>12} {'ours':>10}"
        f" {'zennit':>12} {'ours':>10} {'zennit':>8} {'ours':>7}"
    )
    rows = []
    for name in CASES:
        rows.append(compare(name, load(), batch, size, pairs))
        print(rows[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in rows], indent=1))
    return 0 if all(r.ok for r in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
