"""The benchmark of the loop runs on a few frames and has every figure; no time is asserted."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from patience import PATIENCE_S

CELLS, VALUES, CONDITIONS = 1260, 7, 4


def write_constant_network(path: Path) -> None:
    """A network with RoadNet's input and outputs that sees nothing: it adds zeros of the picture
    to what it always says."""
    shapes = {"detections": (1, CELLS, VALUES), "condition": (1, CONDITIONS)}
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.float32(0.0), "zero")]
    for name, shape in shapes.items():
        constants.append(numpy_helper.from_array(np.full(shape, -9.0, np.float32), f"{name}_says"))
        nodes.append(helper.make_node("Add", [f"{name}_says", "nothing"], [name]))
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 192, 320))
    graph = helper.make_graph(nodes, "constant", [images], outputs, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path
    )


def test_the_short_benchmark_has_every_figure(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    write_constant_network(tmp_path / "cpu.onnx")
    figures = tmp_path / "figures.json"
    arguments = ["--short", "--data", str(shared_data), "--from", str(tmp_path)]
    done = subprocess.run(
        [
            sys.executable,
            str(root / "scripts" / "bench" / "runtime.py"),
            *arguments,
            "--json",
            str(figures),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert figures.exists(), done.stderr
    rows = json.loads(figures.read_text())
    short = [row for row in rows if row["short"]]
    assert done.returncode == (1 if short else 0)
    assert done.stdout.count("falls short: ") == len(short)
    assert all(row["value"] > 0.0 and math.isfinite(row["value"]) for row in rows)
    named = "\n".join(row["what"] for row in rows)
    for what in (
        "YOLOX-nano on the CPU: p50 / session.run p50",
        "RoadNet cpu.onnx on the CPU: p99 / p50",
        "beside an accelerator: p99",
        "frame rate on the CPU / plain loop's",
        "frame rate beside an accelerator / plain loop's",
        "preprocess letterbox / resize and conversion",
        "decode 8,400 x 84, roadnet",
        "track 20 objects: p99",
        "10,164 detections in every frame: frame to bytes",
    ):
        assert what in named
