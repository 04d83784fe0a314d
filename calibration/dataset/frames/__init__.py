"""Frames of a data set, each read when it is needed; one file a kind of source."""
