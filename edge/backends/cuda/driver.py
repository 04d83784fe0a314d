"""The protocol of a CUDA driver: one GPU, its primary context and one stream, for one session.

A driver is opened, used and closed by one thread, on which its context stays current. It owns
everything that it hands out, and frees it in close(). Its calls raise `CudaError` and never wait
for the GPU: what they enqueue has happened when an event recorded behind it is reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True)
class DeviceFacts:
    """What a GPU is.

    Attributes:
        ordinal, count: which one of how many that CUDA shows to this process.
        name: as its driver says it; that of a MIG slice contains "MIG".
        sm: its compute capability, 87 for SM 8.7.
        integrated: it shares the memory of the processor, as on a Jetson.
        memory_bytes: all of its memory.
        cuda: the newest CUDA that its driver supports, such as (12, 6).
        python: the package through which it is used and the CUDA that this was made for.
    """

    ordinal: int
    count: int
    name: str
    sm: int
    integrated: bool
    memory_bytes: int
    cuda: tuple[int, int]
    python: str


@dataclass(frozen=True)
class HostArray:
    """Page-locked memory of the processor.

    Attributes:
        array: the memory as an array, C-contiguous. Not to be touched after the driver's close().
        address: where the GPU reads and writes it; None where it is not mapped.
    """

    array: NDArray[Any]
    address: int | None


Event = Any
"""A mark in the stream, in the driver's own type."""

Kernel = Any
"""A function of a loaded module, in the driver's own type."""

Graph = Any
"""A captured graph that can be launched, in the driver's own type."""


class CudaDriver(Protocol):
    """One row of the table of CUDA drivers, opened on one GPU."""

    @property
    def facts(self) -> DeviceFacts:
        """The GPU's."""
        ...

    @property
    def stream(self) -> int:
        """The handle of its stream, for TensorRT."""
        ...

    def free_bytes(self) -> int:
        """How much of the GPU's memory is free."""
        ...

    def host_array(
        self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, *, mapped: bool
    ) -> HostArray:
        """Page-locked memory; with `mapped`, at an address of the GPU as well."""
        ...

    def device_memory(self, size_bytes: int) -> int:
        """The address of new memory of the GPU, aligned to at least 256 bytes."""
        ...

    def to_device(self, address: int, source: NDArray[Any]) -> None:
        """Enqueues a copy from page-locked memory to the GPU."""
        ...

    def to_host(self, target: NDArray[Any], address: int) -> None:
        """Enqueues a copy from the GPU to page-locked memory."""
        ...

    def event(self) -> Event:
        """A new event that keeps time."""
        ...

    def record(self, event: Event) -> None:
        """Enqueues the event; one that was recorded before moves behind what was enqueued since."""
        ...

    def reached(self, event: Event) -> bool:
        """Whether all that was enqueued before the event is done. Raises what went wrong in it."""
        ...

    def elapsed_ms(self, first: Event, last: Event) -> float:
        """The GPU's time between two events that were reached."""
        ...

    def kernels(self, ptx: bytes, entries: Sequence[str]) -> dict[str, Kernel]:
        """Loads PTX and returns its functions by name."""
        ...

    def launch(
        self,
        kernel: Kernel,
        *,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[int | bytes],
    ) -> None:
        """Enqueues a kernel. An int is an address of the GPU, bytes are a struct by value."""
        ...

    def close(self) -> None:
        """Frees all that it handed out, and releases the context. Once only."""
        ...

    def abandon(self) -> None:
        """Takes the context off this thread and frees nothing: of a lost device, each call to free
        something fails or waits for ever."""
        ...


@runtime_checkable
class CapturesGraphs(Protocol):
    """A driver that can record what is enqueued, and enqueue all of it by one call."""

    def begin_capture(self) -> None:
        """From here on the stream's work is recorded, not run."""
        ...

    def end_capture(self) -> Graph:
        """The recorded work, ready for `launch_graph`. The stream runs its work again, also where
        this raises."""
        ...

    def launch_graph(self, graph: Graph) -> None:
        """Enqueues a graph."""
        ...
