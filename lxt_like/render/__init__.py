"""From explanations to what people read: terminal, HTML, PNG, PDF, SVG, LaTeX and JSON.

Everything here takes the plain data of :mod:`lxt_like.explanation`, one or a list, and needs
no model.  Colours are normalised here and nowhere else; whatever a text could inject into
its surroundings is escaped.
"""

from .figure import save_figure
from .html import to_html
from .json import from_json, to_json
from .latex import to_latex
from .save import load, save
from .terminal import to_terminal

__all__ = [
    "from_json",
    "load",
    "save",
    "save_figure",
    "to_html",
    "to_json",
    "to_latex",
    "to_terminal",
]
