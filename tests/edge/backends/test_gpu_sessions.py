"""Sessions on a GPU: its own times, one thread, tensors of the mission, shapes, pictures."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from session_variants import ONE_OF_EACH_DRIVER, REAL, Opening, Variant, opening
from simulated_device.description import Simulation
from simulated_device.plan import read_plan, write_plan
from tiny_road import CELL, LABELS, SIDE, write_network

from edge.backends.options import ApprovedPlan
from edge.backends.session import InferenceFailed, PictureSession, WrongThread
from edge.perception.pixel_formats import Picture, to_bgr
from edge.perception.preprocess import PreprocessSpec, preprocess
from firmware_bridge.errors import Missing, UsageError

SHAPE = (1, 3, SIDE, SIDE)
CELLS = (SIDE // CELL) ** 2
SPEC = PreprocessSpec(
    width_px=SIDE,
    height_px=SIDE,
    fit="letterbox",
    anchor="center",
    pad_value=114,
    color="rgb",
    mean=(10.0, 20.0, 30.0),
    std=(1.0, 2.0, 3.0),
)


@pytest.fixture
def way(variant: Variant) -> Iterator[Opening]:
    with opening(variant) as way:
        yield way


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_network(tmp_path / "tiny.onnx")


def changed(way: Opening, network: Path, **values: Any) -> ApprovedPlan:
    """An engine of the simulated device of which something else is true."""
    import sys

    plan = way.model(network)
    assert isinstance(plan, ApprovedPlan)
    trt = sys.modules[{"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}[way.variant.backend]]
    held = read_plan(plan.data)
    assert held is not None
    return ApprovedPlan(write_plan(trt, replace(held, **values)), "other.plan")


@pytest.mark.parametrize("variant", [*ONE_OF_EACH_DRIVER, *REAL], ids=str)
class TestEveryGpuSession:
    """What holds on a simulated GPU and on a real one."""

    def test_tells_the_gpus_time_of_each_stage(self, way: Opening, network: Path) -> None:
        session = way.open(network)
        session.infer(session.input)
        shared = "shared" in session.facts["memory"]
        assert list(session.device_ms) == (
            ["execute"] if shared else ["to_device", "execute", "to_host"]
        )

    def test_tells_what_runs_the_network(self, way: Opening, network: Path) -> None:
        facts = way.open(network).facts
        assert list(facts) == ["runtime", "device", "cuda", "memory", "execution"]
        assert "GPU 0 of " in facts["device"]
        assert way.variant.cuda in facts["cuda"]

    @pytest.mark.requirement("R-RUN-91")
    def test_refuses_another_threads_calls_and_goes_on_in_its_own(
        self, way: Opening, network: Path
    ) -> None:
        session = way.open(network)
        caught: list[BaseException] = []

        def elsewhere() -> None:
            for call in (lambda: session.infer(session.input), session.close):
                try:
                    call()
                except WrongThread as error:
                    caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(caught) == 2
        assert "belongs to the thread that opened it" in str(caught[0])
        assert session.infer(session.input)

    @pytest.mark.parametrize("pixel_format", ["bgr", "nv12", "yuyv"])
    def test_a_picture_gives_what_preprocess_and_infer_give(
        self, pixel_format: Any, way: Opening, network: Path
    ) -> None:
        shapes = {"bgr": (90, 120, 3), "nv12": (135, 120), "yuyv": (90, 120, 2)}
        session = way.open(network, preprocess=SPEC)
        assert isinstance(session, PictureSession)
        assert session.takes_pictures
        for seed in range(2):
            pixels = np.random.default_rng(seed).integers(0, 256, shapes[pixel_format], np.uint8)
            picture = Picture(pixels, pixel_format)
            found = session.infer_picture(picture)[0].copy()
            assert {"preprocess", "execute"} <= set(session.device_ms)
            tensor, _ = preprocess(to_bgr(picture), SPEC)
            assert np.allclose(found, session.infer(tensor)[0], atol=1e-3)

    def test_a_larger_picture_after_a_smaller_one_and_a_view_with_gaps(
        self, way: Opening, network: Path
    ) -> None:
        session = way.open(network, preprocess=SPEC)
        assert isinstance(session, PictureSession)
        whole = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
        for image in (whole[:31, :47], whole, whole[3:40, 5:61]):
            found = session.infer_picture(Picture(image))[0].copy()
            tensor, _ = preprocess(image, SPEC)
            assert np.allclose(found, session.infer(tensor)[0], atol=1e-3)

    def test_a_session_without_preprocess_takes_no_picture(
        self, way: Opening, network: Path
    ) -> None:
        session = way.open(network)
        assert isinstance(session, PictureSession)
        assert not session.takes_pictures
        with pytest.raises(InferenceFailed, match="without a preprocess"):
            session.infer_picture(Picture(np.zeros((9, 9, 3), np.uint8)))

    @pytest.mark.parametrize(
        ("options", "expected", "found"),
        [
            ({"inputs": {"images": SHAPE}}, "images", "picture"),
            ({"outputs": {"output": (1,), "condition": (1, 3)}}, "condition", "output"),
            ({"inputs": {"picture": (1, 3, SIDE, 2 * SIDE)}}, f"{2 * SIDE}", f"{SIDE}, {SIDE}"),
        ],
    )
    def test_other_tensors_than_the_missions_are_refused_by_name(
        self, options: Any, expected: str, found: str, way: Opening, network: Path
    ) -> None:
        with pytest.raises(UsageError) as refused:
            way.open(network, **options)
        assert expected in refused.value.expected
        assert found in refused.value.found
        assert "engine build" in refused.value.remedy


@pytest.mark.parametrize("variant", ONE_OF_EACH_DRIVER, ids=str)
class TestEveryEngine:
    """Engines that `engine build` does not make; simulated, since real ones are hard to build."""

    def test_an_output_more_than_the_missions_is_refused(
        self, way: Opening, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError) as refused:
            way.open(two_outputs(tmp_path), outputs={"output": ()})
        assert refused.value.found == "output, map"

    @pytest.mark.parametrize(
        "other",
        [{"data_type": "HALF"}, {"data_type": "INT8"}, {"format": "CHW32"}, {"format": "HWC8"}],
    )
    @pytest.mark.parametrize("name", ["picture", "output"])
    def test_other_types_and_formats_are_refused_by_name(
        self, name: str, other: dict[str, str], way: Opening, network: Path
    ) -> None:
        held = read_plan(way.model(network).data)  # type: ignore[union-attr] # a plan
        assert held is not None
        tensors = tuple(replace(t, **other) if t.name == name else t for t in held.tensors)
        with pytest.raises(UsageError, match=f"tensor {name}") as refused:
            way.open(changed(way, network, tensors=tensors))
        # The exception is held here, but no engine by it: that must go before the context.
        kinds = ("ICudaEngine", "IExecutionContext")
        engines = [one for one in gc.get_objects() if type(one).__name__ in kinds]
        assert not [one for one in engines if one._machine is way.machine]
        assert next(iter(other.values())) in refused.value.found

    def test_outputs_come_in_the_missions_order(self, way: Opening, tmp_path: Path) -> None:
        network = two_outputs(tmp_path)
        for names in (("output", "map"), ("map", "output")):
            session = way.open(network, outputs=dict.fromkeys(names, ()))
            shapes = {"output": (1, CELLS, 4 + len(LABELS)), "map": (1, 4 + len(LABELS), 4, 4)}
            assert session.output_shapes == tuple(shapes[name] for name in names)
            outputs = session.infer(session.input)
            assert [one.shape for one in outputs] == [shapes[name] for name in names]
            flat = dict(zip(names, outputs, strict=True))
            turned = flat["map"].reshape(1, 4 + len(LABELS), CELLS).transpose(0, 2, 1)
            assert np.array_equal(turned, flat["output"])
            session.close()

    @pytest.mark.requirement("R-RUN-92")
    def test_an_engine_of_open_sizes_takes_the_missions(self, way: Opening, tmp_path: Path) -> None:
        """Its second profile holds the size; the outputs' sizes follow."""
        network = open_sizes(tmp_path)
        small = {"picture": ((1, 3, 32, 32), (1, 3, 32, 32), (1, 3, 48, 48))}
        large = {"picture": ((1, 3, 48, 64), (1, 3, 64, 64), (1, 3, 128, 256))}
        plan = changed(way, network, profiles=(small, large))
        session = way.open(plan, inputs={"picture": (1, 3, 64, 128)})
        assert session.input_shape == (1, 3, 64, 128)
        assert session.output_shapes == ((1, 4 + len(LABELS), 4, 8),)
        (output,) = session.infer(np.zeros((1, 3, 64, 128), np.float32))
        assert output.shape == (1, 4 + len(LABELS), 4, 8)
        assert output[0, 0] == pytest.approx(0.5)
        session.close()
        with pytest.raises(UsageError) as refused:
            way.open(plan, inputs={"picture": (1, 3, 512, 512)})
        assert "(1, 3, 48, 64) to (1, 3, 128, 256)" in refused.value.found
        assert "--profile picture=" in refused.value.remedy

    def test_says_whether_the_execution_is_a_graph_and_why_not(
        self, way: Opening, network: Path
    ) -> None:
        how = way.open(network).facts["execution"]
        if way.variant.records_graphs:
            assert how == "CUDA graph"
        elif way.variant.cuda == "pycuda":
            assert "wraps no CUDA graphs" in how
        else:
            assert "cannot be recorded as a CUDA graph" in how
            assert "not permitted when stream is capturing" in how


