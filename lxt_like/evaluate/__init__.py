"""Is an explanation faithful?  Removal curves, what follows from them, and what to compare with."""
