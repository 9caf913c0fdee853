"""The command line, ``lxt-like explain | plan | audit | evaluate``: nothing heavy until one runs."""

from .app import app, main

__all__ = ["app", "main"]
