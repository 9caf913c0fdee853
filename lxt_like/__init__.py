"""lxt_like: Layer-wise Relevance Propagation for transformers, CNNs and MLPs."""

__version__ = "0.1.0"
