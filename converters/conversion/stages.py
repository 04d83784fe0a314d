"""The stages of one conversion: the work of each, and the inputs that its cache key is made of.

Takes the mission, the inputs and results of earlier stages; returns each stage's result from the
cache or from its work. Anything missing from the key (`uses`) does not invalidate the cache. The
order in which stages run is in `pipeline.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from onnx import ModelProto

from calibration.evaluation.data.evaluation_set import EvaluationSet
from calibration.inference.sessions import ModelSession
from calibration.observation.observation import NAME as OBSERVATION
from calibration.ranges.calibrate import CalibrationResult, calibrate
from calibration.ranges.ranges import NAME as RANGES
from calibration.ranges.ranges import SCHEMA as RANGES_SCHEMA
from calibration.ranges.ranges import Ranges
from calibration.ranges.reuse import reuse
from converters.conversion.float_stage import FloatFacts, probes, to_float
from converters.conversion.input_digests import Inputs, frame_facts, source_facts
from converters.conversion.int8_stage import QuantizationFacts, quantize
from converters.conversion.stage_runner import StageResult, StageRunner
from converters.conversion.tuned_weights import Tuned
from converters.lowerings.cpu_placement import cpu_tensors
from converters.lowerings.dla import DlaCut
from converters.lowerings.lower import Quantization, lower
from converters.quantization.placement import QdqPlacement, place
from converters.report.changes import Since
from converters.report.page.render import render
from converters.report.page.tables import worst_names
from converters.report.page.worst_frames import pictures_of
from converters.report.report import PAGE, REPORT, TIMES, Report
from converters.report.stage_times import Stage
from converters.sources.network import running
from converters.verification.agreement.judge import KERNELS, Judgement, judge
from converters.verification.agreement.shares import agreement_limits
from converters.verification.calibration_profile import calibration_profile
from converters.verification.clip_stops import NO_CLIPS, stops_on_clips
from converters.verification.equivalence.verdict import Equivalence
from converters.verification.labelled_accuracy import NOT_ASKED, Accuracy, accuracy
from converters.verification.latency import Latency, machine, measure_latency
from edge.contract.artifact import digest_file, json_file
from edge.contract.artifact_names import CPU, FLOAT, INT8
from edge.contract.conversion_output import REPORT_SCHEMA
from edge.contract.mission.digest import contract_digest
from edge.contract.mission.facts import section_facts
from edge.contract.mission.schema import Mission
from edge.progress import Advance


@dataclass(frozen=True)
class ObservationFacts:
    """Which frames the ranges were observed on, and which were left out."""

    sampling: dict[str, Any]
    left_out: dict[str, str]


@dataclass(frozen=True)
class LoweringFacts:
    """Further forms of int8.onnx."""

    equivalences: tuple[Equivalence, ...]
    cut: DlaCut | None


@dataclass(frozen=True)
class StopFacts:
    """What the policy does on labelled clips, see `converters.verification.clip_stops`."""

    found: dict[str, Any]


@dataclass(frozen=True)
class ProfileFacts:
    """What the report says of the profile, see `converters.verification.calibration_profile`."""

    found: dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """When a page was rendered, the stages so far, and the changes since the last conversion."""

    finished: str
    stages: tuple[Stage, ...]
    since: Since | None


class ConversionStages:
    """The stages of one conversion, each in terms of the results of those before it."""

    def __init__(
        self, mission: Mission, inputs: Inputs, stages: StageRunner, progress: Advance
    ) -> None:
        self._mission = mission
        self._inputs = inputs
        self._stages = stages
        self._progress = progress
        self._threads = mission.target.threads
        self._contract = contract_digest(mission.model)

    def make_float(self) -> StageResult[FloatFacts]:
        """float.onnx of the source."""
        mission, source, frames = self._mission, self._inputs.source, self._inputs.frames

        def work(_: Path) -> tuple[FloatFacts, dict[str, bytes]]:
            self._progress(FLOAT, 0, 0)
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
        return self._stages.run("float", FloatFacts, uses, work)

    def observe(
        self,
        floating: ModelProto,
        floated: StageResult[FloatFacts],
        ranges_file: Path | None,
    ) -> StageResult[ObservationFacts]:
        """ranges.json: observed on calibration frames, or reused from `ranges_file`."""
        mission = self._mission
        tensors = cpu_tensors(floating, place(floating))

        def work(begun: Path) -> tuple[ObservationFacts, dict[str, bytes]]:
            taken: CalibrationResult
            given = (floating, tensors, self._inputs.frames.calibration, mission)
            if ranges_file is None:
                state = begun / OBSERVATION
                taken = calibrate(*given, progress=self._progress, state=state)
            else:
                taken = reuse(ranges_file, *given, progress=self._progress)
            facts = ObservationFacts(taken.sampling.to_json(), taken.left_out)
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
        return self._stages.run("observe", ObservationFacts, uses, work)

    def quantize(
        self,
        floating: ModelProto,
        floated: StageResult[FloatFacts],
        ranges: Ranges,
        observed: StageResult[ObservationFacts],
        *,
        tuned: Tuned | None,
    ) -> StageResult[QuantizationFacts]:
        """int8.onnx and cpu.onnx."""
        mission = self._mission

        def work(begun: Path) -> tuple[QuantizationFacts, dict[str, bytes]]:
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
            "limits": None
            if mission.precision.search == "none"
            else agreement_limits(mission.gates),
            "threads": self._threads,
            "tuned": None if tuned is None else tuned.digests,
        }
        return self._stages.run("quantize", QuantizationFacts, uses, work)

    def lower(
        self, files: Mapping[str, bytes], ranges: Ranges, placement: QdqPlacement
    ) -> StageResult[LoweringFacts]:
        """Further forms of int8.onnx."""
        mission, frames = self._mission, self._inputs.frames
        floating, int8 = (ModelProto.FromString(files[name]) for name in (FLOAT, INT8))

        def work(_: Path) -> tuple[LoweringFacts, dict[str, bytes]]:
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
            return LoweringFacts(lowered.equivalences, lowered.cut), lowered.files

        uses = {
            "files": _digests(files),
            "contract": self._contract,
            "frames": [self._inputs.calibration, self._inputs.held_back],
            "asked": section_facts(mission, "calibration", "model"),
            "limits": agreement_limits(mission.gates),
            "batch": mission.model.input.batch,
            "dla": mission.target.dla,
            "threads": self._threads,
            "probes": self._probes(),
        }
        return self._stages.run("lower", LoweringFacts, uses, work)

    def judge(self, files: Mapping[str, bytes]) -> StageResult[Judgement]:
        """Agreement of the quantized networks with float.onnx on held-back frames."""
        mission = self._mission

        def work(_: Path) -> tuple[Judgement, dict[str, bytes]]:
            networks = {
                name: running(ModelSession(files[name], threads=self._threads, kernels=kernels))
                for name, kernels in KERNELS.items()
            }
            return judge(
                networks, self._inputs.frames.held_back, mission.model, progress=self._progress
            ), {}

        return self._stages.run("judge", Judgement, self._on_held_back(files), work)

    def measure_accuracy(
        self, files: Mapping[str, bytes], chosen: EvaluationSet | str | None
    ) -> Accuracy:
        """All networks against labels.

        Not cached: the content of labelled data has no digest before it is read.
        """
        if chosen is None:
            return NOT_ASKED
        with self._stages.watch.stage("accuracy"):
            return accuracy(self._mission, files, chosen, progress=self._progress)

    def count_stops(self, files: Mapping[str, bytes]) -> Mapping[str, Any]:
        """The policy's stops on labelled clips with each network, where the mission names any."""
        mission = self._mission
        if not mission.data.clips:
            return NO_CLIPS

        def work(_: Path) -> tuple[StopFacts, dict[str, bytes]]:
            networks = {
                name: running(ModelSession(files[name], threads=self._threads, kernels=kernels))
                for name, kernels in KERNELS.items()
            }
            return StopFacts(stops_on_clips(networks, mission, progress=self._progress)), {}

        clips = [one for clip in mission.data.clips for one in (clip.video, clip.truth) if one]
        uses = {
            "files": _digests({name: files[name] for name in KERNELS}),
            "clips": [clip.model_dump(exclude={"video", "truth"}) for clip in mission.data.clips],
            "clip_files": [digest_file(path) for path in clips],
            "asked": section_facts(mission, "model", "policy", "camera", "budget", "link"),
            "threads": self._threads,
        }
        return self._stages.run("stops", StopFacts, uses, work).facts.found

    def measure_latency(self, files: Mapping[str, bytes]) -> StageResult[Latency]:
        """Latency of float.onnx and cpu.onnx on this machine."""
        mission = self._mission
        timed = {name: files[name] for name in (FLOAT, CPU)}

        def work(_: Path) -> tuple[Latency, dict[str, bytes]]:
            found = measure_latency(
                timed, self._inputs.frames.held_back, mission, progress=self._progress
            )
            return found, {}

        uses = {**self._on_held_back(timed), "machine": machine()}
        return self._stages.run("time", Latency, uses, work)

    def make_profile(self, files: Mapping[str, bytes]) -> StageResult[ProfileFacts]:
        """profile.json: what frames of the calibrated kind look like to float.onnx and cpu.onnx."""
        run = {name: files[name] for name in (FLOAT, CPU)}

        def work(_: Path) -> tuple[ProfileFacts, dict[str, bytes]]:
            networks = {
                name: running(ModelSession(data, threads=self._threads, kernels=KERNELS[name]))
                for name, data in run.items()
            }
            found, made = calibration_profile(
                networks, self._inputs.frames, self._mission.model, progress=self._progress
            )
            return ProfileFacts(found), made

        uses = {**self._on_held_back(run), "calibration": self._inputs.calibration}
        return self._stages.run("profile", ProfileFacts, uses, work)

    def write_report(
        self, report: Report, files: Mapping[str, bytes], *, again: bool = False
    ) -> tuple[Report, dict[str, bytes]]:
        """The report, its page, and all files.

        Cached, so that the same facts keep the time of their first report. The comparison with the
        last conversion is not part of the key: where it differs, the page is rendered again, unless
        the conversion is a repetition (`again`).
        """

        def work(_: Path) -> tuple[Rendered, dict[str, bytes]]:
            finished = report.finished.isoformat()
            return Rendered(finished, report.stages, report.since), {PAGE: self._page(report)}

        says = report.payload()
        timeless = {key: says[key] for key in says if key not in TIMES}
        uses = {"says": timeless, "latency": says["latency"]}
        rendered = self._stages.run("report", Rendered, uses, work)
        first = replace(
            report,
            finished=datetime.fromisoformat(rendered.facts.finished),
            stages=rendered.facts.stages,
        )
        if again:
            first = replace(first, since=rendered.facts.since)
        pages = rendered.files
        if rendered.facts.since != first.since:
            pages = {PAGE: self._page(first)}
        return first, {**files, **pages, REPORT: json_file(REPORT_SCHEMA, first.payload())}

    def _page(self, report: Report) -> bytes:
        self._progress("report.html", 0, 0)
        document = report.to_json()
        return render(document, pictures_of(self._inputs.frames.held_back, worst_names(document)))

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


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(data).hexdigest() for name, data in files.items()}
