"""Fitting a network: what is learned, the loop, checkpoints, figures, records, folds, search."""
