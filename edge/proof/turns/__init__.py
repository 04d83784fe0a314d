"""Explorations that take every turn of the real decide, from every state."""
