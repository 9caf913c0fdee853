"""Tiny random Hugging Face models, one per family, and inputs for them."""
