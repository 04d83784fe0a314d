"""Data sets: label readers, lock, checks, splits, frames, masks."""
