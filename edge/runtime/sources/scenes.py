"""Plays a generated story as a camera: `scenes:STORY?weather=rain&light=dusk&road=city&seed=3`.

In: that text and the mission's picture size. Out: frames, drawn when they are due and paced in real
time; those whose time has passed are skipped. Never reacts to commands: a story is a recording.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from edge.contract.mission.sections.device import Camera
from edge.perception.conditions import LIGHTS, ROADS, WEATHERS, Conditions
from edge.perception.opencv import quiet_opencv
from edge.perception.pixel_formats import Picture
from edge.perception.values import Frame
from edge.runtime.clock import Clock
from edge.runtime.sources.source import Pace, Pause, Reading, SourceEnd, SourceInfo
from firmware_bridge.errors import UsageError

PREFIX = "scenes:"
_WORDS = {"weather": WEATHERS, "light": LIGHTS, "road": ROADS}


class ScenesSource:
    """One story in the mission's picture size, drawn frame by frame.

    Raises:
        UsageError: no such story, option or condition.
    """

    def __init__(self, given: str, *, camera: Camera, clock: Clock) -> None:
        quiet_opencv()
        # Drawing needs the extra `camera`; where it is missing, quiet_opencv has refused already.
        from edge.scenes.clips import clip_frame, frame_count
        from edge.scenes.stories import FPS

        story, self._seed, self._conditions = _parse(given)
        self._draw, self._story, self._camera = clip_frame, story, camera
        count = frame_count(story)
        self.info = SourceInfo(given=given, kind="scenes", fps=FPS, frames=count)
        self._count, self._fps, self._index = count, FPS, 0
        self._pace = Pace(round(1e9 / FPS), clock)

    def read(self, pause: Pause) -> Reading:
        """The next frame at its due time, stamped with it."""
        while self._index < self._count and self._pace.missed(self._time_ns):
            self._index += 1
        if self._index >= self._count:
            return SourceEnd(frames=self._count)
        index, time_ns = self._index, self._time_ns
        self._index += 1
        scene = self._draw(
            self._story,
            index,
            seed=self._seed,
            conditions=self._conditions,
            width_px=self._camera.width_px,
            height_px=self._camera.height_px,
        )
        picture = Picture(scene.image)
        return Frame(picture, self._pace.wait(time_ns, pause), "video", index, time_ns, 0)

    def close(self) -> None:
        """Does nothing: no file is open."""

    @property
    def _time_ns(self) -> int:
        return round(self._index * 1e9 / self._fps)


def _parse(given: str) -> tuple[str, int, Conditions]:
    """Story, seed and conditions of such a text."""
    from edge.scenes.painting.atmosphere import CLEAR_DAY
    from edge.scenes.stories import STORIES

    story, _, options = given.removeprefix(PREFIX).partition("?")
    if story not in STORIES:
        raise _refusal(given, f"no story '{story}'", f"one of: {', '.join(STORIES)}")
    words = dict(CLEAR_DAY.__dict__)
    seed = 0
    try:
        pairs = parse_qsl(options, keep_blank_values=True, strict_parsing=bool(options))
    except ValueError as error:
        raise _refusal(given, str(error), "options as KEY=VALUE joined by &") from error
    for key, value in pairs:
        if key == "seed":
            if not value.isdecimal():
                raise _refusal(given, f"seed '{value}'", "a whole number from 0 on")
            seed = int(value)
        elif key not in _WORDS:
            raise _refusal(given, f"option '{key}'", "weather, light, road or seed")
        elif value not in _WORDS[key]:
            raise _refusal(given, f"{key} '{value}'", f"one of: {', '.join(_WORDS[key])}")
        else:
            words[key] = value
    return story, seed, Conditions(**words)


def _refusal(given: str, found: str, expected: str) -> UsageError:
    return UsageError(
        f"no generated scenes for {given}",
        expected=expected,
        found=found,
        remedy="write --source 'scenes:STORY?weather=rain&light=dusk&road=city&seed=3'",
    )
