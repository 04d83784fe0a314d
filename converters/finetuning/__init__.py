"""Quantization-aware fine-tuning: weights that suit the ranges and the places INT8 was given."""
