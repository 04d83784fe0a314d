"""Reads classification heads: logits to a label and its score, or to no label. Pure numpy.

The score is the maximum softmax probability; a picture below the head's threshold counts as out of
distribution (Hendrycks & Gimpel, arXiv:1610.02136; docs/decisions/0006). Never names the nearest
label where none is likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.perception.values import Classification, Floats


@dataclass(frozen=True)
class HeadSpec:
    """How the logits of one head become a label.

    Attributes:
        labels: one for each logit, in order; two at least.
        score_threshold: below this highest share the picture has none of the labels.
    """

    labels: tuple[str, ...]
    score_threshold: float


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Softmax of logits (C,): float64 shares 0..1 that add up to 1; no overflow."""
    wide = logits.astype(np.float64)
    raised = np.exp(wide - wide.max())
    return np.asarray(raised / raised.sum(), np.float64)


def top_label(raw: Floats, spec: HeadSpec) -> tuple[int, float]:
    """The row of the likeliest label and its share, from logits (1, C).

    Raises:
        ValueError: the output is of another shape, or holds NaN or Inf.
    """
    wanted = (1, len(spec.labels))
    if raw.shape != wanted:
        raise ValueError(f"output has shape {raw.shape}, {len(spec.labels)} labels need {wanted}")
    if not np.isfinite(raw).all():
        raise ValueError("output holds NaN or Inf")
    row = int(raw[0].argmax())  # of logits: rounded shares may tie, and then another label wins
    return row, float(softmax(raw[0])[row])


def classify(raw: Floats, spec: HeadSpec, *, head: str) -> Classification:
    """The classification of one picture by the head `head`. Raises as `top_label` does."""
    row, score = top_label(raw, spec)
    return Classification(head, spec.labels[row] if score >= spec.score_threshold else None, score)
