"""Small files with huge claims: ONNX functions that multiply or call themselves, endless loops,
tensors and arrays of terabytes, endless nesting. Each is refused by name before anything is
allocated or run, by every verb that reads such a file.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from calibration import npz
from calibration.evaluation.predictions.networks import Network, inference_spec, open_session
from calibration.inference.onnx_bounds import (
    LARGEST_TURNS,
    check_bounds,
    check_shapes,
    check_unconverted,
    may_run_on,
)
from calibration.observation.observation import unpack
from converters.sources.confinement.process import ConfinedProcess
from converters.sources.onnx_file import read_onnx
from edge.contract.artifact import read_json
from edge.contract.json_text import parse_json
from edge.contract.mission.loading import load_mission
from firmware_bridge.errors import NotTrusted, UsageError

SHAPE = (1, 3, 16, 16)
Command = Callable[..., tuple[int, str, str]]
OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]
PATH = Path("n.onnx")


def model(nodes: list[onnx.NodeProto], functions: object = (), tensors: object = ()) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        list(tensors),  # type: ignore[call-overload] # tensors of onnx
    )
    return helper.make_model(graph, opset_imports=OPSETS, functions=list(functions), ir_version=9)  # type: ignore[call-overload]


def function(name: str, *nodes: onnx.NodeProto) -> onnx.FunctionProto:
    return helper.make_function("f", name, ["x"], ["y"], list(nodes), OPSETS)


def call(name: str, x: str, y: str) -> onnx.NodeProto:
    return helper.make_node(name, [x], [y], domain="f")


def nested(depth: int) -> ModelProto:
    """Each function calls the next one ten times."""
    functions = [function(f"f{depth}", helper.make_node("Relu", ["x"], ["y"]))]
    for level in range(depth):
        names = ["x", *(f"v{step}" for step in range(9)), "y"]
        calls = [call(f"f{level + 1}", names[step], names[step + 1]) for step in range(10)]
        functions.append(function(f"f{level}", *calls))
    return model([call("f0", "images", "y")], functions)


def loop(turns: int | None, *, condition: str = "kept") -> ModelProto:
    """A loop that adds; its condition is handed on, constant, or computed and always true."""
    made = {
        "kept": [helper.make_node("Identity", ["go"], ["on"])],
        "constant": [helper.make_node("Constant", [], ["on"], value=true())],
        "computed": [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Equal", ["most", "most"], ["on"]),
        ],
    }[condition]
    body = helper.make_graph(
        [*made, helper.make_node("Add", ["x", "x"], ["more"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.FLOAT, SHAPE),
        ],
    )
    tensors = [true("yes")]
    if turns is not None:
        tensors.append(helper.make_tensor("turns", TensorProto.INT64, [], [turns]))
    inputs = ["turns" if turns is not None else "", "yes", "images"]
    return model([helper.make_node("Loop", inputs, ["y"], body=body)], tensors=tensors)


def true(name: str = "true") -> TensorProto:
    return helper.make_tensor(name, TensorProto.BOOL, [], [True])


def refused(made: ModelProto) -> str:
    with pytest.raises(UsageError, match="larger than it looks") as caught:
        check_bounds(made, PATH)
    return caught.value.found


class TestFunctions:
    def test_nested_ones_are_counted_before_they_are_written_out(self) -> None:
        made = nested(12)
        assert made.ByteSize() < 24_000
        assert "operators with its functions written out" in refused(made)
        assert check_bounds(nested(4), PATH).nodes == 10**4

    def test_a_long_chain_needs_no_recursion(self) -> None:
        functions = [function("f0", helper.make_node("Relu", ["x"], ["y"]))]
        functions += [function(f"f{row}", call(f"f{row - 1}", "x", "y")) for row in range(1, 5000)]
        assert check_bounds(model([call("f4999", "images", "y")], functions), PATH).nodes == 1

    def test_one_that_calls_itself(self) -> None:
        one = function("a", call("a", "x", "y"))
        assert "call themselves: a" in refused(model([call("a", "images", "y")], [one]))
        two = [function("a", call("b", "x", "y")), function("b", call("a", "x", "y"))]
        assert "call themselves: a, b" in refused(model([call("a", "images", "y")], two))

    def test_one_that_calls_itself_inside_a_branch(self) -> None:
        inner = helper.make_graph([call("a", "x", "z")], "then", [], [])
        branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
        assert "call themselves" in refused(
            model([call("a", "images", "y")], [function("a", branch)])
        )

    def test_constants_inside_count_at_each_call(self) -> None:
        weight = helper.make_tensor("w", TensorProto.UINT8, [1 << 20], bytes(1 << 20), raw=True)
        heavy = function(
            "h",
            helper.make_node("Constant", [], ["w"], value=weight),
            helper.make_node("Add", ["x", "w"], ["y"]),
        )
        calls = [call("h", "images", f"y{row}") for row in range(3000)]
        assert "bytes with its functions written out" in refused(model(calls, [heavy]))

    def test_two_of_one_name(self) -> None:
        same = [function("a", helper.make_node(kind, ["x"], ["y"])) for kind in ("Relu", "Abs")]
        assert "twice" in refused(model([call("a", "images", "y")], same))


class TestLoops:
    @pytest.mark.parametrize("condition", ["kept", "constant"])
    def test_one_whose_turns_stand_in_the_file(self, condition: str) -> None:
        assert f"a loop of {1 << 62} turns" in refused(loop(1 << 62, condition=condition))
        assert str(LARGEST_TURNS + 1) in refused(loop(LARGEST_TURNS + 1, condition=condition))
        assert not check_bounds(loop(1000, condition=condition), PATH).open_loops

    def test_turns_from_a_constant_node(self) -> None:
        made = loop(7)
        value = helper.make_tensor("v", TensorProto.INT64, [], [1 << 62])
        made.graph.node.insert(0, helper.make_node("Constant", [], ["turns"], value=value))
        del made.graph.initializer[1]
        assert "turns" in refused(made)

    def test_loops_in_loops_multiply(self) -> None:
        inner = loop(LARGEST_TURNS)
        outer = loop(LARGEST_TURNS)
        body = outer.graph.node[0].attribute[0].g
        node = body.node.add()
        node.CopyFrom(inner.graph.node[0])
        node.input[0], node.input[2], node.output[0] = "turns", "x", "unread"
        assert "operators run for one picture" in refused(outer)

    def test_a_while_is_tried_where_it_can_be_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        endless = loop((1 << 63) - 1, condition="computed")
        assert check_bounds(endless, PATH).open_loops
        monkeypatch.setattr(
            "converters.sources.confinement.process.LIMIT_S", {"begin": 300.0, "try": 3.0}
        )
        onnx.save(endless, tmp_path / "n.onnx")
        with pytest.raises(UsageError, match="cannot be run here") as caught:
            read_onnx(tmp_path / "n.onnx", SHAPE)
        assert caught.value.found == "not done in 3 s"

    def test_a_while_that_ends_is_taken(self, tmp_path: Path) -> None:
        made = loop((1 << 63) - 1, condition="computed")
        node = made.graph.node[0].attribute[0].g.node[1]
        node.CopyFrom(helper.make_node("Less", ["turn", "turn"], ["on"]))
        onnx.save(made, tmp_path / "n.onnx")
        assert read_onnx(tmp_path / "n.onnx", SHAPE)[0].graph.node[0].op_type == "Loop"


class TestTensors:
    @pytest.mark.parametrize("place", ["initializer", "constant", "inside a branch", "sparse"])
    def test_what_they_claim_is_added_up(self, place: str) -> None:
        claim = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1 << 20, 1 << 20])
        add = helper.make_node("Add", ["images", "w"], ["y"])
        made = model([add])
        if place == "initializer":
            made.graph.initializer.append(claim)
        elif place == "constant":
            made.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=claim))
        elif place == "sparse":
            sparse = made.graph.sparse_initializer.add(dims=[1 << 20, 1 << 20])
            sparse.values.name, sparse.values.data_type = "w", TensorProto.FLOAT
        else:
            inner = helper.make_graph([add], "then", [], [], [claim])
            made = model(
                [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)],
                tensors=[true("c")],
            )
        assert "tensors of" in refused(made)

    def test_a_size_below_0(self) -> None:
        claim = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[-1])
        assert "below 0" in refused(model([call("a", "images", "y")], tensors=[claim]))

    @pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand"])
    def test_what_operators_would_make_of_a_few_bytes(self, kind: str) -> None:
        size = helper.make_tensor("s", TensorProto.INT64, [1], [10**12])
        one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
        node = helper.make_node(kind, ["s"] if kind == "ConstantOfShape" else ["one", "s"], ["y"])
        with pytest.raises(UsageError, match="larger than it looks") as caught:
            check_shapes(model([node], tensors=[size, one]), PATH)
        assert "4000.0 GB" in caught.value.found


@pytest.mark.parametrize("verb", ["convert", "mission check", "lint", "compare"])
@pytest.mark.parametrize("made", [nested(12), loop(1 << 62)], ids=["functions", "loop"])
def test_every_verb_that_reads_onnx(
    verb: str, made: ModelProto, brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    made.graph.node.append(helper.make_node("DequantizeLinear", ["q", "one"], ["d"]))
    made.graph.initializer.append(helper.make_tensor("q", TensorProto.INT8, [1], [1]))
    made.graph.initializer.append(helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]))
    path = tmp_path / "n.onnx"
    onnx.save(made, path)
    code, _, err = brakepoint(
        *{
            "convert": ("convert", tiny_mission, "--out", tmp_path / "out"),
            "mission check": ("mission", "check", tiny_mission),
            "lint": ("lint", path),
            "compare": ("compare", path, path, "--frames", tiny_mission.parent / "road"),
        }[verb],
        *([] if verb in ("lint", "compare") else ["--set", f"model.file={path}"]),
    )
    assert code == 2
    assert "larger than it looks" in err


LIMITS = {"begin": 300.0, "try": 3.0}


def ends_never() -> ModelProto:
    """A `while` of constants only: onnxruntime runs it when it loads the file."""
    made = loop((1 << 63) - 1, condition="computed")
    made.graph.initializer.append(
        helper.make_tensor("still", TensorProto.FLOAT, SHAPE, [1.0] * int(np.prod(SHAPE)))
    )
    node = made.graph.node[0]
    node.input[2], node.output[0] = "still", "l"
    made.graph.node.append(helper.make_node("Add", ["images", "l"], ["y"]))
    return made


def size_by_a_picture() -> ModelProto:
    """A tensor whose size is computed from values: 0 times the picture, then 2^44."""
    tensors = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("many", TensorProto.FLOAT, [], [float(1 << 44)]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
    ]
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "many"], ["much"]),
        helper.make_node("Cast", ["much"], ["count"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["count", "one"], ["s"]),
        helper.make_node("ConstantOfShape", ["s"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["r"], keepdims=0),
    ]
    return model([*nodes, helper.make_node("Add", ["images", "r"], ["y"])], tensors=tensors)


class TestWhatOnlyARunTells:
    @pytest.mark.parametrize("made", [ends_never(), size_by_a_picture()], ids=["time", "memory"])
    def test_two_files_are_compared_only_after_a_trial(
        self,
        made: ModelProto,
        brakepoint: Command,
        tiny_mission: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("converters.sources.confinement.process.LIMIT_S", LIMITS)
        asked: list[str] = []
        ask = ConfinedProcess.ask
        monkeypatch.setattr(
            ConfinedProcess,
            "ask",
            lambda self, what, *rest: (asked.append(what), ask(self, what, *rest))[1],
        )
        path = tmp_path / "n.onnx"
        onnx.save(made, path)
        frames = tiny_mission.parent / "road"
        code, _, err = brakepoint("compare", path, path, "--frames", frames)
        assert code == 2
        assert asked == ["begin", "try"]
        assert "cannot be run here" in err or "is not a network that can be run" in err

    @pytest.mark.parametrize("made", [ends_never(), size_by_a_picture()], ids=["time", "memory"])
    def test_a_file_is_judged_only_where_it_tells_both(
        self, made: ModelProto, tmp_path: Path
    ) -> None:
        with pytest.raises(UsageError, match="cannot be judged as it is"):
            check_unconverted(made.SerializeToString(), tmp_path / "n.onnx")

    def test_an_ordinary_network_needs_no_trial(self) -> None:
        sizes = helper.make_tensor("s", TensorProto.FLOAT, [4], [1.0, 1.0, 2.0, 2.0])
        plain = model([helper.make_node("Resize", ["images", "", "s"], ["y"])], tensors=[sizes])
        assert not may_run_on(plain, check_bounds(plain, PATH))
        assert may_run_on(size_by_a_picture(), check_bounds(size_by_a_picture(), PATH))

    def test_a_size_inside_a_branch_is_not_known(self) -> None:
        size = helper.make_tensor("s", TensorProto.INT64, [2], [1 << 18, 1 << 14])
        inner = helper.make_graph(
            [helper.make_node("ConstantOfShape", ["s"], ["z"])],
            "then",
            [],
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        )
        branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
        made = model([branch], tensors=[true("c"), size])
        assert may_run_on(made, check_bounds(made, PATH))


def test_a_network_that_is_evaluated(tiny_mission: Path) -> None:
    reading = inference_spec(load_mission(tiny_mission).model, threads=1)
    given = Network("n.onnx", loop(1 << 62).SerializeToString(), "as_written", "as given")
    with pytest.raises(UsageError, match="larger than it looks"):
        open_session(given, reading)


class TestJson:
    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 300 + "]" * 300])
    def test_nesting_is_bounded(self, text: str) -> None:
        for given in (text, text.encode(), text.encode("utf-16")):
            with pytest.raises(ValueError, match="recursion limit"):
                parse_json(given)

    def test_values_are_those_of_json(self) -> None:
        values = {"a": [1, -2.5e-7, 1 << 70, None, True, "é道\n\u2028", {}, []], "": {"b": 0.1}}
        for given in (json.dumps(values), json.dumps(values, ensure_ascii=False).encode()):
            assert parse_json(given) == values
        assert parse_json(b"\xef\xbb\xbf[1]") == [1]
        assert parse_json("[1]".encode("utf-16")) == [1]
        for wrong in ("", "[1", "{'a': 1}", b"\xff\xfe\xff"):
            with pytest.raises(ValueError, match=r"."):
                parse_json(wrong)

    def test_every_digit_of_a_number_counts(self) -> None:
        numbers = np.random.default_rng(0).integers(0, 1 << 63, 20_000).view(np.float64)
        wanted = [float(one) for one in numbers if np.isfinite(one)]
        assert parse_json(json.dumps(wanted)) == wanted

    def test_an_artifact_nested_without_end_is_not_trusted(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text('{"schema":' + "[" * 100_000)
        with pytest.raises(NotTrusted, match="is not valid JSON"):
            read_json(path, "brakepoint.report/2")

    @pytest.mark.parametrize(
        "arguments",
        [("data", "check", "LOCK"), ("runs", "show", "LOCK"), ("compare", "LOCK", "LOCK")],
    )
    def test_no_verb_ends_in_a_traceback(
        self, arguments: tuple[str, ...], brakepoint: Command, tmp_path: Path
    ) -> None:
        path = tmp_path / "deep.lock.json"
        path.write_text('{"schema":"brakepoint.dataset/1","records":' + "[" * 100_000)
        code, _, err = brakepoint(*(path if one == "LOCK" else one for one in arguments))
        assert code in (2, 3, 4), err


def claiming(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """An array's header, and nothing behind it."""
    made = io.BytesIO()
    about = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(made, about)  # type: ignore[arg-type] # as numpy does
    return made.getvalue()


