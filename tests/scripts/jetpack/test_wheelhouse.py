"""A wheelhouse holds what another machine needs, by hash, whole or not at all.

From wheels that are written here: no network is needed.
"""

from __future__ import annotations

import ensurepip
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_S

from edge.contract.artifact import read_json
from edge.install import PACKAGES
from edge.qualification.device.jetpack import JETPACKS
from firmware_bridge.errors import Missing, NotTrusted, UsageError


@pytest.fixture(autouse=True)
def _scripts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "scripts" / "jetpack"))


ORIN = "cp310-cp310-manylinux_2_28_aarch64"


def write_wheel(
    folder: Path, name: str, version: str, *, needs: Sequence[str] = (), tag: str = "py3-none-any"
) -> Path:
    """A wheel with one module, which a command of the same name calls."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    files = {
        f"{name}.py": "import sys\n\ndef main():\n    print(*sys.argv[1:])\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *metadata]) + "\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{one},,\n" for one in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for one, text in files.items():
            archive.writestr(one, text)
    return path


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A folder that stands for a package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    old = [
        "toml; python_version < '3.11'",
        "cpu[fast]; extra == 'camera'",
        "windows; os_name=='nt'",
    ]
    write_wheel(folder, "brakepoint", "0.1.0", needs=old)
    write_wheel(folder, "toml", "2.0", needs=["deep>=1; platform_machine == 'aarch64'"])
    write_wheel(folder, "deep", "1.5")
    write_wheel(folder, "cpu", "1.0", needs=["quick<2; extra == 'fast'"], tag=ORIN)
    write_wheel(folder, "cpu", "2.0", tag="cp310-cp310-manylinux_2_28_x86_64")
    write_wheel(folder, "quick", "1.0")
    write_wheel(folder, "quick", "2.0")
    return folder


def collected(index: Path, out: Path, *roots: str, pins: Sequence[str] = ()) -> dict[str, Any]:
    """A wheelhouse for JetPack 6 from that index."""
    from contents import Wanted
    from targets import jetson_target
    from wheelhouse import collect

    work = out.parent / f"work of {out.name}"
    work.mkdir()
    wanted = Wanted(roots, pins=tuple(pins), pip=("--no-index", "--find-links", str(index)))
    return collect(wanted, jetson_target(JETPACKS[6]), out, work=work)


def packages(manifest: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["version"] for one in manifest["packages"]}


def test_it_holds_what_the_other_machine_needs_and_nothing_else(
    index: Path, tmp_path: Path
) -> None:
    """pip judges markers by the Python that runs it, so it alone would forget `toml` and `deep`.
    The same pins give the same bytes, and a half one is refused by its files."""
    from wheelhouse import check

    trees = []
    for name in ("one", "other"):
        out = tmp_path / name
        manifest = collected(index, out, "brakepoint[camera]", pins=["quick==1.0", "never==9"])
        files = sorted(path for path in out.rglob("*") if path.is_file())
        trees.append({path.relative_to(out): path.read_bytes() for path in files})
    assert trees[0] == trees[1]
    wanted = {"brakepoint": "0.1.0", "cpu": "1.0", "deep": "1.5", "quick": "1.0", "toml": "2.0"}
    assert packages(manifest) == wanted
    assert (manifest["jetpack"], manifest["python"], manifest["machine"]) == (6, "3.10", "aarch64")
    wheels = {one["file"] for one in manifest["packages"]}
    assert {path.name for path in (out / "wheels").iterdir()} == wheels
    lines = (out / "requirements.txt").read_text().splitlines()
    digest = hashlib.sha256((index / f"cpu-1.0-{ORIN}.whl").read_bytes()).hexdigest()
    assert f"cpu==1.0 --hash=sha256:{digest}" in lines
    assert any(line.startswith("brakepoint[camera]==0.1.0 --hash=") for line in lines)

    assert check(out) == read_json(out / "manifest.json", "brakepoint.wheelhouse/1")
    (out / "requirements.txt").write_text("deep==1.5\n")
    (out / "wheels" / "extra.whl").touch()
    (out / "wheels" / "deep-1.5-py3-none-any.whl").unlink()
    with pytest.raises(NotTrusted, match="not a whole wheelhouse") as refused:
        check(out)
    for named in ("deep-1.5", "extra.whl", "requirements.txt"):
        assert named in refused.value.found
    (tmp_path / "one" / "SHA256SUMS").unlink()
    with pytest.raises(Missing, match="not a whole wheelhouse"):
        check(tmp_path / "one")


def test_where_a_wheel_is_missing_nothing_is_left_behind(index: Path, tmp_path: Path) -> None:
    (index / f"cpu-1.0-{ORIN}.whl").unlink()
    with pytest.raises(Missing, match="pip download") as refused:
        collected(index, tmp_path / "wheelhouse", "brakepoint[camera]")
    assert "cpu" in refused.value.found
    assert not (tmp_path / "wheelhouse").exists()


def test_a_folder_of_something_else_is_not_replaced(index: Path, tmp_path: Path) -> None:
    (out := tmp_path / "photos").mkdir()
    (out / "holiday.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(UsageError, match="is no wheelhouse"):
        collected(index, out, "deep")
    assert (out / "holiday.jpg").exists()


def test_our_wheel_is_built_from_every_file_of_the_packages(root: Path, tmp_path: Path) -> None:
    """Folders have names that build tools like to leave out, such as `build`."""
    from contents import copy_packages

    copy_packages(tmp_path)
    for package in PACKAGES:
        there, copied = (
            {path.relative_to(top) for path in (top / package).rglob("*") if path.is_file()}
            for top in (root, tmp_path)
        )
        assert {path for path in there if "__pycache__" not in path.parts} == copied


def test_a_wheel_loses_the_times_and_the_order_of_its_machine(tmp_path: Path) -> None:
    from contents import without_times

    wheel = write_wheel(tmp_path, "deep", "1.5")
    (same := tmp_path / "same").mkdir()
    with zipfile.ZipFile(without_times(wheel, same / wheel.name)) as made:
        assert made.namelist() == sorted(zipfile.ZipFile(wheel).namelist())
        assert {entry.date_time for entry in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert made.read("deep.py") == zipfile.ZipFile(wheel).read("deep.py")


def test_every_choice_names_extras_of_this_project(root: Path) -> None:
    import tomllib
    from contents import CUDA, OPENCV

    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = {row.extra for row in CUDA.values()} | {e for row in OPENCV.values() for e in row[0]}
    assert named <= set(project["optional-dependencies"])


def test_jetson_installs_from_it_alone_and_hands_over(
    index: Path, root: Path, tmp_path: Path
) -> None:
    """For this machine, with the pip that Python brings; this `brakepoint` repeats its words."""
    from contents import Wanted
    from targets import this_target
    from wheelhouse import collect

    (pip,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    (index / pip.name).write_bytes(pip.read_bytes())
    (work := tmp_path / "work").mkdir()
    wanted = Wanted(("brakepoint", "pip"), pip=("--no-index", "--find-links", str(index)))
    house = tmp_path / "wheelhouse"
    collect(wanted, this_target(), house, work=work)
    into = tmp_path / "venv"
    surroundings = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}

    def jetson(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(house / "jetson"), "--into", str(into), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=surroundings,
            cwd=tmp_path,
            timeout=PATIENCE_S,
        )

    done = jetson("--", "m.toml", "--from", "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["qualify", "m.toml", "--from", "out", "--wheelhouse", str(house)]
    assert "installing" in done.stderr
    assert "installing" not in jetson().stderr  # it is there already

    (other := tmp_path / "photos").mkdir()
    (other / "holiday.jpg").touch()
    assert jetson("--into", str(other)).returncode == 2
    assert (other / "holiday.jpg").exists()

    manifest = json.loads((house / "manifest.json").read_text())
    text = json.dumps({**manifest, "python": "2.7"})
    (house / "manifest.json").write_text(text)
    changed = jetson()
    assert changed.returncode == 4
    assert "manifest.json" in changed.stderr
    digests = (house / "SHA256SUMS").read_text().splitlines()
    digests = [line for line in digests if not line.endswith("manifest.json")]
    new = f"{hashlib.sha256(text.encode()).hexdigest()}  manifest.json"
    (house / "SHA256SUMS").write_text("\n".join([*digests, new]) + "\n")
    foreign = jetson()
    assert foreign.returncode == 2
    assert "expected: Python 2.7" in foreign.stderr
