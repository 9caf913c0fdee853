from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lxt_like.errors import InputError, NumericalError, RenderError
from lxt_like.render import load, save, to_html, to_json, to_latex
from lxt_like.render.files import require_writable

from .samples import plain, review


def test_suffix_chooses_the_format(tmp_path: Path) -> None:
    starts = {
        "a.html": b"<!DOCTYPE html>",
        "a.HTML": b"<!DOCTYPE html>",
        "a.png": b"\x89PNG",
        "a.pdf": b"%PDF",
        "a.svg": b"<?xml",
        "a.tex": b"\\documentclass",
        "a.json": b"{",
    }
    for name, start in starts.items():
        save(review(), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert (tmp_path / "a.html").read_text("utf-8") == to_html(review())
    assert (tmp_path / "a.tex").read_text("utf-8") == to_latex(review())
    assert (tmp_path / "a.json").read_text("utf-8") == to_json(review())


def test_load(tmp_path: Path) -> None:
    save(review(), tmp_path / "one.json")
    save([review(), plain("\ud800")], str(tmp_path / "two.json"))
    assert load(tmp_path / "one.json") == review()
    assert load(tmp_path / "two.json") == [review(), plain("\ud800")]


def test_load_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"bytes\.json.*UTF-8"):
        load(tmp_path / "bytes.json")
    with pytest.raises(InputError, match=r"other\.json.*schema"):
        load(tmp_path / "other.json")
    with pytest.raises(InputError, match=r"missing\.json.*No such file"):
        load(tmp_path / "missing.json")
    with pytest.raises(InputError, match=r"use one of \.json"):
        load(tmp_path / "why.html")


def test_errors_leave_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.html, \.png, \.pdf, \.svg, \.tex, \.json"):
        save(review(), tmp_path / "why.docx")
    with pytest.raises(InputError, match="got str"):
        save("text", tmp_path / "why.html")  # type: ignore[arg-type]
    for suffix in (".html", ".png", ".tex", ".json"):
        with pytest.raises(NumericalError):
            save(plain("a", {"a": float("nan")}), tmp_path / f"why{suffix}")
    with pytest.raises(RenderError, match="there is no folder"):
        save(review(), tmp_path / "missing" / "why.html")
    assert list(tmp_path.iterdir()) == []


def test_import_is_cheap_and_knows_no_model() -> None:
    code = """
import sys, lxt_like.render
heavy = {"transformers", "matplotlib", "rich", "jinja2"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_a_path_with_a_nul_character(tmp_path: Path) -> None:
    for call in (lambda p: save(review(), p), load):
        with pytest.raises(InputError, match=r"'a\\x00b.json', which holds a NUL"):
            call("a\0b.json")
    with pytest.raises(RenderError, match="NUL"):
        require_writable(tmp_path / "a\0b.json")


def test_a_byte_order_mark_is_no_part_of_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(to_json(review()), encoding="utf-8-sig")
    assert load(tmp_path / "a.json") == review()
