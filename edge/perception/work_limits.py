"""How much of one frame is looked at, so that no picture makes a frame take seconds.

Constants only. What is left out because of them is counted in `Detections.left_out`
(docs/decisions/0030).
"""

from __future__ import annotations

MOST_DETECTIONS = 300
"""The largest `model.decode.max_detections`, and so the most that the tracker is ever given."""

CANDIDATES_PER_DETECTION = 10
"""Cells whose boxes are compared for each detection that may be kept: a road user is seen by a
handful of cells."""

MOST_CANDIDATES = CANDIDATES_PER_DETECTION * MOST_DETECTIONS
"""The most cells of a frame whose boxes are compared, whatever asks for detections."""
