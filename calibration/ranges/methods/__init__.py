"""Max, percentile, entropy, mean square error: pure functions, one table."""
