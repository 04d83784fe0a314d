"""Cross-layer equalization: where scale may move, moving it, whether it pays."""
