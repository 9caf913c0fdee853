"""What must hold of every rendering of every text; shared by the tests and the fuzz script.

The readers here (HTML by the standard library's parser, LaTeX by a small strict scanner) know
nothing of the renderers' code: they read a document back and compare it with the text.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from rich.cells import cell_len

from lxt_like.errors import RenderError
from lxt_like.explanation import TextData
from lxt_like.render import from_json, to_html, to_json, to_latex, to_terminal
from lxt_like.render.escape import one_line, visible
from lxt_like.render.figure import MAX_SIDE, figure_bytes

ACTING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
SGR = re.compile(r"\x1b\[[0-9;]*m")
TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "article", "header", "span", "p",
    "ul", "li", "table", "tbody", "tfoot", "tr", "th", "td", "details", "summary", "i", "b",
    "div",
}  # fmt: skip
ATTRIBUTES = {
    "class", "title", "dir", "style", "scope", "aria-label", "aria-hidden", "charset",
    "http-equiv", "content", "name", "lang",
}  # fmt: skip


def assert_harmless(document: str) -> None:
    """Nothing in it acts on a terminal or reorders text, and it can be written to a file."""
    found = ACTING.search(document)
    assert found is None, f"{found.group()!a} at {found.start()}"
    document.encode("utf-8")


def check_terminal(data: TextData, width: int) -> None:
    plain = to_terminal(data, width, color=False)
    colored = SGR.sub("", to_terminal(data, width, color=True))
    for output in (plain, colored):
        assert_harmless(output)
        assert output.endswith("\n")
        for line in output.split("\n"):
            assert cell_len(line) <= width, (width, line)
        dense = re.sub(r"\s", "", output)
        for text in data.texts:
            assert re.sub(r"\s", "", visible(text)) in dense


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.texts: list[str] = []
        self.titles: list[str] = []
        self.labels: list[str] = []
        self.inside: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        given = dict(attrs)
        assert set(given) <= ATTRIBUTES, attrs
        classes = (given.get("class") or "").split()
        if tag == "meta":
            return
        self.stack.append(tag)
        if "style" in given:
            assert re.fullmatch(r"left:[\d.]+%;width:[\d.]+%", given["style"] or "")
        if "lxt-text" in classes:
            self.texts.append("")
            self.inside = self.texts
        elif "lxt-label" in classes:
            self.labels.append("")
            self.inside = self.labels
        elif "lxt-word" in classes and "title" in given:
            self.titles.append(given["title"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag == "p" or self.inside is self.labels:
            self.inside = None

    def handle_data(self, data: str) -> None:
        if self.inside is not None:
            self.inside[-1] += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!a}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"a processing instruction: {data!a}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data!a}")


def check_html(data: TextData, fragment: bool) -> None:
    page = to_html(data, fragment=fragment)
    assert_harmless(page.replace("\t", " "))  # tabs of the text stay tabs
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert not reader.stack
    assert reader.texts == [visible(text) for text in data.texts]
    assert reader.labels == [one_line(data.target.label)]
    assert len(reader.titles) == len(data.words)
    for title, word in zip(reader.titles, data.words, strict=True):
        assert title.startswith(one_line(word.text) + " ")
    assert ("<html" in page) is not fragment


LATEX_TEXT = {
    "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<",
    "textgreater": ">", "textbar": "|", "textquotedbl": '"', "textquotesingle": "'",
    "textasciigrave": "`", "textendash": "–", "textemdash": "—", "textellipsis": "…",
    "textbullet": "•", "textquoteleft": "‘", "textquoteright": "’", "textquotedblleft": "“",
    "textquotedblright": "”", "guillemotleft": "«", "guillemotright": "»",
    "textquestiondown": "¿", "textexclamdown": "¡", "texteuro": "€", "textsterling": "£",
    "textsection": "§", "textcopyright": "©", "textregistered": "®", "texttrademark": "™",
    "textdegree": "°", "texttimes": "×", "textdiv": "÷", "textpm": "±",
    "textperiodcentered": "·", "textminus": "-", "newline": "\n",
}  # fmt: skip
LATEX_SILENT = {
    "raggedright", "parindent", "parskip", "lineskiplimit", "lineskip", "Large", "bfseries",
    "quad", "par", "footnotesize", "emph", "textbf", "allowbreak", "leavevmode", "hline", "begin",
    "end", "bigskip", "hrule", "pagestyle",
}  # fmt: skip
LATEX = re.compile(
    r"""\\lxtword\{[0-9A-F]{6}\}\{[0-9A-F]{6}\}
      | \\lxtchar\{(?P<code>[0-9A-F]{4,6})\}\{(?P<char>.)\}
      | \\(?P<name>[A-Za-z]+)(?:\{\})?
      | \\(?P<escaped>[{}$&\#%_\ ])
      | (?P<row>\\\\\n)
      | (?P<break>\n)
      | (?P<plain>.)""",
    re.VERBOSE | re.DOTALL,
)


def read_latex(source: str) -> str:
    """The text a LaTeX document prints, or AssertionError where a character would act."""
    _, _, body = source.partition("\\begin{document}\n")
    body, end, rest = body.rpartition("\n\\end{document}\n")
    assert end
    assert not rest
    out: list[str] = []
    depth = 0
    table = False
    for match in LATEX.finditer(body):
        plain, name = match["plain"], match["name"]
        if match["code"]:
            assert int(match["code"], 16) == ord(match["char"])
            out.append(match["char"])
        elif name:
            assert name in LATEX_TEXT or name in LATEX_SILENT, name
            table = {"begin": True, "end": False}.get(name, table)
            out.append(LATEX_TEXT.get(name, ""))
        elif match["escaped"]:
            out.append(match["escaped"])
        elif plain in ("{", "}"):
            depth += 1 if plain == "{" else -1
            assert depth >= 0
        elif plain == "&":
            assert table
        elif plain:
            assert plain not in "\\$#%^_", f"{plain!a} unescaped"
            assert plain.isascii() or "À" <= plain <= "ÿ", f"{plain!a} unescaped"
            out.append(plain)
    assert depth == 0
    assert body.count("\n\n") == 0 or "\\hrule" in body
    return "".join(out)


def check_latex(data: TextData) -> None:
    source = to_latex(data)
    assert_harmless(source)
    printed = read_latex(source)
    assert one_line(data.target.label) in printed
    for text in data.texts:
        assert visible(text).replace("\t", "    ") in printed


def check_json(data: TextData) -> None:
    written = to_json(data)
    assert_harmless(written)
    assert from_json(written) == data
    assert from_json(to_json([data, data])) == [data, data]


def check_text_formats(data: TextData, width: int) -> None:
    """All formats that are text."""
    check_terminal(data, width)
    check_html(data, fragment=False)
    check_html(data, fragment=True)
    check_latex(data)
    check_json(data)


def check_figures(data: TextData, width: float = 4.0) -> None:
    """PNG, PDF and SVG are made and well-formed; a PNG too large to make is refused."""
    svg = ElementTree.fromstring(figure_bytes(data, ".svg", width=width))
    assert svg.tag.endswith("svg")
    size = [float(svg.attrib[name].removesuffix("pt")) for name in ("width", "height")]
    assert abs(size[0] - 72 * width) < 0.01
    pdf = figure_bytes(data, ".pdf", width=width)
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    if size[1] > MAX_SIDE:
        with pytest.raises(RenderError, match="too large at 72 dpi"):
            figure_bytes(data, ".png", dpi=72, width=width)
        return
    png = figure_bytes(data, ".png", dpi=72, width=width)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    for side, start in zip(size, (16, 20), strict=True):
        assert abs(int.from_bytes(png[start : start + 4], "big") - side) <= 1
