"""One conversion: runs its stages in order, then judges the gates and fills the report.

Takes the mission and its inputs (network, frames); returns the report and every file as bytes.
What a stage does: `stages.py`. Writing the files: `convert.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import Any

from onnx import ModelProto

from calibration.ranges.ranges import NAME as RANGES
from calibration.ranges.ranges import Ranges, ranges_of
from converters.conversion.float_stage import FloatFacts
from converters.conversion.input_digests import Inputs
from converters.conversion.int8_stage import QuantizationFacts
from converters.conversion.stage_runner import StageResult, StageRunner
from converters.conversion.stages import ConversionStages, LoweringFacts, ObservationFacts
from converters.conversion.tuned_weights import Tuned
from converters.lowerings.dynamic_batch import profiles_of
from converters.quantization.range_scaling import scaled_ranges
from converters.report.changes import Since
from converters.report.context import context_of
from converters.report.int8_shares import int8_shares
from converters.report.report import Artifact, Report
from converters.sources.source import picture_shape
from converters.verification.agreement.judge import Judgement
from converters.verification.gates.result import GateResult
from converters.verification.gates.table import Measurements, judge_gates
from converters.verification.labelled_accuracy import Accuracy, accuracy_frames
from converters.verification.latency import Latency
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.schema import Mission
from edge.engine.trtexec import PAGE as TRTEXEC_PAGE
from edge.engine.trtexec import SCRIPT as TRTEXEC_SCRIPT
from edge.engine.trtexec import Command, commands, page, script
from edge.progress import Advance


@dataclass(frozen=True)
class Results:
    """What the stages made of one conversion's inputs.

    Attributes:
        ranges: as observed, before range scaling.
        files: the networks and ranges.json, by name.
        shares: by file, share of its multiplications in INT8, see `int8_shares`.
        accuracy: of all networks against labels, where a gate asks for it.
        stops: what the policy does on labelled clips, see `converters.verification.clip_stops`.
        profile: of the calibration profile, see `converters.verification.calibration_profile`.
    """

    floated: StageResult[FloatFacts]
    observed: StageResult[ObservationFacts]
    ranges: Ranges
    quantized: QuantizationFacts
    lowered: LoweringFacts
    judgement: Judgement
    accuracy: Accuracy
    stops: Mapping[str, Any]
    latency: Latency
    profile: Mapping[str, Any]
    files: Mapping[str, bytes]
    shares: Mapping[str, float | None]


def run_conversion(
    mission: Mission,
    inputs: Inputs,
    stages: StageRunner,
    *,
    progress: Advance,
    ranges_file: Path | None,
    tuned: Tuned | None,
    since: Callable[[Report], Since | None] | None,
) -> tuple[Report, dict[str, bytes]]:
    """The report, and every file by name, the report last.

    Args:
        since: finds what changed since the last conversion; None where a conversion is repeated,
            whose report stays as it is.
    """
    steps = ConversionStages(mission, inputs, stages, progress)
    results = _run_stages(mission, inputs, steps, ranges_file=ranges_file, tuned=tuned)
    gates = judge_gates(mission.gates, _measured(mission, results), budget=mission.budget)
    trtexec = commands(
        results.files,
        opset=mission.precision.opset,
        shapes=_open_shapes(ModelProto.FromString(results.files[FLOAT]), mission),
        kept_float=[left.node for left in results.quantized.placement.left_float],
    )
    failed = [
        gate.name for gate in gates if gate.passed is False and gate.artifact in (FLOAT, INT8)
    ]
    files = {
        **results.files,
        TRTEXEC_PAGE: page(trtexec, mission=mission.name, failed=failed),
        TRTEXEC_SCRIPT: script(trtexec, mission=mission.name, failed=failed),
    }
    report = _report(mission, inputs, results, files, gates=gates, trtexec=trtexec, tuned=tuned)
    report = replace(report, stages=tuple(stages.watch.stages))
    if since is None:
        return steps.write_report(report, files, again=True)
    return steps.write_report(replace(report, since=since(report)), files)


def _run_stages(
    mission: Mission,
    inputs: Inputs,
    steps: ConversionStages,
    *,
    ranges_file: Path | None,
    tuned: Tuned | None,
) -> Results:
    """Runs every stage in order, each on the results of those before it."""
    labelled_set = accuracy_frames(mission, {frame.name for frame in inputs.frames.held_back})
    floated = steps.make_float()
    floating = ModelProto.FromString(floated.files[FLOAT])
    observed = steps.observe(floating, floated, ranges_file)
    ranges = ranges_of(json.loads(observed.files[RANGES]), source=RANGES)
    quantized = steps.quantize(floating, floated, ranges, observed, tuned=tuned)
    files = {FLOAT: floated.files[FLOAT], **quantized.files, RANGES: observed.files[RANGES]}
    lowered = steps.lower(files, ranges, quantized.facts.placement)
    judged = steps.judge(files)
    accurate = steps.measure_accuracy(files, labelled_set)
    stops = steps.count_stops(files)
    timed = steps.measure_latency(files)
    profiled = steps.make_profile(files)
    files = {**files, **lowered.files, **profiled.files}
    return Results(
        floated=floated,
        observed=observed,
        ranges=ranges,
        quantized=quantized.facts,
        lowered=lowered.facts,
        judgement=judged.facts,
        accuracy=accurate,
        stops=stops,
        latency=timed.facts,
        profile=profiled.facts.found,
        files=files,
        shares=int8_shares(files, quantized.facts.placement, quantized.facts.in_integers),
    )


def _measured(mission: Mission, results: Results) -> Measurements:
    """What the gates compare with the mission's limits."""
    return Measurements(
        parity_max_abs=results.floated.facts.parity.max_abs,
        found=results.judgement.found,
        condition=results.judgement.condition,
        classifies=mission.model.decode.kind == "classify",
        size_mb=len(results.files[INT8]) / 1e6,
        held_back=results.judgement.frames,
        macs_int8_share={name: results.shares[name] for name in (INT8, CPU)},
        without_int8=results.quantized.placement.no_int8,
        infer_p99_ms=results.latency.stages[CPU]["infer"].p99_ms,
        timed_frames=results.latency.frames,
        backend=results.latency.backend,
        accuracy=results.accuracy,
    )


