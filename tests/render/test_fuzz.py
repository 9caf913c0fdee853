"""The fuzz script itself, on a small sample."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_run_passes() -> None:
    command = [sys.executable, "scripts/fuzz_render.py", "--text", "40", "--figures", "2"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "text formats: 40 explanations" in result.stdout
    assert "figures: 2 explanations" in result.stdout
