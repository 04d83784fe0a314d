"""Compares the accuracy of INT8 with float's and with that of other quantizers, on real networks.

Each case quantizes a network by a mission, fold by fold, and evaluates the results on frames that
the fold did not use; predictions of all folds are pooled. Every quantization is a process of its
own (`int8_child.py`); other quantizers get the same float graph and the same inputs, in
environments under build/peers, made when missing (network, 2 GB). Prints a table a case; exits 1
where a figure misses its limit.

usage: scripts/bench/int8.py [--case NAME ...] [--data FOLDER] [--json FILE] [--work FOLDER]
                             [--no-peers] [--short]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from child_process import Cost, cost_of
from figures import exit_code, parser_of, write_figures
from numpy.typing import NDArray
from quantizers.int8_cases import CASES, Case, Fold, Settings
from quantizers.peers import environment

from calibration.dataset.frames.open_frames import frames_of
from calibration.evaluation.predictions.networks import Network, inference_spec
from calibration.evaluation.predictions.predict import Prediction, predict
from calibration.inference.sessions import Kernels, ModelSession
from calibration.metrics.average_precision import average_precision_50
from calibration.metrics.matching import found_share
from converters.conversion.input_digests import code_digest
from converters.graph.passes.canonical_names import PICTURE
from converters.verification.agreement.agreement import IOU_MIN, SCORE_MIN
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.loading import load_mission
from edge.perception.preprocess import preprocess
from edge.perception.values import Detections

CHILD = "int8_child.py"

OURS: dict[str, Kernels] = {FLOAT: "as_written", INT8: "as_written", CPU: "fused"}
"""The files of a conversion that are evaluated, and with which kernels they run."""


@dataclass(frozen=True)
class Peer:
    """Another quantizer: the child's kind, which is also its environment, and its method."""

    kind: str
    method: str


THREADS, ROUNDS, WARM, RUNS = 2, 9, 3, 10
"""One picture is timed in ROUNDS; in each, every network runs WARM untimed and RUNS timed times in
turn, since the threads of the network before go on spinning for a while."""

PEERS = {
    "onnxruntime MinMax": Peer("onnxruntime", "minmax"),
    "onnxruntime Percentile": Peer("onnxruntime", "percentile"),
    "onnxruntime Entropy": Peer("onnxruntime", "entropy"),
    "modelopt max": Peer("modelopt", "max"),
    "modelopt entropy": Peer("modelopt", "entropy"),
}


def main() -> int:
    arguments = _arguments()
    chosen = [CASES[name] for name in arguments.case or CASES]
    with tempfile.TemporaryDirectory() as folder:
        work = arguments.work or Path(folder)
        settings = Settings(arguments.data, work, short=arguments.short)
        peers = {} if arguments.short or arguments.no_peers else PEERS
        found = []
        for case in chosen:
            found.append(evaluate_case(case, settings, peers))
            show(found[-1])
    write_figures(found, arguments.json)
    return exit_code(found, named="case")


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--case", action="append", choices=list(CASES), help="all by default")
    parser.add_argument(
        "--work", type=Path, help="keep results here; an interrupted run goes on from them"
    )
    parser.add_argument("--no-peers", action="store_true", help="this project alone")
    parser.add_argument(
        "--short", action="store_true", help="few frames, one fold, no peers: does it run"
    )
    return parser.parse_args()


