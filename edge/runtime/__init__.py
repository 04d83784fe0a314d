"""The on-device loop: capture, inference, decision, link, in that order and under budgets."""
