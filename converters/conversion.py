"""The stages of one conversion, in order: what each does, and everything that its result follows
from. What is not named there and changes would not be noticed.

Writes nothing but its stages' results. Never decides what a failed gate means to the shell.
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

from calibration.calibrate import Taken, calibrate
from calibration.evaluation.data import Chosen
from calibration.observation import NAME as OBSERVATION
from calibration.ranges import NAME as RANGES
from calibration.ranges import SCHEMA as RANGES_SCHEMA
from calibration.ranges import Ranges, ranges_of
from calibration.reuse import reuse
from calibration.sessions import ModelSession
from converters.accuracy import NOT_ASKED, Accuracy, accuracy, labelled
from converters.agreement import CPU, FLOAT, INT8, KERNELS, Judgement, judge
from converters.context import context_of
from converters.finetuning.tuned import Tuned
from converters.floating import Floating, probes, to_float
from converters.gates import Measured, judge_gates
from converters.inputs import (
    Inputs,
    frame_facts,
    source_facts,
)
from converters.latency import Latency, machine, measure_latency
from converters.lowerings.batch import profiles_of
from converters.lowerings.cpu_places import cpu_tensors
from converters.lowerings.dla import DlaCut
from converters.lowerings.kept import kept_limits
from converters.lowerings.lower import Quantization, lower
from converters.lowerings.proof import Agreement
from converters.page.pictures import pictures_of
from converters.page.render import render
from converters.page.tables import worst_names
from converters.parity import running
from converters.placement import Placement, place
from converters.quantized import Quantized, quantize
from converters.report import SCHEMA, TIMES, Artifact, Report
from converters.sources import picture_shape
from converters.stages import Made, Stage, Stages
from edge.contract.artifact import digest_file, json_file
from edge.contract.mission import Mission
from edge.contract.mission_facts import section_facts
from edge.contract.model_digest import contract_digest
from edge.engine.trtexec import PAGE as TRTEXEC_PAGE
from edge.engine.trtexec import SCRIPT as TRTEXEC_SCRIPT
from edge.engine.trtexec import commands, page, script

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: unknown)."""

PAGE, REPORT = "report.html", "report.json"


@dataclass(frozen=True)
class _Calibrated:
    """How the ranges came about, beside ranges.json itself."""

    sampling: dict[str, Any]
    left_out: dict[str, str]


@dataclass(frozen=True)
class _Lowered:
    """Further forms of int8.onnx."""

    agreements: tuple[Agreement, ...]
    cut: DlaCut | None


@dataclass(frozen=True)
class _Rendered:
    """When a page was made, and the stages up to then."""

    finished: str
    stages: tuple[Stage, ...]


