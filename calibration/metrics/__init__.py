"""Matching, average precision, pixel counts, confidence intervals."""
