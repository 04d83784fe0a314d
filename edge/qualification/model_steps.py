"""The steps that prove the model on the device, in order: the table `MODEL_STEPS`.

A `Subject` goes in; outcomes come out. Runs the product's own parts: the builder, the session, the
loop with a microcontroller, and the conformance tests in a process of their own. Writes only into
the subject's work folder.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np

from edge.backends.options import SessionOptions
from edge.backends.table import open_session
from edge.contract.artifact import read_json
from edge.contract.artifact_names import FLOAT, INT8
from edge.contract.conversion_output import judged_file, require_judged
from edge.engine.gpu import present_gpu
from edge.perception.preprocess import preprocess
from edge.qualification.bench.frames import open_frames
from edge.qualification.device_steps import CUDA, TENSORRT
from edge.qualification.engine_steps import (
    build,
    compile_kernel,
    inspect,
    time_against_trtexec,
)
from edge.qualification.golden import FOUND_LEAST, GoldenFrames
from edge.qualification.step import Outcome, Step, failed, left_out, passed
from edge.qualification.subject import Subject
from edge.qualification.vehicle_link import vehicle_link
from edge.runtime.clock import monotonic_ns
from edge.runtime.loop.decision_loop import Turn
from edge.runtime.loop.latency_budget import END_TO_END

WHEELHOUSE_SCHEMA = "brakepoint.wheelhouse/1"

GOLDEN_APART = 8
"""Frames between two golden ones: neighbours of a clip are nearly the same picture."""

NO_ENGINE = "the mission runs on an engine, and there is none"

TESTS_PATIENCE_S = 900


def _installation(subject: Subject) -> Outcome:
    if subject.wheelhouse is None:
        remedy = "name the one that this was installed from: --wheelhouse DIR"
        return left_out("no wheelhouse to compare with", remedy=remedy)
    manifest = read_json(subject.wheelhouse / "manifest.json", WHEELHOUSE_SCHEMA)
    wanted = {str(one["name"]): str(one["version"]) for one in manifest["packages"]}
    wrong = []
    for name, version in wanted.items():
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            here = "not installed"
        if here != version:
            wrong.append(f"{name} {here}, not {version}")
    if wrong:
        return failed("; ".join(wrong[:5]), remedy="install again from the wheelhouse: ./jetson")
    return passed(f"{len(wanted)} packages as in the wheelhouse")


def _conversion(subject: Subject) -> Outcome:
    backend = subject.mission.target.backend
    if subject.lacks_engine:
        require_judged(subject.converted, subject.mission, backend, subject.precision)
        return passed(f"gates hold: an engine for {backend}", figures={"file": INT8})
    model = subject.candidate.model
    return passed(f"gates hold: {subject.candidate.words}", figures={"file": model.path.name})


def _golden(subject: Subject) -> Outcome:
    if subject.lacks_engine:
        return left_out(NO_ENGINE)
    mission = subject.mission
    threads = mission.target.threads
    quantized = subject.precision == "int8"
    names = (FLOAT, INT8 if quantized else FLOAT)
    files = [judged_file(subject.converted, mission, name) for name in names]
    exact, reference = (
        open_session("onnxruntime", file, options=SessionOptions(threads=threads)) for file in files
    )
    frames = subject.frames(subject.golden, apart=GOLDEN_APART)
    golden = GoldenFrames(
        mission.model,
        quantized,
        FOUND_LEAST if mission.gates.found_min is None else mission.gates.found_min,
    )
    session = subject.candidate.open()
    try:
        for number, frame in enumerate(frames):
            subject.progress("golden frames", number, len(frames))
            x, placement = preprocess(frame.image, mission.model.preprocess_spec)
            golden.add(
                frame,
                placement,
                # Outputs are the session's own memory.
                exact=[np.array(one) for one in exact.infer(x)],
                reference=[np.array(one) for one in reference.infer(x)],
                session=session.infer(x),
            )
    finally:
        for opened in (exact, reference, session):
            opened.close()
    if failures := golden.failures():
        return failed(
            "; ".join(failures),
            remedy="do not use it: build the engine again, and report it where it stays so",
            figures=golden.to_json(),
        )
    return passed(golden.words(), figures=golden.to_json())


def _clip(subject: Subject) -> Outcome:
    if subject.lacks_engine:
        return left_out(NO_ENGINE)
    mission = subject.mission

    def on_turn(_turn: Turn, at_s: float) -> None:
        subject.progress("clip, seconds", round(at_s), round(subject.clip_s))

    with vehicle_link(mission, subject.port) as link:
        shown = open_frames(subject.source, mission.camera, monotonic_ns)
        report = subject.candidate.run(shown, link, seconds=subject.clip_s, on_turn=on_turn)
    whole = report.latency[END_TO_END]
    frames, commands = report.frames, report.commands
    found = (
        f"{frames.inferred} of {frames.captured} frames in {report.seconds:.0f} s on "
        f"{report.model.backend}, {commands.acknowledged} of {commands.commands_sent} commands "
        f"acknowledged, end to end {_ms(whole.p50_ms)} ms at the median, {_ms(whole.p99_ms)} at "
        f"the 99th percentile, budget {mission.budget.end_to_end_ms:g}"
    )
    figures = {"run": report.to_json()}
    grave = [fault for fault in report.faults if fault.exit_code]
    if grave:
        return failed(
            f"{found}; {grave[0].kind}: {grave[0].text}", remedy=grave[0].remedy, figures=figures
        )
    advice = "; ".join(f"{fault.kind}: {fault.remedy}" for fault in report.faults[:3])
    return passed(found, advice=advice, figures=figures)


def _tests(subject: Subject) -> Outcome:
    if subject.tests is None:
        return left_out("no tests here", remedy="name a checkout: --tests DIR")
    gpu = present_gpu(subject.device.gpu)
    if gpu is None:
        return left_out("no CUDA device: these tests are about one")
    with tempfile.TemporaryDirectory() as scratch:
        results = Path(scratch) / "results.xml"
        # Nothing is written beside the tests: a wheelhouse is compared with its digests.
        command = [
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "-q",
            "-m",
            "gpu",
            "-p",
            "no:cacheprovider",
        ]
        done = subprocess.run(
            [*command, f"--junitxml={results}", "tests/edge/backends"],
            cwd=subject.tests,
            capture_output=True,
            text=True,
            check=False,
            timeout=TESTS_PATIENCE_S,
        )
        counts = _counts(results)
    if counts is None:
        lines = (done.stdout + done.stderr).strip().splitlines()
        return failed(
            f"the tests did not run: {lines[-1] if lines else f'exit code {done.returncode}'}",
            remedy="install pytest with the wheelhouse, or run them by hand: pytest -m gpu",
        )
    ran = counts["tests"] - counts["skipped"]
    bad = counts["failures"] + counts["errors"]
    if bad:
        return failed(
            f"{bad} of {ran} tests failed",
            remedy=f"in {subject.tests}: pytest -m gpu tests/edge/backends",
            figures=counts,
        )
    if ran == 0:
        return left_out(f"no test ran, {counts['skipped']} were skipped")
    return passed(f"{ran} tests passed, {counts['skipped']} were skipped", figures=counts)


def _counts(results: Path) -> dict[str, int] | None:
    """Numbers of a junit file; None where there is none or no test was found."""
    try:
        suite = next(ET.parse(results).iter("testsuite"))
    except (OSError, ET.ParseError, StopIteration):
        return None
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    return counts if counts["tests"] or counts["errors"] else None


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


CONVERSION, ENGINE = "conversion", "engine"

MODEL_STEPS: tuple[Step[Subject], ...] = (
    Step("installation", (), "compares packages with the wheelhouse's", _installation),
    Step(CONVERSION, (), "looks for the gates of the conversion", _conversion),
    Step("preprocess kernel", (CUDA,), "compiles it for this GPU", compile_kernel),
    Step(ENGINE, (CUDA, TENSORRT, CONVERSION), "builds the engine on this device", build),
    Step("inspector", (ENGINE,), "asks the engine what its layers compute in", inspect),
    Step("golden frames", (CONVERSION,), "compares outputs with int8.onnx", _golden),
    Step("trtexec", (ENGINE,), "times the engine against NVIDIA's tool", time_against_trtexec),
    Step("clip", (CONVERSION,), "runs a clip through the loop to a microcontroller", _clip),
    Step("conformance tests", (), "runs the tests with the marker gpu", _tests),
)