@pytest.mark.parametrize(
    "words",
    [
        "No module named 'tensorrt'",
        "libnvinfer.so.10: cannot open shared object file: No such file or directory",
    ],
)
def test_a_machine_without_tensorrt(words: str) -> None:
    missing = replace(
        ONE_OF_EACH_DRIVER[0], simulation=Simulation(import_errors={"tensorrt": words})
    )
    refused = pytest.raises(Missing, match=r"tensorrt (cannot be imported|is not installed)")
    with opening(missing) as way, refused as info:
        way.open(ApprovedPlan(b"", "road.plan"))
    assert info.value.found == words
    assert "JetPack" in info.value.remedy


def two_outputs(folder: Path) -> Path:
    """The tiny network with its feature map as a second output."""
    model = onnx.load(write_network(folder / "tiny.onnx"))
    sizes = [1, 4 + len(LABELS), SIDE // CELL, SIDE // CELL]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("map", onnx.TensorProto.FLOAT, sizes)
    )
    onnx.save(model, folder / "two.onnx")
    return folder / "two.onnx"


def open_sizes(folder: Path) -> Path:
    """The tiny network's convolution alone, for pictures of any size."""
    model = onnx.load(write_network(folder / "tiny.onnx"))
    del model.graph.node[1:]
    del model.graph.output[:]
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(
            "map", onnx.TensorProto.FLOAT, [1, 4 + len(LABELS), "rows", "columns"]
        )
    )
    onnx.save(model, folder / "open.onnx")
    return folder / "open.onnx"
