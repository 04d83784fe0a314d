"""Generated road scenes with ground truth: stills and clips.

Needs the extra `camera`.
"""
