"""Accuracy of a network on labelled frames, with intervals."""
