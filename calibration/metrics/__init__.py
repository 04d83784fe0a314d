"""Matching, average precision, pixel counts, intervals."""
