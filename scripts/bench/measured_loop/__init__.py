"""The loop under measurement, its stages and the plain loop beside it."""
