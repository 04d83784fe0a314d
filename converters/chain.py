"""The chain behind `brakepoint convert`: a network in, float.onnx, int8.onnx, cpu.onnx,
ranges.json, report.html and report.json out.

Nothing is written before everything is made and judged; then all files are replaced, report.json
last. A reader trusts only the digests in report.json, so a kill at any moment leaves either the
former set or the new one, or files that its reader refuses. Never decides what a failed gate means
to the shell.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

import numpy as np
from onnx import ModelProto

from calibration.calibrate import Taken, calibrate
from calibration.dataset.frames import data_digest, frames_of
from calibration.dataset.splits import Split, split, spread
from calibration.ranges import SCHEMA as RANGES_SCHEMA
from calibration.ranges import Ranges
from calibration.reuse import reuse
from calibration.sampling import in_quotas
from calibration.sessions import CannotRun, Floats, ModelSession
from converters.agreement import CPU, FLOAT, INT8, KERNELS, judge
from converters.context import context_of
from converters.damage import damage_measure
from converters.export import export
from converters.gates import Measured, judge_gates
from converters.latency import measure_latency
from converters.lowerings.proof import Agreement, agreements
from converters.lowerings.strong import STRONG, to_strong
from converters.mixed_precision import Mixed, better_bias, choose
from converters.page.pictures import pictures_of
from converters.page.render import render
from converters.page.tables import worst_names
from converters.parity import Network, Parity, compare, network_of, running
from converters.passes.chain import PassResult, passes, run_passes
from converters.placement import Placement, place
from converters.quantize import quantize_cpu, quantize_int8
from converters.report import SCHEMA, Artifact, Report
from converters.sensitivity import Judge
from converters.sources import (
    OnnxSource,
    Source,
    check_logits,
    name_of,
    open_source,
    output_names,
    picture_shape,
)
from converters.stages import Stopwatch
from edge.contract.artifact import replacing
from edge.contract.mission import Mission
from edge.contract.model_digest import contract_digest
from edge.contract.preprocess import preprocess
from firmware_bridge.errors import UsageError

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: unknown)."""

RANGES, PAGE, REPORT = "ranges.json", "report.html", "report.json"


