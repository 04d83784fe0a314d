"""Golden frames find a session that computes something else than int8.onnx, and only such a one."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_road import picture, tiny_mission, write_network

from edge.backends.options import SessionOptions
from edge.backends.table import open_session
from edge.contract.mission.schema import Mission
from edge.perception.pixel_formats import Picture
from edge.perception.preprocess import preprocess
from edge.perception.values import Floats, Frame
from edge.qualification.golden import GoldenFrames, Noise

Change = Callable[[Floats], Floats]


@pytest.fixture(scope="module")
def mission(root: Path) -> Mission:
    return tiny_mission(root)


@pytest.fixture(scope="module")
def outputs(
    mission: Mission, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Frame, Floats]]:
    """Frames with a pedestrian, a vehicle, both and neither, and what the network makes of them."""
    path = write_network(tmp_path_factory.mktemp("golden") / "tiny.onnx")
    session = open_session("onnxruntime", path, options=SessionOptions(threads=1))
    found = []
    for index, (red, blue) in enumerate(
        ((True, False), (False, True), (True, True), (False, False))
    ):
        frame = Frame(Picture(picture(red=red, blue=blue)), index, "video", index)
        x, _ = preprocess(frame.image, mission.model.preprocess_spec)
        found.append((frame, np.array(session.infer(x)[0])))
    session.close()
    return found


def rounded(output: Floats) -> Floats:
    """As the reference: coarser than float."""
    return (np.round(output * 2.0) / 2.0).astype(np.float32)


def judged(
    mission: Mission, outputs: list[tuple[Frame, Floats]], change: Change, *, quantized: bool = True
) -> GoldenFrames:
    golden = GoldenFrames(mission.model, quantized)
    for frame, exact in outputs:
        _, placement = preprocess(frame.image, mission.model.preprocess_spec)
        reference = rounded(exact) if quantized else exact
        golden.add(
            frame, placement, exact=[exact], reference=[reference], session=[change(reference)]
        )
    return golden


def test_the_reference_itself_passes(mission: Mission, outputs: list[tuple[Frame, Floats]]) -> None:
    golden = judged(mission, outputs, lambda output: output)
    assert golden.failures() == []
    assert (golden.frames, golden.wanted, golden.found) == (4, 4, 4)
    assert golden.of_session.decibels == golden.of_reference.decibels


def test_rounding_of_another_engine_passes(
    mission: Mission, outputs: list[tuple[Frame, Floats]]
) -> None:
    noise = np.random.default_rng(0)

    def other(output: Floats) -> Floats:
        return output + noise.normal(0.0, 0.02, output.shape).astype(np.float32)

    assert judged(mission, outputs, other).failures() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (np.zeros_like, "0 of 4 results"),
        (lambda output: output[:, ::-1], "results"),
        (lambda output: output * np.float32(1.5), "dB"),
        (lambda output: np.full_like(output, np.nan), "4 of 4 frames could not be perceived"),
        (lambda output: np.where(output > 0, -6.0, output).astype(np.float32), "results"),
    ],
)
def test_an_engine_that_computes_something_else_is_found(
    mission: Mission, outputs: list[tuple[Frame, Floats]], change: Change, said: str
) -> None:
    failures = judged(mission, outputs, change).failures()
    assert any(said in failure for failure in failures), failures


def test_a_float_model_is_held_against_float(
    mission: Mission, outputs: list[tuple[Frame, Floats]]
) -> None:
    halves = judged(
        mission, outputs, lambda o: o.astype(np.float16).astype(np.float32), quantized=False
    )
    assert halves.failures() == []
    coarse = judged(mission, outputs, rounded, quantized=False)
    assert any("dB" in failure for failure in coarse.failures())


def test_a_label_that_changed_is_not_found(
    mission: Mission, outputs: list[tuple[Frame, Floats]]
) -> None:
    """The same boxes, but every pedestrian is called a vehicle."""

    def relabelled(output: Floats) -> Floats:
        changed = output.copy()
        changed[..., [4, 5]] = output[..., [5, 4]]
        return changed

    assert judged(mission, outputs, relabelled).share == 0.0


def test_the_ratio_is_in_decibels() -> None:
    noise = Noise()
    assert noise.decibels == math.inf
    noise.add([np.full(100, 10.0, np.float32)], [np.full(100, 11.0, np.float32)])
    assert noise.decibels == pytest.approx(20.0)
    noise.add([np.zeros(1, np.float32)], [np.full(1, np.nan, np.float32)])
    assert math.isnan(noise.decibels)
