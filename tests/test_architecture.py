"""Architecture rules that need a test: what the device half may import, sizes of folders and
modules, and the two commands.
"""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest
from patience import PATIENCE_S

from edge.backends.cuda.table import CUDA_DRIVERS
from edge.backends.table import BACKENDS
from edge.cli import EXIT_CODES
from edge.install import pip_install
from edge.verbs import VERBS

PACKAGES = ("firmware_bridge", "edge", "calibration", "converters")
ENTRIES_MAX = 14
LINES_MAX = 300
LONG: dict[str, str] = {
    "calibration/inference/onnx_bounds.py": "one walk over a model that bounds every way to expand",
    "converters/conversion/stages.py": "one function a stage, in the order in which they run",
    "converters/report/page/tables.py": "one function a table of the page",
    "converters/sources/pytorch/exported_program.py": "all checks of an archive, before torch",
    "firmware_bridge/link/session.py": "the one state of the link and all that changes it",
    "scripts/bench/int8.py": "one table of figures and how each is measured",
}
"""Modules over LINES_MAX, each with the reason why it is one."""


REACHED_BY_NAME: dict[str, str] = {
    "calibration.tracking.mlflow_mirror": "a child process",
    "converters.conversion.mission_fit": "edge/commands/mission.py, where [convert] is installed",
    "converters.pretrained": "missions: model.factory",
    "converters.sources.first_mission.write": "edge/commands/mission.py, for init --model",
    "converters.sources.pytorch.confined_child": "a child process without rights",
    "converters.zoo": "missions: model.factory",
    "edge.cli": "the command `brakepoint`",
    "edge.engine.build.child_process": "a child process",
    "edge.runtime.sources.gstreamer.child_process": "a child process",
    "firmware_bridge.protocol.generate": "python -m, after a change of the contract",
}
"""Modules that no other module imports, beside those of verbs and backends, and who calls them."""


def code_folders(root: Path) -> Iterator[Path]:
    for name in (*PACKAGES, "scripts", "tests"):
        yield from (path for path in (root / name, *(root / name).rglob("*")) if path.is_dir())


def test_no_folder_is_crowded(root: Path) -> None:
    beside = {"__pycache__", "__init__.py", "py.typed"}
    entries = {
        str(folder.relative_to(root)): {path.name for path in folder.iterdir()} - beside
        for folder in code_folders(root)
        if folder.name != "__pycache__"
    }
    assert len(entries) > 60
    assert {name: len(held) for name, held in entries.items() if len(held) > ENTRIES_MAX} == {}


def test_no_module_is_long_without_a_reason(root: Path) -> None:
    lines = {
        str(path.relative_to(root)): path.read_text().count("\n")
        for folder in code_folders(root)
        for path in folder.glob("*.py")
        if "tests" not in folder.relative_to(root).parts
    }
    assert len(lines) > 400
    assert {name for name, count in lines.items() if count > LINES_MAX} == set(LONG)


def test_every_module_is_reached_from_another_or_a_table() -> None:
    graph = grimp.build_graph(*PACKAGES)
    tables = {verb.target.split(":")[0] for verb in VERBS.values()}
    tables |= {row.module for row in (*BACKENDS.values(), *CUDA_DRIVERS.values())}
    alone = {
        name
        for name in graph.modules - tables
        if not graph.find_children(name) and not graph.find_modules_that_directly_import(name)
    }
    assert alone == set(REACHED_BY_NAME), "a file that no table names does nothing"


@pytest.fixture(scope="session")
def base_python(root: Path) -> Path:
    """A Python with nothing but the base dependencies, made by `scripts/setup with-base`."""
    python = root / ".venv-base" / "bin" / "python"
    if not python.exists():
        pytest.skip("no environment with base dependencies: scripts/test makes one")
    return python


def call(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )


