"""Parity, agreement, accuracy and latency of the results, and the gates."""
