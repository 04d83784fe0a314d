"""95 % confidence intervals that allow for frames of one drive being alike.

In: counts or figures by frame and group. Out: low and high. Resampling is seeded, so results are
the same every time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

REPLICATES = 500
SEED = 20_240_229
Interval = tuple[float, float] | None
"""Low and high; None where there is none: a single group says nothing of others."""


def share_95(
    found: NDArray[np.int64], of: NDArray[np.int64], groups: NDArray[np.int64]
) -> Interval:
    """The interval of a share sum(found) / sum(of) over frames in groups (F,), 0..1.

    Wilson's interval (1927) for the count divided by the design effect: how much more the share
    varies between groups than between frames drawn alone (Kish, "Survey Sampling", 1965, 8.2; with
    a score interval: Dean & Pagano, J. Surv. Stat. Methodol. 2015). A share of 0 or 1 does not show
    that effect; there a group counts as one frame.
    """
    count = int(groups.max(initial=-1)) + 1
    hit = np.bincount(groups, found, minlength=count)
    there = np.bincount(groups, of, minlength=count)
    hit, there = hit[there > 0], there[there > 0]
    total = float(there.sum())
    if not total:
        return None
    share = float(hit.sum()) / total
    if len(there) == total:  # every frame is a group of its own
        effective = total
    elif share in (0.0, 1.0):
        effective = float(len(there))
    elif len(there) < 2:
        return None
    else:
        apart = float(((hit - share * there) ** 2).sum()) * len(there) / (len(there) - 1)
        effect = apart / total**2 / (share * (1.0 - share) / total)
        effective = total / max(1.0, effect)
    return wilson_95(share * effective, effective)


def resamples(groups: NDArray[np.int64], *, replicates: int = REPLICATES) -> NDArray[np.float64]:
    """(B, F) float64: how often each frame counts when whole groups are drawn with replacement.

    Source: the cluster bootstrap (Efron & Tibshirani 1993; Field & Welsh 2007).
    """
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max(initial=-1)) + 1
    random = np.random.default_rng(SEED)
    drawn = random.multinomial(count, np.full(count, 1.0 / max(count, 1)), size=replicates)
    return np.asarray(drawn[:, member], np.float64)


def percentile_95(values: Sequence[float] | NDArray[np.float64], groups: int) -> Interval:
    """The middle 95 % of a figure over resamples of `groups` groups, without NaN.

    None where all resamples agree: frames that are all right or all wrong show no spread.
    """
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if groups < 2 or not len(known):
        return None
    low, high = np.quantile(known, (0.025, 0.975))
    return (float(low), float(high)) if low < high else None


def wilson_95(found: float, of: float) -> tuple[float, float]:
    """The 95 % interval of a share found / of, 0..1; (0, 1) where `of` is 0.

    Source: Wilson's score interval (1927), which stays inside 0..1 for small counts. Counts need
    not be whole: an effective count may be given.
    """
    if not of:
        return 0.0, 1.0
    z = 1.959963984540054
    share, spread = found / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / of + spread / (4 * of)) / (1 + spread)
    # Exact ends where nothing or everything was found.
    return (middle - half if found else 0.0), (middle + half if found < of else 1.0)
