"""Puts a simulated device into this process, or into a folder for a child process's paths.

`installed(simulation)` gives this process the modules, and fails at its end on findings that nobody
took. `make_site(folder, simulation)` writes packages for PYTHONPATH and compiles `libcuda.so.1` for
LD_LIBRARY_PATH; a child process notes findings in the folder. The simulation reads `device.json`
beside its modules and no environment variable.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from stand_in import StandIn

from simulated_device import bindings_driver, pycuda_driver
from simulated_device.description import Gpu, Simulation
from simulated_device.machine import Machine

HERE = Path(__file__).parent
SAMPLES = HERE.parent
ROOT = SAMPLES.parents[2]
DEVICE, FINDINGS = "device.json", "findings.txt"


def tensorrt_module(machine: Machine, name: str) -> StandIn:
    """The `tensorrt` or `tensorrt_rtx` of an export file, on a device."""
    simulation = machine.simulation
    made = StandIn(name, machine=machine, fails=simulation.fails, dla_cores=simulation.dla_cores)
    made.inspector_text = simulation.inspector_text
    return made


def modules(machine: Machine) -> dict[str, types.ModuleType]:
    """Every module of the device by name, but for those whose import is to fail."""
    pycuda = types.ModuleType("pycuda")
    pycuda.driver = pycuda_driver.make_module(machine)  # type: ignore[attr-defined]
    pycuda.__path__ = []
    made = {
        name.split("-")[0]: tensorrt_module(machine, name) for name in machine.simulation.releases
    }
    made |= {"pycuda": pycuda, "pycuda.driver": pycuda.driver}  # type: ignore[dict-item]
    real = real_bindings()
    if real is not None:
        made["cuda.bindings.driver"] = bindings_driver.make_module(machine, real)  # type: ignore[assignment]
    return {
        name: module
        for name, module in made.items()
        if name not in machine.simulation.import_errors
    }


REAL_BINDINGS: list[types.ModuleType] = []


def real_bindings() -> types.ModuleType | None:
    """The package's own `cuda.bindings.driver`; None where cuda-bindings is not installed."""
    if not REAL_BINDINGS:
        with contextlib.suppress(ImportError):
            REAL_BINDINGS.append(importlib.import_module("cuda.bindings.driver"))
    return REAL_BINDINGS[0] if REAL_BINDINGS else None


class _Refusing:
    """An import hook for modules whose import is to fail, as a broken installation's does."""

    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in self.words:
            raise import_error(name, self.words[name])


def import_error(name: str, words: str) -> ImportError:
    """ModuleNotFoundError for "No module named", else the ImportError of a broken library."""
    if words.startswith("No module named"):
        return ModuleNotFoundError(words, name=name)
    return ImportError(words, name=name)


@contextlib.contextmanager
def _in_the_place_of(replaced: dict[str, types.ModuleType | None]) -> Iterator[None]:
    """Put modules under their names while the context lasts; None: no module.

    The product's modules that imported one of those names, before or meanwhile, are imported anew.
    """
    before = {name: sys.modules.pop(name) for name in replaced if name in sys.modules}
    before |= _take_importers(before.values())
    sys.modules.update({name: module for name, module in replaced.items() if module is not None})
    try:
        yield
    finally:
        _take_importers(module for module in replaced.values() if module is not None)
        for name in replaced:
            sys.modules.pop(name, None)
        sys.modules.update(before)


def _take_importers(of: Iterable[types.ModuleType]) -> dict[str, types.ModuleType]:
    """Take the product's modules that hold one of these out of sys.modules."""
    wanted = set(map(id, of))
    found = [
        name
        for name, module in sys.modules.items()
        if name.startswith("edge.") and any(id(value) in wanted for value in vars(module).values())
    ]
    return {name: sys.modules.pop(name) for name in found}


