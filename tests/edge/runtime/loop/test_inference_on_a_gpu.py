"""The inference thread on the simulated GPU: pictures, the device's times, a lost device."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from session_variants import ONE_OF_EACH_DRIVER, Variant, opening
from simulated_device.description import Fault
from tiny_road import picture, tiny_mission, write_network

from edge.backends import abandoned
from edge.contract.mission.schema import Mission
from edge.perception.pixel_formats import Picture
from edge.perception.values import Frame, Known, Unknown
from edge.runtime.clock import monotonic_ns
from edge.runtime.loop.capture import CapturedFrame
from edge.runtime.loop.inference import Inference, Result
from edge.runtime.loop.mailbox import Mailbox
from firmware_bridge.errors import DeviceFault

LOADED = 2 + 5
"""Executions before the first frame: of a session that opens, and of the warm-up."""

pytestmark = pytest.mark.parametrize("variant", ONE_OF_EACH_DRIVER, ids=str)


@pytest.fixture(autouse=True)
def _abandoned_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "_KEPT", [])


@pytest.fixture
def mission(root: Path) -> Mission:
    return tiny_mission(root)


class Bench:
    """The thread at work on a variant; `look` hands it a frame and gets its result."""

    def __init__(
        self, variant: Variant, mission: Mission, network: Path, *, pictures: bool
    ) -> None:
        self.frames: Mailbox[CapturedFrame] = Mailbox()
        self.results: Mailbox[Result] = Mailbox()
        self._device = opening(variant)
        self._way = self._device.__enter__()
        spec = mission.model.preprocess_spec if pictures else None
        plan = self._way.model(network)
        self.inference = Inference(
            lambda: self._way.open(plan, preprocess=spec, deadline_ms=100.0),
            mission.model,
            self.frames,
            self.results,
            health=None,
            clock=monotonic_ns,
        )
        self.index = 0

    def look(self, seen: Picture) -> Result | None:
        self.index += 1
        self.frames.put(CapturedFrame(Frame(seen, monotonic_ns(), "read", self.index), 1.0))
        return self.results.take(20.0)

    def end(self) -> None:
        """Ends the thread, which closes its session; then the device, which finds what is left."""
        self.frames.close()
        assert self.inference.join(timeout_s=10.0)
        assert not self.inference.crashed
        self._way.opened.clear()
        self._device.__exit__(None, None, None)


@pytest.fixture
def bench(
    variant: Variant, mission: Mission, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    faults, pictures = getattr(request, "param", ((), True))
    network = write_network(tmp_path / "tiny.onnx")
    made = Bench(variant.with_faults(*faults), mission, network, pictures=pictures)
    yield made
    made.end()


def seen(pixel_format: str) -> Picture:
    image = picture(red=True)
    if pixel_format == "bgr":
        return Picture(image)
    planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    rows = image.shape[0]
    chroma = planar[rows:].reshape(2, -1).T.reshape(rows // 2, -1)
    return Picture(np.ascontiguousarray(np.vstack([planar[:rows], chroma])), "nv12")


@pytest.mark.parametrize("pixel_format", ["bgr", "nv12"])
@pytest.mark.parametrize("bench", [((), True), ((), False)], indirect=True)
def test_a_frame_is_perceived_alike_by_whoever_preprocesses_it(
    bench: Bench, pixel_format: str
) -> None:
    bench.inference.start()
    result = bench.look(seen(pixel_format))
    assert result is not None
    assert isinstance(result.perception, Known)
    (label,) = result.perception.detections.labels
    assert label == 0
    assert result.perception.detections.boxes[0] == pytest.approx([64, 96, 96, 128], abs=1)
    on_the_gpu = "preprocess" in result.device_ms
    assert on_the_gpu is ("preprocess" not in result.stage_ms)
    assert "execute" in result.device_ms
    assert "device" in bench.inference.session_facts


@pytest.mark.requirement("R-RUN-90")
@pytest.mark.parametrize(
    "bench", [((Fault("launch failure", at=LOADED + 2),), False)], indirect=True
)
def test_a_lost_device_finishes_the_results_and_says_why(bench: Bench) -> None:
    bench.inference.start()
    assert isinstance(bench.look(seen("bgr")), Result)
    assert bench.look(seen("bgr")) is None
    assert bench.inference.lost is not None
    assert "unspecified launch failure" in bench.inference.lost
    assert bench.results.finished


@pytest.mark.requirement("R-RUN-93")
@pytest.mark.parametrize("bench", [((Fault("never ends", at=LOADED + 1),), True)], indirect=True)
def test_an_execution_that_does_not_end_frees_the_thread(bench: Bench) -> None:
    bench.inference.start()
    began_s = time.monotonic()
    assert bench.look(seen("bgr")) is None
    assert bench.inference.join(timeout_s=5.0)
    assert "did not end within 100 ms" in str(bench.inference.lost)
    assert time.monotonic() - began_s < 5.0


@pytest.mark.parametrize("bench", [((Fault("NaN output", at=LOADED + 1),), True)], indirect=True)
def test_numbers_that_are_none_make_one_frame_unknown(bench: Bench) -> None:
    bench.inference.start()
    first, second = bench.look(seen("bgr")), bench.look(seen("bgr"))
    assert first is not None
    assert second is not None
    assert isinstance(first.perception, Unknown)
    assert isinstance(second.perception, Known)


@pytest.mark.parametrize("bench", [((Fault("illegal address", at=3),), False)], indirect=True)
def test_a_device_lost_in_the_warm_up_refuses_the_run(bench: Bench) -> None:
    with pytest.raises(DeviceFault, match="lost while the model was loaded"):
        bench.inference.start()
