"""Predictions of each network on each frame."""
