"""Opens the labelled clips of a mission: frames in order, each with its ground truth.

In: an entry of `[[data.clips]]`. Out: a `LabelledClip`. A generated clip is painted again; a
recorded one is a video and a truth file with as many frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.contract.clip_truth import TrueFrame, TrueObject, read_truth
from edge.contract.mission.sections.data import Clip
from edge.perception.conditions import Conditions
from edge.perception.opencv import quiet_opencv
from edge.perception.values import BgrImage
from edge.scenes.clips import clip as drawn
from edge.scenes.clips import frame_count
from edge.scenes.painting.atmosphere import with_defaults
from edge.scenes.stories import FPS, STORIES
from edge.scenes.world import SCENE_LABELS
from firmware_bridge.errors import NotTrusted, UsageError


@dataclass(frozen=True)
class LabelledClip:
    """One clip.

    Attributes:
        name: of the video file, or of the story with its parameters.
        fps: frames a second.
        seconds: duration from its first frame to one period after its last.
        words: labels of its objects.
        count: number of frames.
        frames: yields pictures (H, W, 3) uint8 BGR with their truth; each call starts anew.
    """

    name: str
    fps: float
    seconds: float
    words: tuple[str, ...]
    count: int
    frames: Callable[[], Iterator[tuple[BgrImage, TrueFrame]]]


def open_clip(clip: Clip) -> LabelledClip:
    """A clip of `[[data.clips]]`.

    Raises:
        UsageError: no such story.
        Missing, NotTrusted: the truth file cannot be read, or is not valid.
    """
    if clip.story is None:
        assert clip.video is not None  # the mission's own checks demand both
        assert clip.truth is not None
        return _recorded(clip.video, clip.truth)
    if clip.story not in STORIES:
        raise UsageError(
            f"data.clips: there is no story '{clip.story}'",
            expected=", ".join(STORIES),
            found=clip.story,
            remedy="name one of them in the mission",
        )
    return _generated(clip, clip.story)


def _generated(clip: Clip, story: str) -> LabelledClip:
    conditions = with_defaults(Conditions(clip.weather, clip.light, clip.road))

    def frames() -> Iterator[tuple[BgrImage, TrueFrame]]:
        for index, scene in enumerate(drawn(story, seed=clip.seed, conditions=conditions)):
            objects = [
                TrueObject(SCENE_LABELS[int(label)], _corners(box))
                for label, box in zip(scene.labels, scene.boxes, strict=True)
            ]
            yield scene.image, TrueFrame(index / FPS, tuple(objects))

    parameters = (conditions.weather, conditions.light, conditions.road, f"seed {clip.seed}")
    count = frame_count(story)
    return LabelledClip(
        name=f"{story} ({', '.join(str(one) for one in parameters)})",
        fps=FPS,
        seconds=count / FPS,
        words=tuple(SCENE_LABELS),
        count=count,
        frames=frames,
    )


def _corners(
    box: np.ndarray[tuple[int], np.dtype[np.float32]],
) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return (x1, y1, x2, y2)


def _recorded(video: Path, truth: Path) -> LabelledClip:
    truths = read_truth(truth)
    if len(truths) < 2:
        raise NotTrusted(
            f"{truth} tells of one frame only",
            expected="a clip of two frames or more, since stops take time",
            found="1 frame",
            remedy="name the truth of the whole clip",
        )
    span_s = truths[-1].time_s - truths[0].time_s
    period_s = span_s / (len(truths) - 1)

    def frames() -> Iterator[tuple[BgrImage, TrueFrame]]:
        count = 0
        for image in _images(video):
            if count == len(truths):
                count += 1
                break
            yield image, truths[count]
            count += 1
        if count != len(truths):
            raise NotTrusted(
                f"{truth} does not belong to {video}",
                expected=f"a video of {len(truths)} frames, as many as the truth tells of",
                found="more" if count > len(truths) else f"{count} frames that can be decoded",
                remedy="name the truth of this very video, or make both again",
            )

    return LabelledClip(
        name=video.name,
        fps=1.0 / period_s,
        seconds=span_s + period_s,
        words=tuple(sorted({one.label for frame in truths for one in frame.objects})),
        count=len(truths),
        frames=frames,
    )


def _images(video: Path) -> Iterator[BgrImage]:
    cv2 = quiet_opencv()
    reader = cv2.VideoCapture(str(video), cv2.CAP_FFMPEG)
    try:
        while True:
            good, image = reader.read()
            if not good:
                return
            yield np.asarray(image, np.uint8)
    finally:
        reader.release()
