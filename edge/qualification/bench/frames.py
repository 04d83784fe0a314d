"""Sources that never end, for measurements that last longer than a clip.

A clip or folder is opened again at its end; without one, a generated story is drawn beforehand, so
that drawing takes no time from what is measured. Frames keep growing indices and present times.
"""

from __future__ import annotations

from dataclasses import replace

from edge.contract.mission.sections.device import Camera
from edge.perception.opencv import quiet_opencv
from edge.perception.pixel_formats import Picture
from edge.perception.values import Frame
from edge.runtime.clock import Clock
from edge.runtime.sources.open_source import open_source
from edge.runtime.sources.source import Pace, Pause, Reading, Source, SourceEnd, SourceInfo

STORY = "pedestrian_steps_out"
DRAWN = 50
"""Frames of the story that are drawn: two seconds, shown forwards and backwards."""


class RepeatedSource:
    """A source that begins again at its end; one that ends by a fault ends."""

    def __init__(self, given: str, camera: Camera, clock: Clock) -> None:
        self._given, self._camera, self._clock = given, camera, clock
        self._source = open_source(given, camera, clock)
        self.info = replace(self._source.info, frames=None)
        self._first = self._next = 0

    def read(self, pause: Pause) -> Reading:
        """The next frame when its time has come."""
        reading = self._source.read(pause)
        if isinstance(reading, SourceEnd) and reading.fault is None and self._next > self._first:
            self._source.close()
            self._source = open_source(self._given, self._camera, self._clock)
            self._first = self._next
            reading = self._source.read(pause)
        if isinstance(reading, Frame):
            reading = replace(reading, index=self._first + reading.index)
            self._next = reading.index + 1
        return reading

    def close(self) -> None:
        """Closes what is open."""
        self._source.close()


class DrawnSource:
    """A generated story in the mission's picture size and rate, held in memory."""

    def __init__(self, camera: Camera, clock: Clock) -> None:
        quiet_opencv()
        # Drawing needs the extra `camera`; where it is missing, quiet_opencv has refused already.
        from edge.scenes.clips import clip_frame, frame_count

        step = max(1, frame_count(STORY) // DRAWN)
        scenes = (
            clip_frame(
                STORY,
                step * index,
                width_px=camera.width_px,
                height_px=camera.height_px,
            )
            for index in range(DRAWN)
        )
        self._pictures = [Picture(scene.image) for scene in scenes]
        self.info = SourceInfo(given=f"drawn:{STORY}", kind="scenes", fps=camera.fps, frames=None)
        self._period_ns = round(1e9 / camera.fps)
        self._pace = Pace(self._period_ns, clock)
        self._index = 0

    def read(self, pause: Pause) -> Reading:
        """The next frame at its due time, stamped with it."""
        while self._pace.missed(self._index * self._period_ns):
            self._index += 1
        index = self._index
        self._index += 1
        time_ns = index * self._period_ns
        # Forwards and backwards: the vehicle never jumps.
        place = index % (2 * DRAWN - 2)
        picture = self._pictures[min(place, 2 * DRAWN - 2 - place)]
        return Frame(picture, self._pace.wait(time_ns, pause), "video", index, time_ns)

    def close(self) -> None:
        """Does nothing: no file is open."""


def open_frames(given: str | None, camera: Camera, clock: Clock) -> Source:
    """The source of a measurement. Raises as `open_source` does."""
    return DrawnSource(camera, clock) if given is None else RepeatedSource(given, camera, clock)
