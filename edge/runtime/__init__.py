"""The on-device loop: capture, inference, decision, within budgets."""
