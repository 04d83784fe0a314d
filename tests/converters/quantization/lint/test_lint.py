"""The linter on small graphs that each break one rule, and on files of other tools."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper
from patience import PATIENCE_S
from tiny_graphs import node, picture, ready, run, weights

from calibration.ranges.ranges import Range
from converters.graph.index import copy_model
from converters.lowerings.cpu import quantize_cpu
from converters.lowerings.cpu_placement import cpu_tensors
from converters.quantization.lint.checks import LINTS, Finding, inspect_model, lint
from converters.quantization.lint.fix import fix
from converters.quantization.placement import place
from converters.quantization.qdq import quantize_int8
from converters.quantization.qdq_reader import take_apart
from converters.quantization.rules import RULES


def network() -> ModelProto:
    """Two ways that join: a residual Add, a Concat behind a pool, a Softmax at the end."""
    return ready(
        [
            node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]),
            node("Relu", ["c0"], ["r0"]),
            node("Conv", ["r0", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
            node("Add", ["c1", "r0"], ["sum"]),
            node("MaxPool", ["sum"], ["pool"], kernel_shape=[2, 2], strides=[1, 1]),
            node("Conv", ["sum", "w2"], ["c2"]),
            node("Concat", ["pool", "c2"], ["join"], axis=1),
            node("Conv", ["join", "w3"], ["c3"]),
            node("Softmax", ["c3"], ["y"], axis=1),
        ],
        {
            "w0": weights(16, 3, 3, 3), "b0": weights(16), "w1": weights(16, 16, 3, 3, seed=1),
            "b1": weights(16, seed=2), "w2": weights(16, 16, 2, 2, seed=3),
            "w3": weights(32, 32, 1, 1, seed=4),
        },
    )  # fmt: skip


def ranges(model: ModelProto) -> dict[str, Range]:
    wide = {"x": 4.0, "r0": 3.0, "sum": 5.0, "join": 6.0}
    names = cpu_tensors(model, place(model))
    seen = {name: wide.get(name, 5.0) for name in names}
    return {name: Range(amax, -amax, amax, -9.0, 9.0, 1) for name, amax in seen.items()}


def ours() -> ModelProto:
    model = network()
    return quantize_int8(model, place(model), ranges(model))


def found(model: ModelProto) -> list[Finding]:
    return list(lint(inspect_model(model)))


def broken(model: ModelProto, rule: str) -> list[Finding]:
    return [one for one in found(model) if one.rule == rule and one.severity != "note"]


def with_constant(model: ModelProto, name: str, value: object) -> ModelProto:
    other = copy_model(model)
    for tensor in other.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), name))
            return other
    raise KeyError(name)


def test_every_rule_that_a_file_shows_is_linted() -> None:
    assert set(RULES) <= set(LINTS)


def test_every_lint_is_documented(root: Path) -> None:
    page = (root / "docs" / "conversion.md").read_text()
    documented = set(re.findall(r"^\| (R\d+) \|", page, re.M))
    assert documented == {*LINTS, "R14"} - {"format"}, "R14 needs an engine: engine_precision.py"


def test_every_lint_has_a_test_here_that_breaks_its_rule() -> None:
    tested = {
        part.upper()
        for name in globals()
        if name.startswith("test_r")
        for part in name.split("_")
        if part[1:].isdigit()
    }
    assert tested >= set(LINTS) - {"format"}


def test_what_we_write_breaks_nothing() -> None:
    assert [one for one in found(ours()) if one.severity != "note"] == []


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan])
def test_r1_a_scale_that_is_none(scale: float) -> None:
    (one,) = broken(with_constant(ours(), "r0/scale", np.float32(scale)), "R1")
    assert one.severity == "error"


def test_r1_unsigned_and_asymmetric_ones() -> None:
    model = network()
    found_ones = broken(quantize_cpu(model, place(model), ranges(model)), "R1")
    assert any("uint8 with zero-point" in one.found for one in found_ones)


def test_r2_one_scale_for_all_channels_and_the_wrong_axis() -> None:
    model = ours()
    single = with_constant(model, "w1/scale", np.float32(0.01))
    single = with_constant(single, "w1/zero", np.int8(0))
    (one,) = broken(single, "R2")
    assert (one.severity, one.node) == ("warning", "Conv_2")
    assert one.macs_share is not None
    assert 0.1 < one.macs_share < 0.9
    turned = copy_model(model)
    for pair in turned.graph.node:
        for item in pair.attribute:
            if item.name == "axis" and pair.name.startswith("w1/"):
                item.i = 1
    (one,) = broken(turned, "R2")
    assert one.severity == "error"


def test_r3_and_r4_stored_weights_and_quantized_biases() -> None:
    model = network()
    cpu = quantize_cpu(model, place(model), ranges(model))
    assert len(broken(cpu, "R3")) == 3  # the last one's output is not rounded: it is in float
    assert {one.severity for one in broken(cpu, "R4")} == {"error"}
    assert len(broken(cpu, "R4")) == 2


def paired(model: ModelProto, tensor: str, scale: float = 0.05) -> ModelProto:
    """The same with a further pair on a tensor, read by everyone who read it."""
    other = copy_model(model)
    for one in other.graph.node:
        one.input[:] = [f"{tensor}/more" if name == tensor else name for name in one.input]
    kept = list(other.graph.node)
    row = next(row for row, one in enumerate(kept) if tensor in one.output) + 1
    names = [f"{tensor}/s", f"{tensor}/z"]
    pair = [
        node("QuantizeLinear", [tensor, *names], [f"{tensor}/int"], name=f"{tensor}/Q"),
        node("DequantizeLinear", [f"{tensor}/int", *names], [f"{tensor}/more"], name=f"{tensor}/D"),
    ]
    kept[row:row] = pair
    nodes = [onnx.NodeProto.FromString(one.SerializeToString()) for one in kept]
    del other.graph.node[:]
    other.graph.node.extend(nodes)
    for name, value in zip(names, (np.float32(scale), np.int8(0)), strict=True):
        other.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return other


def test_r5_a_pair_between_convolution_and_activation() -> None:
    (one,) = broken(paired(ours(), "c0"), "R5")
    assert "between an operator and its activation" in one.found
    assert one.macs_share is not None


def test_r6_the_wrong_branch_of_an_add() -> None:
    (one,) = broken(paired(ours(), "c1"), "R6")
    assert "c1" in one.found


def test_r7_and_r8_scales_that_differ_without_need() -> None:
    assert [one.node for one in broken(paired(ours(), "c2"), "R7")] == ["Concat_6"]
    assert [one.node for one in broken(paired(ours(), "pool"), "R8")] == ["MaxPool_4"]


def test_r9_a_pair_where_none_may_be() -> None:
    model = ours()
    behind = copy_model(model)
    behind.graph.node[-1].output[0] = "soft"
    behind.graph.node.append(node("Relu", ["soft"], ["y"], name="last"))
    assert [one.node for one in broken(paired(behind, "soft"), "R9")] == ["soft/D"]


def notes(model: ModelProto, rule: str) -> list[Finding]:
    return [one for one in found(model) if (one.rule, one.severity) == (rule, "note")]


def test_r10_few_channels_are_worth_a_measurement() -> None:
    assert "3 input and 16 output channels" in [one.found for one in notes(ours(), "R10")]


def test_r11_half_scales_below_opset_19() -> None:
    (one,) = broken(with_constant(ours(), "r0/scale", np.float16(0.02)), "R11")
    assert one.severity == "error"


def at_opset(opset: int) -> ModelProto:
    model = copy_model(ours())
    model.opset_import[0].version = opset
    return model


def test_r12_opsets_that_know_no_axis_and_that_orin_may_fail_on() -> None:
    assert [one.severity for one in broken(at_opset(12), "R12")] == ["error"]
    assert len(notes(at_opset(19), "R12")) == 1
    assert [one for one in found(at_opset(18)) if one.rule == "R12"] == []


def test_r13_an_input_that_is_quantized_first() -> None:
    assert [one.node for one in notes(ours(), "R13")] == ["x"]


def test_taken_apart_it_is_the_float_network_again() -> None:
    model = network()
    apart = take_apart(quantize_int8(model, place(model), ranges(model)))
    np.testing.assert_allclose(run(apart.model), run(model), rtol=1e-5)
    assert apart.quantized == {"Conv_0", "Conv_2", "Conv_5", "Conv_7"}
    assert {pair.tensor: pytest.approx(pair.amax * 127 / 128) for pair in apart.pairs}["r0"] == 3.0


def test_mended_it_breaks_nothing_and_answers_the_same() -> None:
    model = network()
    cpu = quantize_cpu(model, place(model), ranges(model))
    mended = fix(inspect_model(cpu)).model
    assert [one for one in found(mended) if one.severity != "note"] == []
    same = [
        (run(mended, x).argmax(axis=1) == run(cpu, x).argmax(axis=1)).mean()
        for x in map(picture, range(4))
    ]
    assert np.mean(same) > 0.8  # the pairs of cpu.onnx that the rules do not want are gone


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge.cli", "lint", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


class TestCommand:
    def test_a_foreign_file_fails_and_its_mended_form_passes(self, tmp_path: Path) -> None:
        model = network()
        path, mended = tmp_path / "theirs.onnx", tmp_path / "mended.onnx"
        path.write_bytes(quantize_cpu(model, place(model), ranges(model)).SerializeToString())
        refused = cli(path)
        assert refused.returncode == 1
        assert "R4" in refused.stderr
        assert "--fix" in refused.stderr
        assert cli(path, "--fix", mended).returncode == 0
        again = cli(mended, "--json")
        assert again.returncode == 0
        findings = json.loads(again.stdout)["findings"]
        assert {one["severity"] for one in findings} <= {"note"}

    @pytest.mark.parametrize(
        ("content", "code", "says"),
        [(None, 3, "no such file"), (b"not a model", 2, "cannot be read"), ("float", 2, "float")],
    )
    def test_other_files(
        self, tmp_path: Path, content: bytes | str | None, code: int, says: str
    ) -> None:
        path = tmp_path / "m.onnx"
        if content is not None:
            data = network().SerializeToString() if content == "float" else content
            path.write_bytes(data)  # type: ignore[arg-type] # bytes by now
        done = cli(path)
        assert done.returncode == code
        assert says in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["asymmetric", "symmetric"])
def test_onnxruntimes_files_are_refused_by_us_as_by_tensorrt(form: str, tmp_path: Path) -> None:
    """What the linter calls an error is one for a real parser, and what it mends is none."""
    trt = pytest.importorskip("tensorrt_rtx", reason="the parser comes from the extra rtx")
    quantization = pytest.importorskip("onnxruntime.quantization")
    source, theirs = tmp_path / "float.onnx", tmp_path / "theirs.onnx"
    source.write_bytes(network().SerializeToString())

    class Frames(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined] # untyped
        def __init__(self) -> None:
            self.left = [{"x": picture(seed)} for seed in range(3)]

        def get_next(self) -> dict[str, object] | None:
            return self.left.pop() if self.left else None

    signed, unsigned = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
    symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True}
    quantization.quantize_static(
        source,
        theirs,
        Frames(),
        activation_type=signed if form == "symmetric" else unsigned,
        weight_type=signed,
        extra_options=symmetric if form == "symmetric" else {},
    )

    def parses(data: bytes) -> bool:
        logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
        builder = trt.Builder(logger)
        strongly = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = builder.create_network(strongly)  # the parser does not keep it alive
        return bool(trt.OnnxParser(network, logger).parse(data))

    seen = inspect_model(onnx.load(theirs))
    assert any(one.severity == "error" for one in lint(seen))
    assert not parses(theirs.read_bytes())
    mended = fix(seen).model
    assert not any(one.severity == "error" for one in lint(inspect_model(mended)))
    assert parses(mended.SerializeToString())
