"""Cross-layer equalization: where scale may move, and moving it."""
