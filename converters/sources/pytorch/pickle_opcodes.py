"""Looks at a pickle's instructions without running one: which names it would import or call."""

from __future__ import annotations

import pickletools
from collections.abc import Callable

OPCODES = frozenset(
    {"PROTO", "FRAME", "STOP", "MARK", "POP", "NONE", "NEWTRUE", "NEWFALSE", "INT", "LONG"}
    | {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "GLOBAL"}
    | {"BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES"}
    | {"SHORT_BINBYTES", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST"}
    | {"APPEND", "APPENDS", "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT"}
    | {"BINGET", "LONG_BINGET", "MEMOIZE", "BINPERSID", "REDUCE", "BUILD", "NEWOBJ"}
)
"""Instructions that torch writes. STACK_GLOBAL, INST, OBJ and the extension registry are left out:
they import a name that is not in the instruction itself."""

LARGEST_BYTES = 64 << 20
LARGEST_STACK = 1 << 22
"""Instructions of one pickle: a network has few values, and its tensors lie in other files."""


def unwanted_in(data: bytes, wanted: Callable[[str, str], bool]) -> str | None:
    """What in a pickle is not taken, in words; None where every instruction is.

    Args:
        wanted: says of a module and a name whether they may be imported.
    """
    if len(data) > LARGEST_BYTES:
        return f"a pickle of {len(data)} bytes"
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if opcode.name not in OPCODES:
                return f"the instruction {opcode.name} in a pickle"
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).rpartition(" ")
                if not wanted(module, name):
                    return f"'{module}.{name}' in a pickle"
            if count > LARGEST_STACK:
                return "a pickle without end"
    # pickletools raises these, and what its readers of numbers and texts do.
    except (ValueError, IndexError, KeyError, OverflowError, EOFError) as error:
        return f"a damaged pickle: {error}"
    return None
