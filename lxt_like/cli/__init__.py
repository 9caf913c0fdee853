"""The command line: ``lxt-like explain | plan | audit | evaluate``, loaded piece by piece."""

from .app import app, main

__all__ = ["app", "main"]
