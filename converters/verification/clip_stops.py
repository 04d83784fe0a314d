"""Counts on the mission's labelled clips whether each network would have stopped the vehicle as the
truth does.

Takes the networks as functions and the mission; returns plain values for report.json. The policy
and the counting are in `calibration/evaluation/stops.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from calibration.evaluation.clips import LabelledClip, open_clip
from calibration.evaluation.data.label_mapping import LabelMapping, map_labels
from calibration.evaluation.stops import (
    Episode,
    PolicyOnClip,
    StopFigures,
    figures_json,
    stops_anything,
    true_perception,
)
from converters.sources.network import Network
from edge.contract.mission.schema import Mission
from edge.perception.decode import DECODERS, perceive
from edge.perception.preprocess import preprocess
from edge.perception.values import BgrImage, Perception
from edge.progress import Advance

NO_CLIPS = {"state": "not asked"}
"""What a report says of stops where its mission names no clips."""


def stops_on_clips(
    networks: Mapping[str, Network], mission: Mission, *, progress: Advance
) -> dict[str, Any]:
    """Stops of each network beside those on the truth, as plain values.

    `state` is "unknown" where there is nothing to judge, and `why` says so; else "known".

    Raises:
        UsageError: a story that is not there, or a clip with no label of the model.
        Missing, NotTrusted: a clip or its truth cannot be read.
    """
    if mission.model.decode.kind not in DECODERS:
        return {"state": "unknown", "why": "stops are counted for detectors alone"}
    if not stops_anything(mission.policy):
        return {"state": "unknown", "why": "no rule of the mission stops the vehicle for an object"}
    clips = [open_clip(clip) for clip in mission.data.clips]
    words = {word for clip in clips for word in clip.words}
    # A clip may show an empty road: then there is no word to map.
    mapping = map_labels(words, mission.model.labels) if words else LabelMapping({}, ())
    total = sum(clip.count for clip in clips)
    done = 0
    rows: dict[str, list[tuple[tuple[Episode, ...], tuple[Episode, ...], float]]] = {
        name: [] for name in networks
    }
    for clip in clips:

        def advance(at: int, before: int = done) -> None:
            progress("count stops on clips", before + at, total)

        true, own = _on_clip(clip, networks, mission, mapping, advance=advance)
        done += clip.count
        for name, stops in own.items():
            rows[name].append((true, stops, clip.seconds))
    figures = {name: StopFigures.of(found) for name, found in rows.items()}
    return {
        "state": "known",
        "clips": [
            {
                "name": clip.name,
                "frames": clip.count,
                "seconds": clip.seconds,
                "stops": _shown(next(iter(rows.values()))[row][0]),
                "networks": {name: _shown(found[row][1]) for name, found in rows.items()},
            }
            for row, clip in enumerate(clips)
        ],
        "networks": figures_json(figures),
    }


def _on_clip(
    clip: LabelledClip,
    networks: Mapping[str, Network],
    mission: Mission,
    mapping: LabelMapping,
    *,
    advance: Callable[[int], None],
) -> tuple[tuple[Episode, ...], dict[str, tuple[Episode, ...]]]:
    """The true stops of one clip, and those of each network."""
    truth = PolicyOnClip(mission, clip.fps)
    own = {name: PolicyOnClip(mission, clip.fps) for name in networks}
    for done, (image, frame) in enumerate(clip.frames(), start=1):
        truth.add(true_perception(frame, mapping), image, frame.time_s)
        for name, network in networks.items():
            own[name].add(_perceived(network, image, mission), image, frame.time_s)
        advance(done)
    return truth.stops, {name: policy.stops for name, policy in own.items()}


def _perceived(network: Network, image: BgrImage, mission: Mission) -> Perception:
    """What the device would perceive, by the mission's own thresholds."""
    x, placement = preprocess(image, mission.model.preprocess_spec)
    return perceive(
        network(x),
        mission.model.network_spec,
        placement=placement,
        input_size=(mission.model.input.width_px, mission.model.input.height_px),
        frame_size=(image.shape[1], image.shape[0]),
    )


def _shown(stops: tuple[Episode, ...]) -> list[dict[str, float]]:
    return [{"begin_s": round(one.begin_s, 3), "end_s": round(one.end_s, 3)} for one in stops]
