"""Measures the loop on the device against its floors: frame handed over to command bytes written.

On the real clip, every figure with its floor or peer on the same input, one after the other:

- on the CPU, beside the network alone (`session.run`): YOLOX-nano float, RoadNet `cpu.onnx`;
- beside an accelerator: a session that waits 5 ms and leaves the CPU alone;
- frames a second, beside a plain loop of OpenCV, onnxruntime and numpy;
- preprocess beside one `cv2.resize` and one conversion to float; decode; the tracker;
- 10,000 detections in every frame.

Prints a table and exits 1 where a figure falls short. Without --from, RoadNet is not trained: as
fast, but it detects nothing.

usage: scripts/bench/runtime.py [--data FOLDER] [--from DIR] [--short] [--json FILE]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from child_process import ROOT
from figures import exit_code, parser_of, write_figures
from measured_loop.harness import Clip, Handed, Waiting, bare_session, cpu_session, running
from measured_loop.measurement import Figure, p, timed_ms
from measured_loop.plain_loop import PlainLoop
from measured_loop.stages import WARM_UP, decoding, preprocessing, tracking
from networks import roadnet_cpu
from rich.console import Console
from rich.table import Table

from edge.backends.session import Session
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.decode import DecodeSpec, output_shape
from edge.perception.preprocess import preprocess
from edge.perception.values import BgrImage, Floats

CLIP = Path("video") / "day_highway.mp4"
WAIT_MS, CAMERA_PERIOD_MS = 5.0, 40.0
WARM_UP_RUNS = 5
"""Inferences that the loop makes before the first frame."""
CROWD_SIDE_PX = 704
"""A network input of so many pixels has 10,164 cells."""


@dataclass(frozen=True)
class Extent:
    """How much is measured: frames of the clip, frames of a crowd, rounds against the plain loop,
    decodings."""

    frames: int
    crowd: int
    rounds: int
    decodings: int


WHOLE, SHORT = Extent(221, 120, 3, 300), Extent(12, 12, 1, 5)


def on_the_cpu(name: str, mission: Mission, model: Path, images: list[BgrImage]) -> list[Figure]:
    """Frame to bytes at the camera's rate, and in each pause between frames the network alone."""
    spec, threads = mission.model.preprocess_spec, mission.target.threads
    bare = bare_session(model, threads)
    picture = bare.get_inputs()[0].name
    whole, alone = [], []
    with running(
        mission,
        lambda: cpu_session(model, threads),
        lambda _frames: Handed(1e3 / CAMERA_PERIOD_MS),
    ) as (loop, source):
        for image in paced(images):
            source.put(image.copy())  # in the cache, as from a camera
            whole.append(loop.next_turn().end_to_end_ms or np.inf)
            feed = {picture: preprocess(image, spec)[0]}
            time.sleep(CAMERA_PERIOD_MS / 8e3)
            alone.append(timed_ms(partial(bare.run, None, feed)))
    whole, alone = whole[WARM_UP:], alone[WARM_UP:]
    floor, p50, p99 = p(alone, 50.0), p(whole, 50.0), p(whole, 99.0)
    beside = f"{p50:.2f} ms; session.run {floor:.2f} ms"
    return [
        Figure(f"{name} on the CPU: p50 / session.run p50", p50 / floor, "x", 1.20, beside),
        Figure(f"{name} on the CPU: p99 / p50", p99 / p50, "x", 1.6, f"{p99:.2f} ms"),
    ]


def paced(images: list[BgrImage]) -> Iterator[BgrImage]:
    """The frames at the camera's rate, after a few of them to warm up."""
    due = time.perf_counter()
    for image in images[:WARM_UP] + images:
        yield image
        due += CAMERA_PERIOD_MS / 1e3
        time.sleep(max(0.0, due - time.perf_counter()))


