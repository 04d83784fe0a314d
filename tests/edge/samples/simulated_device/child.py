"""What the modules of a site do in a child process: become the modules of the described device.

One Machine serves all modules of the process. Its findings go into a file of the site at once,
since the process may end without warning.
"""

from __future__ import annotations

import atexit
import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

from simulated_device import bindings_driver, pycuda_driver
from simulated_device.description import Simulation
from simulated_device.machine import Machine
from simulated_device.site import DEVICE, FINDINGS, REAL_BINDINGS, import_error, tensorrt_module

_MACHINES: dict[str, Machine] = {}


def machine_of(folder: str) -> Machine:
    """The device of a site in this process."""
    if folder not in _MACHINES:
        place = Path(folder)
        simulation = Simulation.from_json((place / DEVICE).read_text())
        _MACHINES[folder] = Machine(simulation, findings_file=place / FINDINGS)
        atexit.register(_MACHINES[folder].close)
    return _MACHINES[folder]


def take(name: str, folder: str) -> None:
    """Replace the module that is being imported.

    Raises:
        ImportError: the description wants this import to fail.
    """
    machine = machine_of(folder)
    refused = machine.simulation.import_errors
    if name in refused:
        raise import_error(name, refused[name])
    if name == "pycuda.driver":
        made = pycuda_driver.make_module(machine)
    elif name == "cuda.bindings.driver":
        made = bindings_driver.make_module(machine, _real_driver(folder))
    else:
        wanted = [one for one in machine.simulation.releases if one.split("-")[0] == name]
        if not wanted:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        made = tensorrt_module(machine, wanted[0])
    made.__spec__ = sys.modules[name].__spec__
    made.__file__ = sys.modules[name].__file__
    sys.modules[name] = made


def extend_bindings(package: types.ModuleType) -> None:
    """Let the site's `cuda.bindings` find the real package's other modules."""
    for place in sys.path:
        real = Path(place) / "cuda" / "bindings"
        if (real / "_version.py").exists():
            package.__path__.append(str(real))
            return


def _real_driver(folder: str) -> types.ModuleType:
    """The real extension module, loaded beside the site's module of the same name."""
    name = "cuda.bindings.driver"
    stands_for = sys.modules.pop(name)
    places = [one for one in sys.modules["cuda.bindings"].__path__ if not one.startswith(folder)]
    spec = importlib.machinery.PathFinder.find_spec(name, places)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named '{name}': cuda-bindings", name=name)
    real = importlib.util.module_from_spec(spec)
    sys.modules[name] = real
    spec.loader.exec_module(real)
    sys.modules[name] = stands_for
    REAL_BINDINGS.append(real)
    return real
