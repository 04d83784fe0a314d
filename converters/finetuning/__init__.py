"""Quantization-aware fine-tuning of a finished conversion."""
