"""Every way in which a session can be opened: backends, releases, CUDA drivers, memory, graphs.

`opening(variant)` gives a function that opens ONNX files as sessions of it, on the simulated device
or, for variants marked `gpu`, on a real one. Sessions are closed at the end; the simulated device
then fails on everything that was done wrong or left behind.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from simulated_device.description import Fault, Gpu, Simulation
from simulated_device.machine import Machine
from simulated_device.plan import Plan, tensors_of, write_plan
from simulated_device.site import installed
from stand_in import RELEASES, RTX

import edge.backends.tensorrt_backend  # noqa: F401 # once: what a device's modules import goes with them
from edge.backends.cuda.table import CUDA_DRIVERS
from edge.backends.options import ApprovedPlan, SessionOptions
from edge.backends.session import Session
from edge.backends.table import BACKENDS, open_session
from edge.engine.api_probe import Probe
from edge.engine.build.builder_config import name_targets
from edge.engine.build_request import BuildRequest
from edge.engine.gpu import present_sm
from edge.engine.gpu_support.check import check_support
from edge.engine.releases import builder_row, parse_release
from firmware_bridge.errors import UsageError

MODULES = {"tensorrt": "tensorrt", "rtx": "tensorrt_rtx"}
SM = 87
CUDA_13 = 13020
"""The driver's CUDA: NVIDIA's bindings in the development environment are for 13."""


@dataclass(frozen=True)
class Variant:
    """One way. `simulation` is None for onnxruntime and for a real GPU."""

    backend: str
    cuda: str = ""
    simulation: Simulation | None = None
    real_gpu: bool = False

    @property
    def is_gpu(self) -> bool:
        return self.backend in MODULES

    @property
    def integrated(self) -> bool:
        assert self.simulation is not None
        return self.simulation.gpus[0].integrated

    @property
    def records_graphs(self) -> bool:
        assert self.simulation is not None
        return self.cuda == "cuda-bindings" and self.simulation.capturable

    def __str__(self) -> str:
        if self.simulation is None:
            return "-".join(filter(None, (self.backend, self.cuda)))
        memory = "mapped" if self.integrated else "copied"
        graph = "-graph" if self.records_graphs else ""
        return f"{self.simulation.releases[0]}-{self.cuda}-{memory}{graph}"

    def with_faults(self, *faults: Fault, **device: Any) -> Variant:
        """The same with faults by script, and a device of other facts."""
        assert self.simulation is not None
        return replace(self, simulation=replace(self.simulation, faults=faults, **device))


def simulated(backend: str, release: str, cuda: str, *, integrated: bool, graph: bool) -> Variant:
    gpu = Gpu(sm=SM if backend == "tensorrt" else 86, integrated=integrated)
    device = Simulation((gpu,), (release,), driver_version=CUDA_13, capturable=graph)
    return Variant(backend, cuda, device)


def _all_simulated() -> list[Variant]:
    releases = [("tensorrt", name) for name in RELEASES] + [("rtx", RTX)]
    found = []
    for (backend, release), cuda, integrated in itertools.product(
        releases, CUDA_DRIVERS, (True, False)
    ):
        for graph in (True, False) if cuda == "cuda-bindings" else (False,):
            found.append(simulated(backend, release, cuda, integrated=integrated, graph=graph))
    return found


SIMULATED = _all_simulated()
REAL = [
    pytest.param(
        Variant(backend, cuda, real_gpu=True), marks=pytest.mark.gpu, id=f"gpu-{backend}-{cuda}"
    )
    for backend, cuda in itertools.product(MODULES, CUDA_DRIVERS)
]
EVERY: list[Any] = [
    *(Variant(backend) for backend in BACKENDS if backend not in MODULES),
    *SIMULATED,
    *REAL,
]
ONE_OF_EACH_DRIVER = [
    one for one in SIMULATED if one.simulation and one.simulation.releases == (RELEASES[1],)
]
"""One release with every driver, memory and graph: for what does not depend on the release."""


@dataclass
class Opening:
    """Opens sessions of one variant. `machine` is the simulated device's."""

    variant: Variant
    machine: Machine | None
    opened: list[Session] = field(default_factory=list)

    def model(self, path: Path) -> Path | ApprovedPlan:
        """What the backend runs for an ONNX file: the file, or an engine built from it."""
        if not self.variant.is_gpu:
            return path
        build = _build_here if self.variant.real_gpu else self._build
        return ApprovedPlan(build(self.variant.backend, path), f"{path.stem}.plan")

    def _build(self, backend: str, path: Path) -> bytes:
        simulation = self.variant.simulation
        assert simulation is not None
        trt = importlib.import_module(MODULES[backend])
        onnx = path.read_bytes()
        sm = (simulation.gpus[0].sm,)
        plan = Plan(sm, tensors_of(onnx), (), onnx, capturable=simulation.capturable)
        return write_plan(trt, plan)

    def open(self, model: Path | ApprovedPlan, **options: Any) -> Session:
        """A session, closed at the end of the test."""
        if isinstance(model, Path):
            model = self.model(model)
        given = {"threads": 1, "cuda": self.variant.cuda, **options}
        session = open_session(self.variant.backend, model, options=SessionOptions(**given))
        self.opened.append(session)
        return session


@contextlib.contextmanager
def opening(variant: Variant) -> Iterator[Opening]:
    """A way to open sessions of a variant while the context lasts."""
    if variant.real_gpu:
        _require_gpu(variant)
    with contextlib.ExitStack() as stack:
        machine = None
        if variant.simulation is not None:
            machine = stack.enter_context(installed(variant.simulation))
            for row in CUDA_DRIVERS.values():
                sys.modules.pop(row.module, None)  # one of another device
        way = Opening(variant, machine)
        yield way
        for session in way.opened:
            session.close()


def _require_gpu(variant: Variant) -> None:
    here = present_sm()
    if here is None:
        pytest.skip("no CUDA device")
    package = {"pycuda": "pycuda", "cuda-bindings": "cuda"}[variant.cuda]
    for name in (MODULES[variant.backend], package):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    probe = _probe(variant.backend)
    try:
        check_support(probe.backend, probe.release, here)
    except UsageError as refusal:
        pytest.skip(refusal.what)


def _probe(backend: str) -> Probe:
    trt: Any = importlib.import_module(MODULES[backend])
    return Probe(trt, backend, parse_release(trt.__version__))  # type: ignore[arg-type] # of the table


def _build_here(backend: str, path: Path) -> bytes:
    """A float engine for this machine's GPU; the product's builder builds INT8 networks only."""
    probe = _probe(backend)
    trt = probe.trt
    row = builder_row(probe.backend, probe.release)
    logger = trt.Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(probe.bits("NetworkDefinitionCreationFlag", row.network_flags))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(path.read_bytes()), parser.get_error(0).desc()
    config = builder.create_builder_config()
    config.set_memory_pool_limit(probe.member("MemoryPoolType", "WORKSPACE"), 1 << 30)
    here = present_sm()
    if row.compute_capabilities and here is not None:
        name_targets(probe, BuildRequest(str(path), "", probe.backend, sm=(here,)), config)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, f"{MODULES[backend]} builds no engine: see its log"
    return bytes(plan)
