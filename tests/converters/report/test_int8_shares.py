"""The share of each file in INT8 is what is computed in integers, and stands beside that file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from cpu_networks import lowered, residual
from onnx import ModelProto, TensorProto, helper
from tiny_graphs import SHAPE, constant, node, ready, weights
from tiny_mission import MISSION, write_mission

from converters.graph.index import Graph
from converters.graph.multiplications import IN_INTEGERS, MULTIPLYING, multiplications
from converters.lowerings.integer_products import integer_multiplications
from converters.quantization.placement import place
from converters.verification.gates.table import GATES
from edge.contract.run_record import RunRecord, runs_in

Command = Callable[..., tuple[int, str, str]]


def behind(activation: str) -> ModelProto:
    """Three convolutions with an activation behind each of the first two."""
    slope = ["slope"] if activation == "PRelu" else []
    return ready(
        [
            node("Conv", ["x", "w0"], ["c0"], pads=[1, 1, 1, 1]),
            node(activation, ["c0", *slope], ["a0"]),
            node("Conv", ["a0", "w1"], ["c1"], pads=[1, 1, 1, 1]),
            node(activation, ["c1", *slope], ["a1"]),
            node("Conv", ["a1", "w2"], ["y"]),
        ],
        {
            "w0": weights(8, 3, 3, 3),
            "w1": weights(8, 8, 3, 3, seed=1),
            "w2": weights(4, 8, 1, 1, seed=2),
            **({"slope": np.full((8, 1, 1), 0.1, np.float32)} if slope else {}),
        },
    )


class TestWhatOnnxruntimeComputesInIntegers:
    def test_all_of_a_classifier_to_the_last_product(self) -> None:
        model = residual()
        assert sum(integer_multiplications(lowered(model).SerializeToString()).values()) == (
            place(model).macs
        )

    def test_only_what_fuses(self) -> None:
        """Nothing fuses a PRelu: what is before it is computed in float, whatever pairs are in the
        file; a Relu's range is cut by the convolution."""
        first = 8 * 3 * 9 * 64
        second = 8 * 8 * 9 * 64
        for activation, products in (("PRelu", 0), ("Relu", first + second)):
            model = behind(activation)
            assert place(model).macs_int8 == place(model).macs > 0
            cpu = lowered(model).SerializeToString()
            assert sum(integer_multiplications(cpu).values()) == products

    def test_a_float_network_has_none(self) -> None:
        assert integer_multiplications(residual().SerializeToString()) == {}

    def test_every_operator_in_integers_is_counted(self) -> None:
        """Dynamic quantization, as onnxruntime's own tool writes it for Gemm and MatMul."""
        model = ready(
            [
                node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
                node("MatMulInteger", ["q", "w", "z"], ["i"]),
                node("Cast", ["i"], ["f"], to=TensorProto.FLOAT),
                node("Mul", ["f", "s"], ["y"]),
            ],
            {"w": np.ones((8, 5), np.int8)},
        )
        found = integer_multiplications(model.SerializeToString())
        assert found.keys() <= IN_INTEGERS.keys()
        assert sum(found.values()) == 3 * 8 * 5 * 8


class TestEveryMultiplicationCounts:
    def test_operators_without_an_int8_form_are_not_forgotten(self) -> None:
        hidden, steps = 16, 8
        model = ready(
            [
                node("Conv", ["x", "w"], ["c"]),
                node("Reshape", ["c", "rows"], ["r"]),
                node("LSTM", ["r", "W", "R"], ["", "h", ""], hidden_size=hidden, name="cell"),
                node("Einsum", ["h", "M"], ["y"], equation="dbh,hk->dbk", name="sum"),
            ],
            {
                "w": weights(4, 3, 1, 1),
                "rows": np.array([steps, 1, 32]),
                "W": weights(1, 4 * hidden, 32),
                "R": weights(1, 4 * hidden, hidden),
                "M": weights(hidden, 5),
            },
        )
        plan = place(model)
        assert plan.macs_of == {"Conv_0": 4 * 3 * 64}
        assert plan.no_int8 == {
            "cell": steps * 4 * hidden * (32 + hidden),
            "sum": hidden * 5,
        }
        assert plan.macs == 4 * 3 * 64 + sum(plan.no_int8.values())
        share = plan.macs_int8_share
        assert share is not None
        assert share < 0.04

    @pytest.mark.parametrize(("kind", "times"), [("If", 1), ("Loop", 3)])
    def test_what_is_inside_a_branch_or_a_loop_counts(self, kind: str, times: int) -> None:
        def info(name: str, of: int = TensorProto.FLOAT, shape: tuple[int, ...] = SHAPE) -> object:
            return helper.make_tensor_value_info(name, of, shape)

        conv = node("Conv", ["x", "w"], ["inner"], pads=[1, 1, 1, 1])
        made = info("inner")
        if kind == "If":
            plain = helper.make_graph([node("Identity", ["x"], ["same"])], "e", [], [info("same")])
            many = helper.make_graph([conv], "t", [], [made])
            outer = node("If", ["yes"], ["y"], then_branch=many, else_branch=plain, name="outer")
        else:
            body = helper.make_graph(
                [node("Identity", ["go"], ["on"]), conv],
                "b",
                [
                    info("i", TensorProto.INT64, ()),
                    info("go", TensorProto.BOOL, ()),
                    info("state"),
                ],
                [info("on", TensorProto.BOOL, ()), made],
            )
            outer = node("Loop", ["three", "yes", "x"], ["y"], body=body, name="outer")
        nodes = [constant("three", np.int64(3)), constant("yes", np.array(True)), outer]
        model = ready(nodes, {"w": weights(3, 3, 3, 3)})
        graph = Graph(model)
        counted = {one.name: multiplications(graph, one) for one in graph.nodes}
        assert counted["outer"] == times * 3 * 3 * 9 * 64

    def test_the_table_is_of_operators_of_the_standard(self) -> None:
        assert all(onnx.defs.has(name) for name in MULTIPLYING)