class Conversion:
    """One conversion. Every stage names all that its result follows from: what is not named and
    changes would not be noticed."""

    def __init__(
        self, mission: Mission, inputs: Inputs, stages: Stages, progress: Progress
    ) -> None:
        self._mission = mission
        self._inputs = inputs
        self._stages = stages
        self._progress = progress
        self._threads = mission.target.threads
        self._contract = contract_digest(mission)

    def run(self, ranges_file: Path | None, tuned: Tuned | None) -> tuple[Report, dict[str, bytes]]:
        """The report, and every file by name, the report last."""
        mission = self._mission
        source, frames = self._inputs.source, self._inputs.frames
        judged_on = labelled(mission, {frame.name for frame in frames.held_back})
        floated = self._float()
        floating = ModelProto.FromString(floated.files[FLOAT])
        observed = self._observe(floating, floated, ranges_file)
        ranges = ranges_of(json.loads(observed.files[RANGES]), source=RANGES)
        quantized = self._quantize(floating, floated, ranges, observed, tuned=tuned)
        files = {FLOAT: floated.files[FLOAT], **quantized.files, RANGES: observed.files[RANGES]}
        lowered = self._lower(files, ranges, quantized.facts.placement)
        judged = self._judge(files)
        accurate = self._accuracy(files, judged_on)
        timed = self._time(files)
        files = {**files, **lowered.files}
        judgement = judged.facts
        measured = Measured(
            parity_max_abs=floated.facts.parity.max_abs,
            found=judgement.found,
            condition=judgement.condition,
            classifies=mission.model.decode.kind == "classify",
            size_mb=len(files[INT8]) / 1e6,
            held_back=judgement.frames,
            macs_int8_share=quantized.facts.placement.macs_int8_share,
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
            contract=self._contract,
            source=source,
            source_nodes=floated.facts.source_nodes,
            opset=mission.precision.opset,
            artifacts={name: _artifact(name, data) for name, data in files.items()},
            passes=floated.facts.steps,
            balance=floated.facts.balance,
            placement=quantized.facts.placement,
            search=quantized.facts.search,
            ranges=ranges.tensors,
            method=ranges.method,
            percentile=ranges.percentile,
            data={"calibration": ranges.data, "held_back": self._inputs.held_back_data},
            calibration_frames=ranges.frames,
            sampling={**observed.facts.sampling, "left_out": observed.facts.left_out},
            held_back_frames=tuple(frame.name for frame in frames.held_back),
            source_to_float=floated.facts.parity,
            judgement=judgement,
            accuracy=accurate,
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
            stages=tuple(self._stages.watch.stages),
            finished=datetime.now(timezone.utc),
        )
        return self._report(report, files)

    def _float(self) -> Made[Floating]:
        mission, source, frames = self._mission, self._inputs.source, self._inputs.frames

        def work(_: Path) -> tuple[Floating, dict[str, bytes]]:
            self._progress("float.onnx", 0, 0)
            model, facts = to_float(source, mission, frames, progress=self._progress)
            return facts, {FLOAT: model.SerializeToString()}

        uses = {
            "source": source_facts(source),
            "contract": self._contract,
            "frames": self._inputs.calibration,
            "opset": mission.precision.opset,
            "search": mission.precision.search,
            "asked": section_facts(mission, "calibration", "model"),
            "threads": self._threads,
            "probes": self._probes(),
        }
        return self._stages.run("float", Floating, uses, work)

    def _observe(
        self,
        floating: ModelProto,
        floated: Made[Floating],
        ranges_file: Path | None,
    ) -> Made[_Calibrated]:
        mission = self._mission
        tensors = cpu_tensors(floating, place(floating))

        def work(begun: Path) -> tuple[_Calibrated, dict[str, bytes]]:
            taken: Taken
            given = (floating, tensors, self._inputs.frames.calibration, mission)
            if ranges_file is None:
                state = begun / OBSERVATION
                taken = calibrate(*given, progress=self._progress, state=state)
            else:
                taken = reuse(ranges_file, *given, progress=self._progress)
            facts = _Calibrated(taken.sampling.to_json(), taken.left_out)
            return facts, {RANGES: json_file(RANGES_SCHEMA, taken.ranges.to_json())}

        uses = {
            "float": _digests(floated.files),
            "frames": self._inputs.calibration,
            "asked": section_facts(mission, "calibration"),
            "seed": mission.data.seed,
            "contract": self._contract,
            "threads": self._threads,
            "ranges": None if ranges_file is None else digest_file(ranges_file),
        }
        return self._stages.run("observe", _Calibrated, uses, work)

    def _quantize(
        self,
        floating: ModelProto,
        floated: Made[Floating],
        ranges: Ranges,
        observed: Made[_Calibrated],
        *,
        tuned: Tuned | None,
    ) -> Made[Quantized]:
        mission = self._mission

        def work(begun: Path) -> tuple[Quantized, dict[str, bytes]]:
            models, facts = quantize(
                mission,
                floating,
                ranges.tensors,
                self._inputs.frames.calibration,
                progress=self._progress,
                tuned=tuned,
                begun=begun,
            )
            return facts, {name: model.SerializeToString() for name, model in models.items()}

        uses = {
            "files": _digests({**floated.files, **observed.files}),
            "frames": self._inputs.calibration,
            "asked": section_facts(mission, "precision", "model"),
            "threads": self._threads,
            "tuned": None if tuned is None else tuned.digests,
        }
        return self._stages.run("quantize", Quantized, uses, work)

    def _lower(
        self, files: Mapping[str, bytes], ranges: Ranges, placement: Placement
    ) -> Made[_Lowered]:
        mission, frames = self._mission, self._inputs.frames
        floating, int8 = (ModelProto.FromString(files[name]) for name in (FLOAT, INT8))

        def work(_: Path) -> tuple[_Lowered, dict[str, bytes]]:
            lowered = lower(
                Quantization(floating, int8, placement),
                probes(mission, frames),
                replace(
                    frames,
                    calibration=tuple(
                        frame for frame in frames.calibration if frame.name in ranges.frames
                    ),
                ),
                mission,
                progress=self._progress,
            )
            return _Lowered(lowered.agreements, lowered.cut), lowered.files

        uses = {
            "files": _digests(files),
            "contract": self._contract,
            "frames": [self._inputs.calibration, self._inputs.held_back],
            "asked": section_facts(mission, "calibration", "model"),
            "limits": kept_limits(mission),
            "batch": mission.model.input.batch,
            "dla": mission.target.dla,
            "threads": self._threads,
            "probes": self._probes(),
        }
        return self._stages.run("lower", _Lowered, uses, work)

    def _judge(self, files: Mapping[str, bytes]) -> Made[Judgement]:
        mission = self._mission

        def work(_: Path) -> tuple[Judgement, dict[str, bytes]]:
            networks = {
                name: running(ModelSession(files[name], threads=self._threads, kernels=kernels))
                for name, kernels in KERNELS.items()
            }
            return judge(
                networks, self._inputs.frames.held_back, mission, progress=self._progress
            ), {}

        return self._stages.run("judge", Judgement, self._on_held_back(files), work)

    def _accuracy(self, files: Mapping[str, bytes], chosen: Chosen | str | None) -> Accuracy:
        """Not stored: what labelled data holds is not digested before it is read."""
        if chosen is None:
            return NOT_ASKED
        with self._stages.watch.stage("accuracy"):
            return accuracy(self._mission, files, chosen, progress=self._progress)

    def _time(self, files: Mapping[str, bytes]) -> Made[Latency]:
        mission = self._mission
        timed = {name: files[name] for name in (FLOAT, CPU)}

        def work(_: Path) -> tuple[Latency, dict[str, bytes]]:
            found = measure_latency(
                timed, self._inputs.frames.held_back, mission, progress=self._progress
            )
            return found, {}

        uses = {**self._on_held_back(timed), "machine": machine()}
        return self._stages.run("time", Latency, uses, work)

    def _report(
        self, report: Report, files: Mapping[str, bytes]
    ) -> tuple[Report, dict[str, bytes]]:
        """The report as it was first made of these very facts, its page, and all files."""

        def work(_: Path) -> tuple[_Rendered, dict[str, bytes]]:
            self._progress("report.html", 0, 0)
            document = report.to_json()
            page = render(
                document, pictures_of(self._inputs.frames.held_back, worst_names(document))
            )
            finished = report.finished.isoformat()
            return _Rendered(finished, report.stages), {PAGE: page}

        says = report.payload()
        timeless = {key: says[key] for key in says if key not in TIMES}
        uses = {"says": timeless, "latency": says["latency"]}
        rendered = self._stages.run("report", _Rendered, uses, work)
        first = replace(
            report,
            finished=datetime.fromisoformat(rendered.facts.finished),
            stages=rendered.facts.stages,
        )
        return first, {**files, **rendered.files, REPORT: json_file(SCHEMA, first.payload())}

    def _probes(self) -> dict[str, Any]:
        """What `probes` makes its pictures of."""
        camera = self._mission.camera
        return {
            "frames": frame_facts(
                [self._inputs.frames.calibration[0], self._inputs.frames.held_back[0]]
            ),
            "noise_px": [camera.width_px, camera.height_px],
        }

    def _on_held_back(self, files: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "files": _digests(files),
            "frames": self._inputs.held_back,
            "asked": section_facts(self._mission, "model"),
            "threads": self._threads,
        }


def _open_shapes(model: ModelProto, mission: Mission) -> dict[str, Sequence[int]]:
    """The mission's picture for every input of the graph that leaves its size open."""
    return {
        value.name: picture_shape(mission)
        for value in model.graph.input
        if not all(size.dim_value for size in value.type.tensor_type.shape.dim)
    }


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(data).hexdigest() for name, data in files.items()}


def _artifact(name: str, data: bytes) -> Artifact:
    nodes = len(ModelProto.FromString(data).graph.node) if name.endswith(".onnx") else None
    return Artifact(sha256=sha256(data).hexdigest(), size=len(data), nodes=nodes)
