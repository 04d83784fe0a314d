"""Graph passes: one a file, each a function from a model to a changed copy.

What each requires and ensures is in the table of `chain.py` and is checked around every run.
"""
