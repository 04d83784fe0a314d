"""Compares calibration with other tools': time, memory, and the INT8 error that the ranges give.

Every run is a process of its own (`calibrate_child.py`): the same frames, tensors and threads,
timed from loading the session to the ranges on disk. Other tools have environments of their own
under build/peers, made when missing (network, 2 GB). Prints ratios; exits 1 where a figure misses
its limit.

usage: scripts/bench/calibrate.py [--data FOLDER] [--json FILE] [--repeat N] [--short]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from child_process import Cost, cost_of
from figures import exit_code, parser_of, write_figures
from networks import THREADS, Network, networks
from quantizers.peers import environment

from calibration.dataset.frames.images import image_frames
from calibration.inference.sessions import ModelSession
from calibration.ranges.ranges import Range
from converters.quantization.qdq import quantize_int8
from edge.perception.preprocess import preprocess

CHILD = "calibrate_child.py"

TIMED, FEW, MANY, HELD_BACK = 64, 32, 512, 24
"""Numbers of frames: for timing, the two that memory is compared at, and to evaluate ranges on."""

FASTER_MIN, GROWTH_MAX, PEAK_MAX_MB = 4.0, 1.1, 800.0
"""Limits: times faster than each peer, memory at MANY over that at FEW frames, and its peak."""

HELD_BACK_DRIVES = frozenset({"12", "32", "35", "38"})
"""Sunny, moderate fog, rain, rain at dusk; the other eight drives are for calibration."""


@dataclass(frozen=True)
class Peer:
    """One way to calibrate: the child's kind and method, and the environment it runs in."""

    kind: str
    method: str
    environment: str | None


OURS = Peer("brakepoint", "auto", None)
FLOOR = Peer("bare", "", None)
PEERS = {
    "onnxruntime percentile": Peer("onnxruntime", "percentile", "onnxruntime"),
    "onnxruntime entropy": Peer("onnxruntime", "entropy", "onnxruntime"),
    "modelopt entropy": Peer("modelopt", "entropy", "modelopt"),
}


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        pictures = frames(arguments.data, work)
        found = [
            measure(network, pictures, work, arguments)
            for network in networks(arguments.data, work)
        ]
    for result in found:
        show(result)
    write_figures(found, arguments.json)
    return exit_code(found, named="network")


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--repeat", type=int, default=4, help="runs of each; the best counts")
    parser.add_argument("--short", action="store_true", help="8 frames and no peers: does it run")
    return parser.parse_args()


@dataclass(frozen=True)
class Pictures:
    """Paths: to calibrate on, held back, and all that there are, for memory."""

    calibrate: list[str]
    held_back: list[str]
    everything: list[str]


def frames(data: Path, work: Path) -> Pictures:
    """Real frames, split by drive; `everything` has fog_traffic and the clip's frames too."""
    drives = image_frames(data / "road_scenes", table="labels.csv", group="drive")
    road = [str(f.path) for f in drives if f.group not in HELD_BACK_DRIVES]
    held_back = [str(f.path) for f in drives if f.group in HELD_BACK_DRIVES]
    fog = [str(path) for path in sorted((data / "fog_traffic" / "images").iterdir())]
    clip = cv2.VideoCapture(str(data / "video" / "day_highway.mp4"))
    shots: list[str] = []
    while (read := clip.read())[0]:
        shots.append(str(work / f"clip-{len(shots):04}.jpg"))
        cv2.imwrite(shots[-1], read[1])
    everything = [*road, *held_back, *fog, *shots]
    return Pictures(_evenly(road, TIMED), _evenly(held_back, HELD_BACK), everything)


