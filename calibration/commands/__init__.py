"""Verbs data, ranges, evaluate, compare."""