class TestArrays:
    @pytest.mark.parametrize("shape", [(10**12,), (1 << 40, 1 << 40), (1000,)])
    def test_what_a_header_claims_is_held_against_the_file(
        self, shape: tuple[int, ...], tmp_path: Path
    ) -> None:
        path = tmp_path / "a.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", claiming(shape))
        with zipfile.ZipFile(path) as archive, pytest.raises(ValueError, match="claims"):
            npz.read_array(archive, "a")

    def test_objects_are_never_unpickled(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
        with (
            zipfile.ZipFile(tmp_path / "a.npz") as archive,
            pytest.raises(ValueError, match=r"[Oo]bject"),
        ):
            npz.read_array(archive, "a")

    def test_honest_ones_are_read(self, tmp_path: Path) -> None:
        wanted = {"a": np.arange(6).reshape(2, 3), "b": np.zeros(0), "c": np.array("text")}
        np.savez_compressed(tmp_path / "a.npz", **wanted)
        with zipfile.ZipFile(tmp_path / "a.npz") as archive:
            for name, values in wanted.items():
                np.testing.assert_array_equal(npz.read_array(archive, name), values)

    def test_an_observation_that_claims_terabytes(self) -> None:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            archive.writestr("header.npy", claiming((10**12,), "|u1"))
        with pytest.raises(NotTrusted) as caught:
            unpack(made.getvalue(), source="observation.npz")
        assert "claims" in caught.value.found
