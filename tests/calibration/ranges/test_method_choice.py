"""A range's error in the operators that read the tensor, against a slow reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from small_network import SPEC, TENSORS, painted, small_network

from calibration.inference.sessions import ModelSession
from calibration.observation.observe import observe, with_outputs
from calibration.ranges import method_choice as module
from calibration.ranges.method_choice import Probe, choose_method, ranges
from calibration.ranges.methods.table import METHODS
from edge.perception.preprocess import preprocess

SIDE = 24
AMAX = (0.4, 1.1, 3.0)


def quiet(what: str, done: int, total: int) -> None:
    pass


def many_readers(opset: int) -> ModelProto:
    """picture (1, 8, 24, 24) read in every way there is: each tensor by another kind of node."""
    random = np.random.default_rng(2)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)

    def node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
        return helper.make_node(kind, list(inputs), [output], output, **attributes)

    nodes = [
        node("Conv", ["picture", "w1", "b1"], "conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Conv", ["conv", "w2"], "grouped", group=8, pads=[2, 2, 2, 2], dilations=[2, 2]),
        node("Add", ["grouped", "conv"], "sum"),
        node("Sigmoid", ["sum"], "gate"),
        node("Mul", ["sum", "gate"], "silu"),
        node("MaxPool", ["silu"], "pooled", kernel_shape=[2, 2], strides=[2, 2]),
        node("ConvTranspose", ["pooled", "w3", "b1"], "wide", strides=[2, 2]),
        node("Concat", ["wide", "conv"], "both", axis=1),
        node("GlobalAveragePool", ["both"], "means"),
        node("Flatten", ["means"], "flat", axis=1),
        node("Gemm", ["flat", "w4", "b4"], "scores", alpha=0.5, transB=1),
        node("MatMul", ["scores", "w5"], "classes"),
        node("Mul", ["classes", "classes"], "squares"),
    ]
    graph = helper.make_graph(
        nodes,
        "many",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 8, SIDE, SIDE])],
        [helper.make_tensor_value_info("squares", TensorProto.FLOAT, [1, 4])],
        [
            weight("w1", 8, 8, 3, 3),
            weight("b1", 8),
            weight("w2", 8, 1, 3, 3),
            weight("w3", 8, 8, 2, 2),
            weight("w4", 6, 16),
            weight("b4", 6),
            weight("w5", 6, 4),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


TENSORS_READ = (
    *("picture", "conv", "grouped", "sum", "gate", "silu", "pooled", "wide", "both", "means"),
    *("flat", "scores", "classes"),
)


def slow_error(model: ModelProto, tensor: str, amax: float, x: NDArray[np.float32]) -> float:
    """Runs each reader alone, with the tensor as it is and quantized."""
    readers = [node for node in model.graph.node if tensor in node.input]
    constants = {value.name: value for value in model.graph.initializer}
    needed = {name for node in readers for name in node.input if name not in constants}
    inner = sorted(needed - {"picture"})
    session = ModelSession(with_outputs(model, inner), threads=1) if inner else None
    given = dict(zip(inner, session.run({"picture": x}) if session else [], strict=True))
    values = {"picture": x, **given}
    scale = np.float32(amax / 127)
    rounded = np.clip(np.rint(values[tensor] / scale), -128, 127).astype(np.float32) * scale
    total = 0.0
    for node in readers:
        inputs = [name for name in dict.fromkeys(node.input) if name not in constants]
        alone = helper.make_model(
            helper.make_graph(
                [node],
                "alone",
                [
                    helper.make_tensor_value_info(name, TensorProto.FLOAT, values[name].shape)
                    for name in inputs
                ],
                [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)],
                [constants[name] for name in node.input if name in constants],
            ),
            opset_imports=model.opset_import,
            ir_version=8,
        )
        run = ModelSession(alone.SerializeToString(), threads=1).run
        (exact,) = run({name: values[name] for name in inputs})
        (off,) = run({name: rounded if name == tensor else values[name] for name in inputs})
        total += float(((off.astype(np.float64) - exact) ** 2).sum())
    return total


@pytest.mark.parametrize("opset", [13, 18])
def test_the_error_of_each_reader_is_what_running_it_gives(opset: int) -> None:
    model = many_readers(opset)
    x = np.random.default_rng(4).normal(size=(1, 8, SIDE, SIDE)).astype(np.float32)
    amax = np.array([AMAX] * len(TENSORS_READ))
    found = Probe(model, TENSORS_READ, candidates=len(AMAX)).errors(x, amax)
    for row, tensor in enumerate(TENSORS_READ):
        slow = [slow_error(model, tensor, value, x) for value in AMAX]
        assert found[row] == pytest.approx(slow, rel=2e-3), tensor
    assert found.min() > 0.0


def odd_readers() -> ModelProto:
    """picture (1, 36, 36, 6) read as it seldom is: channels last, spread over more, sorted."""
    random = np.random.default_rng(3)
    weights = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in (("w1", (36, 2, 2, 2)), ("w2", (36, 4)), ("w3", (3, 36, 2)))
    }

    def node(kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> NodeProto:
        return helper.make_node(kind, list(inputs), list(outputs), outputs[0], **attributes)

    nodes = [
        node("Relu", ["picture"], "shown"),
        node("ConvTranspose", ["shown", "w1"], "wide", strides=[2, 2], output_shape=[72, 12]),
        node("Transpose", ["picture"], "last", perm=[0, 2, 3, 1]),
        node("MatMul", ["last", "w2"], "made"),
        node("TopK", ["made", "k"], "most", "which"),
        node("GlobalAveragePool", ["picture"], "means"),
        node("Add", ["means", "picture"], "spread"),
        node("Sigmoid", ["means"], "gate"),
        node("Flatten", ["means"], "flat", axis=1),
        node("MatMul", ["flat", "w3"], "stack"),
        node("Div", ["gate", "gate"], "ones"),
    ]
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 36, 36, 6])],
        [
            helper.make_tensor_value_info("which", TensorProto.INT64, [1, 36, 6, 2]),
            *(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in (
                    ("wide", [1, 2, 72, 12]),
                    ("most", [1, 36, 6, 2]),
                    ("spread", [1, 36, 36, 6]),
                    ("stack", [3, 1, 2]),
                    ("ones", [1, 36, 1, 1]),
                )
            ),
        ],
        [
            *(numpy_helper.from_array(value, name) for name, value in weights.items()),
            numpy_helper.from_array(np.array([2], np.int64), "k"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def test_readers_of_odd_shape_and_those_that_make_indices_are_compared_too() -> None:
    model, tensors = odd_readers(), ("shown", "last", "made", "means", "flat")
    x = np.random.default_rng(4).normal(size=(1, 36, 36, 6)).astype(np.float32)
    found = Probe(model, tensors, candidates=3).errors(x, np.array([AMAX] * len(tensors)))
    for row, tensor in enumerate(tensors):
        slow = [slow_error(model, tensor, value, x) for value in AMAX]
        assert found[row] == pytest.approx(slow, rel=2e-3), tensor
    assert found.min() > 0.0


def test_a_range_that_makes_a_reader_fail_is_the_worst() -> None:
    """0 / 0 is no number, and numpy's least of anything that holds none."""
    x = np.random.default_rng(4).normal(size=(1, 36, 36, 6)).astype(np.float32)
    found = Probe(odd_readers(), ["gate"], candidates=2).errors(x, np.array([[1000.0, 1.0]]))
    assert found.tolist() == [[np.inf, 0.0]]


