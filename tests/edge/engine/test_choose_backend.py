"""What `run` refuses of an engine before TensorRT sees it, and which backend `auto` takes.

A conversion of a tiny mission, and an engine that `engine build` makes of it for a simulated Jetson
Orin with TensorRT 10.3. Each case spoils a copy of them; all cases run in one child process.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from simulated_device.description import Gpu, Simulation
from simulated_device.site import Site, make_site
from simulated_device.verb_calls import Done, call_verbs

from edge.cli import main
from edge.contract.mission.loading import load_mission
from edge.engine.choose_backend import choose_backend
from edge.engine.gpu import present_gpu
from edge.engine.plan.header import VERSION_AT

Change = Callable[["Folder"], Sequence[object]]


@dataclass(frozen=True)
class Folder:
    """A copy of a conversion with its engine."""

    path: Path

    @property
    def plan(self) -> Path:
        return self.path / "tiny.plan"

    def edit(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        document = json.loads((self.path / name).read_text())
        change(document)
        (self.path / name).write_text(json.dumps(document))

    def sidecar(self, change: Callable[[dict[str, Any]], object]) -> Sequence[object]:
        self.edit("tiny.plan.json", change)
        return ()

    def report(self, change: Callable[[dict[str, Any]], object]) -> Sequence[object]:
        self.edit("report.json", change)
        return ()

    def tensor(self, row: int, **values: object) -> Sequence[object]:
        return self.sidecar(lambda one: one["tensors"][row].update(values))

    def rewritten(self, at: int, byte: int) -> Sequence[object]:
        """Another byte in the plan, of which the sidecar has the digest."""
        data = bytearray(self.plan.read_bytes())
        data[at] = byte
        self.plan.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        return self.sidecar(lambda one: one["plan"].update(sha256=digest))

    def gate(self, name: str, *, passed: bool) -> Sequence[object]:
        def fail(report: dict[str, Any]) -> None:
            for row in report["gates"]:
                if row["name"] == name:
                    row["passed"] = passed

        return self.report(fail)


def cut(folder: Folder) -> Sequence[object]:
    folder.plan.write_bytes(folder.plan.read_bytes()[:-100])
    return ()


def flipped(folder: Folder) -> Sequence[object]:
    data = bytearray(folder.plan.read_bytes())
    data[-1] ^= 1
    folder.plan.write_bytes(data)
    return ()


def without_engine(folder: Folder) -> Sequence[object]:
    folder.plan.unlink()
    (folder.path / "tiny.plan.json").unlink()
    return ()


def elsewhere_without_sidecar(folder: Folder) -> Sequence[object]:
    there = folder.path / "away" / "other.plan"
    there.parent.mkdir()
    folder.plan.rename(there)
    return ("--engine", there)


def twice(folder: Folder) -> Sequence[object]:
    for suffix in ("", ".json"):
        shutil.copy(f"{folder.plan}{suffix}", folder.path / f"second.plan{suffix}")
    return ()


def both_spoilt(folder: Folder) -> Sequence[object]:
    twice(folder)
    (folder.path / "second.plan").write_bytes(b"ftrt")
    return cut(folder)


REFUSED: dict[str, tuple[Change, int, str]] = {
    "another TensorRT": (
        lambda one: one.rewritten(VERSION_AT + 1, 7),
        2,
        "was built by another TensorRT expected: tensorrt 10.3.0, which is here found: "
        "tensorrt 10.7.0",
    ),
    "another GPU of the same compute capability": (
        lambda one: one.sidecar(lambda x: x["gpu"].update(multiprocessors=8)),
        2,
        "was built for another GPU expected: Orin (SM 8.7, 16 multiprocessors), which is here "
        "found: Orin (SM 8.7, 8 multiprocessors)",
    ),
    "another compute capability": (
        lambda one: one.sidecar(lambda x: x.update(sm=[86])),
        2,
        "was built for another GPU",
    ),
    "no GPU known": (
        lambda one: one.sidecar(lambda x: x.update(gpu=None)),
        2,
        "a GPU that its sidecar does not name",
    ),
    "another digest": (flipped, 4, "is not the engine that its sidecar describes"),
    "truncated": (cut, 4, "is cut short expected:"),
    "no plan at all": (
        lambda one: one.rewritten(0, 0) or ("--engine", one.plan),
        4,
        "is not a TensorRT engine",
    ),
    "an older sidecar": (
        lambda one: one.sidecar(lambda x: x.update(schema="brakepoint.engine/1")),
        4,
        "is of an older brakepoint expected: schema brakepoint.engine/2",
    ),
    "a sidecar that is not whole": (
        lambda one: one.sidecar(lambda x: x.pop("tensors")),
        4,
        "is not whole",
    ),
    "no sidecar": (elsewhere_without_sidecar, 3, "has no sidecar"),
    "no engine": (without_engine, 3, "no engine for tensorrt in"),
    "an older conversion": (
        lambda one: one.report(lambda x: x["artifacts"]["int8.onnx"].update(sha256="0" * 64)),
        4,
        "was built from another conversion",
    ),
    "built from another file": (
        lambda one: one.sidecar(lambda x: x["model"].update(file="mine.onnx")),
        4,
        "expected: a file of this conversion: float.onnx",
    ),
    "another number of layers in INT8": (
        lambda one: one.sidecar(lambda x: x["precision"].update(int8=1)),
        4,
        "was not built in the precision that was judged expected: 2 convolutions",
    ),
    "a gate that failed": (
        lambda one: one.gate("found_min int8", passed=False),
        1,
        "failed its gates",
    ),
    "a gate without a verdict": (
        lambda one: one.report(lambda x: x["gates"].pop(1)),
        4,
        "does not say that the gates hold",
    ),
    "another input size": (
        lambda one: one.tensor(0, shape=[1, 3, 64, 96]),
        2,
        "has other inputs than the mission expected: images [1, 3, 64, 64] FLOAT LINEAR found: "
        "images [1, 3, 64, 96] FLOAT LINEAR",
    ),
    "another input name": (lambda one: one.tensor(0, name="data"), 2, "has other inputs than"),
    "another output shape": (
        lambda one: one.tensor(1, shape=[1, 16, 8]),
        2,
        "has other outputs than",
    ),
    "an output in FP16": (lambda one: one.tensor(1, type="HALF"), 2, "HALF LINEAR"),
    "an output in another format": (lambda one: one.tensor(1, format="CHW32"), 2, "FLOAT CHW32"),
    "an open size without a profile": (
        lambda one: one.tensor(0, shape=[-1, 3, 64, 64]),
        2,
        "images [-1, 3, 64, 64]",
    ),
    "a mission that has changed since": (
        lambda _: ("--set", "model.decode.strides=[16, 32]"),
        4,
        "was not converted for this mission",
    ),
    "float": (lambda _: ("--precision", "float"), 2, "tensorrt runs no network in float"),
    "two engines": (twice, 2, "has several engines that fit"),
    "two spoilt engines": (both_spoilt, 4, "none of the 2 engines in"),
    "an engine for another backend": (
        lambda one: ("--engine", one.plan, "--backend", "rtx"),
        2,
        "is an engine for another backend",
    ),
    "an engine for onnxruntime": (
        lambda one: ("--engine", one.plan, "--backend", "onnxruntime"),
        2,
        "onnxruntime runs ONNX files",
    ),
    "no such GPU": (lambda _: ("--set", "target.gpu=3"), 5, "there is no GPU 3"),
    "no such backend": (lambda _: ("--backend", "abacus"), 2, "no backend 'abacus'"),
    "auto with an engine that is wrong": (
        lambda one: cut(one) or ("--backend", "auto"),
        4,
        "is cut short",
    ),
    "auto with an engine of which nothing is left": (
        lambda one: one.plan.write_bytes(b"") or ("--backend", "auto"),
        4,
        "is cut short",
    ),
    "auto with no backend left": (
        lambda one: (
            one.gate("found_min int8", passed=False)
            or one.gate("found_min cpu", passed=False)
            or ("--backend", "auto")
        ),
        1,
        "no backend can run this conversion here",
    ),
}
"""Case -> how the copy is spoilt (returns further arguments), the exit code, what is said."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    gpu = Gpu(name="Orin", sm=87, multiprocessors=16)
    return make_site(tmp_path_factory.mktemp("site"), Simulation(gpus=(gpu,)))


