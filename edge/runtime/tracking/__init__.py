"""Tracks and times to contact."""
