from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import lxt_like
from lxt_like.errors import InputError
from lxt_like.evaluate import store as module
from lxt_like.evaluate.store import Store, fingerprint, replace

from . import killed

ROOT = Path(lxt_like.__file__).parents[1]


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.evaluate.killed", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a POSIX system")
def test_a_kill_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    rng = random.Random(0)
    done: list[int] = []
    for _ in range(4):
        process = start(tmp_path / "killed")
        assert process.stdout is not None
        for _ in range(rng.randrange(1, 8)):  # it said so: this chunk is on the disk
            if line := process.stdout.readline():
                done.append(int(line))
        os.kill(process.pid, signal.SIGKILL)
        done += [int(line) for line in process.stdout.read().split()]
        process.stdout.close()
        process.wait(60)
        # what is there is whole
        store = Store(tmp_path / "killed", killed.SETTINGS)
        assert all(store.finished(chunk) for chunk in done)
        store.table("relevance").validate(full=True)
        assert not list((tmp_path / "killed" / "parts").glob(".*"))
    assert len(done) < killed.CHUNKS  # else nothing was interrupted
    process = start(tmp_path / "killed")
    done += [int(line) for line in process.communicate(timeout=120)[0].split()]
    # every chunk was computed, and none of them twice
    assert len(done) == len(set(done))
    killed.main(str(tmp_path / "whole"))
    for name in module.TABLES:
        one, other = (Store(tmp_path / n, killed.SETTINGS).table(name) for n in ("killed", "whole"))
        assert one.equals(other)
    assert Store(tmp_path / "whole", killed.SETTINGS).table("relevance").num_rows == (
        20 * killed.CHUNKS
    )


def test_a_failure_inside_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, {"a": 1})
    calls = []

    def failing(*args: object) -> None:
        calls.append(args)
        if len(calls) == 3:
            raise OSError("no space left")
        write(*args)  # type: ignore[arg-type]

    write = module.write
    monkeypatch.setattr(module, "write", failing)
    with pytest.raises(OSError, match="no space"):
        store.add(0, killed.rows(0))
    assert not store.finished(0)
    assert Store(tmp_path, {"a": 1}).table("relevance").num_rows == 0


def test_another_configuration_never_mixes(tmp_path: Path) -> None:
    Store(tmp_path, {"model": "a", "seed": 0}).add(0, killed.rows(0))
    with pytest.raises(InputError, match=r"other settings \(seed\): give another folder"):
        Store(tmp_path, {"model": "a", "seed": 1})
    assert Store(tmp_path, {"seed": 0, "model": "a"}).finished(0)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match="no record of an evaluation"):
        Store(tmp_path, {"model": "a", "seed": 0})


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write the report"):
        Store(tmp_path / "file" / "report", {})


def test_fingerprints() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    with pytest.raises(InputError, match="no JSON value"):
        fingerprint({"a": object()})


def test_rows_are_checked(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    with pytest.raises(InputError, match="skipped has no column 'why'"):
        store.add(0, {"skipped": [{"why": "x"}]})
    assert store.table("per_sample").num_rows == 0


def test_replace(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    replace(path, b"1")
    replace(path, b"2")
    assert json.loads(path.read_text()) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
