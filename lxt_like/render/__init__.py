"""From explanations to what people read: terminal, HTML, PNG, PDF, SVG, LaTeX and JSON.

Everything here takes the plain data of :mod:`lxt_like.explanation`, one or a list, and needs
no model.  Colours are normalised here and nowhere else; whatever a text could inject into
its surroundings is escaped.
"""

from .figure import save_figure
from .heatmap import Picture, heatmap
from .html import to_html
from .json import from_json, to_json
from .latex import to_latex
from .plots import Chart, bars, trace_figure
from .save import load, save
from .terminal import to_terminal

__all__ = [
    "Chart",
    "Picture",
    "bars",
    "from_json",
    "heatmap",
    "load",
    "save",
    "save_figure",
    "to_html",
    "to_json",
    "to_latex",
    "to_terminal",
    "trace_figure",
]
