"""A first mission for a model file: its signature, likely decoder, rules."""
