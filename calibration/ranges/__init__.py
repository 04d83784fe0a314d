"""Calibration ranges, ranges.json, from histograms."""
