"""`brakepoint engine build` and `inspect` through the command line: real engines of TensorRT-RTX,
and a stand-in of TensorRT for what needs a device or a builder that dies.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT, samples
from lowered_networks import NETWORKS, Lowered
from patience import PATIENCE_S
from stand_in import StandIn, plan_bytes

from converters.graph.index import Graph
from converters.lowerings.dla_partition import cut_head
from converters.lowerings.dynamic_batch import open_batch
from converters.lowerings.implicit import dynamic_ranges, to_cache
from edge.engine.calibration_cache import write_cache
from edge.engine.gpu import present_sm
from edge.engine.plan.header import read_header
from edge.engine.plan.sidecar import read_sidecar
from edge.engine.releases import parse_release

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="tensorrt-rtx is not installed: extra [rtx], or no wheel for this Python",
)


def engine(
    *arguments: str | Path, path: Path | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """The verb in a process; `path` goes first on its module path."""
    paths = [str(part) for part in (path, ROOT) if part is not None]
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", "engine", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def refused(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    assert done.returncode == code, done.stderr
    assert words in " ".join(done.stderr.split())
    assert "to mend:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder whose `tensorrt` is a stand-in; returns it for the module path."""

    def make(name: str, **options: object) -> Path:
        package = tmp_path / "site" / "tensorrt"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text(
            f"import sys\nsys.path.insert(0, {str(samples('edge'))!r})\n"
            "from stand_in import StandIn\n"
            f"sys.modules[__name__] = StandIn({name!r}, **{options!r})\n"
        )
        return tmp_path / "site"

    return make


