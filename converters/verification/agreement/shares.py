"""Agreement of one network with float by the mission's gates, for lowerings with numbers of their
own.

Takes both networks as functions and the held-back frames; returns a share 0..1 for each gate, to be
compared with the limits of the mission.
"""

from __future__ import annotations

from collections.abc import Sequence

from calibration.dataset.frames.frame import RoadFrame
from calibration.evaluation.predictions.frame_outputs import run_networks
from converters.sources.network import Network
from converters.verification.agreement.heads import heads_of
from edge.contract.artifact_names import FLOAT
from edge.contract.mission.sections.conversion import Gates
from edge.contract.mission.sections.model import Model
from edge.progress import Advance

OTHER = "other"
"""The name of the network that is compared with float."""

MAIN, CONDITION = "found_min", "condition_agree_min"
"""Gates of the mission: on the main output, and on the condition head."""


def agreement_limits(gates: Gates) -> dict[str, float]:
    """Limits of the two gates, where the mission gives them."""
    limits = {MAIN: gates.found_min, CONDITION: gates.condition_agree_min}
    return {name: limit for name, limit in limits.items() if limit is not None}


def agreement_shares(
    floating: Network,
    other: Network,
    frames: Sequence[RoadFrame],
    model: Model,
    *,
    progress: Advance,
) -> dict[str, float | None]:
    """By gate, the share of `floating`'s predictions that `other` gives too; None where `floating`
    gives none, or has no such head. One frame is in memory at a time."""
    spec = model.network_spec
    networks = {FLOAT: floating, OTHER: other}
    heads = heads_of(model, list(networks))
    for row, frame in enumerate(frames, start=1):
        outputs = run_networks(networks, frame.read(), spec, model.preprocess_spec)
        for head in heads.values():
            head.add(frame, outputs)
        progress("calibration caches on held-back frames", row, len(frames))
    main, *others = (head.result()[OTHER] for head in heads.values())
    return {MAIN: main.share, CONDITION: others[0].share if others else None}
