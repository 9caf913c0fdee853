from __future__ import annotations

import os
from pathlib import Path

import pytest

from lxt_like.errors import InputError, RenderError
from lxt_like.render import files


def test_writes_text_and_bytes(tmp_path: Path) -> None:
    files.write(tmp_path / "a.txt", "naïve\n")
    files.write(str(tmp_path / "b.bin"), b"\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"na\xc3\xafve\n"
    assert (tmp_path / "b.bin").read_bytes() == b"\r\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b.bin"]


def test_permissions_are_those_of_a_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    files.write(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    (tmp_path / "a.txt").write_text("old")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(RenderError, match=r"a\.txt'?: No space left"):
        files.write(tmp_path / "a.txt", "new")
    monkeypatch.undo()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_not_created(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="there is no folder"):
        files.write(tmp_path / "missing" / "a.txt", "x")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RenderError, match="it is a folder"):
        files.write(tmp_path, "x")


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    files.write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_suffix() -> None:
    assert files.suffix_of("a.B.PNG", (".png",)) == ".png"
    with pytest.raises(InputError, match=r"'why\.docx'.*'\.docx'; use one of \.png, \.pdf"):
        files.suffix_of("why.docx", (".png", ".pdf"))
    with pytest.raises(InputError, match="expected a path, got int"):
        files.suffix_of(3, (".png",))  # type: ignore[arg-type]


@pytest.mark.parametrize("write", [files.require_writable, lambda path: files.write(path, "x")])
def test_what_cannot_be_written_is_refused(tmp_path: Path, write) -> None:
    with pytest.raises(RenderError, match=r"a\.html': there is no folder"):
        write(tmp_path / "missing" / "a.html")
    with pytest.raises(RenderError, match="it is a folder"):
        write(tmp_path)
    with pytest.raises(RenderError, match="File name too long"):
        write(tmp_path / ("a" * 300 + ".html"))
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_system_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def refuse(self: Path, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    for name in ("touch", "open", "unlink"):
        monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(RenderError, match=r"a\.html': Read-only file system"):
        files.require_writable(tmp_path / "a.html")
    with pytest.raises(RenderError, match=r"a\.html': Read-only file system"):
        files.write(tmp_path / "a.html", "x")


def test_asking_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("old")
    files.require_writable(tmp_path / "a.html")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.html", "old")]
