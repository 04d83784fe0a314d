"""One conversion: its stages in order, then the gates and the report on all that they found.

What a stage does is in `conversion_stages.py`; writing the files is in `chain.py`. Never decides
what a failed gate means to the shell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path

from onnx import ModelProto

from calibration.ranges.ranges import NAME as RANGES
from calibration.ranges.ranges import ranges_of
from converters.conversion.input_digests import Inputs
from converters.conversion.stage_runner import Stages
from converters.conversion.stages import ConversionStages
from converters.conversion.tuned_weights import Tuned
from converters.lowerings.dynamic_batch import profiles_of
from converters.quantization.range_scaling import scaled_ranges
from converters.report.changes import Since
from converters.report.context import context_of
from converters.report.int8_shares import int8_shares
from converters.report.report import Artifact, Report
from converters.sources.source import picture_shape
from converters.verification.gates.table import Measured, judge_gates
from converters.verification.labelled_accuracy import labelled
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.schema import Mission
from edge.engine.trtexec import PAGE as TRTEXEC_PAGE
from edge.engine.trtexec import SCRIPT as TRTEXEC_SCRIPT
from edge.engine.trtexec import commands, page, script
from edge.progress import Advance


def run_conversion(
    mission: Mission,
    inputs: Inputs,
    stages: Stages,
    *,
    progress: Advance,
    ranges_file: Path | None,
    tuned: Tuned | None,
    since: Callable[[Report], Since | None] | None,
) -> tuple[Report, dict[str, bytes]]:
    """The report, and every file by name, the report last.

    Args:
        since: tells what changed; None where a conversion is repeated, whose report stays as it is.
    """
    steps = ConversionStages(mission, inputs, stages, progress)
    source, frames = inputs.source, inputs.frames
    judged_on = labelled(mission, {frame.name for frame in frames.held_back})
    floated = steps.floating()
    floating = ModelProto.FromString(floated.files[FLOAT])
    observed = steps.observed(floating, floated, ranges_file)
    ranges = ranges_of(json.loads(observed.files[RANGES]), source=RANGES)
    quantized = steps.quantized(floating, floated, ranges, observed, tuned=tuned)
    files = {FLOAT: floated.files[FLOAT], **quantized.files, RANGES: observed.files[RANGES]}
    lowered = steps.lowered(files, ranges, quantized.facts.placement)
    judged = steps.judged(files)
    accurate = steps.accurate(files, judged_on)
    stopped = steps.stopped(files)
    timed = steps.timed(files)
    files = {**files, **lowered.files}
    judgement = judged.facts
    shares = int8_shares(files, quantized.facts.placement, quantized.facts.in_integers)
    measured = Measured(
        parity_max_abs=floated.facts.parity.max_abs,
        found=judgement.found,
        condition=judgement.condition,
        classifies=mission.model.decode.kind == "classify",
        size_mb=len(files[INT8]) / 1e6,
        held_back=judgement.frames,
        macs_int8_share={name: shares[name] for name in (INT8, CPU)},
        without_int8=quantized.facts.placement.no_int8,
        infer_p99_ms=timed.facts.stages[CPU]["infer"].p99_ms,
        timed_frames=timed.facts.frames,
        backend=timed.facts.backend,
        accuracy=accurate,
    )
    gates = judge_gates(mission.gates, measured, budget=mission.budget)
    trtexec = commands(
        files,
        opset=mission.precision.opset,
        shapes=_open_shapes(floating, mission),
        kept_float=[left.node for left in quantized.facts.placement.left_float],
    )
    failed = [
        gate.name for gate in gates if gate.passed is False and gate.artifact in (FLOAT, INT8)
    ]
    files |= {
        TRTEXEC_PAGE: page(trtexec, mission=mission.name, failed=failed),
        TRTEXEC_SCRIPT: script(trtexec, mission=mission.name, failed=failed),
    }
    report = Report(
        mission=mission.name,
        contract=contract_digest(mission),
        source=source,
        source_nodes=floated.facts.source_nodes,
        opset=mission.precision.opset,
        artifacts={name: _artifact(name, data, shares.get(name)) for name, data in files.items()},
        passes=floated.facts.steps,
        balance=floated.facts.balance,
        placement=quantized.facts.placement,
        search=quantized.facts.search,
        range_scale=quantized.facts.range_scale,
        score_bias=quantized.facts.score_bias,
        in_integers=quantized.facts.in_integers,
        ranges=scaled_ranges(ranges.tensors, quantized.facts.range_scale),
        method=ranges.method,
        percentile=ranges.percentile,
        data={"calibration": ranges.data, "held_back": inputs.held_back_data},
        calibration_frames=ranges.frames,
        sampling={**observed.facts.sampling, "left_out": observed.facts.left_out},
        held_back_frames=tuple(frame.name for frame in frames.held_back),
        source_to_float=floated.facts.parity,
        judgement=judgement,
        accuracy=accurate,
        stops=stopped,
        lowerings=lowered.facts.agreements,
        profiles=profiles_of(mission),
        dla=lowered.facts.cut,
        gates=gates,
        trtexec=trtexec,
        latency=timed.facts,
        context={
            **context_of(mission, source, frames, calibrated_on=set(ranges.frames)),
            "finetuning": None if tuned is None else dict(tuned.facts),
        },
        stages=tuple(stages.watch.stages),
        finished=datetime.now(timezone.utc),
    )
    if since is None:
        return steps.reported(report, files, again=True)
    return steps.reported(replace(report, since=since(report)), files)


def _open_shapes(model: ModelProto, mission: Mission) -> dict[str, Sequence[int]]:
    """The mission's picture for every input of the graph that leaves its size open."""
    return {
        value.name: picture_shape(mission)
        for value in model.graph.input
        if not all(size.dim_value for size in value.type.tensor_type.shape.dim)
    }


def _artifact(name: str, data: bytes, share: float | None) -> Artifact:
    nodes = len(ModelProto.FromString(data).graph.node) if name.endswith(".onnx") else None
    return Artifact(sha256(data).hexdigest(), len(data), nodes, share)
