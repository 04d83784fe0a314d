"""How much of what float says a form still says on held-back frames: for forms whose numbers differ
from those of `int8.onnx` by more than types. Never decides whether it is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from calibration.dataset.frames.frame import RoadFrame
from calibration.evaluation.predictions.frame_outputs import run_networks
from converters.sources.network import Network
from converters.verification.agreement import SCORE_MIN, DetectionCounts, Found, TopCounts, areas_of
from converters.verification.mask_agreement import MaskAgreement
from edge.contract.artifact_names import FLOAT
from edge.contract.mission.schema import Mission
from edge.perception.classification import HeadSpec
from edge.perception.segmentation import MaskSpec
from edge.progress import Advance

OTHER = "other"
MAIN, CONDITION = "found_min", "condition_agree_min"
"""Gates of the mission: on the main output, and on the condition head."""


def agreement_limits(mission: Mission) -> dict[str, float]:
    """Those of the two gates that the mission gives."""
    gates = {MAIN: mission.gates.found_min, CONDITION: mission.gates.condition_agree_min}
    return {name: limit for name, limit in gates.items() if limit is not None}


def agreement_shares(
    floating: Network,
    other: Network,
    frames: Sequence[RoadFrame],
    mission: Mission,
    *,
    progress: Advance,
) -> dict[str, float | None]:
    """Share of `floating`'s answers that `other` has too, by gate; None where there is none.

    One frame in memory at a time.
    """
    spec, model = mission.model.network_spec, mission.model
    networks = {FLOAT: floating, OTHER: other}
    detections = DetectionCounts(networks)
    classes, conditions = TopCounts(networks), TopCounts(networks)
    masks = MaskAgreement(model.labels, list(networks))
    for row, frame in enumerate(frames, start=1):
        outputs = run_networks(networks, frame.read(), spec, model.preprocess_spec)
        if isinstance(spec.main, HeadSpec):
            classes.add(outputs.output(0), spec.main)
        else:
            seen = outputs.perceptions(score_min=SCORE_MIN)
            if isinstance(spec.main, MaskSpec):
                areas = {name: areas_of(one) for name, one in seen.items()}
                masks.add(frame, areas, outputs.output(0))
            else:
                detections.add(seen)
        if spec.condition is not None:
            conditions.add(outputs.output(-1), spec.condition)
        progress("calibration caches on held-back frames", row, len(frames))
    main = (classes if isinstance(spec.main, HeadSpec) else detections).result()[OTHER]
    if isinstance(spec.main, MaskSpec):
        main = Found.of_masks(masks, OTHER)
    return {MAIN: main.share, CONDITION: conditions.result()[OTHER].share}
