"""INT8 against float and against its peers: what the quantized network still sees.

Each case quantizes a real network by a mission, fold by fold, and judges what came out on frames
that the fold never saw; answers of all folds are pooled. Every quantization is a process of its own
(`int8_child.py`); peers are given the same float graph and the same inputs, in environments
under build/peers, made when missing (network, 2 GB). Exits 1 when a figure falls short.

usage: int8.py [--case NAME ...] [--data FOLDER] [--json FILE] [--work FOLDER] [--no-peers]
                     [--short]
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
from int8_cases import CASES, Case, Fold, Settings
from numpy.typing import NDArray
from peers import environment

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
"""What `convert` writes and is judged here, and how it runs."""


@dataclass(frozen=True)
class Peer:
    """Another tool's way to INT8: the child's kind, which is also its environment, and method."""

    kind: str
    method: str


THREADS, ROUNDS, WARM, RUNS = 2, 9, 3, 10
"""How one picture is timed: networks in turn, each alone for a round, since the threads of the one
that ran last go on spinning for a while."""

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
            found.append(judged(case, settings, peers))
            show(found[-1])
    write_figures(found, arguments.json)
    return exit_code(found, named="case")


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--case", action="append", choices=list(CASES), help="all by default")
    parser.add_argument(
        "--work", type=Path, help="keep what is made here; a run that was cut off goes on from it"
    )
    parser.add_argument("--no-peers", action="store_true", help="this project alone")
    parser.add_argument(
        "--short", action="store_true", help="few frames, one fold, no peers: does it run"
    )
    return parser.parse_args()


def judged(case: Case, settings: Settings, peers: dict[str, Peer]) -> dict[str, Any]:
    """Every figure of one case, and what falls short."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    said: dict[str, list[Prediction]] = defaultdict(list)
    shares: dict[str, list[float]] = {INT8: [], CPU: []}
    left = []
    folds = case.folds(settings)
    for number, fold in enumerate(folds):
        work = settings.work / case.name / f"fold{number}"
        work.mkdir(parents=True, exist_ok=True)
        ours = work / "brakepoint"
        costs[INT8].append(
            quantized(
                "brakepoint",
                {"mission": str(fold.mission), "set": list(fold.overrides), "out": str(ours)},
                work / "brakepoint.json",
            )
        )
        report = json.loads((ours / "report.json").read_text())
        for name, found in shares.items():
            found.append(report["artifacts"][name]["macs_int8_share"])
        left.append(len(report["quantized"]["left_float"]))
        files = {name: (ours / name, kernels) for name, kernels in OURS.items()}
        for name, peer in peers.items():
            out = work / f"{peer.kind}-{peer.method}.onnx"
            job = {**_peer_job(fold, ours, work), "method": peer.method, "out": str(out)}
            costs[name].append(quantized(peer.kind, job, out.with_suffix(".json")))
            files[name] = (out, "as_written")
        networks = {
            name: Network(name, path.read_bytes(), kernels, "as given")
            for name, (path, kernels) in files.items()
        }
        mission = load_mission(fold.mission, fold.overrides)
        reading = inference_spec(mission.model, threads=mission.target.threads)
        for name, told in predict(networks, reading, fold.source).items():
            said[name] += told
    model = load_mission(folds[0].mission, folds[0].overrides).model
    labels, spec = model.labels, model.preprocess_spec
    rows = {
        name: {
            **figures(said[FLOAT], told, labels, case.labels),
            "seconds": max((cost["seconds"] for cost in costs[name]), default=None),
            "peak_mb": max((cost["peak_mb"] for cost in costs[name]), default=None),
        }
        for name, told in said.items()
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
        "frames": len(said[FLOAT]),
        "layers_in_float": left,
        "limits": asdict(case.limits),
        "networks": rows,
        "short": [] if settings.short else shortfalls(case, rows),
    }


def _peer_job(fold: Fold, ours: Path, work: Path) -> dict[str, str]:
    """What a peer is given: float.onnx, and the frames whose ranges were taken as its inputs."""
    inputs = work / "inputs.npy"
    report = json.loads((ours / "report.json").read_text())
    names = set(report["calibration"]["frames"])
    if not inputs.exists():
        mission = load_mission(fold.mission, fold.overrides)
        spec = mission.model.preprocess_spec
        frames = [frame for frame in frames_of(mission) if frame.name in names]
        np.save(inputs, np.concatenate([preprocess(one.read(), spec)[0] for one in frames]))
    return {"model": str(ours / FLOAT), "picture": PICTURE, "inputs": str(inputs)}


def quantized(kind: str, job: dict[str, Any], record: Path) -> Cost:
    """What one quantization in a process of its own cost; not done again where `record` is of the
    same job and, for this project, by the same code."""
    job = {**job, "kind": kind}
    digests = {
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
    taken: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            for run in range(WARM + RUNS):
                started = time.perf_counter()
                session.run({PICTURE: x})
                if run >= WARM:
                    taken[name].append((time.perf_counter() - started) * 1e3)
    return {name: float(np.median(times)) for name, times in taken.items()}


def figures(
    floating: Sequence[Prediction],
    told: Sequence[Prediction],
    labels: Sequence[str],
    judged_labels: Sequence[str],
) -> dict[str, Any]:
    """What one network's answers are worth, beside float's of the same frames."""
    if floating[0].found is None:
        same = sum(a.likeliest == b.likeliest != -1 for a, b in zip(floating, told, strict=True))
        labelled = [answer for answer in told if answer.label is not None]
        right = sum(answer.likeliest == answer.label for answer in labelled)
        return {
            "found": same,
            "of": len(told),
            "accuracy": right / len(labelled) if labelled else None,
        }
    wanted, found = ([one.found or Detections.empty() for one in row] for row in (floating, told))
    truths = [one.truth for one in told if one.truth is not None]
    precision = average_precision_50(truths, found, classes=len(labels))
    asked = [precision[labels.index(name)] for name in judged_labels]
    hits, of = found_share(
        wanted, [_sure(one) for one in found], iou_threshold=IOU_MIN, score_min=SCORE_MIN
    )
    known = [value for value in asked if value is not None]
    return {"found": hits, "of": of, "accuracy": sum(known) / len(known)}


def _sure(seen: Detections) -> Detections:
    kept = seen.scores >= SCORE_MIN
    return Detections(seen.boxes[kept], seen.scores[kept], seen.labels[kept])


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
