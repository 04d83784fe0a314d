"""A simulated device in child processes: modules, libcuda, failing imports, findings."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from patience import PATIENCE_S
from simulated_device.description import FAULTS, Fault, Gpu, Simulation
from simulated_device.site import Site, build_libcuda, installed, make_site

SIMULATION = Simulation(gpus=(Gpu(), Gpu(name="NVIDIA L4", sm=89, integrated=False)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("site"), SIMULATION)


def child(site: Site, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=site.environment(),
    )


def test_a_child_process_sees_the_device_and_its_findings_come_back(site: Site) -> None:
    done = child(
        site,
        """
import cuda.bindings.driver, cuda.bindings.nvrtc, pycuda.driver, tensorrt
from edge.engine.gpu import present_gpu
print(tensorrt.__version__, present_gpu(0).words, present_gpu(1).words, present_gpu(2))
pycuda.driver.init()
print(cuda.bindings.driver.cuDeviceGetName(10, 1))
context = pycuda.driver.Device(1).make_context()
memory = pycuda.driver.mem_alloc(100)
print(cuda.bindings.driver.cuMemFree(int(memory) + 1)[0].name)
""",
    )
    assert done.returncode == 0, done.stderr
    gpus = "Orin (SM 8.7, 16 multiprocessors) NVIDIA L4 (SM 8.9, 16 multiprocessors)"
    assert done.stdout.splitlines() == [
        f"10.3.0 {gpus} None",
        "(<CUresult.CUDA_SUCCESS: 0>, b'NVIDIA L4\\x00')",
        "CUDA_ERROR_INVALID_VALUE",
    ]
    assert site.findings() == [
        "pycuda aborts the process: the context stack was not empty upon module cleanup",
        "left at the end of the context: device memory of 100 bytes",
        "a context was not released at the end of the process",
    ]


def test_host_code_cannot_dereference_device_memory(site: Site) -> None:
    done = child(
        site,
        """
import ctypes, pycuda.driver as cuda
cuda.init()
context = cuda.Device(0).make_context()
ctypes.string_at(int(cuda.mem_alloc(100)), 4)
""",
    )
    assert done.returncode == -signal.SIGSEGV


WORDS = "libcurand.so.10: cannot open shared object file: No such file or directory"


def test_imports_that_fail(tmp_path: Path) -> None:
    simulation = Simulation(
        import_errors={"pycuda.driver": WORDS, "tensorrt": "No module named 'tensorrt'"}
    )
    site = make_site(tmp_path, simulation)
    code = """
import importlib
for name in ("pycuda.driver", "tensorrt", "cuda.bindings.driver"):
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(type(error).__name__, error)
"""
    broken = [f"ImportError {WORDS}", "ModuleNotFoundError No module named 'tensorrt'"]
    assert child(site, code).stdout.splitlines() == broken
    with installed(simulation):
        with pytest.raises(ImportError, match="libcurand"):
            importlib.import_module("pycuda.driver")
        with pytest.raises(ModuleNotFoundError, match="'tensorrt'"):
            importlib.import_module("tensorrt")
        importlib.import_module("cuda.bindings.driver")
    site.describe(Simulation())
    assert child(site, code).stdout == ""


LIBCUDA = """
import ctypes
lib, number, size = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_size_t()
there = ctypes.byref(number)
assert lib.cuDeviceGetCount(there) == 3, "before cuInit"
assert lib.cuInit(0) == 0
assert (lib.cuDeviceGetCount(there), number.value) == (0, 2)
assert (lib.cuDriverGetVersion(there), number.value) == (0, 12060)
for attribute, values in ((75, (8, 8)), (76, (7, 9)), (18, (1, 0)), (16, (16, 16))):
    for device, value in enumerate(values):
        assert lib.cuDeviceGetAttribute(there, attribute, device) == 0
        assert number.value == value
assert lib.cuDeviceGet(there, 2) == 101
assert lib.cuDeviceGetAttribute(there, 9999, 0) == 1
assert lib.cuDeviceTotalMem_v2(ctypes.byref(size), 1) == 0
assert size.value == 4 << 30
name = ctypes.create_string_buffer(3)
assert (lib.cuDeviceGetName(name, 3, 0), name.value) == (0, b"Or")

# NVRTC loads the driver too.
from edge.backends.cuda.nvrtc import choose_compiler, find_compilers
from edge.backends.cuda.preprocess_kernel import SOURCE
compiler = choose_compiler(find_compilers(), 87, driver_cuda=(99, 0))
assert "preprocess_bgr" in compiler.compile_to_ptx(SOURCE.read_text(), name="x.cu", sm=87)
"""


def test_libcuda_answers_as_the_driver_does(site: Site, tmp_path: Path) -> None:
    """In a process of its own: a library stays loaded for all that asks for its name."""
    done = child(site, LIBCUDA)
    assert done.returncode == 0, done.stderr
    none = Site(tmp_path)
    build_libcuda(tmp_path / "lib", gpus=(), driver_version=12060)
    done = child(none, "import ctypes; print(ctypes.CDLL('libcuda.so.1').cuInit(0))")
    assert done.stdout == "100\n"


def test_a_description_survives_its_file() -> None:
    faults = tuple(Fault(kind, at=2, times=0, ms=3.5) for kind in FAULTS)
    simulation = Simulation(gpus=SIMULATION.gpus, faults=faults, import_errors={"tensorrt": "no"})
    assert Simulation.from_json(simulation.to_json()) == simulation
    strikes = [Fault("slow", at=2, times=2).strikes(nth) for nth in range(1, 6)]
    assert strikes == [False, True, True, False, False]
    assert Fault("slow", at=2, times=0).strikes(99)


def test_every_fault_is_documented(root: Path) -> None:
    text = (root / "docs" / "device_simulation.md").read_text()
    assert [kind for kind in FAULTS if f"`{kind}`" not in text] == []
