"""A crafted TorchScript archive or torch.export program is refused before any of it is loaded: no
operator outside the allow-list, however it is named, and no pickle that imports.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import crafted
import pytest
import torch
from crafted import operators, program, script, with_file, with_graph, with_lines
from torch import Tensor, nn

from converters.sources.pytorch.exported_program import sanitize_program
from converters.sources.pytorch.torch_operators import PLAIN_CALLS, allowed, may_target
from converters.sources.pytorch.torchscript import sanitize_torchscript
from firmware_bridge.errors import UsageError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

OTHER_SPACES = sorted(set(operators()) - {"aten", "prim"})


@pytest.fixture(scope="module")
def plain_script(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return script(tmp_path_factory.mktemp("made") / "n.pt").read_bytes()


@pytest.fixture(scope="module")
def plain_exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return program(tmp_path_factory.mktemp("made") / "n.pt2").read_bytes()


@pytest.fixture
def archive(plain_script: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "n.pt"
    path.write_bytes(plain_script)
    return path


@pytest.fixture
def exported(plain_exported: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "n.pt2"
    path.write_bytes(plain_exported)
    return path


def refused(read: Callable[[Path], bytes], path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        read(path)
    return caught.value


class TestTheList:
    def test_it_names_operators_that_there_are(self) -> None:
        known = {
            (schema.name, schema.overload_name or "default")
            for schema in torch._C._jit_get_all_schemas()
        }
        assert not {(name, one) for name, several in allowed().items() for one in several} - known

    def test_nothing_in_it_takes_a_storage_or_a_stream(self) -> None:
        for schema in torch._C._jit_get_all_schemas():
            if (schema.overload_name or "default") in allowed().get(schema.name, ()):
                kinds = {str(one.type) for one in (*schema.arguments, *schema.returns)}
                assert not {kind for kind in kinds if "Storage" in kind or "Stream" in kind}

    @pytest.mark.parametrize("name", ["from_file", "save", "set_", "resize_", "_foobar", "record"])
    def test_what_is_not_in_it(self, name: str) -> None:
        assert f"aten::{name}" not in allowed()
        assert not may_target(f"torch.ops.aten.{name}.default")

    def test_a_name_without_its_overload_is_no_operator(self) -> None:
        assert may_target("torch.ops.aten.add.Tensor")
        for other in (
            "torch.ops.aten.add",
            "torch.ops.aten",
            "torch.add",
        ):
            assert not may_target(other)

    def test_beside_it_only_arithmetic_and_operators_with_their_graph_in_the_file(self) -> None:
        for name in PLAIN_CALLS:
            assert name.split(".")[0] in ("math", "_operator", "torch")
            assert not name.startswith("torch.ops") or name.startswith("torch.ops.higher_order.")


WRITES = '"victim", True, 4'


class TestTorchScript:
    @pytest.mark.parametrize("space", OTHER_SPACES)
    def test_operators_of_every_other_namespace(self, space: str, archive: Path) -> None:
        name = operators()[space][0]
        refusal = refused(
            sanitize_torchscript, with_lines(archive, f"a = ops.{space}.{name}(images)")
        )
        assert f"{space}::{name}" in refusal.found

    @pytest.mark.parametrize(
        "name", ["torchvision.nms", "mine.relu", "higher_order.cond", "mkl.missing", "aten.save"]
    )
    def test_operators_that_nobody_registered_here(self, name: str, archive: Path) -> None:
        refusal = refused(sanitize_torchscript, with_lines(archive, f"a = ops.{name}(images)"))
        assert name.replace(".", "::") in refusal.found

    @pytest.mark.parametrize(
        "lines",
        [
            f"a = torch.from_file({WRITES})",
            f"a = torch.from_file # a note\n(a)({WRITES})",
            f"a = (torch.from_file # a note\n  )({WRITES})",
            f"a = torch.from_file \\\n  ({WRITES})",
            f"a = (torch . \\\n from_file)({WRITES})",
            f"a = ops.aten.from_file({WRITES})",
            f"a = fork(torch.from_file, {WRITES})",
            f"a = awaitable(torch.from_file, {WRITES})",
            f"a = annotate(Tensor, torch.from_file({WRITES}))",
            f"a = [[torch.from_file]]\nb = a[0][0]({WRITES})",
            "a = torch.from_file\nb = a",
            "a = torch\nb = a.add(images, images)",
            "a = ops",
            'a = (images).save("victim")',
            'torch.save(images, "victim")',
            'a = getattr(images, "save")("victim")',
            'a = getattr(images, "s" + "ave")("victim")',
            f'a = getattr(torch, "from_file")({WRITES})',
            "a = images.set_(images)",
            'a = ops.prim.rpc_sync("there", "f", (images, ))',
            "ops.prim.PythonOp(images)",
            "a = open('victim', 'w')",
            "a = __import__('os').system('touch victim')",
            "a = eval('1')",
            "a = lambda x: x",
            "a = [x for x in [1]]",
            "import os",
            "from os import system",
            "a = __torch__.torch.classes.quantized.Conv2dPackedParamsBase",
            "a = __torch__.somewhere.function(images)",
            "torch = images",
            "a = torch.ops.aten.from_file",
            "a = torch._C._nn.gelu(images)",
            "global a",
            "try:\n  a = 1\nexcept:\n  a = 2",
            "a = f'{images}'",
        ],
    )
    def test_whatever_way_an_operator_or_a_function_is_named(
        self, lines: str, archive: Path
    ) -> None:
        refusal = refused(sanitize_torchscript, with_lines(archive, lines))
        assert "not run here" in refusal.what or "no code" in refusal.found

    @pytest.mark.parametrize("name", ["__setstate__", "__getstate__"])
    def test_methods_that_run_while_it_is_loaded(self, name: str, archive: Path) -> None:
        method = (
            f"class Loud(Module):\n  __parameters__ = []\n  __buffers__ = []\n"
            f"  def {name}(self: __torch__.tiny_torch.Loud, state: int) -> NoneType:\n"
            "    return None\n"
        )
        refusal = refused(sanitize_torchscript, with_lines(archive, "", before_class=method))
        assert name in refusal.found

    def test_texts_and_comments_may_say_anything(self, archive: Path) -> None:
        talk = 'a = "torch.from_file(1); ops.mine.relu"  # torch.save("victim")'
        with_lines(archive, talk)
        assert b"# torch.save" not in sanitize_torchscript(archive)

    def test_code_nested_without_end(self, archive: Path) -> None:
        for deep in ("(" * 500 + ")" * 500, "-" * 20_000 + "1", "a" + ".b" * 50_000):
            path = archive.with_name("deep.pt")
            path.write_bytes(archive.read_bytes())
            refused(sanitize_torchscript, with_lines(path, f"a = {deep}"))

    @pytest.mark.parametrize("name", ["data.pkl", "constants.pkl"])
    def test_pickles_that_import(self, name: str, archive: Path, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        crafted.rewritten(
            archive, lambda one, data: crafted.pickled(victim) if one == name else data
        )
        refusal = refused(sanitize_torchscript, archive)
        assert "in a pickle" in refusal.found or "instruction" in refusal.found
        assert not victim.exists()

    @pytest.mark.parametrize(
        "data",
        [b"cos\nsystem\n.", b"c__torch__.torch.classes.mine\nClass\n.", b"i", b"\x80\x02", b""],
    )
    def test_pickles_of_other_classes_and_damaged_ones(self, data: bytes, archive: Path) -> None:
        crafted.rewritten(archive, lambda one, old: data if one == "data.pkl" else old)
        assert "pickle" in refused(sanitize_torchscript, archive).found

    def test_a_file_that_is_there_twice(self, archive: Path) -> None:
        with pytest.warns(UserWarning, match="Duplicate"):
            with_file(archive, "data.pkl", b".")
        assert "twice" in refused(sanitize_torchscript, archive).found

    def test_files_of_another_kind(self, archive: Path) -> None:
        found = refused(
            sanitize_torchscript, with_file(archive, "code/__torch__/a.so", b"code")
        ).found
        assert "a.so" in found

    def test_the_same_bytes_come_out_as_go_in_but_talk(self, archive: Path) -> None:
        assert sanitize_torchscript(archive) == sanitize_torchscript(archive)
        assert b"debug_pkl" not in sanitize_torchscript(archive)


def targets(graph: dict[str, Any], target: str) -> None:
    graph["nodes"][0]["target"] = target


def argument(graph: dict[str, Any], value: dict[str, Any]) -> None:
    node = graph["nodes"][0]
    node["target"] = "torch.ops.higher_order.wrap_with_set_grad_enabled"
    node["inputs"].append({"name": "", "arg": value, "kind": 1})


FROM_FILE = "torch.ops.aten.from_file.default"
INSIDE = {"inputs": [], "outputs": [], "tensor_values": {}, "sym_int_values": {}}
CALLS = {"target": FROM_FILE, "inputs": [], "outputs": [], "metadata": {}}
GRAPH = {"name": "g", "graph": {**INSIDE, "nodes": [CALLS]}}
HANDED = {"as_operator": "_operator.call"}


class Halves(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            halved = images / 2
        return images + halved


class TestPrograms:
    @pytest.mark.parametrize("space", OTHER_SPACES)
    def test_operators_of_every_other_namespace(self, space: str, exported: Path) -> None:
        target = f"torch.ops.{space}.{operators()[space][0]}.default"
        with_graph(exported, lambda graph: targets(graph, target))
        assert target in refused(sanitize_program, exported).found

    @pytest.mark.parametrize(
        "target",
        [
            FROM_FILE,
            "torch.ops.aten.save.default",
            "torch.ops.aten.relu",
            "torch.ops.aten.relu.default.__globals__",
            "torch.ops.torchvision.nms.default",
            "torch.ops.higher_order.inductor_compiled_code",
            "torch.ops.higher_order.triton_kernel_wrapper_mutation",
            "torch.ops.load_library",
            "torch.load",
            "torch.hub.load",
            "torch.os.system",
            "math.__loader__.load_module",
            "_operator.call",
            "_operator.methodcaller",
            "_operator.attrgetter",
            "#mine",
            "",
        ],
    )
    def test_targets_that_are_no_listed_operator(self, target: str, exported: Path) -> None:
        with_graph(exported, lambda graph: targets(graph, target))
        assert "target" in refused(sanitize_program, exported).found

    @pytest.mark.parametrize(
        "value",
        [
            {"as_operator": FROM_FILE},
            {"as_operator": "torch.os.system"},
            {"as_operator": "math.__loader__"},
            {"as_string_to_argument": {"f": {"as_operator": FROM_FILE}}},
            {"as_string_to_argument": {"f": {"as_string_to_argument": {"g": HANDED}}}},
            {"as_graph": GRAPH},
            {"as_graph": {"name": "h", "graph": {**INSIDE, "nodes": [
                {**CALLS, "target": "torch.ops.aten.relu.default", "inputs": [
                    {"name": "a", "arg": {"as_graph": GRAPH}}]}]}}},
            {"as_custom_obj": {"name": "a", "class_fqn": "__torch__.torch.classes.mine.Mine"}},
        ],
    )  # fmt: skip
    def test_operators_and_graphs_as_arguments(self, value: dict[str, Any], exported: Path) -> None:
        with_graph(exported, lambda graph: argument(graph, value))
        found = refused(sanitize_program, exported).found
        assert "as_operator" in found or "target" in found or "object of another class" in found

    @pytest.mark.parametrize("name", ["a b", "a(b)", "a:b", "x=print(1)", "a.b", "1a", "a\n"])
    def test_names_that_would_be_code(self, name: str, exported: Path) -> None:
        def change(graph: dict[str, Any]) -> None:
            graph["nodes"][0]["inputs"][0]["name"] = name

        with_graph(exported, change)
        assert "name" in refused(sanitize_program, exported).found

    @pytest.mark.parametrize(
        "size",
        [
            "__import__('os').system('touch victim')",
            "Symbol('s0').__class__",
            "os.system",
            "9**9**9**9",
            "Pow(9, 999999999)",
            "2**(2**40)",
            "1" * 400,
            "(lambda: 1)()",
            "[1][0]",
            "s0 if s0 else 1",
        ],
    )
    def test_sizes_that_are_no_arithmetic_or_too_much_of_it(
        self, size: str, exported: Path
    ) -> None:
        def change(graph: dict[str, Any]) -> None:
            graph["sym_int_values"]["s"] = {"as_expr": {"expr_str": size, "hint": None}}

        with_graph(exported, change)
        assert "expr_str" in refused(sanitize_program, exported).found

    def test_nesting_without_end(self, exported: Path) -> None:
        deep = b'{"a":' * 50_000 + b"1" + b"}" * 50_000
        crafted.rewritten(
            exported, lambda name, data: deep if name.endswith("model.json") else data
        )
        assert "recursion" in refused(sanitize_program, exported).found

    def test_a_graph_inside_is_taken_where_it_only_computes(self, tmp_path: Path) -> None:
        path = program(tmp_path / "n.pt2", Halves().eval())
        assert b"wrap_with_set_grad_enabled" in sanitize_program(path)
