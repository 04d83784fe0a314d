"""The allow-list of torch operators that a network's file may call, by name and overload.

Reads torch_operators.txt; answers whether an operator is in it. Operators of any other namespace or
name are refused, registered ones too: the list does not depend on what is installed.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

TABLE = Path(__file__).with_name("torch_operators.txt")
"""`namespace::name overload overload ...`; the overload without a name is called default."""

INSTRUCTIONS = frozenset(
    f"prim::{name}"
    for name in (
        *("CallFunction", "CallMethod", "Constant", "CreateObject", "DictConstruct", "Enter"),
        *("Exit", "GetAttr", "If", "ListConstruct", "ListUnpack", "Loop", "SetAttr", "TupleSlice"),
        *("TupleConstruct", "TupleIndex", "TupleUnpack", "Uninitialized", "isinstance"),
        *("unchecked_cast", "Return", "Param", "BroadcastSizes"),
    )
)
"""Instructions of TorchScript itself. Those that hold a graph of their own as an attribute (fork,
closures, fused groups) are not among them."""

PLAIN_CALLS = frozenset(
    {f"math.{name}" for name in ("ceil", "floor", "trunc", "sqrt", "pow", "log", "exp")}
    | {
        f"_operator.{name}"
        for name in (
            *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "pos", "getitem"),
            *("eq", "ne", "lt", "le", "gt", "ge", "and_", "or_", "not_"),
        )
    }
    | {f"torch.sym_{name}" for name in ("float", "int", "ite", "max", "min", "not", "sqrt", "sum")}
    | {
        f"torch.ops.higher_order.{name}"
        for name in ("cond", "wrap_with_autocast", "wrap_with_set_grad_enabled")
    }
)
"""What a torch.export program may call beside operators: arithmetic of sizes, and the three
operators that take a graph, which stands in the file and is checked like the rest."""


@functools.cache
def allowed() -> Mapping[str, frozenset[str]]:
    """Name with its namespace -> overloads."""
    lines = (line.split() for line in TABLE.read_text(encoding="utf-8").splitlines())
    return {line[0]: frozenset(line[1:]) for line in lines if line and line[0] != "#"}


def may_call(name: str, overload: str) -> bool:
    """Whether a file may call this overload ("" or "default": the unnamed one) of
    `aten::conv2d`."""
    return (overload or "default") in allowed().get(name, frozenset())


def may_target(target: str) -> bool:
    """Whether a torch.export program may call `torch.ops.aten.conv2d.default` or the like."""
    if target in PLAIN_CALLS:
        return True
    parts = target.split(".")
    return (
        len(parts) == 5
        and parts[:2] == ["torch", "ops"]
        and may_call(f"{parts[2]}::{parts[3]}", parts[4])
    )