def _evenly(paths: Sequence[str], count: int) -> list[str]:
    return [paths[row * len(paths) // count] for row in range(min(count, len(paths)))]


def measure(
    network: Network, pictures: Pictures, work: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Every figure of one network, and a sentence for each limit that is missed."""
    timed = pictures.calibrate[:8] if arguments.short else pictures.calibrate
    peers = {} if arguments.short else PEERS
    runs: dict[str, Cost] = {}
    errors: dict[str, float] = {}
    for _ in range(1 if arguments.short else arguments.repeat):  # in turn: a busy hour is shared
        for name, peer in {"floor": FLOOR, "brakepoint": OURS, **peers}.items():
            cost = calibrate_once(network, peer, timed, work)
            if name not in runs or cost["seconds"] < runs[name]["seconds"]:
                runs[name] = cost
            if peer is not FLOOR and name not in errors:
                errors[name] = error_of(network, work / "ranges.json", pictures.held_back)
    counts = (4, 8) if arguments.short else (FEW, MANY)
    peaks = {
        count: calibrate_once(network, OURS, _evenly(pictures.everything, count), work)["peak_mb"]
        for count in counts
    }
    faster = {name: runs[name]["seconds"] / runs["brakepoint"]["seconds"] for name in peers}
    growth = peaks[counts[1]] / peaks[counts[0]]
    short = [
        f"{ratio:.1f} times faster than {name}, not {FASTER_MIN:g}"
        for name, ratio in faster.items()
        if ratio < FASTER_MIN
    ]
    if growth > GROWTH_MAX:
        short.append(f"memory grows {growth:.2f} times from {counts[0]} to {counts[1]} frames")
    if peaks[counts[1]] > PEAK_MAX_MB:
        short.append(f"{peaks[counts[1]]:.0f} MB at {counts[1]} frames")
    if peers and errors["brakepoint"] > (best := min(errors[name] for name in peers)):
        short.append(f"INT8 error {errors['brakepoint']:.4f}, the best peer's {best:.4f}")
    return {
        "network": network.name,
        "frames": len(timed),
        "tensors": len(network.placement.pairs),
        "threads": THREADS,
        "runs": runs,
        "int8_error": errors,
        "times_faster": faster,
        "times_the_floor": runs["brakepoint"]["seconds"] / runs["floor"]["seconds"],
        "peak_mb": peaks,
        "memory_growth": growth,
        "short": short,
    }


def calibrate_once(network: Network, peer: Peer, pictures: Sequence[str], work: Path) -> Cost:
    """Calibrates in a process of its own; returns what it cost. Writes work/ranges.json."""
    job = {
        "kind": peer.kind,
        "method": peer.method,
        "model": str(network.path),
        "picture": network.model.graph.input[0].name,
        "tensors": list(network.placement.pairs),
        "pictures": list(pictures),
        "preprocess": asdict(network.preprocess),
        "threads": THREADS,
        "out": str(work / "ranges.json"),
    }
    python = Path(sys.executable) if peer.environment is None else environment(peer.environment)
    return cost_of(CHILD, job, work / "job.json", python=python)


def error_of(network: Network, path: Path, held_back: Sequence[str]) -> float:
    """Energy of the difference between INT8's output with these ranges and float's, as a share of
    float's, in this project's Q/DQ graph."""
    found = json.loads(path.read_text())
    ranges = {
        name: Range(row["amax"], row["low"], row["high"], row["low"], row["high"], 1)
        for name, row in found.items()
        if name != "schema"
    }
    graphs = (network.model, quantize_int8(network.model, network.placement, ranges))
    floating, quantized = (
        ModelSession(graph.SerializeToString(), threads=THREADS) for graph in graphs
    )
    wrong = energy = 0.0
    for picture in held_back:
        image = cv2.imread(picture)
        x = preprocess(np.asarray(image, np.uint8), network.preprocess)[0]
        feed = {network.model.graph.input[0].name: x}
        wanted, given = floating.run(feed)[0], quantized.run(feed)[0]
        wrong += float(((given - wanted) ** 2).sum())
        energy += float((wanted**2).sum())
    return wrong / energy


def show(result: dict[str, Any]) -> None:
    """A table of one network."""
    print(
        f"\n{result['network']}: {result['tensors']} tensors, {result['frames']} frames, "
        f"{result['threads']} threads"
    )
    print(f"{'':24}{'seconds':>9}{'CPU s':>9}{'peak MB':>9}{'ratio':>8}{'INT8 error':>12}")
    for name, run in result["runs"].items():
        ratio = run["seconds"] / result["runs"]["brakepoint"]["seconds"]
        error = result["int8_error"].get(name)
        print(
            f"{name:24}{run['seconds']:9.2f}{run['cpu_seconds']:9.2f}{run['peak_mb']:9.0f}"
            f"{ratio:8.2f}" + (f"{error:12.4f}" if error is not None else "")
        )
    peaks = ", ".join(f"{peak:.0f} MB at {count}" for count, peak in result["peak_mb"].items())
    print(
        f"memory: {peaks} frames ({result['memory_growth']:.2f} times); "
        f"{result['times_the_floor']:.1f} times the floor"
    )


if __name__ == "__main__":
    sys.exit(main())
