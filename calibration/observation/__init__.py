"""Histograms of tensors over frames: what to look at, looking, sharing the work."""
