"""Histograms of tensors over frames, in shards or on a cluster."""