@contextlib.contextmanager
def installed(simulation: Simulation) -> Iterator[Machine]:
    """This process has the device while the context lasts.

    Raises:
        AssertionError: at the end, where findings or leaks were not taken.
    """
    machine = Machine(simulation)
    held = modules(machine)
    refused = simulation.import_errors
    hook = _Refusing(refused)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_in_the_place_of({**held, **dict.fromkeys(refused)}))
        sys.meta_path.insert(0, hook)  # type: ignore[arg-type]
        stack.callback(sys.meta_path.remove, hook)  # type: ignore[arg-type]
        if "cuda.bindings.driver" in held:
            package = importlib.import_module("cuda.bindings")
            stack.enter_context(
                mock.patch.object(package, "driver", held["cuda.bindings.driver"], create=True)
            )
        try:
            yield machine
        finally:
            left = machine.close()
    assert not left, "\n".join(left)


@dataclass(frozen=True)
class Site:
    """A folder with a simulated device for child processes."""

    folder: Path

    @property
    def python_path(self) -> str:
        """For PYTHONPATH: the modules, and this checkout."""
        return os.pathsep.join([str(self.folder / "python"), str(ROOT)])

    @property
    def library_path(self) -> str:
        """For LD_LIBRARY_PATH: where libcuda.so.1 is."""
        return str(self.folder / "lib")

    def environment(self) -> dict[str, str]:
        """This process's environment with both paths."""
        return {
            **os.environ,
            "PYTHONPATH": self.python_path,
            "LD_LIBRARY_PATH": self.library_path,
        }

    def findings(self) -> list[str]:
        """What was found in all child processes so far."""
        file = self.folder / "python" / FINDINGS
        return file.read_text().splitlines() if file.exists() else []

    def describe(self, simulation: Simulation) -> None:
        """Make it another device, for the next child process; libcuda stays as it was."""
        (self.folder / "python" / DEVICE).write_text(simulation.to_json())


def make_site(folder: Path, simulation: Simulation) -> Site:
    """Write a site into a folder."""
    site = Site(folder)
    python = folder / "python"
    modules_there = {name.split("-")[0] for name in simulation.releases}
    modules_there |= {"pycuda", "pycuda.driver", "cuda.bindings.driver", *simulation.import_errors}
    for name in sorted(modules_there):
        if name == "pycuda":
            continue
        package, _, last = name.rpartition(".")
        place = python.joinpath(*package.split(".")) if package else python
        place.mkdir(parents=True, exist_ok=True)
        text = f"import sys\nsys.path.insert(0, {str(SAMPLES)!r})\n"
        text += "from simulated_device.child import take\n"
        text += f"take(__name__, {str(python)!r})\n"
        if "." in name:
            (place / f"{last}.py").write_text(text)
        else:
            (place / name).mkdir(exist_ok=True)
            (place / name / "__init__.py").write_text(text)
    (python / "pycuda" / "__init__.py").write_text("")
    (python / "cuda" / "bindings" / "__init__.py").write_text(
        f"import sys\nsys.path.insert(0, {str(SAMPLES)!r})\n"
        "from simulated_device.child import extend_bindings\n"
        "extend_bindings(sys.modules[__name__])\n"
    )
    site.describe(simulation)
    build_libcuda(folder / "lib", gpus=simulation.gpus, driver_version=simulation.driver_version)
    return site


def build_libcuda(folder: Path, *, gpus: tuple[Gpu, ...], driver_version: int) -> Path:
    """Compile `libcuda.so.1` with these GPUs."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libcuda.so.1"
    rows = ", ".join(
        f'{{"{gpu.name}", {gpu.sm}, {int(gpu.integrated)}, {gpu.multiprocessors}, '
        f"{gpu.memory_bytes}ull}}"
        for gpu in gpus
    )
    subprocess.run(
        [
            "cc",
            "-shared",
            "-fPIC",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-DGPU_COUNT={len(gpus)}",
            f"-DGPUS={rows or '{0}'}",
            f"-DDRIVER_VERSION={driver_version}",
            "-Wl,-soname,libcuda.so.1",
            "-o",
            str(library),
            str(HERE / "libcuda.c"),
        ],
        check=True,
        capture_output=True,
    )
    return library
