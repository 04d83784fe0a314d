"""Paints cars and lorries."""
