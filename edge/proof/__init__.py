"""Proof of a mission's policy by exhaustive exploration of the real code."""
