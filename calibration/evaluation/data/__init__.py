"""Labelled frames of an evaluation, their labels mapped to the model's."""
