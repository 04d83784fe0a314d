"""Time to contact by RoadNet's own boxes, against the truth of every generated story.

The median relative error of objects that are tracked for ten frames and truly closer than 3 s; one
that is called "not closing" counts as an error of 9. Exits 1 where the median over all stories is
0.20 or more.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from edge.backends.table import open_session
from edge.contract.boxes import iou_matrix
from edge.contract.conversion import choose_model
from edge.contract.decode import perceive
from edge.contract.loading import load_mission
from edge.contract.mission import Mission
from edge.contract.perception import Known
from edge.contract.preprocess import preprocess
from edge.runtime.tracker import Tracker
from edge.scenes.clips import clip
from edge.scenes.stories import FPS, STORIES

NEARER_THAN_S, TRACKED_FRAMES, IOU_MIN, NOT_CLOSING, LIMIT = 3.0, 10, 0.5, 9.0, 0.20


def errors(mission: Mission, model: Path, story: str, seed: int) -> list[float]:
    """Relative errors, frame by frame and object by object."""
    session = open_session(mission.target.backend, model, threads=mission.target.threads)
    tracker, found = Tracker(), []
    size = (mission.model.input.width_px, mission.model.input.height_px)
    for index, scene in enumerate(clip(story, seed=seed)):
        frame = (scene.image.shape[1], scene.image.shape[0])
        x, placement = preprocess(scene.image, mission.model.preprocess_spec)
        seen = perceive(
            session.infer(x),
            mission.model.network_spec,
            placement=placement,
            input_size=size,
            frame_size=frame,
        )
        if not isinstance(seen, Known):
            continue
        tracks = tracker.update(seen.detections, round(index / FPS * 1e9), frame_size=frame)
        shown = [track for track in tracks if track.missed_frames == 0]
        if not shown:
            continue
        overlap = iou_matrix(scene.boxes, np.array([track.box for track in shown], np.float32))
        for row, truth in enumerate(scene.time_to_contact_s):
            track = shown[int(overlap[row].argmax())]
            near = 0.0 < truth < NEARER_THAN_S and overlap[row].max() > IOU_MIN
            if near and track.age_frames >= TRACKED_FRAMES:
                found.append(min(abs(track.time_to_contact_s - truth) / truth, NOT_CLOSING))
    return found


def main() -> None:
    """Measures every story and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mission", type=Path)
    parser.add_argument("--from", dest="converted", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    mission = load_mission(asked.mission)
    model = choose_model(asked.converted, mission, "float")
    by_story = {story: errors(mission, model, story, asked.seed) for story in STORIES}
    pooled = [error for found in by_story.values() for error in found]
    medians = {story: float(np.median(found)) for story, found in by_story.items() if found}
    for story, median in medians.items():
        print(f"{story:24} {len(by_story[story]):5} {median:6.2f}")
    overall = float(np.median(pooled)) if pooled else NOT_CLOSING
    print(f"{'all':24} {len(pooled):5} {overall:6.2f}   limit {LIMIT}")
    if asked.json is not None:
        facts = {"stories": medians, "median": overall, "limit": LIMIT, "samples": len(pooled)}
        asked.json.write_text(json.dumps(facts, indent=1) + "\n")
    raise SystemExit(0 if overall < LIMIT else 1)


if __name__ == "__main__":
    main()