def test_of_a_large_tensor_a_window_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    model = many_readers(18)
    x = np.random.default_rng(4).normal(size=(1, 8, SIDE, SIDE)).astype(np.float32)
    amax = np.array([AMAX])
    whole = Probe(model, ["picture"], candidates=3).errors(x, amax)
    monkeypatch.setattr(module, "WINDOW_PX", 8)
    probe = Probe(model, ["picture"], candidates=3)
    window = probe.errors(x, amax)
    share = (window / whole)[0, :2]  # of the third candidate only what it clips counts
    assert share == pytest.approx([1 / 9, 1 / 9], rel=0.3)
    outside = x.copy()
    outside[:, :, :8], outside[:, :, 16:], outside[..., :8], outside[..., 16:] = 9.0, 9.0, 9.0, 9.0
    assert probe.errors(outside, amax) == pytest.approx(window, rel=1e-6)
    # Its kernel reaches over more than the window, or a reader of another kind wants all of it.
    monkeypatch.setattr(module, "WINDOW_PX", 2)
    assert Probe(model, ["picture"], candidates=3).errors(x, amax) == pytest.approx(whole)
    both = np.array([AMAX, AMAX])
    windowed = Probe(model, ["sum", "both"], candidates=3).errors(x, both)
    monkeypatch.undo()
    assert windowed == pytest.approx(Probe(model, ["sum", "both"], candidates=3).errors(x, both))


def test_the_method_of_least_error_is_taken_whatever_the_threads() -> None:
    model, frames = small_network(), painted(4)
    seen = observe(model, TENSORS, frames, preprocess_spec=SPEC, threads=2, progress=quiet)
    offered = {name: ranges(seen.histograms, name, percentile=99.0, threads=1) for name in METHODS}
    found = [
        choose_method(
            model,
            seen.histograms,
            frames,
            percentile=99.0,
            preprocess_spec=SPEC,
            threads=threads,
            progress=quiet,
        )
        for threads in (1, 2)
    ]
    assert found[0] == found[1]
    pictures = [preprocess(one.read(), SPEC)[0] for one in frames]
    errors = {
        name: sum(slow_error(model, "two/silu", amax["two/silu"], x) for x in pictures)
        for name, amax in offered.items()
    }
    assert errors[found[0].method["two/silu"]] == pytest.approx(min(errors.values()), rel=1e-3)
    assert max(errors.values()) > 1.1 * min(errors.values())
    assert found[0].method["scores"] == next(iter(METHODS))  # nobody reads it
    assert found[0].amax == {name: offered[of][name] for name, of in found[0].method.items()}
