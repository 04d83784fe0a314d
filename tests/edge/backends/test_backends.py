"""The Session contract, kept by every backend, and refusals of a bad model or a missing package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from session_variants import EVERY, Opening, Variant, opening
from tiny_road import CELL, LABELS, SIDE, write_network

from edge.backends.options import ApprovedPlan, SessionOptions
from edge.backends.session import InferenceFailed, Session
from edge.backends.table import BACKENDS, open_session
from edge.contract.mission.sections.device import Target
from edge.install import pip_install
from firmware_bridge.errors import Missing, Refusal, UsageError

CELLS = (SIDE // CELL) ** 2


def test_every_backend_can_be_asked_for() -> None:
    annotation = Target.model_fields["backend"].annotation
    assert set(get_args(annotation)) - {"auto"} == set(BACKENDS)


def test_every_backend_is_among_the_variants() -> None:
    tried = {one.backend for one in EVERY if isinstance(one, Variant)}
    assert tried == set(BACKENDS)


@pytest.fixture
def way(variant: Variant) -> Iterator[Opening]:
    with opening(variant) as way:
        yield way


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_network(tmp_path / "tiny.onnx")


@pytest.fixture
def session(way: Opening, network: Path) -> Session:
    return way.open(network)


@pytest.mark.parametrize("variant", EVERY, ids=str)
class TestEverySession:
    """What any backend must do, by every CUDA driver and release, with memory copied and mapped, by
    TensorRT's own enqueueing and as a graph; a new row of a table is tested by being there."""

    def test_tells_its_shapes(self, session: Session) -> None:
        assert session.input_shape == (1, 3, SIDE, SIDE)
        assert session.output_shapes == ((1, CELLS, 4 + len(LABELS)),)

    def test_computes_the_network(self, session: Session, way: Opening) -> None:
        red = np.zeros((1, 3, SIDE, SIDE), np.float32)
        red[0, 0, :CELL, :CELL] = 255.0
        (output,) = session.infer(red)
        assert output.dtype == np.float32
        assert output.shape == (1, CELLS, 4 + len(LABELS))
        # A real engine may compute in FP16.
        near = 0.05 if way.variant.real_gpu else 1e-3
        assert output[0, 0, 4] == pytest.approx(6.0, abs=near)
        assert output[0, 1, 4] == pytest.approx(-6.0, abs=near)

    def test_the_same_input_gives_the_same_output(self, session: Session) -> None:
        x = np.random.default_rng(0).uniform(0, 255, (1, 3, SIDE, SIDE)).astype(np.float32)
        first = session.infer(x)[0].copy()
        session.infer(np.zeros_like(x))
        assert np.array_equal(first, session.infer(x)[0])

    def test_an_input_written_in_place_gives_what_any_other_array_gives(
        self, session: Session
    ) -> None:
        assert session.input.shape == session.input_shape
        assert session.input.dtype == np.float32
        assert session.input.flags.c_contiguous
        for seed in range(3):
            x = np.random.default_rng(seed).uniform(0, 255, session.input_shape)
            elsewhere = session.infer(x.astype(np.float32))[0].copy()
            session.input[:] = x
            assert np.array_equal(elsewhere, session.infer(session.input)[0])

    def test_tells_the_devices_time_in_known_stages(self, session: Session) -> None:
        session.infer(session.input)
        assert set(session.device_ms) <= {"to_device", "preprocess", "execute", "to_host"}
        assert all(took_ms >= 0.0 for took_ms in session.device_ms.values())

    def test_an_input_that_does_not_lie_in_one_piece_is_read_by_its_indices(
        self, session: Session
    ) -> None:
        x = np.random.default_rng(0).uniform(0, 255, (1, SIDE, SIDE, 3)).astype(np.float32)
        turned = x.transpose(0, 3, 1, 2)
        apart = session.infer(turned)[0].copy()
        assert np.array_equal(apart, session.infer(turned.copy())[0])

    def test_a_wrong_input_fails_and_the_next_one_works(self, session: Session) -> None:
        for wrong in (
            np.zeros((1, 3, SIDE, SIDE + 1), np.float32),
            np.zeros((1, 3, SIDE, SIDE), np.float64),
        ):
            with pytest.raises(InferenceFailed):
                session.infer(wrong)
        assert session.infer(np.zeros((1, 3, SIDE, SIDE), np.float32))[0].shape[1] == CELLS

    def test_a_closed_session_says_so(self, session: Session) -> None:
        session.close()
        session.close()
        with pytest.raises(InferenceFailed, match="closed"):
            session.infer(np.zeros((1, 3, SIDE, SIDE), np.float32))

    @pytest.mark.parametrize("keep", [0, 100, -20])
    def test_a_truncated_model_is_refused(self, keep: int, way: Opening, network: Path) -> None:
        whole = way.model(network)
        cut: Path | ApprovedPlan
        if isinstance(whole, Path):
            cut = network.with_name("cut.onnx")
            cut.write_bytes(whole.read_bytes()[:keep])
        else:
            cut = ApprovedPlan(whole.data[:keep], "cut.plan")
        with pytest.raises(Refusal, match=r"cut\.\w+ (is not a model|cannot be loaded)") as refused:
            way.open(cut)
        assert "brakepoint" in refused.value.remedy

    def test_a_foreign_file_is_refused(
        self, way: Opening, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        photograph = b"\xff\xd8\xff\xe0 this is a photograph" * 50
        foreign: Path | ApprovedPlan = ApprovedPlan(photograph, "holiday.plan")
        if not way.variant.is_gpu:
            foreign = tmp_path / "holiday.onnx"
            foreign.write_bytes(photograph)
        with pytest.raises(Refusal, match="holiday"):
            way.open(foreign)
        assert capfd.readouterr().err == ""

    def test_the_other_kind_of_model_is_refused(self, way: Opening, network: Path) -> None:
        other: Path | ApprovedPlan = network if way.variant.is_gpu else ApprovedPlan(b"", "a.plan")
        with pytest.raises(UsageError, match="does not run this model"):
            open_session(way.variant.backend, other, options=SessionOptions())


def test_a_missing_model_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="no model at"):
        open_session("onnxruntime", tmp_path / "none.onnx", options=SessionOptions(threads=1))


