"""Capture, inference and decision threads, and their budgets."""
