"""Verbs on data sets, ranges and evaluations, one file each."""
