"""What is registered beside inference is what `update` would have registered: the same tracks to
the last bit, whatever frame was followed and whatever was detected in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from edge.perception.values import BgrImage, Detections
from edge.runtime.tracking import patch_registration
from edge.runtime.tracking.track import Track
from edge.runtime.tracking.tracker import Tracker
from edge.scenes.clips import clip
from edge.scenes.stories import FPS

FRAME = (640, 384)
Frame = tuple[int, BgrImage, Detections]


def story(name: str, *, frames: int) -> Iterator[Frame]:
    """A generated clip as a detector that jitters and misses sees it: nothing in every ninth frame,
    another label in every seventh."""
    random = np.random.default_rng(0)
    for index, scene in enumerate(islice(clip(name, seed=1), frames)):
        boxes = scene.boxes[random.random(len(scene.boxes)) < 0.9] * (index % 9 != 8)
        boxes = boxes[boxes[:, 2] > boxes[:, 0]]
        drawn = boxes + random.normal(0.0, 1.0, boxes.shape).astype(np.float32)
        labels = np.full(len(drawn), int(index % 7 == 6), np.int64)
        scores = np.full(len(drawn), 0.8, np.float32)
        yield round(index / FPS * 1e9), scene.image, Detections(drawn, scores, labels)


def tracks_of(tracker: Tracker, frame: Frame) -> tuple[Track, ...]:
    at_ns, image, detections = frame
    return tracker.update(detections, at_ns, frame_size=FRAME, image=image)


@pytest.mark.requirement("R-RUN-112")
@pytest.mark.parametrize("name", ["pedestrian_steps_out", "vehicle_brakes"])
def test_following_a_frame_first_changes_no_track(name: str) -> None:
    plain, ahead = Tracker(), Tracker()
    seen = set()
    for frame in story(name, frames=36):
        ahead.follow(frame[1], frame[0])
        found = tracks_of(ahead, frame)
        assert found == tracks_of(plain, frame)
        seen |= {track.contact_from for track in found}
    assert "pixels" in seen or "both" in seen


@pytest.mark.requirement("R-RUN-112")
def test_following_what_is_not_updated_with_changes_no_track() -> None:
    """As when a network fails on a frame, or on each: the next update has another frame."""
    plain, ahead = Tracker(), Tracker()
    former: Frame | None = None
    for index, frame in enumerate(story("pedestrian_steps_out", frames=36)):
        at_ns, image, _ = frame
        if index % 3 == 0:
            ahead.follow(image, at_ns)
            former = frame
            continue
        if index % 3 == 1 and former is not None:  # one that is older, and one much newer
            ahead.follow(former[1], former[0])
            ahead.follow(image, at_ns + 10_000_000_000)
        if index % 6 == 5:
            ahead.follow(image[:, ::-1].copy(), at_ns)
        assert tracks_of(ahead, frame) == tracks_of(plain, frame)


def test_a_followed_frame_is_registered_before_its_detections_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searches: list[str] = []
    find = patch_registration.Reference.find

    def counted(self: object, *arguments: object) -> object:
        searches.append(during)
        return find(self, *arguments)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(patch_registration.Reference, "find", counted)
    tracker = Tracker()
    for frame in islice(story("vehicle_brakes", frames=40), 5, 40):
        during = "follow"
        tracker.follow(frame[1], frame[0])
        during = "update"
        tracks_of(tracker, frame)
    assert searches.count("follow") >= 20
    # Where a patch is lost it is searched for again by its box.
    assert searches.count("update") <= searches.count("follow") // 4
