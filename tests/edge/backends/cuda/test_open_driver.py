"""What keeps a CUDA driver from being opened: each one message with the remedy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from simulated_device.description import Gpu, Simulation
from simulated_device.site import installed

from edge.backends.cuda.driver import CudaDriver
from edge.backends.cuda.table import CUDA_DRIVERS, open_driver
from firmware_bridge.errors import DeviceFault, Missing, Refusal, UsageError

CUDA_13 = 13020
SLICE = "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
MODULE = {"pycuda": "pycuda.driver", "cuda-bindings": "cuda.bindings.driver"}


@contextmanager
def device(**facts: Any) -> Iterator[None]:
    with installed(Simulation(**{"driver_version": CUDA_13, **facts})):
        for row in CUDA_DRIVERS.values():
            sys.modules.pop(row.module, None)
        yield


@contextmanager
def opened(cuda: str, gpu: int = 0) -> Iterator[CudaDriver]:
    driver = open_driver(cuda, gpu)
    yield driver
    driver.close()


@pytest.mark.parametrize("cuda", CUDA_DRIVERS)
class TestEveryDriver:
    def refused(self, kind: type[Refusal], cuda: str, gpu: int = 0, **facts: Any) -> Refusal:
        with device(**facts), pytest.raises(kind) as info:
            open_driver(cuda, gpu)
        return info.value

    def test_a_package_that_is_not_there(self, cuda: str) -> None:
        name = MODULE[cuda]
        refusal = self.refused(Missing, cuda, import_errors={name: f"No module named '{name}'"})
        assert f"{cuda} is not installed" in refusal.what
        assert f"[{CUDA_DRIVERS[cuda].extra}]" in refusal.remedy

    @pytest.mark.parametrize(
        "words",
        [
            "undefined symbol: cuMemHostRegister_v2",
            "libcurand.so.10: cannot open shared object file: No such file or directory",
        ],
    )
    def test_a_package_that_was_built_for_another_cuda(self, words: str, cuda: str) -> None:
        refusal = self.refused(Missing, cuda, import_errors={MODULE[cuda]: words})
        assert "does not fit this machine's CUDA" in refusal.what
        assert words in refusal.found
        assert "pip install" in refusal.remedy

    def test_a_machine_without_nvidias_driver(self, cuda: str) -> None:
        words = "libcuda.so.1: cannot open shared object file: No such file or directory"
        refusal = self.refused(DeviceFault, cuda, import_errors={MODULE[cuda]: words})
        assert "driver is not installed" in refusal.what

    def test_a_machine_without_a_gpu(self, cuda: str) -> None:
        refusal = self.refused(DeviceFault, cuda, gpus=())
        assert "there is no GPU here" in refusal.what
        assert "no CUDA-capable device is detected" in refusal.found
        assert "MIG" in refusal.remedy

    def test_a_gpu_that_is_not_there(self, cuda: str) -> None:
        refusal = self.refused(UsageError, cuda, gpu=2, gpus=(Gpu(), Gpu()))
        assert "no GPU 2" in refusal.what
        assert "from 0 to 1" in refusal.expected
        assert "target.gpu" in refusal.remedy

    def test_a_second_slice_of_a_gpu_in_mig_mode(self, cuda: str) -> None:
        """CUDA shows a process one of them."""
        refusal = self.refused(UsageError, cuda, gpu=1, gpus=(Gpu(name=SLICE),))
        assert "MIG mode CUDA shows one" in refusal.remedy

    def test_a_gpu_without_room_for_a_context(self, cuda: str) -> None:
        refusal = self.refused(DeviceFault, cuda, gpus=(Gpu(memory_bytes=1 << 20),))
        assert "the GPU's memory is full" in refusal.what

    def test_of_several_gpus_the_one_that_was_named_is_used(self, cuda: str) -> None:
        gpus = (Gpu(name="Orin", sm=87), Gpu(name=SLICE, sm=80, integrated=False))
        for ordinal, gpu in enumerate(gpus):
            with device(gpus=gpus), opened(cuda, ordinal) as driver:
                facts = driver.facts
                assert (facts.ordinal, facts.count) == (ordinal, 2)
                assert (facts.name, facts.sm, facts.integrated) == (
                    gpu.name,
                    gpu.sm,
                    gpu.integrated,
                )


@pytest.mark.parametrize(
    ("cuda", "remedy"), [("pycuda", "--no-binary"), ("cuda-bindings", "cuda-bindings==")]
)
def test_a_package_for_a_newer_cuda_than_the_drivers(cuda: str, remedy: str) -> None:
    """JetPack 6 has CUDA 12."""
    facts = {"driver_version": 12060, "pycuda_built_for": 13000}
    with device(**facts), pytest.raises(Missing) as info:
        open_driver(cuda, 0)
    assert f"{cuda} was made for another CUDA" in info.value.what
    assert "CUDA 12.6" in info.value.expected
    assert "CUDA 13." in info.value.found
    assert remedy in info.value.remedy


def test_bindings_on_a_machine_without_nvidias_driver() -> None:
    """The real package, which finds no libcuda.so.1 here."""
    from edge.engine.gpu import present_sm

    if present_sm() is not None:
        pytest.skip("a driver is here")
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    sys.modules.pop(CUDA_DRIVERS["cuda-bindings"].module, None)
    with pytest.raises(DeviceFault, match="NVIDIA's driver is not installed"):
        open_driver("cuda-bindings", 0)


def test_a_driver_that_the_table_lacks() -> None:
    with pytest.raises(UsageError) as info:
        open_driver("cupy", 0)
    assert "pycuda, cuda-bindings" in info.value.expected
    assert "target.cuda" in info.value.remedy
