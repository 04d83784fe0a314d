"""The rules of the simulated CUDA driver, each broken by a test, on both driver rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from simulated_device.description import Simulation
from simulated_device.machine import Machine
from simulated_device.site import installed


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A Jetson; findings that a test does not take fail it."""
    with installed(Simulation()) as made:
        yield made


@pytest.fixture
def cuda(machine: Machine, row: Callable[[], Any]) -> Iterator[Any]:
    """A row with its context, on this thread."""
    made = row()
    made.start()
    yield made
    if not machine.devices[0].sticky:
        made.end()


class TestTheDriver:
    """One class for both rows."""

    def test_a_round_trip_through_device_memory(self, cuda: Any) -> None:
        there, back, memory = cuda.host(1000), cuda.host(1000), cuda.alloc(1000)
        stream, done = cuda.stream(), cuda.event()
        there[:] = np.arange(1000) % 200
        cuda.to_device(memory, there, stream)
        cuda.to_host(back, memory, stream)
        cuda.record(done, stream)
        assert not (back == there).any(), "poison until it was awaited"
        polls = 0
        while not cuda.event_done(done):
            polls += 1
        assert polls >= 1
        assert (back == there).all()
        for array in (there, back):
            cuda.host_free(array)
        cuda.free(memory)
        cuda.destroy(stream)
        cuda.event_destroy(done)