def convert(
    mission: Mission, out: Path, *, progress: Progress, ranges_file: Path | None = None
) -> Report:
    """Converts the mission's network into `out`, replacing what a former run wrote there.

    Every file is written even where a gate fails; the report says so.

    Args:
        ranges_file: ranges to use again, from `calibrate`; taken anew where it is not given.

    Raises:
        NotTrusted: the ranges are stale.
        Missing: the model, the weights, frames or a package are not there.
        UsageError: what is there does not fit the mission, or cannot be converted.
    """
    check_out(out)
    watch = Stopwatch()
    with watch.stage("read"):
        progress("read", 0, 0)
        source = open_source(mission)
        frames = frames_to_split(mission)
    with watch.stage("float"):
        progress("float.onnx", 0, 0)
        pictures = probes(mission, frames)
        floating, steps, parity = to_float(source, mission, pictures)
    float_bytes = floating.SerializeToString()
    with watch.stage("observe"):
        placement = place(floating)
        demand_something(placement, mission)
        calibrated: Taken
        if ranges_file is None:
            calibrated = calibrate(
                floating, placement.pairs, frames.calibration, mission, progress=progress
            )
        else:
            calibrated = reuse(
                ranges_file,
                floating,
                placement.pairs,
                frames.calibration,
                mission,
                progress=progress,
            )
        ranges = calibrated.ranges
    with watch.stage("quantize"):
        models, placement, mixed = _quantized(mission, floating, ranges, frames, progress)
        files = {name: model.SerializeToString() for name, model in models.items()}
        assert files[FLOAT] == float_bytes  # the ranges name its digest
        files[RANGES] = _json(RANGES_SCHEMA, ranges.to_json())
    with watch.stage("judge"):
        networks = {
            name: running(
                ModelSession(files[name], threads=mission.target.threads, kernels=kernels)
            )
            for name, kernels in KERNELS.items()
        }
        judgement = judge(networks, frames.held_back, mission, progress=progress)
        strong, agreement = _strong(mission, models[INT8], ranges, networks, pictures)
        if agreement.agrees:
            models[STRONG], files[STRONG] = strong, strong.SerializeToString()
        held_back_digest = data_digest(frames.held_back)
    with watch.stage("time"):
        latency = measure_latency(
            {name: files[name] for name in (FLOAT, CPU)},
            frames.held_back,
            mission,
            progress=progress,
        )
    measured = Measured(
        parity_max_abs=parity.max_abs,
        found=judgement.found,
        condition=judgement.condition,
        classifies=mission.model.decode.kind == "classify",
        size_mb=len(files[INT8]) / 1e6,
        held_back=judgement.frames,
    )
    report = Report(
        mission=mission.name,
        contract=contract_digest(mission),
        source=source,
        source_nodes=len(source.model.graph.node) if isinstance(source, OnnxSource) else None,
        opset=mission.precision.opset,
        artifacts={
            name: Artifact(
                sha256=sha256(data).hexdigest(),
                size=len(data),
                nodes=len(models[name].graph.node) if name in models else None,
            )
            for name, data in files.items()
        },
        passes=tuple(steps),
        placement=placement,
        mixed=mixed,
        method=ranges.method,
        percentile=ranges.percentile,
        data={"calibration": ranges.data, "held_back": held_back_digest},
        calibration_frames=ranges.frames,
        sampling={**calibrated.sampling.to_json(), "left_out": calibrated.left_out},
        held_back_frames=tuple(frame.name for frame in frames.held_back),
        source_to_float=parity,
        judgement=judgement,
        lowerings=(agreement,),
        gates=judge_gates(mission.gates, measured),
        latency=latency,
        context=context_of(mission, source, frames, calibrated_on=set(ranges.frames)),
        stages=tuple(watch.stages),
        finished=datetime.now(timezone.utc),
    )
    document = report.to_json()
    page = render(document, pictures_of(frames.held_back, worst_names(document)))
    _publish(out, {**files, PAGE: page, REPORT: _json(SCHEMA, document)})
    return report


def to_float(
    source: Source, mission: Mission, pictures: list[Floats]
) -> tuple[ModelProto, list[PassResult], Parity]:
    """float.onnx of a source, what each pass did, and its parity with the source."""
    shape, names = picture_shape(mission), output_names(mission)
    try:
        original = network_of(source, mission)
        # Refuses other outputs before the long work.
        check_logits([original(picture) for picture in pictures], mission)
        exported = (
            source.model if isinstance(source, OnnxSource) else export(source.network, shape, names)
        )
        model, steps = run_passes(exported, passes(mission.precision.opset, shape, names), pictures)
        session = ModelSession(model.SerializeToString(), threads=mission.target.threads)
        return model, steps, compare(original, running(session), pictures, names)
    except CannotRun as error:
        raise UsageError(
            f"{name_of(source)} cannot run on the mission's picture",
            expected=f"a network for pictures {list(shape)}",
            found=str(error),
            remedy="correct model.input in the mission, or export the network again",
        ) from error


def frames_to_split(mission: Mission) -> Split:
    """Frames held back, and those that may be calibrated on, by quotas of conditions; both sorted
    by name, and no group is in both.
    """
    everything = frames_of(mission)
    asked = mission.calibration
    parts = split(
        everything, calibrate=asked.frames, hold_back=asked.held_back, seed=mission.data.seed
    )
    held_back = {frame.group for frame in parts.held_back}
    rest = [frame for frame in everything if frame.group not in held_back]
    offered = in_quotas(rest, seed=mission.data.seed)[: asked.frames]
    return Split(tuple(sorted(offered, key=lambda frame: frame.name)), parts.held_back)


