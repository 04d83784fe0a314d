"""The partition for a DLA: body and head hold every operator once, and in sequence they compute
what the whole does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto
from tiny_graphs import node, ops, picture, ready, run, weights

from calibration.inference.sessions import ModelSession
from converters.graph.index import Graph
from converters.graph.passes.canonical_names import PICTURE
from converters.graph.passes.pipeline import passes, run_passes
from converters.lowerings.dla import cut_for_dla
from converters.lowerings.dla_partition import Cut, cut_head, runs_on_dla
from converters.sources.onnx_file import read_onnx

SHAPE = (1, 3, 8, 8)
Command = Callable[..., tuple[int, str, str]]


def network(*nodes: NodeProto, outputs: tuple[str, ...] = ("y",), **constants: Any) -> ModelProto:
    given = {"w": weights(8, 3, 3, 3), "w2": weights(6, 8, 1, 1, seed=1)} | constants
    read = {name for one in nodes for name in one.input}
    return ready(
        list(nodes),
        {name: value for name, value in given.items() if name in read},
        inputs={PICTURE: SHAPE},
        outputs=outputs,
    )


CONV = node("Conv", [PICTURE, "w"], ["c"], pads=[1, 1, 1, 1])
DECODED = (
    CONV,
    node("Relu", ["c"], ["r"]),
    node("Conv", ["r", "w2"], ["map"]),
    node("Sigmoid", ["map"], ["s"]),
    node("Reshape", ["s", "sizes"], ["f"]),
    node("Transpose", ["f"], ["y"], perm=[0, 2, 1]),
)
SIZES = {"sizes": np.array([1, 6, 64])}


def whole(model: ModelProto) -> Cut:
    cut = cut_head(model)
    assert cut is not None
    assert sorted(ops(cut.body) + ops(cut.head)) == sorted(ops(model))
    files, told = cut_for_dla(model, [picture(seed, SHAPE) for seed in range(2)], threads=1)
    assert told is not None
    assert told.max_abs == 0.0
    assert len(files) == 2
    return cut


def test_a_detector_is_cut_before_its_decoding() -> None:
    cut = whole(network(*DECODED, **SIZES))
    assert ops(cut.body) == ["Conv", "Relu", "Conv", "Sigmoid"]
    assert ops(cut.head) == ["Reshape", "Transpose"]
    assert cut.tensors == ("s",)
    assert cut.fallback == ()
    assert [value.name for value in cut.head.graph.input] == ["s"]
    for part in (cut.body, cut.head):
        onnx.checker.check_model(part, full_check=True)


def test_each_part_holds_its_own_constants_alone() -> None:
    cut = whole(network(*DECODED, **SIZES))
    held = [{tensor.name for tensor in part.graph.initializer} for part in (cut.body, cut.head)]
    assert held == [{"w", "w2"}, {"sizes"}]


def test_what_no_dla_takes_in_front_stays_in_the_body_and_is_told() -> None:
    cut = whole(
        network(
            node("Transpose", [PICTURE], ["t"], perm=[0, 1, 3, 2], name="turned"),
            node("Conv", ["t", "w"], ["c"]),
            node("Flatten", ["c"], ["y"]),
        )
    )
    assert cut.fallback == ("turned",)
    assert ops(cut.head) == ["Flatten"]


def test_outputs_of_the_body_and_a_head_that_reads_the_picture() -> None:
    model = network(
        CONV,
        node("GlobalAveragePool", [PICTURE], ["m"]),
        node("Flatten", ["m"], ["y"]),
        outputs=("c", "y"),
    )
    cut = whole(model)
    assert cut.tensors == ("c",)
    assert [value.name for value in cut.head.graph.input] == [PICTURE]
    assert [value.name for value in cut.head.graph.output] == ["y"]


@pytest.mark.parametrize(
    "nodes", [(CONV, node("Relu", ["c"], ["y"])), (node("Flatten", [PICTURE], ["y"]),)]
)
def test_nothing_behind_or_nothing_before(nodes: tuple[NodeProto, ...]) -> None:
    model = network(*nodes)
    assert cut_head(model) is None
    assert cut_for_dla(model, [], threads=1) == ({}, None)


TAKEN = {
    "Conv": [CONV],
    "Relu": [node("Relu", [PICTURE], ["y"])],
    "Clip from 0": [node("Clip", [PICTURE, "zero", "six"], ["y"])],
    "MaxPool": [node("MaxPool", [PICTURE], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])],
    "Add of maps": [node("Add", [PICTURE, PICTURE], ["y"])],
    "Concat of channels": [node("Concat", [PICTURE, PICTURE], ["y"], axis=1)],
    "Resize by 2": [node("Resize", [PICTURE, "", "two"], ["y"])],
    "ConvTranspose": [node("ConvTranspose", [PICTURE, "up"], ["y"], strides=[2, 2])],
}
LEFT = {
    "Softmax": [node("Softmax", [PICTURE], ["y"], axis=1)],
    "Clip from below 0": [node("Clip", [PICTURE, "low", "six"], ["y"])],
    "Add of one number": [node("Add", [PICTURE, "six"], ["y"])],
    "Concat of rows": [node("Concat", [PICTURE, PICTURE], ["y"], axis=2)],
    "Resize by 1.5": [node("Resize", [PICTURE, "", "half_more"], ["y"])],
    "MaxPool of 11": [node("MaxPool", [PICTURE], ["y"], kernel_shape=[11, 11], pads=[5] * 4)],
    "a padded ConvTranspose": [node("ConvTranspose", [PICTURE, "up"], ["y"], pads=[1, 1, 1, 1])],
    "Reshape": [node("Reshape", [PICTURE, "flat"], ["y"])],
}
CONSTANTS = {
    "zero": np.float32(0.0),
    "six": np.float32(6.0),
    "low": np.float32(-1.0),
    "two": np.float32([1, 1, 2, 2]),
    "half_more": np.float32([1, 1, 1.5, 1.5]),
    "up": weights(3, 4, 4, 4),
    "flat": np.array([1, -1]),
}


@pytest.mark.parametrize("what", [*TAKEN, *LEFT])
def test_what_a_dla_takes(what: str) -> None:
    graph = Graph(network(*(TAKEN | LEFT)[what], **CONSTANTS))
    assert runs_on_dla(graph, graph.nodes[0]) == (what in TAKEN)


@pytest.mark.parametrize(("name", "side"), [("FastestDet", 352), ("yolox_nano", 416)])
def test_real_detectors(name: str, side: int, shared_data: Path) -> None:
    shape = (1, 3, side, side)
    model, _ = read_onnx(shared_data / "detectors" / f"{name}.onnx", shape)
    made, _ = run_passes(model, passes(18, shape, ["answer"]), [picture(0, shape)])
    cut = cut_head(made)
    assert cut is not None
    assert "Conv" not in ops(cut.head)
    assert ops(cut.body).count("Conv") == ops(made).count("Conv")
    x = picture(1, shape)
    body, head = (
        ModelSession(part.SerializeToString(), threads=1) for part in (cut.body, cut.head)
    )
    seen = dict(zip(cut.tensors, body.run({PICTURE: x}), strict=True))
    found = head.run({name: seen[name] for name in head.inputs})[0]
    np.testing.assert_array_equal(found, run(made, x))


def test_convert_writes_both_where_a_dla_is_asked_for(
    brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, _, err = brakepoint("convert", tiny_mission, "--out", out, "--set", "target.dla=true")
    assert code == 0, err
    report = json.loads((out / "report.json").read_text())
    assert report["dla"] == {"tensors": ["map"], "fallback": [], "head": [], "max_abs": 0.0}
    assert {"dla.body.onnx", "dla.head.onnx"} <= set(report["artifacts"])
    body = onnx.load(out / "dla.body.onnx")
    assert [value.name for value in body.graph.output] == ["map"]
    assert brakepoint("convert", tiny_mission, "--out", out)[0] == 0
    assert json.loads((out / "report.json").read_text())["dla"] is None
    assert not (out / "dla.body.onnx").exists()