@pytest.fixture(scope="module")
def mission(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mission(tmp_path_factory.mktemp("shares") / "m")


class TestItStandsBesideTheFile:
    """The tiny detector's head is float in cpu.onnx: rounding it would be wrong."""

    def test_in_terminal_report_page_and_runs(
        self, brakepoint: Command, mission: Path, tmp_path: Path
    ) -> None:
        code, told, _ = brakepoint("convert", mission, "--out", tmp_path)
        assert code == 0
        report = json.loads((tmp_path / "report.json").read_text())
        share = {name: one["macs_int8_share"] for name, one in report["artifacts"].items()}
        assert share["float.onnx"] == 0.0
        assert share["int8.onnx"] == share["strong.onnx"] == 1.0
        cpu = sum(report["quantized"]["macs_in_integers_on_cpu"].values())
        assert 0.0 < share["cpu.onnx"] == cpu / report["quantized"]["macs"] < 1.0
        shown = f"{100 * share['cpu.onnx']:.1f} %"
        rows = {line.split()[1]: line for line in told.splitlines() if line.startswith("│ ")}
        assert shown in rows["cpu.onnx"]
        assert "100.0 %" in rows["int8.onnx"]
        page = re.sub(r' data-title="[^"]*"', "", (tmp_path / "report.html").read_text())
        page = re.sub(r"\s+", " ", page)
        assert f"on CPU (cpu.onnx, {shown} INT8 as onnxruntime runs it)" in page
        assert f'>cpu.onnx</th><td class="num">{shown}</td>' in page
        assert "INT8 on CPU" not in page
        (run,) = (one.run for one in runs_in(mission.parent / "runs") if isinstance(one, RunRecord))
        assert run.metrics["MACs in INT8 cpu.onnx"] == share["cpu.onnx"]
        assert run.metrics["MACs in INT8 int8.onnx"] == 1.0

    @pytest.mark.parametrize(
        ("limit", "failing"),
        [
            ("0.95", ["macs_int8_min cpu"]),
            ("{ int8 = 0.95 }", []),
            ("{ int8 = 0.95, cpu = 0.6 }", []),
            ("{ cpu = 0.95 }", ["macs_int8_min cpu"]),
        ],
    )
    def test_the_gate_knows_both_files(
        self, brakepoint: Command, mission: Path, tmp_path: Path, limit: str, failing: list[str]
    ) -> None:
        setting = ("--set", f"gates.macs_int8_min={limit}")
        code, out, err = brakepoint("convert", mission, "--out", tmp_path, "--json", *setting)
        gates = json.loads(out)["gates"]
        assert [one["name"] for one in gates if one["passed"] is False] == failing
        assert code == (1 if failing else 0)
        assert ("of cpu.onnx are INT8" in " ".join(err.split())) == bool(failing)

    def test_a_limit_that_is_no_share_is_refused_by_its_key(
        self, brakepoint: Command, mission: Path, tmp_path: Path
    ) -> None:
        for wrong in ("1.5", "{ gpu = 0.5 }", "{ cpu = 2.0 }"):
            setting = ("--set", f"gates.macs_int8_min={wrong}")
            code, _, err = brakepoint("convert", mission, "--out", tmp_path, *setting)
            assert code == 2
            assert "gates.macs_int8_min" in err


def test_both_gates_are_in_the_table() -> None:
    assert {gate.name for gate in GATES} >= {"macs_int8_min int8", "macs_int8_min cpu"}
    assert "macs_int8_min" not in MISSION
