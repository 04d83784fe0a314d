"""Faults of a GPU, by script on the simulated device: lost, hung, full, refusing, slow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from session_variants import ONE_OF_EACH_DRIVER, Variant, opening
from simulated_device.description import Fault
from simulated_device.machine import Machine
from tiny_road import SIDE, write_network

from edge.backends import abandoned
from edge.backends.session import DeviceLost, InferenceFailed, PictureSession
from edge.perception.pixel_formats import Picture
from edge.perception.preprocess import PreprocessSpec
from firmware_bridge.errors import DeviceFault

BLANK = np.zeros((1, 3, SIDE, SIDE), np.float32)
OPENING = 2
"""Executions while a session is opened: one that settles the shapes, one as it will be."""

STICKY = {
    "illegal address": "an illegal memory access was encountered",
    "launch failure": "unspecified launch failure",
    "device lost": "unknown error",
}


SPEC = PreprocessSpec(
    width_px=SIDE,
    height_px=SIDE,
    fit="stretch",
    anchor="center",
    pad_value=0,
    color="bgr",
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)


def held(machine: Machine) -> int:
    """Bytes of a device and page-locked ones that were not freed."""
    return sum(block.size for block in machine.space.blocks() if not block.freed)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_network(tmp_path / "tiny.onnx")


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is abandoned in a test, and only there."""
    fresh: list[object] = []
    monkeypatch.setattr(abandoned, "_KEPT", fresh)
    return fresh


@pytest.mark.parametrize("variant", ONE_OF_EACH_DRIVER, ids=str)
class TestEveryDriver:
    """The simulated device fails on a call that would hang, and on everything left behind."""

    @pytest.mark.requirement("R-RUN-90")
    @pytest.mark.parametrize("kind", STICKY)
    def test_a_sticky_error_loses_the_device_for_good(
        self, kind: str, variant: Variant, network: Path, kept: list[object]
    ) -> None:
        with opening(variant.with_faults(Fault(kind, at=OPENING + 2))) as way:
            session = way.open(network)
            assert session.infer(BLANK)
            for _ in range(3):
                with pytest.raises(DeviceLost, match=STICKY[kind]):
                    session.infer(BLANK)
            session.close()
            assert kept == [session], "so that no destructor of it runs"

    @pytest.mark.requirement("R-RUN-93")
    def test_an_execution_that_does_not_end_loses_the_device_by_the_deadline(
        self, variant: Variant, network: Path
    ) -> None:
        with opening(variant.with_faults(Fault("never ends", at=OPENING + 2))) as way:
            session = way.open(network, deadline_ms=40.0)
            assert session.infer(BLANK)
            with pytest.raises(DeviceLost, match="did not end within 40 ms"):
                session.infer(BLANK)
            session.close()

    @pytest.mark.parametrize("kind", [*STICKY, "never ends"])
    @pytest.mark.parametrize("at", [1, OPENING])
    def test_a_device_lost_while_a_session_is_opened(
        self, at: int, kind: str, variant: Variant, network: Path
    ) -> None:
        with opening(variant.with_faults(Fault(kind, at=at))) as way, pytest.raises(DeviceLost):
            way.open(network, deadline_ms=40.0)

    def test_a_slow_execution_within_the_deadline_is_only_slow(
        self, variant: Variant, network: Path
    ) -> None:
        with opening(variant.with_faults(Fault("slow", at=OPENING + 1, ms=40.0))) as way:
            session = way.open(network, deadline_ms=2000.0)
            slow = session.infer(BLANK)[0].copy()
            assert np.array_equal(slow, session.infer(BLANK)[0])

    @pytest.mark.requirement("R-RUN-94")
    def test_wherever_memory_ends_the_refusal_says_so_and_leaves_nothing(
        self, variant: Variant, network: Path
    ) -> None:
        refused = []
        for nth in range(1, 20):
            with opening(variant.with_faults(Fault("out of memory", at=nth))) as way:
                try:
                    way.open(network)
                    break
                except DeviceFault as error:
                    refused.append(error)
        assert len(refused) >= 2, "an input and an output at least"
        assert all("the GPU's memory is full" in error.what for error in refused)
        assert all("MiB are free" in error.found for error in refused)

    @pytest.mark.requirement("R-RUN-94")
    @pytest.mark.parametrize("kind", ["out of memory at load", "out of memory at context"])
    def test_an_engine_that_does_not_fit(self, kind: str, variant: Variant, network: Path) -> None:
        full = pytest.raises(DeviceFault, match="the GPU's memory is full")
        with opening(variant.with_faults(Fault(kind))) as way, full as refused:
            way.open(network)
        assert "OutOfMemory" in refused.value.found
        assert "MiB are free" in refused.value.found

    def test_a_plan_that_tensorrt_does_not_take_keeps_its_words(
        self, variant: Variant, network: Path
    ) -> None:
        faulty = variant.with_faults(Fault("deserialize returns none"))
        none = pytest.raises(DeviceFault, match="TensorRT makes no engine of it")
        with opening(faulty) as way, none as refused:
            way.open(network)
        assert "Error Code" in refused.value.found

    @pytest.mark.requirement("R-RUN-95")
    def test_an_execution_that_tensorrt_refuses_fails_and_the_next_one_works(
        self, variant: Variant, network: Path
    ) -> None:
        if variant.records_graphs:
            pytest.skip("a graph does not ask TensorRT again")
        at = OPENING + 2 + (variant.cuda == "cuda-bindings")  # the attempt to record it
        with opening(variant.with_faults(Fault("execute returns false", at=at))) as way:
            session = way.open(network)
            before = session.infer(BLANK)[0].copy()
            with pytest.raises(InferenceFailed, match="Error Code"):
                session.infer(BLANK)
            other = session.infer(np.full_like(BLANK, 9.0))[0]  # its copy to the GPU was awaited
            assert not np.array_equal(before, other)
            assert np.array_equal(before, session.infer(BLANK)[0])

    def test_a_picture_for_which_the_gpu_is_full_holds_nothing(
        self, variant: Variant, network: Path
    ) -> None:
        assert variant.simulation is not None
        if variant.integrated:
            pytest.skip("its memory is the processor's")
        gpu = replace(variant.simulation.gpus[0], memory_bytes=100 << 20)
        with opening(variant.with_faults(gpus=(gpu,))) as way:
            assert way.machine is not None
            session = way.open(network, preprocess=SPEC)
            assert isinstance(session, PictureSession)
            before = held(way.machine)
            for _ in range(3):
                with pytest.raises(InferenceFailed, match="out of memory"):
                    session.infer_picture(Picture(np.zeros((6000, 6000, 3), np.uint8)))
            assert held(way.machine) == before

    def test_frames_of_one_size_hold_no_more_than_the_first(
        self, variant: Variant, network: Path
    ) -> None:
        with opening(variant) as way:
            assert way.machine is not None
            session = way.open(network, preprocess=SPEC)
            assert isinstance(session, PictureSession)
            picture = Picture(np.zeros((48, 64, 3), np.uint8))
            session.infer_picture(picture)
            before = held(way.machine)
            for _ in range(3):
                session.infer_picture(picture)
                session.infer(BLANK)
            assert held(way.machine) == before
