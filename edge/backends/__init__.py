"""Inference backends: one Session protocol, one table, imported when chosen."""
