"""trtexec's own words are read, of old and new releases; trtexec itself runs on a device only."""

from __future__ import annotations

from pathlib import Path

import pytest
from jetson_root import write_jetson

from edge.qualification.device.files import DeviceFiles
from edge.qualification.trtexec_timing import (
    INSTALLED,
    TrtexecTiming,
    find_trtexec,
    read_timing,
    time_engine,
)
from firmware_bridge.errors import DeviceFault

PLAN = Path("road.plan")

TEXTS = {
    "8.6": """\
[03/12/2024-10:15:30] [I] === Performance summary ===
[03/12/2024-10:15:30] [I] Throughput: 312.7 qps
[03/12/2024-10:15:30] [I] Latency: min = 3.19 ms, max = 4.61 ms, mean = 3.33 ms, median = 3.31934 \
ms, percentile(90%) = 3.4 ms, percentile(95%) = 3.5 ms, percentile(99%) = 4.1 ms
[03/12/2024-10:15:30] [I] Enqueue Time: min = 0.4 ms, max = 1.1 ms, mean = 0.5 ms, median = 0.5 ms
[03/12/2024-10:15:30] [I] H2D Latency: min = 0.1 ms, max = 0.2 ms, mean = 0.1 ms, median = 0.12 ms
[03/12/2024-10:15:30] [I] GPU Compute Time: min = 3.0 ms, max = 4.4 ms, mean = 3.1 ms, median = \
3.09277 ms, percentile(99%) = 3.9 ms
[03/12/2024-10:15:30] [I] D2H Latency: min = 0.0 ms, max = 0.1 ms, mean = 0.1 ms, median = 0.09 ms
""",
    "10.3, transfers first": """\
[I] H2D Latency: min = 0.1 ms, max = 0.2 ms, mean = 0.1 ms, median = 0.12 ms
[I] Latency: min = 3.19 ms, max = 4.61 ms, mean = 3.33 ms, median = 3.31934 ms
[I] GPU Compute Time: min = 3.0 ms, max = 4.4 ms, mean = 3.1 ms, median = 3.09277 ms
""",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_medians_are_those_of_a_whole_inference_and_of_the_gpu(text: str) -> None:
    assert read_timing(text, PLAN) == TrtexecTiming(3.31934, 3.09277)


def test_words_that_are_not_known_are_a_fault() -> None:
    with pytest.raises(DeviceFault, match="could not time"):
        read_timing("[I] H2D Latency: min = 0.1 ms, median = 0.12 ms\n&&&& PASSED\n", PLAN)


def test_a_trtexec_that_fails_gives_its_own_words(tmp_path: Path) -> None:
    """A program in its place that ends as trtexec does for a plan of another release."""
    words = "[E] Error[1]: The engine plan file is not compatible with this version of TensorRT"
    root = write_jetson(tmp_path, {INSTALLED: f"#!/bin/sh\necho '{words}' >&2\nexit 1\n"})
    DeviceFiles(root).path(INSTALLED).chmod(0o755)
    found = find_trtexec(DeviceFiles(root))
    assert found is not None
    with pytest.raises(DeviceFault) as fault:
        time_engine(found, PLAN)
    assert fault.value.found == words


def test_without_jetpack_there_is_none(tmp_path: Path) -> None:
    assert find_trtexec(DeviceFiles(tmp_path)) is None


def test_trtexec_times_on_the_gpu_that_the_mission_names(tmp_path: Path) -> None:
    """A program in its place that tells its arguments as its failure."""
    root = write_jetson(tmp_path, {INSTALLED: '#!/bin/sh\necho "[E] $*"\nexit 1\n'})
    DeviceFiles(root).path(INSTALLED).chmod(0o755)
    with pytest.raises(DeviceFault) as fault:
        time_engine(str(DeviceFiles(root).path(INSTALLED)), PLAN, gpu=1)
    assert "--device=1" in fault.value.found
