"""Mixed precision: which layers stay in float, by their task loss."""
