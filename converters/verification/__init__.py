"""How near the results are: parity, agreement, accuracy, latency."""
