"""LaTeX source of the coloured text: compiles by itself, or gives its body to a paper.

Every character of the user's is either plain ASCII without a meaning in TeX, a named symbol,
or ``\\lxtchar{4E2D}{...}``, which prints the character under XeLaTeX and LuaLaTeX (a font that
has it provided) and its code point under pdfLaTeX, which knows few characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..explanation import Explained, TextData
from . import account
from .colors import LIGHT, ink, largest, normalise, to_hex
from .escape import one_line
from .layout import chips, origin, printed, spans, texts_only
from .numbers import decimals_for, percent, signed
from .wrapping import clusters

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # the rest would form dashes or other ligatures with their like
    ",": ",{}",
    "?": "?{}",
    "!": "!{}",
}
"""ASCII characters that mean something to TeX, alone or with a neighbour."""

NAMED = {
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\textellipsis{}", "•": r"\textbullet{}",
    "‘": r"\textquoteleft{}", "’": r"\textquoteright{}", "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}", "«": r"\guillemotleft{}", "»": r"\guillemotright{}",
    "¿": r"\textquestiondown{}", "¡": r"\textexclamdown{}", "€": r"\texteuro{}",
    "£": r"\textsterling{}", "§": r"\textsection{}", "©": r"\textcopyright{}",
    "®": r"\textregistered{}", "™": r"\texttrademark{}", "°": r"\textdegree{}",
    "×": r"\texttimes{}", "÷": r"\textdiv{}", "±": r"\textpm{}", "·": r"\textperiodcentered{}",
}  # fmt: skip
"""Common characters that every LaTeX of the last twenty years has a name for."""

# Latin letters that T1 fonts have: known to pdfLaTeX, too
_LETTERS = frozenset(map(chr, [*range(0xC0, 0xD7), *range(0xD8, 0xF7), *range(0xF8, 0x100)]))
LONGEST = 30
"""A word of more characters gets several boxes: TeX breaks no line within a box."""

PREAMBLE = r"""\documentclass[11pt]{article}
\usepackage[a4paper,margin=25mm]{geometry}
\usepackage{iftex}
\ifPDFTeX
  \usepackage[T1]{fontenc}
  \usepackage[utf8]{inputenc}
  \usepackage{textcomp}
\else
  \usepackage{fontspec}
\fi
\usepackage{xcolor}
"""

MACROS = r"""\providecommand{\lxtword}[3]{}
\renewcommand{\lxtword}[3]{{\fboxsep=1pt\colorbox[HTML]{#1}{\strut\textcolor[HTML]{#2}{#3}}}}
\providecommand{\lxtchar}[2]{}
\ifdefined\Umathchar
  \renewcommand{\lxtchar}[2]{#2}
\else
  \renewcommand{\lxtchar}[2]{{\footnotesize\ttfamily U+#1}}
\fi
"""


def escape(text: str) -> str:
    """``text`` as LaTeX that prints exactly it; acting characters in their visible notation."""
    return "".join(_char(char) for char in one_line(text))


def _char(char: str) -> str:
    known = SPECIAL.get(char) or NAMED.get(char)
    if known is not None:
        return known
    if char.isascii() or char in _LETTERS:
        return char
    return rf"\lxtchar{{{ord(char):04X}}}{{{char}}}"


def to_latex(data: Explained | Sequence[Explained]) -> str:
    """One explanation or several as a LaTeX document for pdfLaTeX, XeLaTeX or LuaLaTeX.

    Needs xcolor only.  To use it inside a paper, copy what is between the ``begin{document}``
    and ``end{document}`` lines, and the macros in front of them.
    """
    blocks = ["\n".join(_block(item)) for item in texts_only(data, "LaTeX")]
    rule = "\n\n\\bigskip\\hrule\\bigskip\n\n"
    return (
        f"{PREAMBLE}{MACROS}\\begin{{document}}\n\\pagestyle{{empty}}\n"
        f"{rule.join(blocks)}\n\\end{{document}}\n"
    )


def _block(data: TextData) -> Iterator[str]:
    table = account.table(data)  # first: it refuses what cannot be shown
    target = data.target
    score = signed(target.score, decimals_for(target.score, digits=4))
    facts = rf"score \textbf{{{_number(score)}}}"
    if target.probability is not None:
        facts += rf"\quad probability \textbf{{{escape(percent(target.probability))}}}"
    yield r"{\raggedright\parindent=0pt\parskip=6pt\lineskiplimit=1pt\lineskip=3pt"
    yield rf"{{\Large\bfseries {escape(target.label)}}}\quad {facts}\par"
    if source := " · ".join(origin(data)):
        yield rf"{{\footnotesize {escape(source)}}}\par"
    peak = largest(data)
    for segment, raw in enumerate(data.texts):
        yield _text(data, segment, peak) + r"\par" if raw else r"\emph{(empty text)}\par"
    decimals = decimals_for(peak)
    marks = []
    for chip in chips(data):
        many = f" ×{chip.count}" if chip.count > 1 else ""
        boxed = _box(_number(signed(chip.relevance, decimals)), normalise(chip.relevance, peak))
        marks.append(rf"{escape(chip.text + many)}~{boxed}")
    if marks:
        joined = r" \quad ".join(marks)
        yield rf"{{\footnotesize {joined}}}\par"
    yield from _account(table)
    for check in table.checks:
        yield rf"{{\footnotesize {escape(check)}}}\par"
    for note in data.notes:
        yield rf"{{\footnotesize note: {escape(note)}}}\par"
    yield "}"


def _text(data: TextData, segment: int, peak: float) -> str:
    parts = []
    before: int | None = None
    for span in printed(spans(data, segment)):
        value = None
        if span.word is not None:
            value = normalise(data.words[span.word].relevance, peak)
            if before is not None:
                parts.append(r"\allowbreak{}")
        parts.append(_run(span.text, value))
        before = span.word
    return "".join(parts)


def _run(text: str, value: float | None) -> str:
    """A span: words boxed in pieces that fit a line, spaces and newlines kept."""
    parts = []
    for number, line in enumerate(text.replace("\t", "    ").split("\n")):
        if number:
            parts.append("\\leavevmode\\newline{}\n")
        if value is None:
            parts.append(_spaced(line))
        else:
            shown = list(clusters(line))
            pieces = ["".join(shown[i : i + LONGEST]) for i in range(0, len(shown), LONGEST)]
            parts.append(r"\allowbreak{}".join(_box(_spaced(piece), value) for piece in pieces))
    return "".join(parts)


def _spaced(text: str) -> str:
    """Escaped text that keeps each space, also several in a row or at an end."""
    return "".join("\\ " if char == " " else _char(char) for char in text)


def _box(content: str, value: float) -> str:
    background = LIGHT(value)
    colors = (to_hex(background)[1:].upper(), to_hex(ink(background))[1:].upper())
    return rf"\lxtword{{{colors[0]}}}{{{colors[1]}}}{{{content}}}"


def _account(table: account.Table) -> Iterator[str]:
    yield r"\begin{tabular}{@{}lr@{}}"
    for row in table.rows:
        # the braces: TeX would take a label that begins with [ or * for an argument of \\
        yield rf"{{}}{escape(row.label)} & {_number(row.shown)} \\"
    yield r"\hline"
    result = table.result
    yield rf"\textbf{{{escape(result.label)}}} & \textbf{{{_number(result.shown)}}} \\"
    yield r"\end{tabular}\par"


def _number(shown: str) -> str:
    """A number of ours, in the font around it, with a proper minus sign."""
    return shown.replace("-", r"\textminus{}")
