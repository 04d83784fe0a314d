"""Compares time to contact, from RoadNet's own boxes, with the truth of every generated story.

Prints the median relative error over objects that have been tracked for ten frames and are closer
than 3 s; "not closing" counts as an error of 9. By boxes alone, and by pixels and boxes as the loop
measures it. Also how often an object further than 6 s away is measured nearer than 2.5 s, and the
time to track a frame. Exits 1 where the median over all stories is 0.20 or more for any seed.

usage: scripts/bench/time_to_contact.py MISSION --from OUT [--precision float|int8]
                                        [--seeds N ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge.backends.options import SessionOptions
from edge.backends.table import open_session
from edge.contract.conversion_output import choose_model
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.boxes import iou_matrix
from edge.perception.decode import perceive
from edge.perception.preprocess import preprocess
from edge.perception.values import Known
from edge.runtime.tracking.track import Track
from edge.runtime.tracking.tracker import Tracker
from edge.scenes.clips import clip
from edge.scenes.still import LabelledScene
from edge.scenes.stories import FPS, STORIES

NEARER_THAN_S, TRACKED_FRAMES, IOU_MIN, NOT_CLOSING, LIMIT = 3.0, 10, 0.5, 9.0, 0.20
FAR_S, ALARM_S = 6.0, 2.5


@dataclass
class Measurements:
    """What one way of measuring time to contact gave."""

    errors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    alarms: list[bool] = field(default_factory=list)
    frame_ms: list[float] = field(default_factory=list)

    def add(self, story: str, scene: LabelledScene, tracks: tuple[Track, ...]) -> None:
        """Compares a frame's tracks with its truth."""
        shown = [track for track in tracks if track.missed_frames == 0]
        if not shown:
            return
        overlap = iou_matrix(scene.boxes, np.array([track.box for track in shown], np.float32))
        for row, truth in enumerate(scene.time_to_contact_s):
            track = shown[int(overlap[row].argmax())]
            if overlap[row].max() <= IOU_MIN or track.age_frames < TRACKED_FRAMES:
                continue
            if 0.0 < truth < NEARER_THAN_S:
                error = abs(track.time_to_contact_s - truth) / truth
                self.errors[story].append(min(float(error), NOT_CLOSING))
            elif truth > FAR_S:
                self.alarms.append(track.time_to_contact_s < ALARM_S)

    @property
    def all_errors(self) -> list[float]:
        """The errors of all stories."""
        return [error for found in self.errors.values() for error in found]


def measure(
    mission: Mission, model: Path, story: str, seed: int, ways: dict[str, Measurements]
) -> None:
    """Tracks the detections of one clip with and without its pictures; adds to `ways`."""
    session = open_session(
        mission.target.backend, model, options=SessionOptions(threads=mission.target.threads)
    )
    trackers = {way: Tracker() for way in ways}
    size = (mission.model.input.width_px, mission.model.input.height_px)
    for index, scene in enumerate(clip(story, seed=seed)):
        frame = (scene.image.shape[1], scene.image.shape[0])
        x, placement = preprocess(scene.image, mission.model.preprocess_spec)
        perception = perceive(
            session.infer(x),
            mission.model.network_spec,
            placement=placement,
            input_size=size,
            frame_size=frame,
        )
        if not isinstance(perception, Known):
            continue
        for way, result in ways.items():
            began_s = time.perf_counter()
            tracks = trackers[way].update(
                perception.detections,
                round(index / FPS * 1e9),
                frame_size=frame,
                image=scene.image if way == "both" else None,
            )
            result.frame_ms.append((time.perf_counter() - began_s) * 1e3)
            result.add(story, scene, tracks)


def median(found: list[float]) -> float:
    """The median; of no errors at all the worst value."""
    return float(np.median(found)) if found else NOT_CLOSING


def merge(by_seed: list[dict[str, Measurements]]) -> dict[str, Measurements]:
    """The measurements of several seeds as one."""
    whole = {way: Measurements() for way in by_seed[0]}
    for ways in by_seed:
        for way, result in ways.items():
            for story, found in result.errors.items():
                whole[way].errors[story] += found
            whole[way].alarms += result.alarms
            whole[way].frame_ms += result.frame_ms
    return whole


def report(title: str, ways: dict[str, Measurements]) -> dict[str, Any]:
    """Prints a table and returns it as plain values."""
    rows = {
        story: {way: median(result.errors[story]) for way, result in ways.items()}
        for story in STORIES
        if ways["both"].errors[story]
    } | {"all": {way: median(result.all_errors) for way, result in ways.items()}}
    print(f"{title:24} samples  boxes alone  pixels and boxes")
    for story, found in rows.items():
        of = ways["both"].all_errors if story == "all" else ways["both"].errors[story]
        print(f"{story:24} {len(of):7} {found['boxes']:12.3f} {found['both']:17.3f}")
    alarms = {way: float(np.mean(result.alarms)) for way, result in ways.items()}
    cost = {way: np.percentile(result.frame_ms, [50, 99]) for way, result in ways.items()}
    print(f"{'called nearer, of far':32} {alarms['boxes']:12.4f} {alarms['both']:17.4f}")
    print(f"{'track, p50 ms':32} {cost['boxes'][0]:12.2f} {cost['both'][0]:17.2f}")
    print(f"{'track, p99 ms':32} {cost['boxes'][1]:12.2f} {cost['both'][1]:17.2f}\n")
    return {
        "samples": len(ways["both"].all_errors),
        "median": rows,
        "alarms": alarms,
        "track_p50_p99_ms": {way: [round(float(v), 2) for v in cost[way]] for way in ways},
    }


def main() -> None:
    """Measures every story with every seed and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mission", type=Path)
    parser.add_argument("--from", dest="converted", type=Path, required=True)
    parser.add_argument("--precision", choices=("float", "int8"), default="float")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    mission = load_mission(arguments.mission)
    model = choose_model(arguments.converted, mission, arguments.precision)
    by_seed, facts = [], {}
    for seed in arguments.seeds:
        ways = {"boxes": Measurements(), "both": Measurements()}
        for story in STORIES:
            measure(mission, model, story, seed, ways)
        facts[str(seed)] = report(f"seed {seed}", ways)
        by_seed.append(ways)
    facts["all"] = report("all seeds", merge(by_seed))
    worst = max(median(ways["both"].all_errors) for ways in by_seed)
    print(f"worst seed's median over all stories {worst:.3f}, limit {LIMIT}")
    if arguments.json is not None:
        whole = {"seeds": facts, "worst": worst, "limit": LIMIT, "precision": arguments.precision}
        arguments.json.write_text(json.dumps(whole, indent=1) + "\n")
    raise SystemExit(0 if worst < LIMIT else 1)


if __name__ == "__main__":
    main()
