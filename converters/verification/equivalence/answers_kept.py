"""How much of what float says a form still says on held-back frames: for forms whose numbers differ
from those of `int8.onnx` by more than types. Never decides whether it is enough.
"""

from __future__ import annotations

from collections.abc import Sequence

from calibration.dataset.frames.frame import RoadFrame
from converters.sources.network import Network
from converters.verification.agreement import SCORE_MIN, DetectionCounts, Found, TopCounts, areas_of
from converters.verification.mask_agreement import MaskAgreement
from edge.contract.artifact_names import FLOAT
from edge.contract.mission.schema import Mission
from edge.perception.classification import HeadSpec
from edge.perception.decode import perceive, with_threshold
from edge.perception.preprocess import preprocess
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
    both = (FLOAT, OTHER)
    detections, classes, conditions = DetectionCounts(both), TopCounts(both), TopCounts(both)
    masks = MaskAgreement(model.labels, both)
    for row, frame in enumerate(frames, start=1):
        image = frame.read()
        x, placement = preprocess(image, model.preprocess_spec)
        raw = {FLOAT: floating(x), OTHER: other(x)}
        if isinstance(spec.main, HeadSpec):
            classes.add({name: outputs[0] for name, outputs in raw.items()}, spec.main)
        else:
            of_pixels = isinstance(spec.main, MaskSpec)
            seen = {
                name: perceive(
                    outputs,
                    with_threshold(spec, 0.0 if of_pixels else SCORE_MIN),
                    placement=placement,
                    input_size=(model.input.width_px, model.input.height_px),
                    frame_size=(image.shape[1], image.shape[0]),
                )
                for name, outputs in raw.items()
            }
            if of_pixels:
                masks.add(
                    frame,
                    {name: areas_of(one) for name, one in seen.items()},
                    {name: outputs[0] for name, outputs in raw.items()},
                )
            else:
                detections.add(seen)
        if spec.condition is not None:
            conditions.add({name: outputs[-1] for name, outputs in raw.items()}, spec.condition)
        progress("calibration caches on held-back frames", row, len(frames))
    main = (classes if isinstance(spec.main, HeadSpec) else detections).result()[OTHER]
    if isinstance(spec.main, MaskSpec):
        main = Found.of_masks(masks, OTHER)
    return {MAIN: main.share, CONDITION: conditions.result()[OTHER].share}
