"""Chooses which backend runs a conversion, and the ONNX file or the engine that it runs.

A mission, a conversion's folder and a precision go in; a `ChosenModel` comes out, with the reason
for the choice. `auto` takes the first backend on which the conversion was gated and that is here:
its package, its GPU, an engine found by its sidecar. What is not here is passed over and said; what
is here and wrong is refused. Never builds an engine: a refusal offers the command.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from edge.backends.options import ApprovedPlan
from edge.contract.artifact import digest_file
from edge.contract.conversion_output import Precision, choose_model, judged_report, require_judged
from edge.contract.mission.schema import Mission
from edge.engine.plan.approve import Approval, Runtime, approve_plan
from edge.engine.plan.header import read_header
from edge.engine.plan.presence import NotHere, engines_in, runtime_here
from edge.engine.releases import MODULES, Backend
from edge.perception.decode import output_shapes
from firmware_bridge.errors import GateFailed, Missing, NotTrusted, Refusal, UsageError

INPUT = "images"
"""Name of the input of converted networks."""

ENGINE_BACKENDS: tuple[Backend, ...] = get_args(Backend)
"""The backends that `auto` tries before onnxruntime."""

ONNXRUNTIME, AUTO = "onnxruntime", "auto"


@dataclass(frozen=True)
class ChosenModel:
    """What runs.

    Attributes:
        model: the ONNX file, or the approved plan.
        path, sha256: of that file.
        why: one sentence, for a person.
        passed_over: backend -> why `auto` did not take it.
        engine: of an engine: TensorRT's release, the GPU, the file that it was built from.
        known_faults: what is known to be wrong with such a TensorRT on such a GPU.
    """

    backend: str
    precision: Precision
    model: Path | ApprovedPlan
    path: Path
    sha256: str
    why: str
    passed_over: Mapping[str, str] = field(default_factory=dict)
    engine: Mapping[str, str] | None = None
    known_faults: tuple[str, ...] = ()

    @classmethod
    def onnx_file(cls, path: Path, *, precision: Precision = "float", why: str) -> ChosenModel:
        """An ONNX file, run by onnxruntime. Raises Missing where it cannot be read."""
        return cls(ONNXRUNTIME, precision, path, path, digest_file(path), why)


def choose_backend(
    folder: Path,
    mission: Mission,
    precision: Precision,
    *,
    backend: str | None = None,
    engine: Path | None = None,
) -> ChosenModel:
    """The backend and the model that run the conversion in `folder`.

    Args:
        backend: instead of the mission's.
        engine: this plan, instead of one found in `folder`.

    Raises:
        Missing: no conversion, package or engine.
        NotTrusted, GateFailed, UsageError: as of `require_judged` and `approve_plan`.
        DeviceFault: there is no such GPU.
    """
    judged_report(folder, mission)  # whatever runs: it is of this mission
    search = _Search(folder, mission, precision, engine)
    if engine is not None:
        return search.named(_backend_of(engine, backend), "the engine was named")
    asked = backend or mission.target.backend
    if asked == AUTO:
        return search.first()
    said = "--backend" if backend else "target.backend in the mission"
    return search.named(asked, f"{said} says so")


@dataclass(frozen=True)
class _Search:
    folder: Path
    mission: Mission
    precision: Precision
    engine: Path | None

    def first(self) -> ChosenModel:
        passed: dict[str, str] = {}
        for backend in ENGINE_BACKENDS:
            try:
                return self._engine(backend, f"auto: {_first_words(passed)}", passed)
            except NotHere as absent:
                passed[backend] = str(absent)
        try:
            return self._onnx_file(f"auto: {_first_words(passed)}", passed)
        except (GateFailed, Missing, NotTrusted) as refusal:
            told = [f"{name}: {why}" for name, why in passed.items()]
            raise type(refusal)(
                f"no backend can run this conversion here: {refusal.what}",
                expected=refusal.expected,
                found="; ".join([*told, f"{ONNXRUNTIME}: {refusal.found}"]),
                remedy=refusal.remedy,
            ) from refusal

    def named(self, backend: str, why: str) -> ChosenModel:
        if backend == ONNXRUNTIME:
            return self._onnx_file(why, {})
        for known in ENGINE_BACKENDS:
            if known == backend:
                try:
                    return self._engine(known, why, {})
                except NotHere as absent:
                    raise absent.refusal from None
        raise UsageError(
            f"no backend '{backend}'",
            expected=", ".join((*ENGINE_BACKENDS, ONNXRUNTIME, AUTO)),
            found=backend,
            remedy="correct --backend, or target.backend in the mission",
        )

    def _onnx_file(self, why: str, passed: Mapping[str, str]) -> ChosenModel:
        path = choose_model(self.folder, self.mission, self.precision)
        chosen = ChosenModel.onnx_file(path, precision=self.precision, why=why)
        return replace(chosen, passed_over=passed)

    def _engine(self, backend: Backend, why: str, passed: Mapping[str, str]) -> ChosenModel:
        """Raises NotHere where the backend is to be passed over."""
        try:
            report = require_judged(self.folder, self.mission, backend, self.precision)
        except (GateFailed, NotTrusted, UsageError) as refusal:
            raise NotHere(refusal) from refusal
        here = runtime_here(backend, self.mission.target.gpu)
        path, approval = self._approved(report, here)
        document = approval.sidecar.document
        built_on = approval.sidecar.gpu
        return ChosenModel(
            backend,
            self.precision,
            approval.plan,
            path,
            approval.sidecar.plan_sha256,
            why,
            passed_over=passed,
            engine={
                "tensorrt": f"{MODULES[backend]} {document['release']}",
                "gpu": here.gpu.words if built_on is None else built_on.words,
                "built_from": str(document["model"]["file"]),
            },
            known_faults=approval.known_faults,
        )

    def _approved(self, report: Mapping[str, Any], here: Runtime) -> tuple[Path, Approval]:
        """The one engine that fits. Raises NotHere where there is none at all."""
        candidates = [self.engine] if self.engine else list(engines_in(self.folder, here.backend))
        if not candidates:
            raise NotHere(self._no_engine(here))
        fitting: list[tuple[Path, Approval]] = []
        refusals: list[Refusal] = []
        for path in candidates:
            try:
                fitting.append((path, self._approve(path, report, here)))
            except Refusal as refusal:
                refusals.append(refusal)
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise UsageError(
                f"{self.folder} has several engines that fit",
                expected="one, or one that is named",
                found=", ".join(path.name for path, _ in fitting),
                remedy=f"name one: --engine {shlex.quote(str(fitting[0][0]))}",
            )
        if len(refusals) == 1:
            raise refusals[0]
        raise type(refusals[0])(
            f"none of the {len(refusals)} engines in {self.folder} can be run here",
            expected=refusals[0].expected,
            found="; ".join(refusal.what for refusal in refusals),
            remedy=refusals[0].remedy,
        )

    def _approve(self, path: Path, report: Mapping[str, Any], here: Runtime) -> Approval:
        size = self.mission.model.input
        return approve_plan(
            path,
            report,
            here=here,
            inputs={INPUT: (1, 3, size.height_px, size.width_px)},
            outputs=output_shapes(self.mission.model.network_spec, size.width_px, size.height_px),
            build=self._build_command(here, path),
        )

    def _no_engine(self, here: Runtime) -> Missing:
        return Missing(
            f"no engine for {here.backend} in {self.folder}",
            expected="an engine with its sidecar (FILE and FILE.json), built from this conversion",
            found="none",
            remedy="build one: "
            + self._build_command(here, self.folder / f"{self.mission.name}.plan")
            + "; or name one that is elsewhere: --engine FILE",
        )

    def _build_command(self, here: Runtime, out: Path) -> str:
        parts = ["brakepoint", "engine", "build", str(self.folder), "--out", str(out)]
        if here.backend == "rtx":
            parts += ["--backend", "rtx", "--sm", str(here.gpu.sm)]
        elif self.mission.target.gpu:
            parts += ["--gpu", str(self.mission.target.gpu)]
        return shlex.join(parts)


def _first_words(passed: Mapping[str, str]) -> str:
    """Why the next backend is the first: "the first that is here (tensorrt: no GPU)"."""
    told = "; ".join(f"{name}: {why}" for name, why in passed.items())
    return f"the first that is here ({told})" if told else "the first that is here"


def _backend_of(engine: Path, asked: str | None) -> Backend:
    found = read_header(engine).backend
    if asked not in (None, AUTO, found):
        raise UsageError(
            f"{engine} is an engine for another backend",
            expected=f"an engine for {asked}"
            if asked in ENGINE_BACKENDS
            else f"no --engine: {asked} runs ONNX files",
            found=f"an engine of {MODULES[found]}",
            remedy=f"--backend {found}, or leave --engine out",
        )
    return found
