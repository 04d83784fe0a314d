"""A camera behind a GStreamer pipeline: a Jetson's CSI camera, a network camera, or any other.

In: a kind of PIPELINES or the user's own pipeline, and the mission's [camera]. Out: pictures with
the pipeline's times. GStreamer's errors become refusals in its own words, without passwords.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

import numpy as np

from edge.contract.mission.sections.device import Camera
from edge.contract.urls import text_without_secrets, without_secrets
from edge.perception.pixel_formats import Picture
from edge.runtime.clock import Clock
from edge.runtime.sources.camera import OPEN_WITHIN_S, Delivered, Lost, Spoiled
from edge.runtime.sources.gstreamer import messages
from edge.runtime.sources.gstreamer.errors import refusal_of
from edge.runtime.sources.gstreamer.pipeline_process import (
    Message,
    PipelineProcess,
    ProcessEnded,
)
from edge.runtime.sources.gstreamer.pipelines import (
    PIPELINES,
    TO_BGR,
    Recipe,
    fill,
    hidden_values,
    shown,
)
from edge.runtime.sources.source import Pause
from firmware_bridge.errors import DeviceFault, Refusal, UsageError

START_WITHIN_S = 30.0
"""GStreamer's first start on a machine looks through all plug-ins."""

OWN_SETTINGS = (
    "correct [camera] in the mission (--set camera.width_px=W --set camera.height_px=H "
    "--set camera.fps=F), or set size and rate in the camera"
)


class PipelineCamera:
    """The address of such a camera, as `edge.runtime.sources.camera.CameraAddress` has it."""

    other_camera = OWN_SETTINGS

    def __init__(
        self,
        kind: str,
        given: str,
        recipes: Sequence[Recipe],
        *,
        hidden: Sequence[str] = (),
        clock: Clock,
    ) -> None:
        """`given` may be shown; `hidden` are the secrets in the recipes."""
        self.kind, self.shown = kind, given
        self._recipes, self._hidden, self._clock = recipes, hidden, clock

    def connect(self, pause: Pause) -> PipelineStream:
        """Starts the pipeline's process. Raises Refusal where the pipeline does not start."""
        process = PipelineProcess(self._recipes)
        try:
            ready = self._wait_for(process, messages.READY, within_s=START_WITHIN_S, pause=pause)
            playing = self._wait_for(process, messages.PLAYING, within_s=OPEN_WITHIN_S, pause=pause)
        except Refusal:
            process.close()
            raise
        how = shown(self._recipes[ready.values["recipe"]].text.removesuffix(TO_BGR))
        live = playing.values["live"]
        return PipelineStream(process, self, how=how, live=live, clock=self._clock)

    def refusal(self, message: Message) -> Refusal:
        """What GStreamer reports, in its words."""
        values = message.values
        last = values["details"].strip().splitlines()[-1:]
        words = self.clean(": ".join([values["message"], *last]))
        return refusal_of(
            values["domain"],
            values["code"],
            words,
            camera=self.shown,
            own=self.kind in PIPELINES,
        )

    def clean(self, words: str) -> str:
        """Words without secrets."""
        for value in sorted(self._hidden, key=len, reverse=True):
            words = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "...", words)
        return text_without_secrets(words)

    def _wait_for(
        self, process: PipelineProcess, kind: int, *, within_s: float, pause: Pause
    ) -> Message:
        try:
            message = process.next(within_s=within_s, pause=pause)
        except ProcessEnded as ended:
            raise self._fault(str(ended)) from ended
        if message is None:
            raise self._fault(f"no answer within {within_s:g} s")
        if message.header.kind == messages.FAILED:
            raise self.refusal(message)
        assert message.header.kind == kind
        return message

    def _fault(self, found: str) -> DeviceFault:
        return DeviceFault(
            f"the pipeline of {self.shown} does not start",
            expected="a pipeline that plays",
            found=self.clean(found),
            remedy="see that no other program holds the camera; on a Jetson: "
            "sudo systemctl restart nvargus-daemon",
        )


