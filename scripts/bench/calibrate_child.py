"""Calibrates once, in a process of its own: a job file in, ranges and their cost out.

`calibrate.py` runs it, once with this project's Python and once in each peer's environment.
All kinds read the same pictures through the same preprocess, observe the same tensors with the same
number of threads, and are timed from loading the session to the ranges on disk; imports before
that do not count. A job: kind, method, model, picture, tensors, pictures, preprocess, threads, out.

usage: scripts/bench/calibrate_child.py JOB.json
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from child_process import Job, print_cost, read_job

from edge.perception.preprocess import PreprocessSpec, preprocess
from edge.perception.values import BgrImage

PERCENTILE = 99.99
"""The mission's default."""

Ranges = dict[str, dict[str, float]]


def main() -> None:
    job = read_job()
    calibrate = KINDS[job["kind"]](job)
    started, worked = time.perf_counter(), time.process_time()
    ranges = calibrate()
    if ranges is not None:
        Path(job["out"]).write_text(json.dumps(ranges))
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    print_cost(seconds=seconds, cpu_seconds=cpu)


def picture_at(path: str) -> BgrImage:
    """A picture file, (H, W, 3) uint8 BGR; the same reader for this project and its peers."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None, path
    return image.astype(np.uint8, copy=False)


def inputs(job: Job) -> Iterator[np.ndarray]:
    """The network's inputs, a frame at a time."""
    spec = PreprocessSpec(**job["preprocess"])
    for path in job["pictures"]:
        yield preprocess(picture_at(path), spec)[0]


def bare(job: Job) -> Callable[[], None]:
    """The floor: decode, preprocess and infer, each frame on its own thread, observing nothing."""
    import onnxruntime

    def run() -> None:
        from concurrent.futures import ThreadPoolExecutor

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            job["model"], options, providers=["CPUExecutionProvider"]
        )
        (picture,) = (value.name for value in session.get_inputs())
        spec = PreprocessSpec(**job["preprocess"])

        def infer(path: str) -> None:
            session.run(None, {picture: preprocess(picture_at(path), spec)[0]})

        with ThreadPoolExecutor(job["threads"]) as pool:
            for _ in pool.map(infer, job["pictures"]):
                pass

    return run


def brakepoint(job: Job) -> Callable[[], None]:
    """This project: what `brakepoint calibrate` does after checking its frames."""
    import onnx

    from calibration.dataset.frames.images import ImageFrame
    from calibration.observation.observe import observe
    from calibration.ranges.method_choice import CHOICE_FRAMES, choose_method
    from calibration.ranges.ranges import SCHEMA, range_up_to
    from edge.contract.artifact import write_json
    from edge.perception.conditions import Conditions

    def run() -> None:
        model = onnx.load(job["model"])
        frames = [ImageFrame(path, path, Path(path), Conditions(), "") for path in job["pictures"]]
        spec = PreprocessSpec(**job["preprocess"])

        def quiet(what: str, done: int, total: int) -> None:
            pass

        histograms = observe(
            model,
            job["tensors"],
            frames,
            preprocess_spec=spec,
            threads=job["threads"],
            progress=quiet,
        ).histograms
        few = frames[:: max(1, len(frames) // CHOICE_FRAMES)][:CHOICE_FRAMES]
        chosen = choose_method(
            model,
            histograms,
            few,
            percentile=PERCENTILE,
            preprocess_spec=spec,
            threads=job["threads"],
            progress=quiet,
        )
        ranges = {name: range_up_to(chosen.amax[name], one) for name, one in histograms.items()}
        write_json(
            Path(job["out"]),
            SCHEMA,
            {
                name: {"low": one.low, "high": one.high, "amax": one.amax}
                for name, one in ranges.items()
            },
        )

    return run


def onnxruntime_peer(job: Job) -> Callable[[], Ranges]:
    """onnxruntime.quantization.calibrate with its own defaults for `method`."""
    import onnxruntime
    from onnxruntime.quantization import calibrate

    method = {
        "percentile": calibrate.CalibrationMethod.Percentile,
        "entropy": calibrate.CalibrationMethod.Entropy,
    }[job["method"]]
    return _by_calibrator(job, calibrate, method, {}, onnxruntime)


def modelopt_peer(job: Job) -> Callable[[], Ranges]:
    """nvidia-modelopt's calibration: onnxruntime's calibrator as modelopt patches and sets it."""
    import onnx
    import onnxruntime
    from modelopt.onnx.quantization.ort_utils import configure_ort
    from onnxruntime.quantization import calibrate

    types = sorted({node.op_type for node in onnx.load(job["model"]).graph.node})
    given, _ = configure_ort(types, [], None, ["cpu"])
    options = {
        "symmetric": given.get("CalibTensorRangeSymmetric", False),
        "execution_providers": given.get("ExecutionProviders"),
    }
    method = calibrate.CalibrationMethod.Entropy
    return _by_calibrator(job, calibrate, method, options, onnxruntime)


def _by_calibrator(
    job: Job, calibrate: Any, method: Any, options: dict[str, Any], onnxruntime: Any
) -> Callable[[], Ranges]:
    class Pictures(calibrate.CalibrationDataReader):  # type: ignore[misc] # the peer is untyped
        def __init__(self) -> None:
            self._left = inputs(job)

        def get_next(self) -> dict[str, np.ndarray] | None:
            x = next(self._left, None)
            return None if x is None else {job["picture"]: x}

    tensors = set(job["tensors"])

    def select(self: Any, model: Any) -> tuple[set[str], dict[str, Any]]:
        values = (*model.graph.value_info, *model.graph.output, *model.graph.input)
        return tensors, {value.name: value for value in values}

    calibrate.CalibraterBase.select_tensors_to_calibrate = select
    with_threads(onnxruntime, job["threads"])

    def run() -> Ranges:
        with tempfile.TemporaryDirectory() as folder:
            calibrator = calibrate.create_calibrator(
                Path(job["model"]),
                [],
                augmented_model_path=f"{folder}/augmented.onnx",
                calibrate_method=method,
                extra_options=options,
            )
            calibrator.collect_data(Pictures())
            found = calibrator.compute_data()
        ranges = {}
        for name in job["tensors"]:
            low, high = (float(np.asarray(value).item()) for value in found[name].range_value)
            ranges[name] = {"low": low, "high": high, "amax": max(abs(low), abs(high))}
        return ranges

    return run


def with_threads(onnxruntime: Any, threads: int) -> None:
    """Every session of this process runs on so many threads."""
    original = onnxruntime.SessionOptions

    def options() -> Any:
        changed = original()
        changed.intra_op_num_threads = threads
        return changed

    onnxruntime.SessionOptions = options


KINDS: dict[str, Callable[[Job], Callable[[], Ranges | None]]] = {
    "bare": bare,
    "brakepoint": brakepoint,
    "onnxruntime": onnxruntime_peer,
    "modelopt": modelopt_peer,
}

if __name__ == "__main__":
    main()
