"""`report.json`: everything a conversion read, made and measured, as plain values."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from typing import Any

from calibration.ranges.ranges import Range
from converters.graph.passes.pipeline import PassResult
from converters.lowerings.dla import DlaCut
from converters.quantization.placement import QdqPlacement
from converters.report.changes import Since
from converters.report.page.advice import Advice, advice_on
from converters.report.stage_times import Stage, times_to_json
from converters.search.equalization_choice import EqualizationTrial
from converters.search.mixed_precision import Search
from converters.search.score_bias import ScoreBias
from converters.sources.source import OnnxSource, Source
from converters.verification.agreement.judge import Judgement
from converters.verification.equivalence.verdict import Equivalence
from converters.verification.gates.result import GateResult
from converters.verification.labelled_accuracy import Accuracy
from converters.verification.latency import Latency
from converters.verification.parity import Parity
from edge.contract.conversion_output import REPORT_SCHEMA
from edge.contract.gate_count import GateCount
from edge.engine.trtexec import Command

PAGE, REPORT = "report.html", "report.json"
"""Names of the files that show and hold it."""

TIMES = ("finished", "latency", "stages", "seconds", "peak_memory_mb", "since")
"""Keys of times and what they were taken with, and of what ran before: all else is the same for the
same inputs."""

LIBRARIES = ("brakepoint", "numpy", "onnx", "onnxruntime", "torch")


@dataclass(frozen=True)
class Artifact:
    """One written file: sha256 as hex and bytes; of a graph its nodes too, and of a whole network
    the share of its multiplications in INT8 (see `int8_shares.py`)."""

    sha256: str
    size: int
    nodes: int | None = None
    macs_int8_share: float | None = None


@dataclass(frozen=True)
class Report:
    """Everything a conversion found.

    Attributes:
        contract: see `edge.contract.mission.digest.contract_digest`.
        range_scale, score_bias: see `converters.conversion.int8_stage.QuantizationFacts`.
        ranges: as int8.onnx has them.
        source_to_float: parity of the source and float.onnx.
        judgement: the quantized networks on held-back frames.
        accuracy: all networks against labels, where a gate asks for it.
        stops: what the policy does on labelled clips, see `converters.verification.clip_stops`.
        lowerings: further forms of int8.onnx; one that does not agree is not written.
        profiles: by input, the least, usual and largest shape that engines are built for; empty
            where they take one picture.
        dla: where the network was cut for a DLA; None where it was not.
        in_integers: see `converters.conversion.int8_stage.QuantizationFacts`.
        latency: on the machine that converted.
        trtexec: how trtexec builds the files.
        context: see `converters.report.context`.
        finished: when, UTC.
        stages: seconds and the process's peak memory up to the end of each.
        since: what changed since the conversion before; None where none is recorded.
    """

    mission: str
    contract: str
    source: Source
    source_nodes: int | None
    opset: int
    artifacts: Mapping[str, Artifact]
    passes: tuple[PassResult, ...]
    balance: EqualizationTrial | None
    placement: QdqPlacement
    search: Search | None
    range_scale: float
    score_bias: Mapping[str, ScoreBias]
    in_integers: Mapping[str, int]
    ranges: Mapping[str, Range]
    method: str
    percentile: float | None
    data: Mapping[str, str]
    calibration_frames: tuple[str, ...]
    sampling: Mapping[str, Any]
    held_back_frames: tuple[str, ...]
    source_to_float: Parity
    judgement: Judgement
    accuracy: Accuracy
    stops: Mapping[str, Any]
    lowerings: tuple[Equivalence, ...]
    profiles: Mapping[str, Sequence[Sequence[int]]]
    dla: DlaCut | None
    latency: Latency
    trtexec: tuple[Command, ...]
    context: Mapping[str, Any]
    gates: tuple[GateResult, ...]
    stages: tuple[Stage, ...]
    finished: datetime
    since: Since | None = None

    @property
    def gate_count(self) -> GateCount:
        """How many gates there are, and failed."""
        return GateCount.of(gate.passed for gate in self.gates)

    @property
    def passed(self) -> bool:
        """There are gates, and none failed."""
        return self.gate_count.judged > 0 and not self.gate_count.failed

    def payload(self) -> dict[str, Any]:
        """The report as plain values, without its schema."""
        plain = {
            "mission": self.mission,
            "passed": self.passed,
            "finished": self.finished.isoformat(timespec="seconds"),
            "contract": self.contract,
            "source": _source(self.source),
            "opset": self.opset,
            "artifacts": {name: asdict(file) for name, file in self.artifacts.items()},
            "gate_count": asdict(self.gate_count),
            "gates": [asdict(gate) for gate in self.gates],
            **self.context,
            "agreement": self.judgement.to_json(),
            "evaluation": self.judgement.evaluations,
            "accuracy": asdict(self.accuracy),
            "stops": dict(self.stops),
            "latency": asdict(self.latency),
            "parity": self._parities(),
            "nodes": {
                "source": self.source_nodes,
                **{name: file.nodes for name, file in self.artifacts.items() if file.nodes},
            },
            "profiles": {name: [list(one) for one in row] for name, row in self.profiles.items()},
            "dla": None if self.dla is None else asdict(self.dla),
            "lowerings": {one.lowering: one.to_json() for one in self.lowerings},
            "trtexec": [one.to_json() for one in self.trtexec],
            "passes": [asdict(step) for step in self.passes],
            "equalization": None if self.balance is None else self.balance.to_json(),
            "quantized": self._quantized(),
            "search": None if self.search is None else self.search.to_json(),
            "ranges": self._ranges(),
            "calibration": {
                "method": self.method,
                "percentile": self.percentile,
                "data": self.data["calibration"],
                "frames": list(self.calibration_frames),
                "sampling": self.sampling,
            },
            "held_back": {
                "data": self.data["held_back"],
                "frames": list(self.held_back_frames),
            },
            "since": None if self.since is None else asdict(self.since),
            **times_to_json(self.stages),
            "versions": {
                "python": platform.python_version(),
                **{name: metadata.version(name) for name in LIBRARIES},
            },
        }
        told = {key: _finite(value) for key, value in plain.items()}
        return {**told, "advice": [asdict(one) for one in _advice(told)]}

    def _parities(self) -> dict[str, Any]:
        pairs = {"source -> float.onnx": self.source_to_float, **self.judgement.differences}
        return {pair: parity.to_json() for pair, parity in pairs.items()}

    def _quantized(self) -> dict[str, Any]:
        return {
            **self.placement.to_json(),
            "macs_in_integers_on_cpu": dict(self.in_integers),
            "range_scale": self.range_scale,
            "score_bias": {name: asdict(one) for name, one in self.score_bias.items()},
        }

    def _ranges(self) -> list[dict[str, Any]]:
        known = [name for name in self.placement.pairs if name in self.ranges]
        return [{"tensor": name, **asdict(self.ranges[name])} for name in known]

    @property
    def advice(self) -> tuple[Advice, ...]:
        """What to do about failed gates, most useful first."""
        return _advice(self.payload()) if self.gate_count.failed else ()

    def to_json(self) -> dict[str, Any]:
        """The report as plain values, schema first."""
        return {"schema": REPORT_SCHEMA, **self.payload()}


def _advice(told: Mapping[str, Any]) -> tuple[Advice, ...]:
    return advice_on(told, [gate for gate in told["gates"] if gate["passed"] is False])


def _finite(value: Any) -> Any:
    """The same value with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _source(source: Source) -> dict[str, Any]:
    kind = "onnx" if isinstance(source, OnnxSource) else source.kind
    factory = None if isinstance(source, OnnxSource) else source.factory
    return {
        "kind": kind,
        "file": source.path.name if source.path is not None else None,
        "factory": factory,
        "sha256": source.sha256,
    }