def probes(mission: Mission, frames: Split) -> list[Floats]:
    """Pictures on which passes and parity are proved: two road frames and one of noise."""
    camera = mission.camera
    noise = np.random.default_rng(0).integers(
        0, 256, (camera.height_px, camera.width_px, 3), dtype=np.uint8
    )
    images = [frames.calibration[0].read(), frames.held_back[0].read(), noise]
    return [preprocess(image, mission.model.preprocess_spec)[0] for image in images]


def _quantized(
    mission: Mission, floating: ModelProto, ranges: Ranges, frames: Split, progress: Progress
) -> tuple[dict[str, ModelProto], Placement, Mixed | None]:
    """Every graph by name, where INT8 went, and how that was chosen where it was searched."""
    asked, threads = mission.precision, mission.target.threads
    if asked.search == "none":
        placement = place(floating)
        int8 = quantize_int8(floating, placement, ranges.tensors)
        cpu = quantize_cpu(floating, placement, ranges.tensors)
        return {FLOAT: floating, INT8: int8, CPU: cpu}, placement, None
    searched = spread(frames.calibration, asked.search_frames)
    others = [frame for frame in frames.calibration if frame not in searched] or searched
    spec = mission.model.preprocess_spec
    pictures = [
        [preprocess(frame.read(), spec)[0] for frame in part]
        for part in (searched, spread(others, asked.search_frames))
    ]
    judge = Judge(floating, pictures[0], damage_measure(mission), threads=threads)
    mixed = choose(
        floating,
        ranges.tensors,
        judge,
        pictures[1],
        macs_int8_min=asked.macs_int8_min,
        damage_max=asked.damage_max,
        threads=threads,
        progress=progress,
    )
    cpu = better_bias(
        floating,
        lambda graph: quantize_cpu(graph, mixed.placement, ranges.tensors),
        mixed.placement,
        judge,
        pictures[1],
        threads=threads,
    ).quantized
    return {FLOAT: floating, INT8: mixed.quantized, CPU: cpu}, mixed.placement, mixed


def _strong(
    mission: Mission,
    int8: ModelProto,
    ranges: Ranges,
    networks: Mapping[str, Network],
    pictures: list[Floats],
) -> tuple[ModelProto, Agreement]:
    """The strongly typed form of int8.onnx, and whether it computes the same."""
    strong = to_strong(int8, magnitudes={name: one.amax for name, one in ranges.tensors.items()})
    session = ModelSession(strong.SerializeToString(), threads=mission.target.threads)
    lowered = {"strong": running(session)}
    (agreement,) = agreements(networks, lowered, pictures, output_names(mission))
    return strong, agreement


def demand_something(placement: Placement, mission: Mission) -> None:
    if not placement.pairs:
        why = "; ".join(f"{left.node}: {left.why}" for left in placement.left_float[:3])
        raise UsageError(
            f"nothing in the network of {mission.name} can be quantized",
            expected="at least one Conv, ConvTranspose, Gemm or MatMul with a constant weight",
            found=why or "no such operator",
            remedy="give a network with convolutions, or run it in float",
        )


def check_out(out: Path) -> None:
    """Refuses a folder that cannot be written, before the long work."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"cannot write to {out}",
            expected="a folder, or the name of a new one",
            found=f"{there} is {'not writable' if there.is_dir() else 'a file'}",
            remedy="choose another folder: --out DIR",
        )


def _json(schema: str, payload: Mapping[str, object]) -> bytes:
    text = json.dumps({"schema": schema, **payload}, indent=1, allow_nan=False)
    return (text + "\n").encode()


def _publish(out: Path, files: Mapping[str, bytes]) -> None:
    """Writes every file beside its place, then moves all of them there, the last one last."""
    with contextlib.ExitStack() as moves:
        # The stack unwinds backwards, so what is to move last is entered first.
        for name, data in reversed(list(files.items())):
            moves.enter_context(replacing(out / name)).write_bytes(data)
