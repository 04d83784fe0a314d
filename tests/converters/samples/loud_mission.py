"""A mission whose network INT8 ruins: in the tiny detector, one unimportant channel has such large
activations that a per-tensor scale leaves no resolution for the others.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from tiny_mission import detector, write_mission

from converters.graph.index import with_nodes

LOUD = 300.0


def write_loud_mission(folder: Path) -> Path:
    """`folder` with mission.toml, tiny.onnx and road/; returns the mission file."""
    path = write_mission(folder)
    model = detector()
    values = {one.name: numpy_helper.to_array(one).copy() for one in model.graph.initializer}
    values["averages"][3] = LOUD * np.abs(values["averages"][2])
    values["cells"][4:, 3] = 0.01 / LOUD / 255.0 / 16.0
    changed = with_nodes(model, nodes=model.graph.node, initializers=values)
    (folder / "tiny.onnx").write_bytes(
        onnx.shape_inference.infer_shapes(changed).SerializeToString()
    )
    return path
