"""Limits of the work for one frame, so that no picture takes seconds to decode or track.

Constants only. `Detections.left_out` counts the cells that they leave out (docs/decisions/0030).
"""

from __future__ import annotations

MOST_DETECTIONS = 300
"""The largest `model.decode.max_detections`, and so the most detections that reach the tracker."""

CANDIDATES_PER_DETECTION = 10
"""Cells whose boxes are compared for each possible detection: a handful of cells detect the same
road user."""

MOST_CANDIDATES = CANDIDATES_PER_DETECTION * MOST_DETECTIONS
"""The most cells of a frame whose boxes are compared."""