def evaluate_case(case: Case, settings: Settings, peers: dict[str, Peer]) -> dict[str, Any]:
    """Every figure of one case, and a sentence for each limit that is missed."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    predictions: dict[str, list[Prediction]] = defaultdict(list)
    shares: dict[str, list[float]] = {INT8: [], CPU: []}
    left = []
    folds = case.folds(settings)
    for number, fold in enumerate(folds):
        work = settings.work / case.name / f"fold{number}"
        work.mkdir(parents=True, exist_ok=True)
        networks = quantize_fold(fold, work, peers, costs)
        report = json.loads((work / "brakepoint" / "report.json").read_text())
        for name, found in shares.items():
            found.append(report["artifacts"][name]["macs_int8_share"])
        left.append(len(report["quantized"]["left_float"]))
        mission = load_mission(fold.mission, fold.overrides)
        reading = inference_spec(mission.model, threads=mission.target.threads)
        for name, more in predict(networks, reading, fold.source).items():
            predictions[name] += more
    model = load_mission(folds[0].mission, folds[0].overrides).model
    labels, spec = model.labels, model.preprocess_spec
    rows = {
        name: {
            **figures(predictions[FLOAT], pooled, labels, case.labels),
            "seconds": max((cost["seconds"] for cost in costs[name]), default=None),
            "peak_mb": max((cost["peak_mb"] for cost in costs[name]), default=None),
        }
        for name, pooled in predictions.items()
    }
    for name, found in shares.items():
        rows[name]["macs_int8_share"] = min(found)
    first = next(folds[0].source.pictures()).image
    for name, median in milliseconds(
        settings.work / case.name / "fold0" / "brakepoint", preprocess(first, spec)[0]
    ).items():
        rows[name]["ms"] = median
    return {
        "case": case.name,
        "folds": len(folds),
        "frames": len(predictions[FLOAT]),
        "layers_in_float": left,
        "limits": asdict(case.limits),
        "networks": rows,
        "short": [] if settings.short else shortfalls(case, rows),
    }


def quantize_fold(
    fold: Fold, work: Path, peers: dict[str, Peer], costs: dict[str, list[Cost]]
) -> dict[str, Network]:
    """Quantizes one fold with this project and every peer; adds what each cost to `costs`."""
    ours = work / "brakepoint"
    job: dict[str, Any]
    job = {"mission": str(fold.mission), "set": list(fold.overrides), "out": str(ours)}
    costs[INT8].append(quantize_once("brakepoint", job, work / "brakepoint.json"))
    files = {name: (ours / name, kernels) for name, kernels in OURS.items()}
    for name, peer in peers.items():
        out = work / f"{peer.kind}-{peer.method}.onnx"
        job = {**_peer_job(fold, ours, work), "method": peer.method, "out": str(out)}
        costs[name].append(quantize_once(peer.kind, job, out.with_suffix(".json")))
        files[name] = (out, "as_written")
    return {
        name: Network(name, path.read_bytes(), kernels, "as given")
        for name, (path, kernels) in files.items()
    }


def _peer_job(fold: Fold, ours: Path, work: Path) -> dict[str, str]:
    """A peer's job: float.onnx, and as its inputs the frames that this project calibrated on."""
    inputs = work / "inputs.npy"
    report = json.loads((ours / "report.json").read_text())
    names = set(report["calibration"]["frames"])
    if not inputs.exists():
        mission = load_mission(fold.mission, fold.overrides)
        spec = mission.model.preprocess_spec
        frames = [frame for frame in frames_of(mission) if frame.name in names]
        np.save(inputs, np.concatenate([preprocess(one.read(), spec)[0] for one in frames]))
    return {"model": str(ours / FLOAT), "picture": PICTURE, "inputs": str(inputs)}


def quantize_once(kind: str, job: dict[str, Any], record: Path) -> Cost:
    """Quantizes in a process of its own; returns what it cost. Reuses `record` where that is of the
    same job and, for this project, of the same code."""
    job = {**job, "kind": kind}
    digests: dict[str, str] = {
        key: sha256(Path(job[key]).read_bytes()).hexdigest()
        for key in ("model", "mission", "inputs")
        if key in job
    }
    if kind == "brakepoint":
        digests["code"] = code_digest()
    if record.exists():
        former = json.loads(record.read_text())
        if (former["job"], former["digests"]) == (job, digests):
            kept: Cost = former["cost"]
            return kept
    python = Path(sys.executable) if kind == "brakepoint" else environment(kind)
    cost = cost_of(CHILD, job, record.with_suffix(".job"), python=python)
    record.write_text(json.dumps({"job": job, "digests": digests, "cost": cost}))
    return cost


def milliseconds(folder: Path, x: NDArray[np.float32]) -> dict[str, float]:
    """The median time of one picture in float.onnx and in cpu.onnx on 2 threads."""
    sessions = {
        name: ModelSession((folder / name).read_bytes(), threads=THREADS, kernels=OURS[name])
        for name in (FLOAT, CPU)
    }
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            for run in range(WARM + RUNS):
                started = time.perf_counter()
                session.run({PICTURE: x})
                if run >= WARM:
                    times[name].append((time.perf_counter() - started) * 1e3)
    return {name: float(np.median(row)) for name, row in times.items()}


