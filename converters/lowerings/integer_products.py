"""Counts the multiplications that onnxruntime computes in integers, in its optimized graph of a
file: a Q/DQ pair that it does not fuse is computed in float.

Takes the file's bytes; returns multiply-accumulates by operator. It runs the file once on a black
picture.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from calibration.inference.sessions import session_options
from converters.graph.index import Graph, attributes
from converters.graph.multiplications import IN_INTEGERS, Shape, UnknownShape

RUN = "_kernel_time"
"""Suffix of a node's name in the events of onnxruntime's profile."""


def integer_multiplications(model: bytes) -> dict[str, int]:
    """Operator of onnxruntime -> multiply-accumulates in integers, for one picture.

    The session has the device's options. Operators and sizes of weights are those of onnxruntime's
    optimized graph; all other sizes are those of its profile.
    """
    with tempfile.TemporaryDirectory(prefix="brakepoint-") as folder:
        options = session_options(threads=1, kernels="fused")
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
        feeds = {one.name: np.zeros(one.shape, np.float32) for one in session.get_inputs()}
        session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        graph = Graph(onnx.load(options.optimized_model_filepath))
    made = _made(graph, events)
    found: dict[str, int] = {}
    for node in graph.nodes:
        if (count := IN_INTEGERS.get(node.op_type)) is None:
            continue
        read = [_size(name, graph, made) for name in node.input]
        wrote = [_size(name, graph, made) for name in node.output]
        try:
            products = count(read, wrote, attributes(node))
        except UnknownShape as error:
            raise AssertionError(f"onnxruntime does not tell the sizes of {node.name}") from error
        found[node.op_type] = found.get(node.op_type, 0) + products
    return found


def _made(graph: Graph, events: list[dict[str, Any]]) -> dict[str, Shape]:
    """Tensor -> its shape, for every output of a node."""
    shapes: dict[str, list[Mapping[str, list[int]]]] = {
        event["name"].removesuffix(RUN): event["args"]["output_type_shape"]
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(RUN)
    }
    made: dict[str, Shape] = {}
    for node in graph.nodes:
        outputs = [name for name in node.output if name]
        for name, typed in zip(outputs, shapes.get(node.name, []), strict=False):
            made[name] = tuple(*typed.values())
    return made


def _size(name: str, graph: Graph, made: Mapping[str, Shape]) -> Shape | None:
    return made[name] if name in made else graph.shape(name) if name else None