@pytest.fixture
def folder(tmp_path: Path, road_lowered: Lowered) -> Path:
    """A conversion's folder: three lowerings, one cache, and the report that vouches for them."""
    out = tmp_path / "out"
    out.mkdir()
    amax = dynamic_ranges(road_lowered.floating, road_lowered.placement, road_lowered.ranges)
    files = {
        "float.onnx": road_lowered.floating.SerializeToString(),
        "implicit.onnx": road_lowered.implicit.SerializeToString(),
        "int8.onnx": road_lowered.int8.SerializeToString(),
        "strong.onnx": road_lowered.strong.SerializeToString(),
        "calibration-10.3.0.cache": write_cache(to_cache(amax, parse_release("10.3.0"))),
    }
    for name, data in files.items():
        (out / name).write_bytes(data)
    report = {
        "schema": "brakepoint.report/2",
        "gates": [
            gate("parity_max_abs", "float.onnx", measured=1e-6, limit=1e-3),
            gate("found_min int8", "int8.onnx", measured=0.95, limit=0.9),
            gate("size_max_mb", "int8.onnx"),
            gate("macs_int8_min int8", "int8.onnx"),
            gate("accuracy_min int8", "int8.onnx"),
        ],
        "quantized": {"left_float": [], "operators": {"Conv": 24}},
        "artifacts": {
            name: {"sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        },
    }
    (out / "report.json").write_text(json.dumps(report))
    return out


def gate(
    name: str, artifact: str, *, measured: float | None = None, limit: float | None = None
) -> dict[str, Any]:
    """A row of a report; without a limit it is not gated."""
    passed = None if limit is None or measured is None else measured >= limit
    if name == "parity_max_abs" and limit is not None and measured is not None:
        passed = measured <= limit
    return {
        "name": name,
        "artifact": artifact,
        "limit": limit,
        "limit_text": "not gated" if limit is None else f">= {limit}",
        "measured": measured,
        "passed": passed,
        "sentence": "finds 3 of 9",
    }


@needs_rtx
@pytest.mark.parametrize("name", NETWORKS)
def test_real_engines_without_a_gpu_for_two_gpus(
    name: str, lowered_by_name: Callable[[str], Lowered], tmp_path: Path
) -> None:
    net = lowered_by_name(name)
    model, plan = tmp_path / "strong.onnx", tmp_path / "road.plan"
    model.write_bytes(net.strong.SerializeToString())
    wanted = ("86", "89", "86,89") if name == "road" else ("86", "89")
    for sm in wanted:
        built = engine("build", model, "--out", plan, "--backend", "rtx", "--sm", sm, "--json")
        assert built.returncode == 0, built.stderr
        facts = json.loads(built.stdout)
        gpus = [int(part) for part in sm.split(",")]
        assert facts["sm"] == gpus == list(read_header(plan).sm)
        precision = facts["precision"]
        assert (
            precision["int8"] == precision["weighted"] == sum(net.placement.quantized_ops.values())
        )
        assert facts["model"]["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
        assert read_sidecar(plan).document == {
            key: value for key, value in facts.items() if key != "inspector"
        }
    assert {path.name for path in tmp_path.iterdir()} == {
        "strong.onnx",
        "road.plan",
        "road.plan.json",
    }
    shown = engine("inspect", plan)
    assert shown.returncode == 0, shown.stderr
    assert "SM 8.9" in shown.stdout
    assert "images [1, 3, " in shown.stdout, "the tensors of a real network"


@needs_rtx
def test_real_refusals_of_rtx(tmp_path: Path, road_lowered: Lowered) -> None:
    plan = tmp_path / "road.plan"
    garbage, floating = tmp_path / "garbage.onnx", tmp_path / "float.onnx"
    garbage.write_bytes(b"\xff\xfe no model")
    floating.write_bytes(road_lowered.floating.SerializeToString())
    rtx = ("--out", plan, "--backend", "rtx", "--sm")
    refused(engine("build", garbage, *rtx, "86"), 2, "TensorRT cannot read")
    refused(engine("build", floating, *rtx, "86"), 2, "would be built in float")
    refused(engine("build", floating, *rtx, "53"), 2, "SM 53")
    refused(engine("build", tmp_path / "none.onnx", *rtx, "86"), 3, "no such file")
    refused(engine("build", floating, *rtx, "86,86"), 2, "each once")
    assert {path.name for path in tmp_path.iterdir()} == {"garbage.onnx", "float.onnx"}


def test_a_folder_gives_each_release_its_lowering(
    folder: Path, stand_in: Callable[..., Path]
) -> None:
    plan = folder / "road.plan"
    for name, wanted in (("tensorrt-10.3.0", "int8.onnx"), ("tensorrt-11.4.0", "strong.onnx")):
        done = engine("build", folder, "--out", plan, "--json", path=stand_in(name))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["model"]["file"] == wanted
    site = stand_in("tensorrt-10.3.0", dla_cores=2)
    done = engine("build", folder, "--out", plan, "--dla", "--json", path=site)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["calibration_cache"]["file"] == "calibration-10.3.0.cache"
    assert facts["dla"]["fallback"]
    shown = engine("inspect", plan)
    assert "DLA fallback" in shown.stdout
    site = stand_in("tensorrt-8.6.1", dla_cores=2)
    refused(engine("build", folder, "--out", plan, "--dla", path=site), 3, "calibration-8.6.1")
    report = json.loads((folder / "report.json").read_text())
    del report["artifacts"]["implicit.onnx"]
    report["lowerings"] = {"ranges": {"failures": ["it has 3.0 dB towards float"]}}
    (folder / "report.json").write_text(json.dumps(report))
    site = stand_in("tensorrt-10.3.0", dla_cores=2)
    refused(engine("build", folder, "--out", plan, "--dla", path=site), 1, "3.0 dB towards float")
    assert json.loads(engine("inspect", plan, "--json").stdout)["release"] == "10.3.0", "as it was"


def test_a_conversion_for_batches_is_built_for_them(
    folder: Path, road_lowered: Lowered, stand_in: Callable[..., Path]
) -> None:
    """Which file and which shapes, the report says; the user need not."""
    report = json.loads((folder / "report.json").read_text())
    _, _, high, wide = Graph(road_lowered.int8).shape("images") or (0, 0, 0, 0)
    report["profiles"] = {"images": [[size, 3, high, wide] for size in (1, 4, 8)]}
    for name, model in (("int8", road_lowered.int8), ("strong", road_lowered.strong)):
        data = open_batch(model).SerializeToString()
        (folder / f"{name}.batch.onnx").write_bytes(data)
        report["artifacts"][f"{name}.batch.onnx"] = {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / "report.json").write_text(json.dumps(report))
    plan = folder / "road.plan"
    for release, wanted in (("10.3.0", "int8.batch.onnx"), ("11.4.0", "strong.batch.onnx")):
        site = stand_in(f"tensorrt-{release}")
        done = engine("build", folder, "--out", plan, "--json", path=site)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["model"]["file"] == wanted
        assert told["profiles"] == report["profiles"]
    others = "images=" + ",".join(f"{size}x3x{high}x{wide}" for size in (2, 2, 3))
    done = engine("build", folder, "--out", plan, "--json", "--profile", others, path=site)
    assert json.loads(done.stdout)["profiles"]["images"][0][0] == 2


def test_a_dla_gets_the_body_where_the_head_was_cut_off(
    folder: Path, road_lowered: Lowered, stand_in: Callable[..., Path]
) -> None:
    cut = cut_head(road_lowered.implicit)
    assert cut is not None
    report = json.loads((folder / "report.json").read_text())
    report["dla"] = {"tensors": list(cut.tensors), "head": ["gone with the head"]}
    report["quantized"]["left_float"] = [{"node": "gone with the head"}]
    data = cut.body.SerializeToString()
    (folder / "dla.body.onnx").write_bytes(data)
    report["artifacts"]["dla.body.onnx"] = {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / "report.json").write_text(json.dumps(report))
    site = stand_in("tensorrt-10.3.0", dla_cores=2)
    done = engine("build", folder, "--out", folder / "a.plan", "--dla", "--json", path=site)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["file"] == "dla.body.onnx"
    done = engine("build", folder, "--out", folder / "a.plan", "--json", path=site)
    assert json.loads(done.stdout)["model"]["file"] == "int8.onnx"


@needs_rtx
def test_a_real_engine_for_batches(road_lowered: Lowered, tmp_path: Path) -> None:
    model = tmp_path / "strong.batch.onnx"
    model.write_bytes(open_batch(road_lowered.strong).SerializeToString())
    _, _, high, wide = Graph(road_lowered.strong).shape("images") or (0, 0, 0, 0)
    shapes = ",".join(f"{size}x3x{high}x{wide}" for size in (1, 4, 8))
    rtx = ("--out", tmp_path / "road.plan", "--backend", "rtx", "--sm", "86", "--json")
    refused(engine("build", model, *rtx), 2, "has open sizes")
    done = engine("build", model, *rtx, "--profile", f"images={shapes}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["profiles"]["images"][2][0] == 8


def test_a_folder_whose_layers_are_not_all_read_as_int8_is_refused(
    folder: Path, stand_in: Callable[..., Path]
) -> None:
    report = json.loads((folder / "report.json").read_text())
    report["quantized"]["operators"] = {"Conv": 25}
    (folder / "report.json").write_text(json.dumps(report))
    plan = folder / "road.plan"
    done = engine("build", folder, "--out", plan, path=stand_in("tensorrt-10.3.0"))
    refused(done, 2, "another precision than was judged")
    assert not plan.exists()


def test_an_engine_is_inspected_only_on_its_gpu(
    folder: Path, stand_in: Callable[..., Path]
) -> None:
    if present_sm() is not None:
        pytest.skip("there is a GPU here")
    plan, site = folder / "road.plan", stand_in("tensorrt-10.3.0")
    assert engine("build", folder, "--out", plan, path=site).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", "lint", folder / "int8.onnx", "--engine", plan],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    refused(done, 5, "no CUDA device")


def test_a_folder_is_believed_only_as_far_as_its_report(
    folder: Path, stand_in: Callable[..., Path]
) -> None:
    site, plan = stand_in("tensorrt-10.3.0"), folder / "road.plan"
    failed = gate("found_min int8", "int8.onnx", measured=0.3, limit=0.9)
    report = json.loads((folder / "report.json").read_text())
    for gates in ([], report["gates"][1:], report["gates"][:-1]):
        (folder / "report.json").write_text(json.dumps({**report, "gates": gates}))
        refused(engine("build", folder, "--out", plan, path=site), 4, "does not say that the gates")
    gates = [failed if one["name"] == failed["name"] else one for one in report["gates"]]
    (folder / "report.json").write_text(json.dumps({**report, "gates": gates}))
    refused(engine("build", folder, "--out", plan, path=site), 1, "finds 3 of 9")
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "int8.onnx").write_bytes(b"changed")
    refused(engine("build", folder, "--out", plan, path=site), 4, "not the file that was judged")
    (folder / "report.json").write_text(json.dumps({"schema": "brakepoint.report/2"}))
    refused(engine("build", folder, "--out", plan, path=site), 4, "is not whole")
    (folder / "report.json").unlink()
    refused(engine("build", folder, "--out", plan, path=site), 3, "report.json")
    assert not plan.exists()


@pytest.mark.parametrize(
    ("fails", "code", "words"),
    [
        ("SIGKILL", 5, "was killed, as the system does when memory runs out"),
        ("SIGSEGV", 5, "crashed"),
        ("refuses", 1, "TensorRT refused to build"),
        ("out of memory", 5, "memory ran out when TensorRT built"),
        ("no GPU", 5, "cannot start its builder"),
    ],
)
def test_a_builder_that_dies_is_one_message_and_leaves_what_was_there(
    fails: str, code: int, words: str, folder: Path, stand_in: Callable[..., Path]
) -> None:
    plan = folder / "road.plan"
    plan.write_bytes(plan_bytes(StandIn("tensorrt-10.3.0")))
    plan.with_name("road.plan.json").write_text("of the former engine")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    site = stand_in("tensorrt-10.3.0", fails=fails)
    refused(engine("build", folder, "--out", plan, path=site), code, words)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_timing_cache_is_written_and_read(folder: Path, stand_in: Callable[..., Path]) -> None:
    plan, timings = folder / "road.plan", folder / "timings"
    arguments = ("build", folder, "--out", plan, "--timing-cache", timings)
    assert engine(*arguments, path=stand_in("tensorrt-10.3.0")).returncode == 0
    assert timings.read_bytes() == b"timings of 10.3.0"
    refused(engine(*arguments, path=stand_in("tensorrt-8.6.1")), 2, "does not fit")
    assert timings.read_bytes() == b"timings of 10.3.0"


def test_a_place_that_cannot_be_written_is_refused_before_the_build(
    folder: Path, stand_in: Callable[..., Path]
) -> None:
    out = folder / "report.json" / "road.plan"
    done = engine("build", folder, "--out", out, path=stand_in("tensorrt-10.3.0"))
    refused(done, 2, "cannot write to")


def test_tensorrt_that_is_not_installed(folder: Path) -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")
    refused(engine("build", folder, "--out", folder / "road.plan"), 3, "is not installed")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--backend", "trt"),
        ("--sm", "8.6"),
        ("--profile", "images=1x3"),
        ("--workspace-mb", "0"),
    ],
)
def test_usage(
    arguments: tuple[str, ...], folder: Path, brakepoint: Callable[..., tuple[int, str, str]]
) -> None:
    plan = folder / "road.plan"
    code, _, _ = brakepoint("engine", "build", folder, "--out", plan, *arguments)
    assert code == 2
    assert not plan.exists()


def test_an_engine_that_is_not_its_sidecars_is_refused(
    folder: Path, stand_in: Callable[..., Path]
) -> None:
    plan = folder / "road.plan"
    assert engine("build", folder, "--out", plan, path=stand_in("tensorrt-10.3.0")).returncode == 0
    plan.write_bytes(plan_bytes(StandIn("tensorrt-8.6.1")))
    refused(engine("inspect", plan), 4, "is not the engine that its sidecar describes")
    plan.write_bytes(b"ftrt")
    refused(engine("inspect", plan), 4, "is not a TensorRT engine")
    plan.unlink()
    refused(engine("inspect", plan), 3, "cannot read")


def test_out_of_space_leaves_nothing(folder: Path, stand_in: Callable[..., Path]) -> None:
    """A file size limit of the process stands for a full disk."""
    script = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "runpy.run_module('edge.cli', run_name='__main__')"
    )
    before = {path.name for path in folder.iterdir()}
    site = stand_in("tensorrt-10.3.0")
    done = subprocess.run(
        [sys.executable, "-c", script, "engine", "build", folder, "--out", folder / "x.plan"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"},
    )
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in folder.iterdir()} == before
