"""What messages and docs say of installing is true: in a checkout, and from its wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from patience import PATIENCE_S

from edge.install import PACKAGES, WHEEL, pip_install


def quietly(
    command: Sequence[str | Path], *, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=env, check=False, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    return done


def test_nothing_sends_a_person_to_an_index_that_does_not_have_us(root: Path) -> None:
    files = [
        path
        for name in (*PACKAGES, "docs", "examples", "scripts")
        for path in Path(root, name).rglob("*")
    ]
    told = [
        f"{path}: {line}"
        for path in (*files, root / "README.md", root / "CONTRIBUTING.md")
        if path.suffix in (".py", ".md", ".toml", ".jinja", ".html", "") and path.is_file()
        for line in path.read_text(errors="replace").splitlines()
        if re.search(r"pip install \S*brakepoint(\[|\s|'|$)", line)
    ]
    assert not told


def test_one_wording_in_the_code(root: Path) -> None:
    worded = [
        str(path.relative_to(root))
        for name in PACKAGES
        for path in (root / name).rglob("*.py")
        if re.search(r"pip install '\.", path.read_text())
    ]
    assert worded == ["edge/install.py"]


def test_every_extra_that_is_named_is_there(root: Path) -> None:
    text = (root / "pyproject.toml").read_text()
    given = set(re.findall(r"^(\w+) = \[", text.split("[project.optional-dependencies]")[1], re.M))
    for page in (root / "README.md", *(root / "docs").glob("*.md")):
        for extras in re.findall(r"pip install '\.\[([\w,]+)\]'", page.read_text()):
            assert set(extras.split(",")) <= given, page


@pytest.mark.slow
def test_the_wheel_of_a_checkout_installs_and_answers(root: Path, tmp_path: Path) -> None:
    checkout, target = tmp_path / "checkout", tmp_path / "target"
    for name in PACKAGES:
        shutil.copytree(root / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, checkout)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    quietly([*pip, "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index"], cwd=checkout)
    assert [path.name for path in checkout.glob("*.whl")] == [WHEEL]
    # As pip_install words it, from the wheel's folder; what it needs beside is here already.
    told = re.findall(r"pip install '([^']+)'", pip_install("cpu,camera"))[1]
    assert told == f"./{WHEEL}[cpu,camera]"
    quietly([*pip, "install", "--no-deps", "--no-index", "--target", target, told], cwd=checkout)
    call = [sys.executable, "-c", "from edge.cli import main; main()"]
    surroundings = {"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"}
    quietly([*call, "init", "mission.toml"], cwd=tmp_path, env=surroundings)
    done = quietly([*call, "mission", "check", "mission.toml"], cwd=tmp_path, env=surroundings)
    assert "ok" in done.stdout
    kernel = "from edge.backends.cuda.preprocess_kernel import SOURCE; SOURCE.read_text()"
    where = [sys.executable, "-c", f"import edge; print(edge.__file__); {kernel}"]
    assert str(target) in quietly(where, cwd=tmp_path, env=surroundings).stdout
