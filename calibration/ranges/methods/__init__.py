"""Calibration methods: max, percentile, entropy, mean square error."""