def figures(
    floating: Sequence[Prediction],
    other: Sequence[Prediction],
    labels: Sequence[str],
    case_labels: Sequence[str],
) -> dict[str, Any]:
    """Accuracy (AP50, mean of `case_labels`) of one network's predictions, and how many of float's
    it has."""
    if floating[0].detections is None:
        same = sum(a.likeliest == b.likeliest != -1 for a, b in zip(floating, other, strict=True))
        labelled = [one for one in other if one.label is not None]
        right = sum(one.likeliest == one.label for one in labelled)
        return {
            "found": same,
            "of": len(other),
            "accuracy": right / len(labelled) if labelled else None,
        }
    wanted, found = (
        [one.detections or Detections.empty() for one in row] for row in (floating, other)
    )
    truths = [one.truth for one in other if one.truth is not None]
    precision = average_precision_50(truths, found, classes=len(labels))
    of_labels = [precision[labels.index(name)] for name in case_labels]
    hits, of = found_share(
        wanted, [_confident(one) for one in found], iou_threshold=IOU_MIN, score_min=SCORE_MIN
    )
    known = [value for value in of_labels if value is not None]
    return {"found": hits, "of": of, "accuracy": sum(known) / len(known)}


def _confident(found: Detections) -> Detections:
    sure = found.scores >= SCORE_MIN
    return Detections(found.boxes[sure], found.scores[sure], found.labels[sure])


def shortfalls(case: Case, rows: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence for each limit that int8.onnx misses."""
    limits, ours, floating = case.limits, rows[INT8], rows[FLOAT]
    short = []
    if limits.loss_max is not None:
        loss = floating["accuracy"] - ours["accuracy"]
        if not loss <= limits.loss_max:
            short.append(f"loses {loss:.4f} of {floating['accuracy']:.4f}, not {limits.loss_max:g}")
    if limits.found_min is not None and not ours["found"] >= limits.found_min * ours["of"]:
        short.append(f"{ours['found']} of {ours['of']} as float has it, not {limits.found_min:.0%}")
    if not ours["macs_int8_share"] >= limits.macs_int8_min:
        share = f"{ours['macs_int8_share']:.1%} of the MACs in INT8"
        short.append(f"{share}, not {limits.macs_int8_min:.0%}")
    if limits.cpu_faster_min is not None:
        cpu = rows[CPU]
        ratio = floating["ms"] / cpu["ms"]
        if not ratio >= limits.cpu_faster_min:
            short.append(f"{CPU} is {ratio:.2f} times faster, not {limits.cpu_faster_min:g}")
        if limits.found_min is not None and not cpu["found"] >= limits.found_min * cpu["of"]:
            short.append(f"{CPU} has {cpu['found']} of {cpu['of']}, not {limits.found_min:.0%}")
    for key, most in (("seconds", limits.seconds_max), ("peak_mb", limits.peak_mb_max)):
        if most is not None and not ours[key] <= most:
            short.append(f"convert took {ours[key]:.0f} {key}, not {most:g}")
    return short


def show(result: dict[str, Any]) -> None:
    """A table of one case."""
    print(f"\n{result['case']}: {result['folds']} folds, judged on {result['frames']} frames")
    print(
        f"{'':24}{'accuracy':>10}{'loss':>9}{'as float':>12}{'':>8}{'MACs':>8}"
        f"{'seconds':>9}{'peak MB':>9}"
    )
    first = result["networks"][FLOAT]["accuracy"]
    for name, row in result["networks"].items():
        share = row["found"] / row["of"] if row["of"] else float("nan")
        print(
            f"{name:24}{_or_dash(row['accuracy'], '10.4f')}"
            f"{_or_dash(None if first is None else first - row['accuracy'], '9.4f')}"
            f"{row['found']:>6} / {row['of']:<5}{share:>6.1%}"
            f"{_or_dash(row.get('macs_int8_share'), '9.1%')}"
            f"{_or_dash(row['seconds'], '9.1f')}{_or_dash(row['peak_mb'], '9.0f')}"
        )
    floating, cpu = (result["networks"][name]["ms"] for name in (FLOAT, CPU))
    print(f"{CPU}: {cpu:.2f} ms a picture on {THREADS} threads, {floating / cpu:.2f} times faster")
    print(f"layers in float: {', '.join(map(str, result['layers_in_float']))}")


def _or_dash(value: float | None, how: str) -> str:
    width = int(how.split(".", maxsplit=1)[0])
    return f"{'-':>{width}}" if value is None else f"{value:{how}}"


if __name__ == "__main__":
    sys.exit(main())