def beside_an_accelerator(mission: Mission, model: Path, images: list[BgrImage]) -> list[Figure]:
    """Frame to bytes, less the wait, with the network's own outputs of each frame."""
    accelerator = accelerated(mission, model, images)
    over, tracking = [], []
    with running(
        mission,
        lambda: accelerator,
        lambda _frames: Handed(1e3 / CAMERA_PERIOD_MS),
    ) as (loop, source):
        for count, image in enumerate(paced(images)):
            accelerator.row = count if count < WARM_UP else count - WARM_UP
            source.put(image.copy())  # in the cache, as from a camera
            turn = loop.next_turn()
            over.append((turn.end_to_end_ms or np.inf) - WAIT_MS)
            tracking.append(turn.stage_ms["track"])
    over, tracking = over[WARM_UP:], tracking[WARM_UP:]
    p50, p99, of = p(over, 50.0), p(over, 99.0), f"over a wait of {WAIT_MS:g} ms"
    track = f"p50 {p(tracking, 50.0):.2f} ms"
    return [
        Figure("beside an accelerator: p50", p50, "ms", 1.5, of),
        Figure("beside an accelerator: p99", p99, "ms", 4.0, of),
        Figure("stage track on the clip: p99", p(tracking, 99.0), "ms", 2.0, track),
    ]


def frame_rate(
    mission: Mission, model: Path, clip: Path, extent: Extent, images: list[BgrImage]
) -> list[Figure]:
    """Frames a second from the clip's file, beside the plain loop, on the CPU and beside the
    accelerator; the first frame of each begins the count."""
    size, decoder, threads = mission.model.input, mission.model.decode, mission.target.threads

    def ours(open_session: Callable[[], Session]) -> float:
        with running(
            mission,
            open_session,
            lambda taken: Clip(clip, extent.frames, mission.camera.fps, taken.taken),
        ) as (loop, _):
            first = index = loop.next_frame_index()
            began = time.perf_counter()
            while index < extent.frames - 1:
                index = loop.next_frame_index()
            return (index - first) / (time.perf_counter() - began)

    def plain(infer: Callable[[Floats], Floats]) -> float:
        limits = decoder.score_threshold, decoder.iou_threshold or 0.0
        return PlainLoop(infer, size.width_px, size.height_px, *limits).rate(clip, extent.frames)

    accelerator, figures = accelerated(mission, model, images), []
    accelerator.step = 1
    for where, session, infer in (
        ("on the CPU", lambda: cpu_session(model, threads), PlainLoop.on_the_cpu(model)),
        ("beside an accelerator", lambda: accelerator, lambda x: accelerator.infer(x)[0]),
    ):
        rates, peer = [], []
        for _ in range(extent.rounds):
            accelerator.row = -WARM_UP_RUNS  # those of the loop's start
            rates.append(ours(session))
            accelerator.row = 0
            peer.append(plain(infer))
        fps, other = float(np.median(rates)), float(np.median(peer))
        beside = f"{fps:.1f} frames a second; plain loop {other:.1f}"
        named = f"frame rate {where} / plain loop's"
        figures.append(Figure(named, fps / other, "x", 1.3, beside, least=True))
    return figures


def accelerated(mission: Mission, model: Path, images: list[BgrImage]) -> Waiting:
    """A session that waits and gives the network's own outputs for each frame."""
    spec, session = mission.model.preprocess_spec, cpu_session(model, mission.target.threads)
    outputs = [tuple(o.copy() for o in session.infer(preprocess(i, spec)[0])) for i in images]
    return Waiting(outputs, session.input_shape, WAIT_MS)


