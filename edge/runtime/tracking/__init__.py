"""Tracks of objects, and their times to contact."""
