"""Capture, inference and decision threads, and their latency budgets."""
