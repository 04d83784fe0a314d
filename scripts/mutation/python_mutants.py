"""Mutants of Python modules, and trials of tests on them.

In: the name of a module. Out: its `Mutant`s, each one small change of the syntax tree, and whether
given tests pass with one. Each trial is a forked process in which an import hook gives the changed
source in place of the file: the checkout is never written.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "ceil": "floor", "floor": "ceil"}
# Only type checkers read these, so a change is no fault at run time.
_UNREAD_FIELDS = ("annotation", "returns", "decorator_list", "type_params")


@dataclass(frozen=True)
class Mutant:
    """One change of one module.

    Attributes:
        module: dotted name of the module.
        where: dotted name of the function or class that holds the change, "" for the module.
        line: line of the change today.
        change: what was there -> what is there instead, as source.
        occurrence: counts equal changes in the same place, from 0.
        source: the whole changed module.
    """

    module: str
    where: str
    line: int
    change: str
    occurrence: int
    source: str

    @property
    def identity(self) -> str:
        """`module:where:change` and the occurrence; it does not depend on the lines above."""
        suffix = f" #{self.occurrence}" if self.occurrence else ""
        return f"{self.module}:{self.where}: {self.change}{suffix}"


def module_path(module: str) -> Path:
    """The file of a module of this checkout."""
    return ROOT / (module.replace(".", "/") + ".py")


def mutants_of(module: str, source: str | None = None) -> list[Mutant]:
    """Every mutant of a module, in the order of its source; `source` None: that of its file."""
    tree = ast.parse(module_path(module).read_text() if source is None else source)
    seen: dict[tuple[str, str], int] = {}
    mutants = []
    for path, where in _places(tree):
        node = _at(tree, path)
        for replacement in _replacements(node):
            changed = copy.deepcopy(tree)
            before, after = _shown(node), _shown(replacement)
            if before == after:
                continue
            _put(changed, path, replacement)
            change = f"{_short(before)} -> {_short(after)}"
            number = seen.get((where, change), 0)
            seen[where, change] = number + 1
            source = ast.unparse(ast.fix_missing_locations(changed))
            mutants.append(
                Mutant(module, where, getattr(node, "lineno", 0), change, number, source)
            )
    return mutants


Step = tuple[str, int | None]


def _places(tree: ast.Module) -> Iterator[tuple[tuple[Step, ...], str]]:
    """Paths of all nodes that may be changed, each with the name of its function or class."""

    def walk(
        node: ast.AST, path: tuple[Step, ...], where: str
    ) -> Iterator[tuple[tuple[Step, ...], str]]:
        if isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":
            return  # zip's own check
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            where = f"{where}.{node.name}" if where else node.name
        yield path, where
        for name, value in ast.iter_fields(node):
            if name in _UNREAD_FIELDS:
                continue
            if isinstance(value, ast.AST):
                yield from walk(value, (*path, (name, None)), where)
            elif isinstance(value, list):
                for i, child in enumerate(value):
                    if isinstance(child, ast.AST) and not _is_docstring(child):
                        yield from walk(child, (*path, (name, i)), where)

    return walk(tree, (), "")


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _at(tree: ast.AST, path: tuple[Step, ...]) -> ast.AST:
    for name, index in path:
        value = getattr(tree, name)
        tree = value if index is None else value[index]
    return tree


def _put(tree: ast.AST, path: tuple[Step, ...], new: ast.AST) -> None:
    parent = _at(tree, path[:-1])
    name, index = path[-1]
    if index is None:
        setattr(parent, name, new)
    else:
        getattr(parent, name)[index] = new


def _shown(node: ast.AST) -> str:
    """A node as one line of source; of an `if` the condition alone."""
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    return ast.unparse(node)


def _short(source: str) -> str:
    line = " ".join(source.split())
    return line if len(line) <= 120 else line[:117] + "..."


def _replacements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=operators):
            for i, operator in enumerate(operators):
                for other in _COMPARISONS[type(operator)]:
                    changed = copy.deepcopy(node)
                    changed.ops[i] = other()
                    yield changed
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _OPERATORS:
            calculation = copy.deepcopy(node)
            calculation.op = _OPERATORS[type(op)]()
            yield calculation
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(op=ast.Or() if isinstance(op, ast.And) else ast.And(), values=values)
            for i in range(len(values)):
                rest = values[:i] + values[i + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(op=op, values=rest)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield operand
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.If():
            for value in (True, False):
                branch = copy.deepcopy(node)
                branch.test = ast.Constant(value=value)
                yield branch
        case _:
            yield from _replaced_leaf(node)


def _replaced_leaf(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(value=not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value=value + 1)
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            changed = copy.deepcopy(node)
            changed.func = ast.Name(id=_CALLS[name], ctx=ast.Load())
            yield changed
        case ast.Call(func=ast.Attribute(value=owner, attr=name)) if name in _CALLS:
            changed = copy.deepcopy(node)
            changed.func = ast.Attribute(value=owner, attr=_CALLS[name], ctx=ast.Load())
            yield changed
        case ast.Expr(value=ast.Call()) | ast.Delete() | ast.Continue() | ast.Break():
            yield ast.Pass()


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the changed source for one module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._mutant.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(module_path(name)))

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = str(module_path(module.__name__))
        exec(compile(self._mutant.source, module.__file__, "exec"), module.__dict__)


@dataclass(frozen=True)
class Trial:
    """A process that runs tests on a mutant."""

    process: int
    began_s: float

    @staticmethod
    def start(mutant: Mutant | None, tests: Sequence[str], *, cpu_s: int) -> Trial:
        """Forks a process; the caller must have imported none of this project's modules.

        Args:
            mutant: None: the tests run on the code as it is.
            tests: files under the root of the checkout.
            cpu_s: after so much processor time the tests count as hanging, so the mutant as killed.
        """
        process = os.fork()
        if process == 0:
            code = 70
            try:
                os.setpgid(0, 0)
                code = _run_tests(mutant, tests, cpu_s=cpu_s)
            finally:
                os._exit(code)
        return Trial(process, time.monotonic())

    def passed(self, *, wall_s: float) -> bool | None:
        """Whether the tests passed; None while they run. After `wall_s` they are ended: False."""
        hangs = time.monotonic() - self.began_s > wall_s
        if hangs:
            self._kill()
        done, status = os.waitpid(self.process, 0 if hangs else os.WNOHANG)
        if not done:
            return None
        self._kill()  # what the tests left running
        return os.waitstatus_to_exitcode(status) == 0

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process, signal.SIGKILL)


def _run_tests(mutant: Mutant | None, tests: Sequence[str], *, cpu_s: int) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    if mutant is not None:
        sys.meta_path.insert(0, Changed(mutant))
    import pytest

    # One seed for hypothesis: two runs of one mutant end alike.
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-o", "timeout=0"]
    return int(pytest.main([*options, "--hypothesis-seed=0", *tests]))