def crowded(mission: Mission, extent: Extent) -> list[Figure]:
    """A network that sees something in each of 10,164 cells of every frame, other things each time,
    at the camera's rate."""
    side = {"width_px": CROWD_SIDE_PX, "height_px": CROWD_SIDE_PX}
    decoder = mission.model.decode.model_copy(update={"max_detections": 300})
    inputs = mission.model.input.model_copy(update=side)
    model = mission.model.model_copy(update={"input": inputs, "decode": decoder})
    mission = mission.model_copy(update={"model": model})
    random, spec = np.random.default_rng(0), model.network_spec.main
    assert isinstance(spec, DecodeSpec)
    noise = []
    for _ in range(8):
        raw = random.uniform(0.6, 1.0, output_shape(spec, CROWD_SIDE_PX, CROWD_SIDE_PX))
        raw[..., :4] = random.normal(0.0, 0.7, raw[..., :4].shape)
        noise.append((raw.astype(np.float32),))
    image = random.integers(0, 256, (540, 960, 3), dtype=np.uint8)
    accelerator = Waiting(noise, (1, 3, CROWD_SIDE_PX, CROWD_SIDE_PX), WAIT_MS)
    took, cells = [], noise[0][0].shape[1]
    with running(
        mission,
        lambda: accelerator,
        lambda _frames: Handed(1e3 / CAMERA_PERIOD_MS),
    ) as (loop, source):
        for frame in range(extent.crowd):
            due = time.perf_counter() + CAMERA_PERIOD_MS / 1e3
            source.put(image.copy())  # in the cache, as from a camera
            turn = loop.next_turn()
            if frame >= min(WARM_UP, extent.crowd // 2):
                took.append(turn.end_to_end_ms or np.inf)
            time.sleep(max(0.0, due - time.perf_counter()))
    gaps = [(later - sent) / 1e6 for sent, later in pairwise(loop.sent_ns)]
    assert turn.facts.frame is not None
    tracks, left = len(turn.facts.frame.tracks), turn.facts.frame.left_out
    beside = f"p50 {p(took, 50.0):.1f} ms; {tracks} tracks, {left} of {cells} left out"
    period_ms = 1e3 / mission.link.rate_hz
    named = f"{cells:,} detections in every frame"
    of = f"the loop's period is {period_ms:g} ms"
    return [
        Figure(f"{named}: frame to bytes, p99", p(took, 99.0), "ms", CAMERA_PERIOD_MS, beside),
        Figure(f"{named}: between commands, p99", p(gaps, 99.0), "ms", 2.0 * period_ms, of),
    ]


def first_frames(clip: Path, most: int) -> list[BgrImage]:
    """The first frames of a clip."""
    video, images = cv2.VideoCapture(str(clip)), list[BgrImage]()
    while len(images) < most and (read := video.read())[0]:
        images.append(np.asarray(read[1], np.uint8))
    return images


def measured(arguments: Any, console: Console) -> list[Figure]:
    """Every figure, each printed when it is there."""
    clip: Path = arguments.data / CLIP
    detector: Path = arguments.data / "detectors" / "yolox_nano.onnx"
    yolox = load_mission(
        ROOT / "examples" / "yolox_nano" / "mission.toml", [f"model.file={detector}"]
    )
    roadnet = load_mission(ROOT / "examples" / "roadnet" / "mission.toml")
    extent = SHORT if arguments.short else WHOLE
    images = first_frames(clip, extent.frames)
    table = Table("figure", "measured", "required", "beside")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as work:
        road = arguments.converted / "cpu.onnx" if arguments.converted else None
        road = road or roadnet_cpu(roadnet, images[:4], Path(work))
        measures: tuple[Callable[[], list[Figure]], ...] = (
            lambda: preprocessing(images[:100]),
            lambda: decoding(extent.decodings),
            lambda: tracking(images),
            lambda: on_the_cpu("YOLOX-nano", yolox, detector, images),
            lambda: on_the_cpu("RoadNet cpu.onnx", roadnet, road, images),
            lambda: beside_an_accelerator(yolox, detector, images),
            lambda: frame_rate(yolox, detector, clip, extent, images),
            lambda: crowded(yolox, extent),
        )
        for measure in measures:
            for figure in measure():
                sign = ">=" if figure.least else "<="
                value = f"{figure.value:.2f} {figure.unit}"
                table.add_row(
                    figure.what, value, f"{sign} {figure.limit:g}", figure.beside,
                    style="red" if figure.short else None,
                )  # fmt: skip
                console.print(f"{figure.what}: {value} ({figure.beside})", style="dim")
                figures.append(figure)
    console.print(table)
    return figures


def main() -> int:
    """Measures, prints and judges."""
    parser = parser_of(__doc__)
    parser.add_argument("--from", dest="converted", type=Path, help="a conversion of RoadNet")
    parser.add_argument("--short", action="store_true", help="a few frames: shows that it runs")
    arguments = parser.parse_args()
    found = measured(arguments, Console(width=150))
    rows = [{**asdict(figure), "short": figure.short} for figure in found]
    write_figures(rows, arguments.json)
    return exit_code(rows, named="what")


if __name__ == "__main__":
    sys.exit(main())
