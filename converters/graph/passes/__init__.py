"""Graph passes, one a file: each a function from a model to a changed copy.

What each requires and ensures is in the table of `pipeline.py`, which checks both on every run.
"""
