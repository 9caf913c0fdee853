"""The program as a shell runs it: streams, signals, pipes, encodings."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import lxt_like as lxt

fcntl = pytest.importorskip("fcntl", reason="needs a POSIX system")
pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
termios = pytest.importorskip("termios", reason="needs a POSIX system")

ROOT = Path(lxt.__file__).parents[1]
PROGRAM = [sys.executable, "-m", "lxt_like"]
TEXT = "A gripping, funny film."


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    path = os.pathsep.join(p for p in (str(ROOT), kept.get("PYTHONPATH")) if p)
    return {**kept, "PYTHONPATH": path, "TERM": "xterm-256color", **more}


def start(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    options.setdefault("env", environment())
    options.setdefault("stdin", subprocess.DEVNULL)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*PROGRAM, *arguments], **{**streams, **options})


def test_plain_in_a_pipe(tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text(f"{TEXT}\nÉté 😀\n", encoding="utf-8")
    with texts.open("rb") as stdin:
        process = start("explain", "--out", str(tmp_path / "why.html"), stdin=stdin)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"\x1b" not in out + err
    assert "A gripping" in out.decode()
    assert "😀" in out.decode()
    # no progress and no loading bars where nobody watches
    assert err.decode() == f"wrote {tmp_path / 'why.html'}\n"


@pytest.mark.parametrize("out", [False, True])
def test_a_reader_that_goes_away(tmp_path: Path, out: bool):
    texts = tmp_path / "texts.txt"
    texts.write_text(f"{TEXT}\n" * 12)
    options = ["--out", str(tmp_path / "why.json")] if out else []
    process = start("explain", "--file", str(texts), *options)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(120) == (0 if out else 141)
    if out:  # the file was wanted whole
        assert said == f"wrote {tmp_path / 'why.json'}\n"
        assert len(lxt.load(tmp_path / "why.json")) == 12
    else:
        assert said == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_a_full_disk(argument: str):
    with open("/dev/full", "wb") as full:
        process = start(argument, stdout=full)
        _, err = process.communicate(timeout=120)
    said = err.decode()
    assert said.startswith("error: ")
    assert "No space left on device" in said
    assert (process.returncode, said.count("\n")) == (2, 1)


def test_an_interrupt(tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text(f"{TEXT}\n" * 5000)
    # a shell starts background jobs with the signal ignored, and so would be whatever they start
    heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    out = ("--out", str(tmp_path / "why.json"))
    process = start("explain", "--file", str(texts), *out, preexec_fn=heed)
    assert process.stdout is not None
    process.stdout.readline()  # the first one is there
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    # Python may also die of the signal itself, which shells report as 130, too
    assert process.returncode in (130, -signal.SIGINT)
    wrote, interrupted = err.decode().splitlines()
    assert wrote.startswith(f"wrote {tmp_path / 'why.json'} (")
    assert wrote.endswith(" of 5000 texts)")
    assert interrupted == "interrupted"
    assert lxt.load(tmp_path / "why.json")


def in_terminal(*arguments: str, **env: str) -> tuple[int, str]:
    """Exit code and screen output of the program, all three streams being one terminal."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    process = start(
        *arguments,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(**env),
    )
    os.close(follower)
    seen = b""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if select.select([leader], [], [], 0.1)[0]:
            try:
                data = os.read(leader, 65536)
            except OSError:  # Linux: the other side is closed
                break
            if not data:
                break
            seen += data
        elif process.poll() is not None:
            break
    os.close(leader)
    return process.wait(10), seen.decode()


def test_a_terminal_sees_colours_and_progress(tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text(f"{TEXT}\n" * 3)
    code, seen = in_terminal("explain", "--file", str(texts))
    assert code == 0
    assert "loading the bundled model" in seen
    assert "/3 [" in seen  # the bar
    assert "\x1b[" in seen and "gripping" in seen
    assert "Loading weights" not in seen
    # nothing of the progress is left on the screen: each line ends as its last writing says
    last = [line.rpartition("\r")[2] for line in seen.replace("\r\n", "\n").split("\n")]
    assert not [line for line in last if "loading the" in line or "/3 [" in line]


def test_a_terminal_without_colours():
    code, seen = in_terminal("explain", TEXT, NO_COLOR="1")
    assert code == 0
    assert "\x1b" not in seen
    code, seen = in_terminal("explain")
    assert code == 2
    assert seen.startswith("error: no text to explain; try: lxt-like explain ")
    assert "Traceback" not in seen


def test_help_and_slips_need_no_model():
    code = (
        "import sys\nfrom lxt_like.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit as end:\n"
        "    print(end.code, [m for m in ('transformers', 'matplotlib') if m in sys.modules])"
    )
    for arguments, expected in ((["--help"], "0 []"), (["explain", "a", "--out", "x"], "2 []")):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=120,
        )
        assert done.stdout.splitlines()[-1] == expected
