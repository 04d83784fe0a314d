"""Observation of road frames: histograms equal those of numpy, in slices or not, and memory does
not grow with the number of pictures.
"""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from road import SPEC, NoiseFrame

from calibration.inference.sessions import ModelSession
from calibration.observation.histogram import Histogram
from calibration.observation.observe import observe
from edge.perception.preprocess import preprocess
from firmware_bridge.errors import UsageError

SHAPE = [1, 3, SPEC.height_px, SPEC.width_px]


def network(scale: float = 0.5, shape: list[int] = SHAPE) -> onnx.ModelProto:
    """Four tensors after the picture; "d" is the output."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["picture", "scale"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Exp", ["b"], ["c"]),
            helper.make_node("Neg", ["c"], ["d"]),
        ],
        "four",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("d", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.float32(scale), "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def look(
    model: onnx.ModelProto, names: list[str], frames: int, *, slice_bytes: int = 1 << 20
) -> tuple[dict[str, Histogram], list[tuple[str, int, int]]]:
    told: list[tuple[str, int, int]] = []
    seen = observe(
        model,
        names,
        [NoiseFrame(seed) for seed in range(frames)],
        preprocess_spec=SPEC,
        threads=1,
        progress=lambda *step: told.append(step),
        slice_bytes=slice_bytes,
    )
    return seen.histograms, told


NAMES = ["picture", "a", "b", "c", "d"]


def test_counts_every_value_of_every_frame_once() -> None:
    seen, told = look(network(), NAMES, 5)
    session = ModelSession(network().SerializeToString(), threads=1)
    pictures = [preprocess(NoiseFrame(seed).read(), SPEC)[0] for seed in range(5)]
    wanted = {name: Histogram() for name in ("picture", "d")}
    for x in pictures:
        wanted["picture"].add(x)
        wanted["d"].add(session.run({"picture": x})[0])
    for name, histogram in wanted.items():
        assert np.array_equal(seen[name].counts, histogram.counts)
        assert (seen[name].lowest, seen[name].highest) == (histogram.lowest, histogram.highest)
    assert {histogram.total for histogram in seen.values()} == {5 * np.prod(SHAPE)}
    assert told[-1] == ("observe", 5, 5)


@pytest.mark.parametrize("slice_bytes", [1, 800, 1600])
def test_slices_give_the_same_result(slice_bytes: int) -> None:
    whole, _ = look(network(), NAMES, 3)
    sliced, told = look(network(), NAMES, 3, slice_bytes=slice_bytes)
    assert told[-1] == ("observe", 3, 3)
    for name in NAMES:
        assert np.array_equal(whole[name].counts, sliced[name].counts)
        assert (whole[name].lowest, whole[name].highest) == (
            sliced[name].lowest,
            sliced[name].highest,
        )


def test_the_picture_alone_needs_no_inference_and_nothing_gives_nothing() -> None:
    assert look(network(), ["picture"], 2)[0]["picture"].total == 2 * np.prod(SHAPE)
    assert look(network(), [], 2)[0] == {}


def test_memory_does_not_grow_with_frames() -> None:
    model = network(shape=[1, 3, 64, 64])
    spec = dataclasses.replace(SPEC, width_px=64, height_px=64)

    def peak(count: int) -> int:
        frames = [NoiseFrame(seed) for seed in range(count)]
        tracemalloc.start()
        try:
            observe(model, NAMES, frames, preprocess_spec=spec, threads=1, progress=lambda *_: None)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(2)  # what is imported and cached once
    # One picture kept a frame would be 400 times 49,152 bytes; its name, digest and extremes stay.
    assert peak(404) - peak(4) < 400 * 1000


@pytest.mark.parametrize("scale", [float("nan"), 1e4])
def test_not_a_number_and_overflow_name_the_tensor_and_the_frame(scale: float) -> None:
    with pytest.raises(UsageError, match=r"NaN or infinity into '[abc]'") as refused:
        look(network(scale), NAMES, 2)
    assert refused.value.found == "frame noise-00000"
    assert "model.preprocess" in refused.value.remedy
