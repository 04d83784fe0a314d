"""Checks the code of a TorchScript archive before torch reads it: parses it, never runs it, and
writes the parsed tree as new code.

Takes the archive's code files; returns the new code and the names of its classes. Every operator,
called or passed as a value, must be in the allow-list; every other name must be defined in the
archive. Torch reads the new code, so no comment or line break can hide a second meaning.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

from converters.sources.pytorch.torch_operators import allowed

CONSTRUCTS: tuple[type[ast.AST], ...] = (
    *(ast.Module, ast.Import, ast.alias, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg),
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Pass, ast.Return, ast.Assert),
    *(ast.If, ast.For, ast.While, ast.Break, ast.Continue, ast.Raise, ast.With, ast.withitem),
    *(ast.Call, ast.keyword, ast.Attribute, ast.Name, ast.Constant, ast.Subscript, ast.Slice),
    *(ast.Tuple, ast.List, ast.Dict, ast.IfExp, ast.Compare, ast.BoolOp, ast.BinOp, ast.UnaryOp),
    *(ast.expr_context, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)
"""Python syntax that torch writes into such files."""

BUILT_IN = frozenset(
    {"annotate", "uninitialized", "unchecked_cast", "isinstance", "getattr", "len", "range"}
    | {"int", "float", "bool", "str", "complex", "inf", "nan", "AssertionError", "Exception"}
    | {"Tensor", "List", "Dict", "Tuple", "Optional", "Union", "Any", "Final", "NoneType", "number"}
    | {"Device", "Module", "NamedTuple", "Interface", "ModuleInterface", "Enum"}
)
"""Names that the language itself defines; `fork` and the like are left out."""

CLASS_TABLES = frozenset({"__annotations__", "__parameters__", "__buffers__", "op_version_set"})

ROOTS = frozenset({"torch", "ops", "CONSTANTS", "__torch__"})
"""Names that stand for torch's operators, other operators, constants and the archive's own code."""

OF_TORCH = frozenset({"device", "inf", "nan", "dtype", "layout"})
"""Values of NAME in `torch.NAME` that are not operators."""

RUN_ON_LOADING = frozenset({"__setstate__", "__getstate__"})
"""Methods that torch runs while it loads."""

BOUND_CLASSES = ("torch", "classes")
"""After __torch__: C++ classes, which are not part of the archive."""


class NotAllowed(Exception):
    """The code holds something that is not allowed; the text says what."""


class QuantizedOperator(NotAllowed):
    """The code calls an operator of a quantized network."""


def check_code(files: Mapping[str, str]) -> tuple[dict[str, str], frozenset[str]]:
    """The code of an archive, unparsed from its checked tree, and the dotted names of its classes.

    Args:
        files: path under code/ (`__torch__/net.py`) -> text.

    Raises:
        NotAllowed: naming what is not allowed, and the file.
    """
    trees = {name: _parsed(text, name) for name, text in files.items()}
    classes, made = set(), set()
    for name, tree in trees.items():
        module = name.removesuffix(".py").replace("/", ".")
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                made.add(f"{module}.{node.name}")
            if isinstance(node, ast.ClassDef):
                classes.add(f"{module}.{node.name}")
    for name, tree in trees.items():
        try:
            _CodeCheck(made).visit(tree)
        except NotAllowed as unwanted:
            raise type(unwanted)(f"{unwanted} in {name}") from None
        except RecursionError as error:
            raise NotAllowed(f"code nested without end in {name}") from error
    return {name: ast.unparse(tree) + "\n" for name, tree in trees.items()}, frozenset(classes)


def _parsed(text: str, name: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotAllowed(f"no code of torch's language in {name}: {error}") from error


class _CodeCheck(ast.NodeVisitor):
    """Visits every node of one file; raises at the first that is not allowed."""

    def __init__(self, made: Iterable[str]) -> None:
        self._made = frozenset(made)
        self._local: set[str] = set()

    def visit_Module(self, node: ast.Module) -> None:
        """Collects the names that the file assigns, then visits it."""
        for inner in ast.walk(node):
            name = None
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                name = inner.id
            elif isinstance(inner, ast.arg):
                name = inner.arg
            if name in ROOTS or name == "getattr":
                raise NotAllowed(f"the name '{name}' for something else")
            if name is not None:
                self._local.add(name)
        self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> None:
        """Refuses syntax outside CONSTRUCTS."""
        if not isinstance(node, CONSTRUCTS):
            raise NotAllowed(f"the construct '{type(node).__name__}'")
        super().generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        """Allows imports of the archive's own modules only."""
        for one in node.names:
            if one.asname is not None or one.name.split(".")[0] != "__torch__":
                raise NotAllowed(f"the import of '{one.name}'")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Refuses methods that run while the archive is loaded."""
        if node.name in RUN_ON_LOADING or node.decorator_list or node.name in ROOTS:
            raise NotAllowed(f"the function '{node.name}'")
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Refuses decorators and keywords."""
        if node.decorator_list or node.keywords:
            raise NotAllowed(f"the class '{node.name}'")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Allows assigned names and built-in ones; a root never by itself."""
        if node.id not in self._local | BUILT_IN | CLASS_TABLES:
            raise NotAllowed(f"the name '{node.id}'")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Checks a dotted name from a root, or an attribute, which may be an operator as a
        method."""
        chain, inner = [node.attr], node.value
        while isinstance(inner, ast.Attribute):
            chain.append(inner.attr)
            inner = inner.value
        chain.reverse()
        if isinstance(inner, ast.Name) and inner.id in ROOTS:
            self._check_rooted(inner.id, chain)
            return
        for name in chain:
            _check_attribute(name)
        self.visit(inner)

    def visit_Call(self, node: ast.Call) -> None:
        """`getattr` reads an attribute by a text, so that must be a constant."""
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            wanted = node.args[1] if len(node.args) == 2 and not node.keywords else None
            if not (isinstance(wanted, ast.Constant) and isinstance(wanted.value, str)):
                raise NotAllowed("getattr without a plain name")
            _check_attribute(wanted.value)
        self.generic_visit(node)

    def _check_rooted(self, root: str, chain: list[str]) -> None:
        if root == "CONSTANTS" and len(chain) == 1:
            return
        if root == "__torch__":
            # A class of the archive, or a member of one.
            for length in range(1, len(chain) + 1):
                if ".".join((root, *chain[:length])) in self._made:
                    for name in chain[length:]:
                        _check_attribute(name)
                    return
            raise NotAllowed(f"'{'.'.join((root, *chain))}', which is not in the archive")
        if root == "torch":
            if len(chain) == 1 and (chain[0] in OF_TORCH or f"aten::{chain[0]}" in allowed()):
                return
            raise NotAllowed(f"torch.{'.'.join(chain)}")
        name = "::".join(chain)
        if chain[0].startswith("quantized"):
            raise QuantizedOperator(name)
        if len(chain) != 2 or name not in allowed():
            raise NotAllowed(name)


def _check_attribute(name: str) -> None:
    """Refuses an attribute with the name of an operator outside the allow-list.

    torch calls the operator where the value has no attribute of that name, so the name is refused
    even where the archive means an attribute. torch's registry says which names are operators.
    """
    if name in RUN_ON_LOADING or (name in _operator_names() and not _listed(name)):
        raise NotAllowed(f".{name}")


def _listed(name: str) -> bool:
    return f"aten::{name}" in allowed() or f"prim::{name}" in allowed()


def _operator_names() -> frozenset[str]:
    """Names of all operators of any namespace that torch knows here."""
    import torch

    if not _KNOWN:
        schemas = torch._C._jit_get_all_schemas()
        _KNOWN.update(schema.name.partition("::")[2] for schema in schemas)
    return frozenset(_KNOWN)


_KNOWN: set[str] = set()
