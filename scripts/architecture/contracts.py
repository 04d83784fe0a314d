"""Reads the layers contracts of .importlinter, and the purpose of a package.

In: the root of the checkout. Out: `Contracts`, and the first docstring line of a package.
"""

from __future__ import annotations

import ast
import configparser
from dataclasses import dataclass
from pathlib import Path

Layers = list[list[str]]
"""Names from the highest layer to the lowest; those of one layer do not import each other."""


@dataclass(frozen=True)
class Contracts:
    """The contracts of .importlinter.

    Attributes:
        packages: top-level packages, the highest first.
        rooms: dotted name of a package -> the layers in it.
        forbidden: top-level package -> third-party packages that it may not import.
    """

    packages: list[str]
    rooms: dict[str, Layers]
    forbidden: dict[str, list[str]]


def read_contracts(root: Path) -> Contracts:
    """The order of packages and rooms as .importlinter has it.

    Raises:
        ValueError: a layers contract has several containers, so a picture of one would not do.
    """
    parser = configparser.ConfigParser()
    parser.read_string((root / ".importlinter").read_text())
    rooms: dict[str, Layers] = {}
    packages: list[str] = []
    forbidden: dict[str, list[str]] = {}
    for name in parser.sections():
        section = parser[name]
        if section.get("type") == "forbidden":
            for source in section["source_modules"].split():
                forbidden[source] = section["forbidden_modules"].split()
        if section.get("type") != "layers":
            continue
        rows = section["layers"].strip().splitlines()
        layers = [[name.strip() for name in row.split("|")] for row in rows]
        containers = section.get("containers", "").split()
        if not containers:
            packages = [one for layer in layers for one in layer]
        elif len(containers) == 1:
            rooms[containers[0]] = layers
        else:
            raise ValueError(f"contract '{name}' orders several packages: write one for each")
    return Contracts(packages, rooms, forbidden)


def folder(root: Path, name: str) -> Path:
    """Where the package or module of a dotted name is, without the suffix of a module."""
    return root.joinpath(*name.split("."))


def purpose(root: Path, package: str) -> str:
    """The first line of the package's docstring, without its full stop."""
    text = (folder(root, package) / "__init__.py").read_text()
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0].removesuffix(".")
