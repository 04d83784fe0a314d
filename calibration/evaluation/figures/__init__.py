"""Figures of each kind of network, from its predictions."""
