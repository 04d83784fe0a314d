"""What a simulated device is: its GPUs, releases, driver and faults, as plain values.

Goes into a JSON file and back, so that a child process simulates the same device. Runs nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

FAULTS: dict[str, str] = {
    "illegal address": "the nth execution reads where nothing is: sticky, code 700",
    "launch failure": "the nth execution fails on the device: sticky, code 719",
    "device lost": "the GPU is gone from the nth execution on: sticky, code 999",
    "never ends": "the nth execution does not end",
    "slow": "the nth execution takes `ms` more",
    "wrong output": "the nth execution writes other numbers than the network's",
    "NaN output": "the nth execution writes NaN",
    "execute returns false": "TensorRT refuses the nth execution and says so in its log",
    "out of memory": "the nth allocation of device or page-locked memory fails",
    "out of memory at load": "the nth engine does not fit into the GPU's memory",
    "out of memory at context": "the nth execution context does not fit",
    "deserialize returns none": "TensorRT does not take the nth plan and says so in its log",
}
"""Kind of a scripted fault -> what happens. `at` counts from 1, `times` are in a row."""


@dataclass(frozen=True)
class Fault:
    """One scripted fault: the `at`th event of its kind, and `times` in a row (0: from there on)."""

    kind: str
    at: int = 1
    times: int = 1
    ms: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"no fault '{self.kind}'; there are: {', '.join(FAULTS)}")

    def strikes(self, nth: int) -> bool:
        """Whether it happens at the nth event."""
        return self.at <= nth and (not self.times or nth < self.at + self.times)


@dataclass(frozen=True)
class Gpu:
    """One GPU. Its name holds "MIG" where it is a slice, as the driver names it."""

    name: str = "Orin"
    sm: int = 87
    integrated: bool = True
    memory_bytes: int = 4 << 30
    multiprocessors: int = 16


@dataclass(frozen=True)
class Simulation:
    """A simulated device.

    Attributes:
        releases: TensorRT modules by the names of their export files, such as "tensorrt-10.3.0".
        driver_version: of CUDA, 12060 for 12.6; decides which PTX the driver knows.
        pycuda_built_for: the CUDA beside which pycuda was built; 0: the driver's.
        polls: how often a query answers "not ready" before the work is done.
        worker_ms: None: work runs on the thread that awaits it. Else a thread of the device runs
            it, this long after it was queued.
        hang: what a call does that would never return: "raise" ends the test with WouldHang,
            "block" sleeps for ever as the real one does.
        capturable: whether the engine allows an execution within a graph capture.
        import_errors: module -> the words of the ImportError that importing it raises.
        fails: how building fails, see `stand_in.StandIn`.
        inspector_text: what the engine inspector tells.
    """

    gpus: tuple[Gpu, ...] = (Gpu(),)
    releases: tuple[str, ...] = ("tensorrt-10.3.0",)
    driver_version: int = 12060
    faults: tuple[Fault, ...] = ()
    pycuda_built_for: int = 0
    polls: int = 1
    worker_ms: float | None = None
    hang: Literal["raise", "block"] = "raise"
    capturable: bool = True
    import_errors: dict[str, str] = field(default_factory=dict)
    fails: str = ""
    dla_cores: int = 0
    inspector_text: str = "{}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Simulation:
        raw = json.loads(text)
        raw["gpus"] = tuple(Gpu(**one) for one in raw["gpus"])
        raw["faults"] = tuple(Fault(**one) for one in raw["faults"])
        raw["releases"] = tuple(raw["releases"])
        return cls(**raw)
