"""Proof that a model is left as the identical objects it was."""
