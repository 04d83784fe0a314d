"""Turns of the real decide: representative frames, what is declared, and laws."""
