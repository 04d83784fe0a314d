"""The pipeline of passes: every ensured property is checked and can fail, changed numbers stop it,
and real detectors come through unchanged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto
from tiny_graphs import SHAPE, constant, node, ops, picture, ready, run, tiny, weights

from calibration.inference.sessions import ModelSession
from converters.graph.index import copy_model, opset_of
from converters.graph.passes.canonical_names import PICTURE
from converters.graph.passes.pipeline import TOLERANCE, Pass, passes, run_passes
from converters.graph.passes.properties import PROPERTIES
from edge.perception.decode import DETECTIONS
from firmware_bridge.errors import GateFailed, UsageError

PROBES = [picture(seed) for seed in range(2)]


def a_network(gain: float = 1.0) -> ModelProto:
    """What exporters write: constants as nodes, a BatchNorm, an identity, dead code."""
    channels = np.abs(weights(4, seed=1)) + np.float32(0.1)
    return tiny(
        [
            constant("dead", np.float32(1)),
            node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
            node("BatchNormalization", ["c", "s", "s", "s", "s"], ["n"]),
            node("Relu", ["n"], ["r"]),
            node("Identity", ["r"], ["i"]),
            node("Shape", ["i"], ["shape"]),
            constant("rest", np.array([1, -1])),
            node("Reshape", ["i", "rest"], ["y"]),
        ],
        {"w": weights(4, 3, 3, 3) * np.float32(gain), "s": channels},
        inputs={"x": ("batch", 3, "h", "w"), "w": (4, 3, 3, 3), "s": (4,)},
        ir_version=3,
        opset=11,
    )


def broken() -> dict[str, ModelProto]:
    """For every property a graph that lacks it."""
    batchnorm = ready(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("BatchNormalization", ["c", "s", "s", "s", "s"], ["y"]),
        ],
        {"w": weights(3, 3, 1, 1), "s": np.ones(3, np.float32)},
    )
    relu = ready([node("Relu", ["x"], ["y"])], {})
    talking, nameless = (
        copy_model(relu),
        ready([node("Relu", ["x"], ["a"]), node("Neg", ["a"], ["y"])], {}),
    )
    talking.graph.node[0].doc_string = "here I stand"
    for one in nameless.graph.node:
        one.ClearField("name")
    return {
        "initializers are no inputs": tiny(
            [node("Mul", ["x", "k"], ["y"])], {"k": np.float32(1)}, inputs={"x": SHAPE, "k": ()}
        ),
        "opset in range": tiny([node("Relu", ["x"], ["y"])], opset=16),
        "constants are initializers": tiny([constant("k", 1.0), node("Relu", ["x"], ["y"])]),
        "no identities": ready([node("Identity", ["x"], ["a"]), node("Relu", ["a"], ["y"])], {}),
        "BatchNorm is folded": batchnorm,
        "everything is used": ready([node("Relu", ["x"], ["y"])], {"nobody": np.float32(1)}),
        "nodes are named": nameless,
        "carries no talk": talking,
        "shapes are static": tiny([node("NonZero", ["x"], ["n"]), node("Relu", ["x"], ["y"])]),
    }


def test_every_property_has_a_graph_that_lacks_it() -> None:
    assert set(broken()) == set(PROPERTIES)


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_can_fail_and_can_hold(name: str) -> None:
    assert list(PROPERTIES[name](broken()[name]))
    model, _ = run_passes(a_network(), passes(18, SHAPE, [DETECTIONS]), PROBES)
    assert not list(PROPERTIES[name](model))


@pytest.mark.parametrize("name", PROPERTIES)
@pytest.mark.parametrize("when", ["requires", "ensures"])
def test_a_broken_promise_stops_the_chain(name: str, when: str) -> None:
    model = broken()[name]
    table = (Pass("idle", lambda model: model, **{when: (name,)}),)
    with pytest.raises((GateFailed, UsageError), match=f"pass 'idle' {when}: {name}"):
        run_passes(model, table, PROBES)


def test_every_promise_is_known() -> None:
    for step in passes(18, SHAPE, [DETECTIONS]):
        assert {*step.requires, *step.ensures} <= set(PROPERTIES)


@pytest.mark.parametrize("opset", [17, 18, 21])
def test_a_network_as_exporters_write_it_comes_out_clean(opset: int) -> None:
    model, results = run_passes(a_network(), passes(opset, SHAPE, [DETECTIONS]), PROBES)
    assert ops(model) == ["Conv", "Relu", "Reshape"]
    assert opset_of(model) == opset
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == [
        PICTURE,
        DETECTIONS,
    ]
    assert [step.name for step in results] == [
        step.name for step in passes(opset, SHAPE, [DETECTIONS])
    ]
    assert results[-1].nodes_after == 3
    assert max(step.max_abs for step in results) <= 1e-4
    np.testing.assert_allclose(run(model), run(a_network()), rtol=1e-5, atol=1e-5)


def test_the_same_model_gives_the_same_bytes() -> None:
    one, two = (
        run_passes(a_network(), passes(18, SHAPE, [DETECTIONS]), PROBES)[0] for _ in range(2)
    )
    assert one.SerializeToString() == two.SerializeToString()


def scaled(by: float) -> Pass:
    def change(model: ModelProto) -> ModelProto:
        other = copy_model(model)
        (tensor,) = other.graph.initializer
        wanted = onnx.numpy_helper.to_array(tensor) * np.float32(by)
        tensor.CopyFrom(onnx.numpy_helper.from_array(wanted.astype(np.float32), tensor.name))
        return other

    return Pass("scale", change)


@pytest.mark.parametrize("by", [1.001, 0.0, float("nan")])
def test_a_pass_that_changes_the_numbers_is_caught(by: float) -> None:
    model = tiny([node("Mul", ["x", "k"], ["y"])], {"k": np.float32([5.0])})
    with pytest.raises(GateFailed, match="pass 'scale' changed the network"):
        run_passes(model, (scaled(by),), PROBES)


def test_rounding_is_not_a_change() -> None:
    model = ready([node("Mul", ["x", "k"], ["y"])], {"k": np.float32([5.0])})
    _, (result,) = run_passes(model, (scaled(1.0 + TOLERANCE / 100),), PROBES)
    assert 0.0 < result.max_abs <= 5.0 * TOLERANCE


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("NonZero", ["x"], ["n"]), node("Cast", ["n"], ["y"], to=1)], "shapes are static"),
        ([node("Reshape", ["x", "wrong"], ["y"])], "cannot run"),
        ([node("Conv", ["x", "other"], ["y"])], "cannot run"),
    ],
)
def test_a_model_whose_shapes_do_not_follow_is_refused(
    nodes: list[onnx.NodeProto], words: str
) -> None:
    constants = {"wrong": np.array([7, 7]), "other": weights(4, 5, 1, 1)}
    with pytest.raises(UsageError, match=words):
        run_passes(tiny(nodes, constants), passes(18, SHAPE, [DETECTIONS]), PROBES)


@pytest.mark.parametrize(("name", "side"), [("yolox_nano", 416), ("FastestDet", 352)])
def test_real_detectors_come_through_unchanged(name: str, side: int, shared_data: Path) -> None:
    path = shared_data / "detectors" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"no {path}")
    source = onnx.load(path)
    probe = picture(shape=(1, 3, side, side))
    outputs = []
    for opset in (17, 18):
        model, results = run_passes(
            source, passes(opset, (1, 3, side, side), [DETECTIONS]), [probe]
        )
        assert opset_of(model) == opset
        assert len(model.graph.node) <= len(source.graph.node)
        assert results[-1].name == "shapes"
        outputs.append(run(model, probe))
    session = ModelSession(source.SerializeToString(), threads=1)
    wanted = session.run({session.inputs[0]: probe})[0]
    for found in outputs:
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
