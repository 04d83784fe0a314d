"""Divides whole groups into parts, folds and the calibration hold-out."""
