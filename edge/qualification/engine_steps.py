"""The steps about the engine: its kernel, its build, its layers, its speed beside trtexec's.

A `Subject` goes in; outcomes come out. Writes only into the subject's work folder.
"""

from __future__ import annotations

import contextlib
import time

from edge.backends.cuda.nvrtc import choose_compiler, find_compilers, in_words
from edge.backends.cuda.preprocess_kernel import SOURCE
from edge.backends.cuda.table import open_driver
from edge.engine.build.estimate import BuildProgress
from edge.engine.build.run_build import build_engine
from edge.engine.build_request import BuildRequest
from edge.engine.inspector import read_inspector
from edge.engine.load import inspector_text
from edge.engine.plan.sidecar import read_sidecar
from edge.perception.preprocess import preprocess
from edge.qualification.bench.bare import measure_bare
from edge.qualification.step import Outcome, failed, left_out, passed
from edge.qualification.subject import Subject
from edge.qualification.trtexec_timing import find_trtexec, time_engine

SLOWER_MOST, SLOWER_MS = 1.2, 0.5
"""Our session may take so many times trtexec's latency, and so many ms more."""


def compile_kernel(subject: Subject) -> Outcome:
    """Compiles the preprocess kernel for the GPU."""
    target = subject.mission.target
    with contextlib.closing(open_driver(target.cuda, target.gpu)) as driver:
        facts = driver.facts
    began_s = time.perf_counter()
    compiler = choose_compiler(find_compilers(), facts.sm, driver_cuda=facts.cuda)
    compiler.compile_to_ptx(SOURCE.read_text(), name=SOURCE.name, sm=facts.sm)
    seconds = time.perf_counter() - began_s
    return passed(
        f"{compiler} compiles it for SM {in_words(facts.sm)} in {seconds:.1f} s, {target.cuda}"
    )


def build(subject: Subject) -> Outcome:
    """Builds the engine, or takes the one that was named."""
    target = subject.mission.target
    if subject.engine is None and target.backend == "rtx":
        return left_out("engines for rtx are built ahead of time", remedy="name one: --engine FILE")
    if subject.engine is None:
        out = subject.work / f"{subject.mission.name}.plan"
        request = BuildRequest(str(subject.converted), "", "tensorrt", gpu=target.gpu)
        build_engine(request, out, progress=lambda at: _building(subject, at))
        subject.engine = out
    document = read_sidecar(subject.engine).document
    precision = document["precision"]
    return passed(
        f"{subject.engine.name} by TensorRT {document['release']} in "
        f"{document['build_seconds']:g} s, {precision['int8']} of {precision['weighted']} "
        "weighted layers in INT8",
        figures={name: document[name] for name in ("plan", "release", "build_seconds")},
    )


def _building(subject: Subject, at: BuildProgress) -> None:
    whole_s = 0.0 if at.remaining_s is None else at.elapsed_s + at.remaining_s
    subject.progress("engine, seconds", round(at.elapsed_s), round(whole_s))


def inspect(subject: Subject) -> Outcome:
    """Asks the engine what its layers compute in."""
    assert subject.engine is not None
    target = subject.mission.target
    # TensorRT loads an engine into the context of the calling thread, on the GPU that was chosen.
    with contextlib.closing(open_driver(target.cuda, target.gpu)):
        text = inspector_text(subject.engine, gpu=target.gpu)
    report = read_inspector(text, name=str(subject.engine))
    asked = read_sidecar(subject.engine).document["precision"]["int8"]
    share = "no" if report.int8_share is None else f"{100 * report.int8_share:.1f} %"
    found = f"{share} of the weighted layers compute in INT8, {len(report.reformats)} reformats"
    if asked and not report.int8:
        return failed(
            f"{found}; the network asks for {asked}",
            remedy="the engine computes in float: report the model and this page",
        )
    advice = ""
    if report.in_float:
        advice = f"in float: {', '.join(report.in_float[:5])}"
    return passed(found, advice=advice, figures=report.to_json())


def time_against_trtexec(subject: Subject) -> Outcome:
    """Times the engine by our session and by trtexec."""
    trtexec = find_trtexec(subject.device.files)
    if trtexec is None:
        return left_out("no trtexec", remedy="sudo apt-get install libnvinfer-bin")
    assert subject.engine is not None
    peer = time_engine(trtexec, subject.engine, gpu=subject.mission.target.gpu)
    (frame,) = subject.frames(1, apart=1)
    x, _ = preprocess(frame.image, subject.mission.model.preprocess_spec)
    ours = measure_bare(subject.candidate.open, x, seconds=3.0).infer
    found = (
        f"{ours.p50:.2f} ms at the median, trtexec {peer.latency_ms:.2f} ms with copies "
        f"({peer.compute_ms:.2f} ms without)"
    )
    figures = {
        "infer_ms": ours.to_json(),
        "trtexec_latency_ms": peer.latency_ms,
        "trtexec_compute_ms": peer.compute_ms,
    }
    if ours.p50 > SLOWER_MOST * peer.latency_ms + SLOWER_MS:
        return failed(
            found,
            remedy="look at clocks and load, then measure again: brakepoint bench",
            figures=figures,
        )
    return passed(found, figures=figures)
