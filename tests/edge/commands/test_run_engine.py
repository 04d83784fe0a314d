"""`engine build`, then `run` with that engine to the firmware as a process, on a simulated GPU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from simulated_device.description import Gpu, Simulation
from simulated_device.site import make_site
from simulated_device.verb_calls import call_verbs
from tiny_road import write_clip

CUDA_13 = 13000
"""A driver that reads the PTX of the compiler in the development environment."""
ORIN = Simulation(
    gpus=(Gpu(name="Orin", sm=87),), releases=("tensorrt-10.3.0",), driver_version=CUDA_13
)
WORKSTATION = Simulation(
    gpus=(Gpu(name="NVIDIA RTX A2000", sm=86, integrated=False),),
    releases=("tensorrt_rtx-1.7.1",),
    driver_version=CUDA_13,
)


@pytest.fixture
def conversion(converted: Path, tmp_path: Path) -> Path:
    """A conversion without an engine."""
    return Path(shutil.copytree(converted, tmp_path / "out"))


def built_and_run(
    simulation: Simulation,
    folder: Path,
    *,
    conversion: Path,
    mission: Path,
    build: Sequence[object],
    run: Sequence[object],
) -> dict[str, Any]:
    """The report of a run with the engine that was built just before."""
    site, plan = make_site(folder / "site", simulation), conversion / f"{folder.name}.plan"
    clip = write_clip(folder / "clip.mp4", frames=25)
    arguments = ("--from", conversion, "--source", clip, "--precision", "int8", "--json")
    done = call_verbs(
        site,
        {
            "build": ("engine", "build", conversion, "--out", plan, *build),
            "run": ("run", mission, *arguments, "--engine", plan, *run),
        },
    )
    assert done["build"].code == 0, done["build"].errors
    assert done["run"].code == 0, done["run"].errors or done["run"].out[-1500:]
    assert not site.findings()
    report: dict[str, Any] = json.loads(done["run"].out)
    return report


def require_a_whole_run(report: dict[str, Any]) -> None:
    frames, effective = report["frames"], [one["action"] for one in report["effective"]]
    assert frames["inferred"] > 0
    assert frames["unknown"] == 0
    assert "NONE" in effective, "the boot stop was released: the road was seen"
    assert effective[-1] == "COMFORT_STOP"
    assert {"preprocess", "execute"} <= set(report["device_ms"]), "the GPU preprocesses too"


def test_an_engine_of_tensorrt_drives_the_firmware(
    tiny_mission: Path, conversion: Path, tmp_path: Path
) -> None:
    report = built_and_run(
        ORIN,
        tmp_path,
        conversion=conversion,
        mission=tiny_mission,
        build=(),
        run=("--backend", "auto"),
    )
    require_a_whole_run(report)
    model = report["model"]
    assert (model["backend"], model["precision"]) == ("tensorrt", "int8")
    assert model["why"] == "the engine was named"
    assert model["engine"] == {
        "tensorrt": "tensorrt 10.3.0",
        "gpu": "Orin (SM 8.7, 16 multiprocessors)",
        "built_from": "int8.onnx",
    }
    sidecar = json.loads(Path(f"{model['path']}.json").read_text())
    assert model["sha256"] == sidecar["plan"]["sha256"]
    assert sidecar["report"]["contract"]


def test_an_engine_of_tensorrt_rtx_does_too(
    tiny_mission: Path, conversion: Path, tmp_path: Path
) -> None:
    pytest.importorskip("cuda.bindings", reason="cuda-bindings is not installed: extra [dev]")
    report = built_and_run(
        WORKSTATION,
        tmp_path,
        conversion=conversion,
        mission=tiny_mission,
        build=("--backend", "rtx", "--sm", "86"),
        run=("--set", "target.cuda=cuda-bindings"),
    )
    require_a_whole_run(report)
    assert report["model"]["backend"] == "rtx"
    assert report["model"]["engine"]["built_from"] == "strong.onnx"


def test_auto_takes_the_engine_of_this_gpu_in_the_folder_and_says_so(
    tiny_mission: Path, conversion: Path, tmp_path: Path
) -> None:
    """Without an engine it takes onnxruntime. The source, which is not there, ends every run."""
    two = (Gpu(name="Orin", multiprocessors=16), Gpu(name="Orin", multiprocessors=8))
    site, plan = make_site(tmp_path / "site", Simulation(gpus=two)), conversion / "second.plan"
    arguments = ("--from", conversion, "--source", "none.mp4", "--precision", "int8")
    run = ("run", tiny_mission, *arguments, "--backend", "auto", "--set")
    build = ("engine", "build", conversion, "--out", plan, "--gpu")
    done = call_verbs(
        site,
        {
            "no engine": (*run, "target.gpu=1"),
            "no such GPU": (*build, "2"),
            "build": (*build, "1"),
            "first GPU": (*run, "target.gpu=0"),
            "second GPU": (*run, "target.gpu=1"),
            "qualify": (
                *("qualify", tiny_mission, "--from", conversion, "--source", "none.mp4"),
                *("--out", tmp_path / "hour", "--set", "target.gpu=1"),
            ),
        },
    )
    none, second = done["no engine"].errors, done["second GPU"].errors
    assert f"onnxruntime runs {conversion}/cpu.onnx (auto: the first that is here (" in none
    assert "tensorrt: no engine for tensorrt in" in none
    assert "there is no GPU 2" in done["no such GPU"].errors
    assert done["build"].code == 0, done["build"].errors
    assert "found: Orin (SM 8.7, 8 multiprocessors)" in done["first GPU"].errors
    assert f"tensorrt runs {plan} by tensorrt 10.3.0 (auto: the first that is here)" in second
    hour = json.loads((tmp_path / "hour" / "qualification.json").read_text())
    steps = {one["step"]: one for one in hour["steps"]}
    assert steps["engine"]["state"] == "passed", steps["engine"]
    built = json.loads((tmp_path / "hour" / "tiny.plan.json").read_text())
    assert built["gpu"]["multiprocessors"] == 8, "built on the GPU of the mission"


def grid_sampler(path: Path) -> Path:
    """A network that TensorRT computes wrongly from 10.13 on."""
    kind, shape = TensorProto.FLOAT, (1, 3, 8, 8)
    graph = helper.make_graph(
        [helper.make_node("GridSample", ["images", "grid"], ["y"], name="sample")],
        "g",
        [
            helper.make_tensor_value_info("images", kind, shape),
            helper.make_tensor_value_info("grid", kind, (1, 8, 8, 2)),
        ],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_nothing_is_built_where_it_is_known_that_it_would_not_work(
    conversion: Path, tmp_path: Path
) -> None:
    """TensorRT 10.13 has no kernels for an Orin, and computes GridSample wrongly on any GPU."""
    gpus = (*ORIN.gpus, Gpu(name="NVIDIA Thor", sm=110))
    site = make_site(tmp_path / "site", Simulation(gpus=gpus, releases=("tensorrt-10.13.2",)))
    model, out = grid_sampler(tmp_path / "grid.onnx"), ("--out", tmp_path / "road.plan")
    done = call_verbs(
        site,
        {
            "orin": ("engine", "build", conversion, *out),
            "thor": ("engine", "build", model, *out, "--gpu", "1"),
        },
    )
    orin, thor = done["orin"], done["thor"]
    assert (orin.code, thor.code) == (2, 2)
    assert "tensorrt 10.13.2 has no kernels for SM 8.7" in orin.errors
    assert "use tensorrt 8.6.0 to before 9.0.0" in orin.errors
    assert "tensorrt 10.13.2 is known to compute this network wrongly" in thor.errors
    assert "a network without GRID_SAMPLE" in thor.errors
    assert not list(tmp_path.glob("road.plan*"))
