"""Is an explanation faithful: removal curves, sanity checks, statistics, report."""
