"""Inference backends: one Session contract, one table, each backend imported when chosen."""
