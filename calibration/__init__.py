"""Data sets, calibration ranges, and evaluation on labelled frames."""
