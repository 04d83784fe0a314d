"""Checks a pickle's instructions without running them.

Takes a pickle's bytes and a predicate of importable names; returns the first fault in words, or
None.
"""

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
"""Most instructions of one pickle: a network has few values, and its tensors lie in other files."""


def disallowed_instruction(data: bytes, wanted: Callable[[str, str], bool]) -> str | None:
    """The first instruction or import that is not allowed, in words; None where all are.

    Args:
        wanted: (module, name) -> whether the pickle may import it.
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
    # Raised by pickletools and its readers of numbers and texts.
    except (ValueError, IndexError, KeyError, OverflowError, EOFError) as error:
        return f"a damaged pickle: {error}"
    return None
