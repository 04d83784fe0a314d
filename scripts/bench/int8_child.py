"""Quantizes once, in a process of its own: a job file in, a quantized network and its cost out.

`int8.py` runs it, once with this project's Python and once in each peer's environment. Peers
get the float graph and the inputs that this project calibrated on, and otherwise keep their
defaults. A job: kind, method, out; mission and set (this project), or model, picture and inputs
(peers).

usage: scripts/bench/int8_child.py JOB.json
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from child_process import Job, print_cost, read_job


def main() -> None:
    job = read_job()
    quantize = KINDS[job["kind"]](job)
    started = time.perf_counter()
    quantize()
    print_cost(seconds=time.perf_counter() - started)


def brakepoint(job: Job) -> Callable[[], None]:
    """`brakepoint convert`, search and report included."""
    from converters.conversion.convert import convert
    from edge.contract.mission.loading import load_mission

    def quiet(what: str, done: int, total: int) -> None:
        pass

    def run() -> None:
        mission, out = load_mission(Path(job["mission"]), job["set"]), Path(job["out"])
        convert(mission, out, progress=quiet, fresh=True)  # the cache must not save any time

    return run


def onnxruntime_peer(job: Job) -> Callable[[], None]:
    """onnxruntime.quantization: its own preparation, then static quantization to Q/DQ."""
    from onnxruntime.quantization import CalibrationMethod, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    method = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }[job["method"]]

    def run() -> None:
        prepared = f"{job['out']}.prepared"
        quant_pre_process(job["model"], prepared, skip_symbolic_shape=True)  # all are static
        # Per channel, as its guide recommends and TensorRT does: per tensor it loses still more.
        quantize_static(
            prepared, job["out"], reader(job), per_channel=True, calibrate_method=method
        )

    return run


def modelopt_peer(job: Job) -> Callable[[], None]:
    """nvidia-modelopt's quantization of an ONNX file, the rest left in float32."""
    from modelopt.onnx.quantization import quantize

    inputs = {job["picture"]: np.load(job["inputs"])}

    def run() -> None:
        quantize(
            job["model"],
            calibration_data=inputs,
            calibration_method=job["method"],
            calibration_eps=["cpu"],
            high_precision_dtype="fp32",
            output_path=job["out"],
            log_level="ERROR",
        )

    return run


def reader(job: Job) -> Any:
    """The inputs, one at a time."""
    from onnxruntime.quantization import CalibrationDataReader

    class Inputs(CalibrationDataReader):  # type: ignore[misc] # the peer is untyped
        def __init__(self) -> None:
            self._left = _inputs(job)

        def get_next(self) -> dict[str, np.ndarray] | None:
            x = next(self._left, None)
            return None if x is None else {job["picture"]: x}

    return Inputs()


def _inputs(job: Job) -> Iterator[np.ndarray]:
    every = np.load(job["inputs"], mmap_mode="r")
    for row in range(len(every)):
        yield np.array(every[row : row + 1])


KINDS: dict[str, Callable[[Job], Callable[[], None]]] = {
    "brakepoint": brakepoint,
    "onnxruntime": onnxruntime_peer,
    "modelopt": modelopt_peer,
}

if __name__ == "__main__":
    main()
