"""Equalization is tried first, and kept only where it brings INT8 closer to float."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tiny_mission import detector, write_mission

from edge.cli import main

LOUD = 1000.0
"""How much louder one channel is than the others between the two layers."""


def lopsided() -> onnx.ModelProto:
    """The tiny detector, computing the same, with one loud channel in the middle."""
    model = onnx.shape_inference.infer_shapes(detector())
    for tensor in model.graph.initializer:
        value = np.array(numpy_helper.to_array(tensor))
        if tensor.name == "averages":
            value[0] *= LOUD
        elif tensor.name == "cells":
            value[:, 0] /= LOUD
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return model


def converted(folder: Path, *settings: str) -> dict[str, Any]:
    mission = write_mission(folder)
    (folder / "tiny.onnx").write_bytes(lopsided().SerializeToString())
    sets = [part for one in settings for part in ("--set", one)]
    with pytest.raises(SystemExit):
        main(["convert", str(mission), "--out", str(folder / "out"), *sets])
    report: dict[str, Any] = json.loads((folder / "out" / "report.json").read_text())
    return report


def test_a_loud_channel_is_balanced_and_int8_finds_the_others_again(tmp_path: Path) -> None:
    report = converted(tmp_path, "calibration.method=max")
    found = report["equalization"]
    assert found["taken"]
    assert found["places"] == 1
    assert found["task_loss_after"] < 0.2 * found["task_loss_before"]
    assert [step["name"] for step in report["passes"]][-1] == "equalize"
    assert report["parity"]["source -> float.onnx"]["max_abs"] < 1e-3
    assert report["agreement"]["int8.onnx"]["share"] == 1.0
    assert report["quantized"]["macs_int8_share"] == 1.0


def test_it_is_not_tried_where_nothing_is_searched(tmp_path: Path) -> None:
    report = converted(tmp_path, "calibration.method=max", "precision.search=none")
    assert report["equalization"] is None
    assert "equalize" not in [step["name"] for step in report["passes"]]
    # What it is worth: the quiet channel is lost without it.
    assert report["agreement"]["int8.onnx"]["share"] < 0.7


def test_ranges_of_calibrate_fit_the_balanced_network(tmp_path: Path) -> None:
    mission = write_mission(tmp_path / "m")
    (tmp_path / "m" / "tiny.onnx").write_bytes(lopsided().SerializeToString())
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", str(mission), "--out", str(tmp_path / "taken")])
    assert not ended.value.code
    ranges = str(tmp_path / "taken" / "ranges.json")
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(mission), "--out", str(tmp_path / "out"), "--ranges", ranges])
    assert not ended.value.code
