"""Draws the order of rooms: one picture and one list, from the import contracts.

Reads the layers contracts of .importlinter and the first docstring line of every package. Writes
docs/images/rooms.svg (packages with their rooms, imports run downwards) and the list in
docs/architecture.md (every folder of code). `--check` writes nothing and exits 1 where a file
differs from what the contracts give.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from contracts import Contracts, folder, purpose, read_contracts
from picture import picture

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURE = Path("docs/images/rooms.svg")
PAGE = Path("docs/architecture.md")
BEGIN, END = "<!-- rooms: written by scripts/rooms -->\n", "<!-- end of rooms -->\n"


def listed(root: Path, contracts: Contracts) -> Iterator[str]:
    """Every package and the folders in it, indented, the highest first."""

    def below(package: str, depth: int) -> Iterator[tuple[str, str]]:
        for layer in contracts.rooms.get(package, []):
            for name in layer:
                room = f"{package}.{name}"
                if folder(root, room).is_dir():
                    yield "  " * depth + f"{name}/", purpose(root, room)
                    yield from below(room, depth + 1)

    for package in contracts.packages:
        rows = [(f"{package}/", purpose(root, package)), *below(package, 1)]
        yield from (f"{name:<20}{what}" for name, what in rows)
        if package != contracts.packages[-1]:
            yield ""


def page(root: Path, contracts: Contracts) -> str:
    """docs/architecture.md with the list between its two marks."""
    before, mark, rest = (root / PAGE).read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"{PAGE} needs the marks {BEGIN.strip()} and {END.strip()}")
    rows = "\n".join(listed(root, contracts))
    return f"{before}{BEGIN}```\n{rows}\n```\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description="draws the order of rooms from .importlinter")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where stale")
    check = parser.parse_args().check
    contracts = read_contracts(ROOT)
    given = {PICTURE: picture(ROOT, contracts), PAGE: page(ROOT, contracts)}
    stale = [
        path
        for path, words in given.items()
        if not (ROOT / path).exists() or (ROOT / path).read_text() != words
    ]
    for path in stale:
        if check:
            print(f"{path} is not what .importlinter and the docstrings give: run scripts/rooms")
        else:
            (ROOT / path).write_text(given[path])
            print(f"wrote {path}", file=sys.stderr)
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