def test_the_device_half_imports_with_base_dependencies_only(base_python: Path) -> None:
    code = """
import importlib, importlib.util, pkgutil, sys
absent = ("torch", "onnx", "onnxruntime", "cv2", "pycocotools")
assert not [name for name in absent if importlib.util.find_spec(name)], "not a base environment"
import edge, firmware_bridge
for package in (edge, firmware_bridge):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:  # only what an extra of the device half brings
            assert error.name in ("cuda", "cv2", "onnxruntime", "pycuda"), (found.name, error.name)
        print(found.name)
"""
    done = call(base_python, "-c", code)
    assert done.returncode == 0, done.stderr
    assert "edge.cli" in done.stdout.split()
    assert "firmware_bridge.link.session" in done.stdout.split()


def test_help_and_mission_check_work_with_base_dependencies_only(
    base_python: Path, root: Path
) -> None:
    shown = call(base_python, "-m", "edge.cli", "--help")
    assert shown.returncode == 0, shown.stderr
    for verb in VERBS:
        assert verb in shown.stdout
    mission = root / "examples" / "roadnet" / "mission.toml"
    checked = call(base_python, "-m", "edge.cli", "mission", "check", str(mission))
    assert checked.returncode == 0
    assert "No module named" in checked.stdout
    assert pip_install("convert") in checked.stdout


@pytest.mark.parametrize("verb", ["train", "convert"])
def test_a_verb_without_its_extra_says_what_to_install(base_python: Path, verb: str) -> None:
    done = call(base_python, "-m", "edge.cli", verb, "--help")
    assert done.returncode == 3
    assert pip_install("convert") in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_table_is_there(verb: str) -> None:
    module, function = VERBS[verb].target.split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_verb_stands_in_the_documents(root: Path) -> None:
    pages = [root / "README.md", *(root / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    assert [verb for verb in VERBS if f"brakepoint {verb}" not in text] == []


def test_exit_codes_are_documented(root: Path) -> None:
    text = (root / "docs" / "cli.md").read_text()
    assert {int(code) for code in re.findall(r"^\| (\d) \|", text, re.M)} == set(EXIT_CODES)


def test_readme_names_only_files_that_exist(root: Path) -> None:
    text = (root / "README.md").read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (root / target).exists(), target


FOLDERS = (*PACKAGES, "docs", "examples", "scripts", "tests")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*\w")
MODULE = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)")
FILE = re.compile(r"`(\w+\.(?:py|c|h))`")
MISSION_KEYS = ("calibration.",)
"""Beginnings of keys of a mission that read as modules: those of one word after them."""


def module_is_there(root: Path, name: str) -> bool:
    """Whether a dotted name is a module, or a name in one."""
    path = root.joinpath(*name.split("."))
    beside = [where.with_suffix(".py").exists() for where in (path, path.parent)]
    return path.is_dir() or any(beside)


def test_every_file_and_module_that_a_document_names_is_there(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    names = {path.name for folder in FOLDERS for path in (root / folder).rglob("*.*")}
    gone = []
    for page in pages:
        if page.name == "CHANGELOG.md":  # speaks of what was
            continue
        text = page.read_text()
        gone += [(page.name, path) for path in PATH.findall(text) if not (root / path).exists()]
        gone += [(page.name, file) for file in FILE.findall(text) if file not in names]
        gone += [
            (page.name, module)
            for module in MODULE.findall(text)
            if not module_is_there(root, module)
            and not (module.startswith(MISSION_KEYS) and module.count(".") == 1)
        ]
    assert gone == []


def test_every_test_that_contributing_names_is_in_its_file(root: Path) -> None:
    text = (root / "CONTRIBUTING.md").read_text()
    named = re.findall(r"\[`(\w+)`\]\((tests/[\w./]+)\)", text)
    assert len(named) > 20
    for name, path in named:
        assert re.search(rf"^ *(?:def|class) {name}\b", (root / path).read_text(), re.M), name


def test_every_decision_has_a_number_of_its_own(root: Path) -> None:
    records = sorted((root / "docs" / "decisions").glob("*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert len(set(numbers)) == len(numbers)
    for number, record in zip(numbers, records, strict=True):
        assert record.read_text().startswith(f"# {number}. "), record.name


def test_every_link_between_the_documents_leads_somewhere(root: Path) -> None:
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert not broken
