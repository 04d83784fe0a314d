"""Measures what calibration on one weather costs on a drive in another.

Calibrates on drives of one weather alone, and on as many frames by quotas of all, both without the
drive that evaluates. Prints a table: how many tensors exceed their range on that drive, by how much
at most, and the signal-to-noise ratio of INT8's output there. Asserts nothing.

usage: scripts/bench/conditions.py [--data FOLDER] [--json FILE]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log10
from pathlib import Path

from figures import parser_of, write_figures
from networks import THREADS, Network, networks
from onnx import ModelProto

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.frames.images import image_frames
from calibration.inference.sessions import ModelSession
from calibration.observation.histogram import Histogram
from calibration.observation.observe import observe
from calibration.observation.sampling import in_quotas
from calibration.ranges.method_choice import CHOICE_FRAMES, choose_method
from calibration.ranges.ranges import Range, range_up_to
from converters.quantization.qdq import quantize_int8
from edge.perception.preprocess import preprocess

FRAMES = 60
PERCENTILE = 99.99


@dataclass(frozen=True)
class Question:
    """A drive to evaluate on, and the drives of the one weather to calibrate on."""

    judge: str
    what: str
    drives: frozenset[str]
    weather: str


QUESTIONS = (
    Question("43", "a drive in heavy fog", frozenset({"4", "11", "12"}), "sunny drives only"),
    Question("12", "a sunny drive", frozenset({"24", "32", "43"}), "foggy drives only"),
)
"""Drives of road_scenes."""


@dataclass(frozen=True)
class Answer:
    """One row of the table.

    Attributes:
        left: tensors whose largest magnitude on that drive exceeds the calibration's.
        beyond: by how much at most, as a share of the calibration's.
        snr_db: 10 log10(power of float's output / power of the difference), whole graph in INT8.
    """

    network: str
    judge: str
    calibrated_on: str
    left: int
    tensors: int
    beyond: float
    snr_db: float


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    frames = image_frames(arguments.data / "road_scenes", table="labels.csv", group="drive")
    found = []
    with tempfile.TemporaryDirectory() as work:
        for network in networks(arguments.data, Path(work)):
            for question in QUESTIONS:
                for answer in answers_to(network, question, frames):
                    found.append(answer)
                    print(line(answer), flush=True)
    write_figures([asdict(one) for one in found], arguments.json)
    return 0


def line(answer: Answer) -> str:
    """One row as text."""
    return (
        f"{answer.network:20}{answer.judge:22}{answer.calibrated_on:20}"
        f"{answer.left:3} of {answer.tensors} left, by {100 * answer.beyond:.0f} % at the worst, "
        f"SNR {answer.snr_db:.1f} dB"
    )


def answers_to(network: Network, question: Question, frames: Sequence[RoadFrame]) -> list[Answer]:
    """Two answers: for the one weather, and for quotas of all."""
    judge = [frame for frame in frames if frame.group == question.judge]
    others = [frame for frame in frames if frame.group != question.judge]
    sets = {
        question.weather: [frame for frame in others if frame.group in question.drives][:FRAMES],
        "by quotas": in_quotas(others, seed=0)[:FRAMES],
    }
    on_judge = observe_tensors(network, judge)
    found = []
    for weather, chosen_frames in sets.items():
        histograms = observe_tensors(network, chosen_frames)
        ranges = ranges_of(network, histograms, chosen_frames)
        int8 = quantize_int8(network.model, network.placement, ranges)
        beyond = [
            on_judge[name].amax / one.amax - 1.0 for name, one in histograms.items() if one.amax
        ]
        found.append(
            Answer(
                network=network.name,
                judge=question.what,
                calibrated_on=weather,
                left=sum(share > 0.0 for share in beyond),
                tensors=len(histograms),
                beyond=max(0.0, *beyond),
                snr_db=snr_db(network, int8, judge),
            )
        )
    return found


def observe_tensors(network: Network, frames: Sequence[RoadFrame]) -> dict[str, Histogram]:
    """Histograms of every tensor that is quantized."""
    return observe(
        network.model,
        network.placement.pairs,
        frames,
        preprocess_spec=network.preprocess,
        threads=THREADS,
        progress=quiet,
    ).histograms


def ranges_of(
    network: Network, histograms: dict[str, Histogram], chosen_frames: Sequence[RoadFrame]
) -> dict[str, Range]:
    """Ranges by `auto`, as `calibrate` computes them."""
    chosen = choose_method(
        network.model,
        histograms,
        chosen_frames[:CHOICE_FRAMES],
        percentile=PERCENTILE,
        preprocess_spec=network.preprocess,
        threads=THREADS,
        progress=quiet,
    )
    return {name: range_up_to(chosen.amax[name], one) for name, one in histograms.items()}


def snr_db(network: Network, int8: ModelProto, frames: Sequence[RoadFrame]) -> float:
    """Signal-to-noise ratio of INT8's first output against float's, over all frames."""
    (picture,) = (value.name for value in network.model.graph.input)
    floating, quantized = (
        ModelSession(graph.SerializeToString(), threads=THREADS) for graph in (network.model, int8)
    )
    power = wrong = 0.0
    for frame in frames:
        feed = {picture: preprocess(frame.read(), network.preprocess)[0]}
        wanted, given = floating.run(feed)[0], quantized.run(feed)[0]
        power += float((wanted**2).sum())
        wrong += float(((given - wanted) ** 2).sum())
    return 10.0 * log10(power / wrong)


def quiet(what: str, done: int, total: int) -> None:
    """Shows nothing."""


if __name__ == "__main__":
    sys.exit(main())