class PipelineStream:
    """One playing pipeline, as `edge.runtime.sources.camera.CameraStream` has it."""

    def __init__(
        self,
        process: PipelineProcess,
        camera: PipelineCamera,
        *,
        how: str,
        live: bool,
        clock: Clock,
    ) -> None:
        self.fps, self.how = 0.0, how
        self._process, self._camera, self._clock = process, camera, clock
        # What is not live plays a recording, whose frames are due at their times.
        self._stamp_source = "pipeline" if live else "video"

    def read(self, pause: Pause, *, within_s: float) -> Delivered | Spoiled | Lost:
        """The newest picture."""
        try:
            message = self._process.next(within_s=within_s, pause=pause)
        except ProcessEnded as ended:
            return Lost(self._camera.clean(str(ended)))
        if message is None:
            return Lost(f"delivers no frame within {within_s:g} s")
        if message.header.kind == messages.ENDED:
            return Lost("ended its stream")
        if message.header.kind == messages.FAILED:
            refusal = self._camera.refusal(message)
            return Lost(f"fails: {refusal.found}", refusal)
        return self._picture(message)

    def close(self) -> None:
        """Ends the process."""
        self._process.close()

    def _picture(self, message: Message) -> Delivered | Spoiled:
        header, now_ns = message.header, self._clock()
        row = header.length // max(header.height, 1)
        if row * header.height != header.length or row < 3 * header.width or not header.width:
            return Spoiled(
                f"{header.length} bytes are no picture of {header.width} x {header.height} pixels"
            )
        self.fps = header.rate[0] / header.rate[1]
        rows = message.content.reshape(header.height, row)[:, : 3 * header.width]
        picture = Picture(np.ascontiguousarray(rows).reshape(header.height, header.width, 3))
        if header.time_ns == messages.NO_TIME or header.time_ns > now_ns:
            # A network camera that catches up after a stall runs ahead of the clock.
            return Delivered(picture, now_ns, "read", None)
        return Delivered(picture, header.time_ns, self._stamp_source, None)


def known_camera(
    kind: str, given: str, *, camera: Camera, clock: Clock, **places: str | int
) -> PipelineCamera:
    """A camera of a kind in PIPELINES; `places` fill its recipes."""
    return PipelineCamera(kind, given, fill(PIPELINES[kind], camera, **places), clock=clock)


def network_camera(given: str, *, camera: Camera, clock: Clock) -> PipelineCamera:
    """A network camera: rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH.

    Raises:
        UsageError: not such a URL.
    """
    public = without_secrets(given)
    try:
        parts = urlsplit(given)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise _no_url(public, "no host and port can be read from it") from error
    if not host or re.search(r"\s", given):
        raise _no_url(public, "no host" if not host else "a space")
    written = [parts.username or "", parts.password or "", parts.query, parts.fragment]
    hidden = tuple(filter(None, {*written, *map(unquote, written)}))
    account, at, address = parts.netloc.rpartition("@")
    if at and ":" not in account:  # GStreamer takes a user only with a password
        account += ":"
    location = parts._replace(netloc=account + at + address).geturl()
    recipes = fill(PIPELINES["rtsp"], camera, location=location)
    return PipelineCamera("rtsp", public, recipes, hidden=hidden, clock=clock)


def own_pipeline(given: str, text: str, *, clock: Clock) -> PipelineCamera:
    """The user's own pipeline."""
    recipes = (Recipe(text + TO_BGR),)
    return PipelineCamera(
        "gstreamer", shown(given), recipes, hidden=hidden_values(text), clock=clock
    )


def _no_url(public: str, found: str) -> UsageError:
    return UsageError(
        f"{public} is no address of a network camera",
        expected="rtsp://[USER:PASSWORD@]HOST[:PORT]/PATH, or rtsps://...",
        found=found,
        remedy="correct --source; in user and password write @ as %40, : as %3A, / as %2F",
    )
