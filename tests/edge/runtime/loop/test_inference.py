"""The inference thread on invalid frames, and with a hung network.

The network is real; the clock is simulated where durations matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tiny_road import picture, tiny_mission, write_network

from edge.backends.options import SessionOptions
from edge.backends.session import InferenceFailed
from edge.backends.table import open_session
from edge.contract.mission.schema import Mission
from edge.perception.pixel_formats import Picture
from edge.perception.values import Floats, Frame, Known, Unknown
from edge.runtime.loop.capture import CapturedFrame
from edge.runtime.loop.inference import Inference, Result
from edge.runtime.loop.mailbox import Mailbox
from firmware_bridge.errors import UsageError

MS = 1_000_000


class TakingTime:
    """The real session, on whose clock each run takes as long as a test says."""

    def __init__(self, path: Path, durations_ms: Iterator[float]) -> None:
        self.session = open_session("onnxruntime", path, options=SessionOptions(threads=1))
        self.durations_ms = durations_ms
        self.now_ns = 0
        self.input_shape = self.session.input_shape
        self.output_shapes = self.session.output_shapes
        self.input = self.session.input
        self.device_ms = self.session.device_ms
        self.facts = self.session.facts

    def clock(self) -> int:
        return self.now_ns

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        self.now_ns += round(next(self.durations_ms) * MS)
        return self.session.infer(x)

    def close(self) -> None:
        self.session.close()


class FailingSlowly(TakingTime):
    """Fails each run that takes a second or more, at its end."""

    def infer(self, x: Floats) -> tuple[Floats, ...]:
        began_ns = self.now_ns
        outputs = super().infer(x)
        if self.now_ns - began_ns >= 1000 * MS:
            raise InferenceFailed("not in time")
        return outputs


class Bench:
    """The thread at work: hand it a frame, get its result."""

    def __init__(self, mission: Mission, session: TakingTime) -> None:
        self.frames: Mailbox[CapturedFrame] = Mailbox()
        self.results: Mailbox[Result] = Mailbox()
        self.inference = Inference(
            lambda: session,
            mission.model,
            self.frames,
            self.results,
            health=None,
            clock=session.clock,
        )
        self.inference.start()
        self.index = 0

    def look(self, captured_ns: int, *, red: bool = True) -> Result:
        return self.look_at(Picture(np.asarray(picture(red=red), np.uint8)), captured_ns)

    def look_at(self, seen: Picture, captured_ns: int) -> Result:
        self.index += 1
        self.frames.put(CapturedFrame(Frame(seen, captured_ns, "read", self.index), 1.0))
        result = self.results.take(20.0)
        assert result is not None, "the inference thread ended"
        return result

    def end(self) -> None:
        self.frames.close()
        assert self.inference.join(timeout_s=10.0)
        assert not self.inference.crashed


@pytest.fixture
def mission(root: Path) -> Mission:
    return tiny_mission(root)


def bench(mission: Mission, tmp_path: Path, durations_ms: Iterator[float]) -> Bench:
    return Bench(mission, TakingTime(write_network(tmp_path / "tiny.onnx"), durations_ms))


def always(duration_ms: float) -> Iterator[float]:
    while True:
        yield duration_ms


@pytest.mark.requirement("R-RUN-28")
def test_frames_a_microsecond_apart_end_nothing(mission: Mission, tmp_path: Path) -> None:
    thread, now_ns = bench(mission, tmp_path, always(1.0)), 0
    for frame in range(40):
        now_ns += 1_000 if frame % 2 else 40 * MS
        result = thread.look(now_ns)
        assert isinstance(result.perception, Known)
        assert [(track.id, track.hits) for track in result.tracks] == [(1, frame + 1)]
    thread.end()


def test_a_frame_in_the_cameras_own_format_is_perceived_as_its_bgr(
    mission: Mission, tmp_path: Path
) -> None:
    thread = bench(mission, tmp_path, always(1.0))
    as_bgr = thread.look(0)
    planar = cv2.cvtColor(as_bgr.frame.image, cv2.COLOR_BGR2YUV_I420)
    height, width = as_bgr.frame.image.shape[:2]
    u, v = planar[height:].reshape(2, height // 2, width // 2)
    pairs = np.stack((u, v), axis=-1).reshape(height // 2, width)
    as_nv12 = thread.look_at(Picture(np.vstack((planar[:height], pairs)), "nv12"), 40 * MS)
    assert isinstance(as_bgr.perception, Known)
    assert isinstance(as_nv12.perception, Known)
    found, right = as_nv12.perception.detections, as_bgr.perception.detections
    assert len(found) == len(right) > 0
    np.testing.assert_allclose(found.boxes, right.boxes, atol=1.0)
    assert [track.hits for track in as_nv12.tracks] == [2] * len(found)
    thread.end()


@pytest.mark.requirement("R-RUN-10", "R-RUN-28")
def test_a_frame_from_before_the_last_one_is_unknown_and_ends_nothing(
    mission: Mission, tmp_path: Path
) -> None:
    thread = bench(mission, tmp_path, always(1.0))
    assert isinstance(thread.look(1000 * MS).perception, Known)
    back = thread.look(1000 * MS - 1)
    assert isinstance(back.perception, Unknown)
    assert "its time is wrong" in back.perception.reason
    assert back.tracks == ()
    assert isinstance(thread.look(1000 * MS).perception, Known)
    assert isinstance(thread.look(1040 * MS).perception, Known)
    thread.end()


@pytest.mark.requirement("R-RUN-8")
@pytest.mark.parametrize(
    ("each_ms", "hung_ms"), [(1.0, 200.0), (19.0, 200.0), (50.0, 500.0), (300.0, 3000.0)]
)
def test_a_network_hangs_at_ten_times_what_it_takes_and_200_ms_at_least(
    each_ms: float, hung_ms: float, mission: Mission, tmp_path: Path
) -> None:
    thread = bench(mission, tmp_path, always(each_ms))
    for frame in range(10):
        thread.look(frame * 400 * MS)
    # A percentile is never below the truth, and 6 % above it at most.
    assert hung_ms <= thread.inference.hung_after_ms <= hung_ms * 1.06
    thread.end()


@pytest.mark.requirement("R-RUN-8")
def test_what_a_network_takes_is_its_99th_percentile(mission: Mission, tmp_path: Path) -> None:
    """2 of 105 runs are slow: the median knows nothing of them."""
    slow = {20, 70}
    thread = bench(mission, tmp_path, (60.0 if run in slow else 30.0 for run in range(105)))
    for frame in range(100):
        thread.look(frame * 40 * MS)
    assert 600.0 <= thread.inference.hung_after_ms <= 600.0 * 1.06
    thread.end()


@pytest.mark.requirement("R-RUN-8")
def test_a_run_that_fails_late_does_not_make_a_later_one_hang_longer(
    mission: Mission, tmp_path: Path
) -> None:
    durations_ms = (2000.0 if run == 50 else 30.0 for run in range(65))
    path = write_network(tmp_path / "tiny.onnx")
    thread = Bench(mission, FailingSlowly(path, durations_ms))
    seen = [thread.look(frame * 40 * MS).perception for frame in range(60)]
    assert [type(one) for one in seen].count(Unknown) == 1
    assert 300.0 <= thread.inference.hung_after_ms <= 300.0 * 1.06
    thread.end()


def test_a_model_that_fails_on_a_blank_picture_is_refused_at_the_start(
    mission: Mission, tmp_path: Path
) -> None:
    """It leaves out cells without an object, which its declared output shape denies."""
    path = write_network(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    model.graph.node[-1].output[0] = "whole"
    row, zero, flat = (np.array(value) for value in (4, np.float32(0.0), [-1]))
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name)
        for name, value in (("row", row), ("zero", zero), ("flat_shape", flat))
    )
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["whole", "row"], ["logits"], axis=2),
            helper.make_node("Greater", ["logits", "zero"], ["found"]),
            helper.make_node("Reshape", ["found", "flat_shape"], ["rows"]),
            helper.make_node("Compress", ["whole", "rows"], ["output"], axis=1),
        ]
    )
    onnx.save(model, path)
    with pytest.raises(UsageError, match="blank picture") as refused:
        Bench(mission, TakingTime(path, always(1.0)))
    assert "convert" in refused.value.remedy