def test_a_network_of_open_sizes_takes_pictures_of_several(tmp_path: Path) -> None:
    import onnx

    path = write_network(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    for value in (model.graph.input[0], model.graph.output[0]):
        for axis in value.type.tensor_type.shape.dim[1:]:
            axis.dim_param = f"{value.name}_{axis.dim_value}"
    del model.graph.node[1:]  # the reshape has one size only
    model.graph.node[0].output[0] = model.graph.output[0].name
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    session = open_session("onnxruntime", path, options=SessionOptions(threads=1))
    assert session.input.size == 0
    for side in (SIDE, 2 * SIDE, SIDE):
        (output,) = session.infer(np.zeros((1, 3, side, side), np.float32))
        assert output.shape == (1, 4 + len(LABELS), side // CELL, side // CELL)


def test_an_unknown_operator_is_refused(tmp_path: Path) -> None:
    import onnx

    path = write_network(tmp_path / "tiny.onnx")
    model = onnx.load(path)
    model.graph.node[0].op_type = "Teleport"
    onnx.save(model, path)
    with pytest.raises(UsageError) as refused:
        open_session("onnxruntime", path, options=SessionOptions(threads=1))
    assert "Teleport" in refused.value.found


def test_a_missing_package_names_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_network(tmp_path / "tiny.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "edge.backends.onnxruntime_backend", raising=False)
    with pytest.raises(Missing) as refused:
        open_session("onnxruntime", model, options=SessionOptions(threads=1))
    assert refused.value.remedy == pip_install("cpu")


def test_an_unknown_backend_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        open_session("abacus", tmp_path / "any.onnx", options=SessionOptions(threads=1))
    assert "onnxruntime" in refused.value.expected
