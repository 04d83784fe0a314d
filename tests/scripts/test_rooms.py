"""The map of rooms in CONTRIBUTING is generated from the import contracts and docstrings."""

from __future__ import annotations

import ast
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from patience import PATIENCE_S

PACKAGES = ("converters", "calibration", "edge", "firmware_bridge")
PICTURE = Path("docs/images/rooms.svg")
PAGE = Path("docs/architecture.md")


def rooms(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = root / "scripts" / "architecture" / "rooms.py"
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def test_the_map_is_what_the_contracts_give(root: Path) -> None:
    done = rooms(root, "--check")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def house(root: Path, tmp_path: Path) -> Path:
    """A copy of all that the map is made of."""
    names = [".importlinter", str(PICTURE), str(PAGE)]
    sources = [*(root / "scripts" / "architecture").glob("*.py")]
    for package in PACKAGES:
        sources += (root / package).rglob("__init__.py")
    for source in [*(root / name for name in names), *sources]:
        copy = tmp_path / source.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    return tmp_path


def test_a_changed_order_makes_the_picture_stale(house: Path) -> None:
    contracts = house / ".importlinter"
    text = contracts.read_text()
    assert text.count("    conversion\n    report\n") == 1
    contracts.write_text(text.replace("conversion\n    report\n", "report\n    conversion\n"))
    assert rooms(house, "--check").returncode == 1
    assert rooms(house).returncode == 0
    assert rooms(house, "--check").returncode == 0


def test_a_changed_purpose_makes_the_list_stale(house: Path) -> None:
    passes = house / "converters" / "graph" / "passes" / "__init__.py"
    passes.write_text('"""Something else."""\n')
    done = rooms(house, "--check")
    assert (done.returncode, str(PAGE) in done.stdout) == (1, True)
    assert str(PICTURE) not in done.stdout, "the picture shows rooms, not what is in them"


def test_every_folder_of_code_says_in_one_line_what_it_holds_and_is_listed(root: Path) -> None:
    listed = (root / PAGE).read_text()
    for package in PACKAGES:
        for path in (root / package).rglob("__init__.py"):
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            where = path.relative_to(root)
            assert 20 <= len(first) <= 80, where
            assert first.endswith("."), where
            assert f"{path.parent.name}/" in listed, where
            assert first.removesuffix(".") in listed, where


def test_no_word_of_the_picture_leaves_its_sheet_and_nothing_is_fetched(root: Path) -> None:
    text = (root / PICTURE).read_text()
    assert all(word not in text for word in ("href", "@import", "url(", "<script"))
    drawn = ET.fromstring(text)
    width, height = (float(drawn.attrib[side]) for side in ("width", "height"))
    shapes = [shape for shape in drawn.iter() if shape.tag.endswith(("rect", "text"))]
    assert len(shapes) > 80
    for shape in shapes:
        x, y = (float(shape.get(axis, 0)) for axis in "xy")
        assert 0 <= x <= x + float(shape.get("width", 0)) <= width
        assert 0 <= y <= y + float(shape.get("height", 0)) <= height
