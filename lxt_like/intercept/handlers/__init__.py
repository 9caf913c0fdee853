"""One short handler per kind of operation."""

from importlib import import_module

_MODULES = ("structural", "linear", "bilinear", "product", "softmax", "attention", "norm")
_MORE = ("activation", "pooling", "multihead", "recurrent", "disguised", "analytic", "sampling")
_REST = ("solve", "opaque", "quantised", "lookup", "einsum", "aliases", "hooks")


def install() -> None:
    """Register every handler; once, when the package is imported."""
    for name in (*_MODULES, *_MORE, *_REST):
        import_module(f"{__name__}.{name}")
