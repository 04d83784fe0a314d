"""Approving a plan: its bytes are read once; what the file holds afterwards does not count."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_device.description import Simulation
from simulated_device.plan import plan_for
from simulated_device.site import installed, tensorrt_module
from tiny_road import CELL, LABELS, SIDE, write_network

from edge.backends.options import SessionOptions
from edge.backends.table import open_session
from edge.engine.gpu import Gpu
from edge.engine.plan.approve import Approval, Runtime, approve_plan
from edge.engine.plan.sidecar import Sidecar, gpu_facts, sidecar_path
from edge.engine.releases import Release
from firmware_bridge.errors import NotTrusted, UsageError

CELLS = (SIDE // CELL) ** 2
ORIN = Gpu("Orin", 87, 16)
HERE = Runtime("tensorrt", Release(10, 3, 0), None, ORIN)
INPUTS = {"picture": (1, 3, SIDE, SIDE)}
OUTPUTS = {"output": (1, CELLS, 4 + len(LABELS))}


def tensor(name: str, role: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"name": name, "role": role, "shape": shape, "type": "FLOAT", "format": "LINEAR"}


def write_engine(
    folder: Path, release: str = "tensorrt-10.3.0", **facts: Any
) -> tuple[Path, dict[str, Any]]:
    """An engine with its sidecar, and the report of the conversion that it is of."""
    model = write_network(folder / "tiny.onnx").read_bytes()
    with installed(Simulation(releases=(release,))) as machine:
        plan = plan_for(tensorrt_module(machine, release), model, sm=(87,))
    digest = hashlib.sha256(model).hexdigest()
    sidecar = Sidecar.of(
        plan,
        {
            "backend": "tensorrt",
            "release": release.split("-")[1],
            "sm": [87],
            "gpu": gpu_facts(ORIN),
            "model": {"file": "int8.onnx", "sha256": digest},
            "calibration_cache": None,
            "report": None,
            "dla_core": None,
            "timing_cache": "none",
            "known_faults": [],
            "precision": {"int8": 1, "weighted": 1},
            "profiles": {},
            "tensors": [
                *(tensor(name, "input", shape) for name, shape in INPUTS.items()),
                *(tensor(name, "output", shape) for name, shape in OUTPUTS.items()),
            ],
            **facts,
        },
    )
    path = folder / "tiny.plan"
    path.write_bytes(plan)
    sidecar_path(path).write_bytes(sidecar.to_bytes())
    report = {
        "artifacts": {"int8.onnx": {"sha256": digest}},
        "quantized": {"operators": {"Conv": 1}},
    }
    return path, report


def approved(path: Path, report: dict[str, Any], here: Runtime = HERE) -> Approval:
    return approve_plan(
        path, report, here=here, inputs=INPUTS, outputs=OUTPUTS, build="the command"
    )


@pytest.mark.requirement("R-RUN-100")
def test_the_approved_bytes_are_loaded_whatever_the_file_holds_by_then(tmp_path: Path) -> None:
    path, report = write_engine(tmp_path)
    plan = approved(path, report).plan
    path.write_bytes(b"ftrt, but another engine")
    sidecar_path(path).unlink()
    red = np.zeros((1, 3, SIDE, SIDE), np.float32)
    red[0, 0, :CELL, :CELL] = 255.0
    with installed(Simulation()):
        options = SessionOptions(inputs=INPUTS, outputs=OUTPUTS)
        session = open_session("tensorrt", plan, options=options)
        (output,) = session.infer(red)
        assert output[0, 0, 4] == pytest.approx(6.0, abs=1e-3)
        session.close()


def test_a_release_without_kernels_for_the_gpu_is_refused_before_a_load(tmp_path: Path) -> None:
    path, report = write_engine(tmp_path, "tensorrt-10.13.2")
    here = replace(HERE, release=Release(10, 13, 2))
    with pytest.raises(UsageError, match=r"has no kernels for SM 8\.7"):
        approved(path, report, here)


def test_all_four_numbers_of_a_version_count_where_they_are_known(tmp_path: Path) -> None:
    path, report = write_engine(tmp_path)
    assert approved(path, report, replace(HERE, build=116)).known_faults == ()
    with pytest.raises(UsageError, match="another build of TensorRT") as caught:
        approved(path, report, replace(HERE, build=117))
    assert "10.3.0.117" in caught.value.expected
    assert caught.value.remedy == "build it again here: the command"


def test_open_sizes_count_as_far_as_their_profile_goes(tmp_path: Path) -> None:
    open_input = tensor("picture", "input", (-1, 3, SIDE, SIDE))
    open_output = tensor("output", "output", (-1, CELLS, 4 + len(LABELS)))
    for least, fits in ((1, True), (2, False)):
        profile = [[size, 3, SIDE, SIDE] for size in (least, 4, 8)]
        path, report = write_engine(
            tmp_path, profiles={"picture": profile}, tensors=[open_input, open_output]
        )
        if fits:
            assert approved(path, report).plan.name == str(path)
        else:
            with pytest.raises(UsageError, match="has other inputs than the mission"):
                approved(path, report)


@pytest.mark.parametrize("damage", [{"artifacts": []}, {"quantized": {}}, {"artifacts": {"a": 1}}])
def test_a_report_that_is_not_whole_vouches_for_nothing(
    damage: dict[str, Any], tmp_path: Path
) -> None:
    path, report = write_engine(tmp_path)
    with pytest.raises(NotTrusted, match="is not whole"):
        approved(path, {**report, **damage})


DIGEST = "0" * 64
DAMAGED: list[tuple[str, object]] = [
    ("plan", {"sha256": DIGEST, "bytes": -1}),
    ("plan", {"sha256": DIGEST, "bytes": 10**30}),
    ("plan", {"sha256": 1, "bytes": 100}),
    ("model", {"file": "int8.onnx", "sha256": 1}),
    ("calibration_cache", {}),
    ("calibration_cache", {"file": "calibration.cache"}),
    ("calibration_cache", 5),
    ("profiles", None),
    ("profiles", {"picture": [[1], [2]]}),
    ("profiles", {"picture": [[1], [2], [3, 4]]}),
    ("gpu", {"name": "Orin"}),
    ("tensors", [{}]),
    ("precision", None),
]


@pytest.mark.parametrize(("name", "value"), DAMAGED)
def test_a_sidecar_with_another_kind_of_value_is_refused(
    name: str, value: object, tmp_path: Path
) -> None:
    path, report = write_engine(tmp_path)
    document = json.loads(sidecar_path(path).read_text())
    sidecar_path(path).write_text(json.dumps({**document, name: value}))
    with pytest.raises(NotTrusted, match=r"is (not whole|cut short)"):
        approved(path, report)