@pytest.fixture(scope="module")
def conversion(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    """The folder of a conversion, with an engine that was built there."""
    out = tmp_path_factory.mktemp("conversion") / "out"
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tiny_mission), "--out", str(out)])
    assert not ended.value.code
    built = call_verbs(site, {"build": ("engine", "build", out, "--out", out / "tiny.plan")})
    assert built["build"].code == 0, built["build"].errors
    return out


@pytest.fixture(scope="module")
def refusals(
    tiny_mission: Path, conversion: Path, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Done]:
    calls: dict[str, Sequence[object]] = {}
    for name, (change, _, _) in REFUSED.items():
        copy = tmp_path_factory.mktemp("case") / "out"
        shutil.copytree(conversion, copy, ignore=shutil.ignore_patterns(".stages"))
        more = change(Folder(copy))
        usual = () if "--precision" in more else ("--precision", "int8")
        named = () if {"--backend", "--engine"} & set(more) else ("--backend", "tensorrt")
        arguments = ("--from", copy, "--source", "none.mp4", *usual, *named, *more)
        calls[name] = ("run", tiny_mission, *arguments)
    return call_verbs(site, calls)


@pytest.mark.requirement("R-RUN-101")
@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_before_tensorrt_sees_it(case: str, refusals: dict[str, Done]) -> None:
    _, code, words = REFUSED[case]
    done = refusals[case]
    assert words in done.errors
    assert done.code == code
    assert "to mend:" in done.errors
    assert "Traceback" not in done.errors


MENDED_BY_A_BUILD = ["another digest", "truncated", "an older conversion", "no engine"]


@pytest.mark.parametrize("case", MENDED_BY_A_BUILD)
def test_the_remedy_is_the_command_that_builds_it(
    case: str, refusals: dict[str, Done], site: Site
) -> None:
    errors = refusals[case].errors
    assert "brakepoint engine build /" in errors
    assert "/out --out /" in errors
    assert "tiny.plan" in errors
    assert not site.findings()


@pytest.mark.requirement("R-RUN-102")
def test_auto_passes_over_what_is_not_here_and_says_why(
    tiny_mission: Path, conversion: Path
) -> None:
    """In this process, which has no GPU and perhaps no TensorRT."""
    if present_gpu() is not None:
        pytest.skip("there is a GPU here")
    chosen = choose_backend(conversion, load_mission(tiny_mission), "int8", backend="auto")
    assert (chosen.backend, chosen.path.name) == ("onnxruntime", "cpu.onnx")
    assert set(chosen.passed_over) == {"tensorrt", "rtx"}
    assert all("not installed" in why or "no GPU" in why for why in chosen.passed_over.values())
    assert "the first that is here (tensorrt: " in chosen.why
    chosen = choose_backend(conversion, load_mission(tiny_mission), "float", backend="auto")
    assert chosen.path.name == "float.onnx"
    assert "tensorrt runs no network in float" in chosen.passed_over["tensorrt"]
