"""Figures of each kind of network from predictions."""