def _report(
    mission: Mission,
    inputs: Inputs,
    results: Results,
    files: Mapping[str, bytes],
    *,
    gates: tuple[GateResult, ...],
    trtexec: tuple[Command, ...],
    tuned: Tuned | None,
) -> Report:
    """Everything that was read, made and measured; without the stages' times."""
    source, frames = inputs.source, inputs.frames
    floating, quantized, ranges = results.floated.facts, results.quantized, results.ranges
    observed = results.observed.facts
    context = context_of(mission, source, frames, calibrated_on=set(ranges.frames))
    return Report(
        mission=mission.name,
        contract=contract_digest(mission.model),
        source=source,
        source_nodes=floating.source_nodes,
        opset=mission.precision.opset,
        artifacts={
            name: _artifact(name, data, results.shares.get(name)) for name, data in files.items()
        },
        passes=floating.steps,
        balance=floating.balance,
        placement=quantized.placement,
        search=quantized.search,
        range_scale=quantized.range_scale,
        score_bias=quantized.score_bias,
        in_integers=quantized.in_integers,
        ranges=scaled_ranges(ranges.tensors, quantized.range_scale),
        method=ranges.method,
        percentile=ranges.percentile,
        data={"calibration": ranges.data, "held_back": inputs.held_back_data},
        calibration_frames=ranges.frames,
        sampling={**observed.sampling, "left_out": observed.left_out},
        held_back_frames=tuple(frame.name for frame in frames.held_back),
        source_to_float=floating.parity,
        judgement=results.judgement,
        accuracy=results.accuracy,
        stops=results.stops,
        lowerings=results.lowered.equivalences,
        profiles=profiles_of(mission.model.input),
        dla=results.lowered.cut,
        gates=gates,
        trtexec=trtexec,
        latency=results.latency,
        context={
            **context,
            "finetuning": None if tuned is None else dict(tuned.facts),
            "profile": dict(results.profile),
        },
        stages=(),
        finished=datetime.now(timezone.utc),
    )


def _open_shapes(model: ModelProto, mission: Mission) -> dict[str, Sequence[int]]:
    """The mission's picture for every input of the graph that leaves its size open."""
    return {
        value.name: picture_shape(mission.model)
        for value in model.graph.input
        if not all(size.dim_value for size in value.type.tensor_type.shape.dim)
    }


def _artifact(name: str, data: bytes, share: float | None) -> Artifact:
    nodes = len(ModelProto.FromString(data).graph.node) if name.endswith(".onnx") else None
    return Artifact(sha256(data).hexdigest(), len(data), nodes, share)
