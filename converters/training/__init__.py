"""Trains the mission's network: recipe, loop, checkpoints, folds, search."""
