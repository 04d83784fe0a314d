"""Fills a folder from which a device without a network installs the device half of this project.

A JetPack goes in; a folder of wheels with their hashes, requirements, digests, a manifest and
`jetson` comes out, in one step: an interrupted run leaves nothing behind. The same pins give the
same bytes. Never builds code for the device: what has no wheel is taken along as a pinned sdist.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from closure import Distribution, holds, needed, read_distribution
from contents import CUDA, OPENCV, ROOT, Wanted, copy_conformance, project_wheel, run_pip, wanted_by
from packaging.requirements import Requirement
from targets import Target, jetson_target, this_target

from edge.contract.artifact import json_file, read_json, replacing_folder
from edge.qualification.device.jetpack import JETPACKS
from firmware_bridge.errors import Missing, NotTrusted, Refusal, UsageError

SCHEMA = "brakepoint.wheelhouse/1"
MANIFEST, DIGESTS, WHEELS = "manifest.json", "SHA256SUMS", "wheels"
REQUIREMENTS, SOURCES = "requirements.txt", "requirements-source.txt"
ROUNDS = 5
"""pip is asked at most so often: each time for what its former answer lacks on the target."""


def collect(wanted: Wanted, target: Target, out: Path, *, work: Path) -> dict[str, Any]:
    """Fill `out` and return its manifest.

    Args:
        work: an empty folder for what pip fetches.

    Raises:
        Missing: pip finds no set of wheels for the target.
        NotTrusted: pip does not accept the finished folder.
        UsageError: `out` is there and is no wheelhouse.
    """
    _require_wheelhouse(out)
    chosen = _resolved(wanted, target, work)
    with replacing_folder(out, require=_require_wheelhouse) as staging:
        wheels = staging / WHEELS
        wheels.mkdir()
        for one in chosen.values():
            shutil.copyfile(one.path, wheels / one.path.name)
        _write_requirements(staging, chosen, wanted)
        if wanted.conformance:
            copy_conformance(staging / "conformance")
        shutil.copyfile(ROOT / "scripts" / "jetson", staging / "jetson")
        (staging / "jetson").chmod(0o755)
        manifest = _manifest(chosen, wanted, target)
        (staging / MANIFEST).write_bytes(json_file(SCHEMA, manifest))
        lines = [f"{_sha256(path)}  {path.relative_to(staging)}\n" for path in _files(staging)]
        (staging / DIGESTS).write_text("".join(lines))
        _prove(staging, target)
    return manifest


def check(folder: Path) -> dict[str, Any]:
    """The manifest of a wheelhouse after comparing every file with its digest.

    Raises:
        Missing, NotTrusted: it is not whole: a file is missing, changed or too many.
    """
    manifest = read_json(folder / MANIFEST, SCHEMA)
    try:
        lines = (folder / DIGESTS).read_text().splitlines()
        told = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise Missing(
            f"{folder} is not a whole wheelhouse",
            expected=f"{DIGESTS} with a line for each file",
            found=str(error),
            remedy=AGAIN,
        ) from error
    found = {str(path.relative_to(folder)): _sha256(path) for path in _files(folder)}
    wrong = sorted(name for name in {*told, *found} if told.get(name) != found.get(name))
    if wrong:
        raise NotTrusted(
            f"{folder} is not a whole wheelhouse",
            expected=f"the {len(told)} files of {DIGESTS} and no other",
            found=f"missing, changed or too many: {', '.join(wrong[:5])}",
            remedy=AGAIN,
        )
    return manifest


AGAIN = "make or copy it again: scripts/wheelhouse --jetpack 6"


def _resolved(wanted: Wanted, target: Target, work: Path) -> dict[str, Distribution]:
    """Asks pip for what is missing until nothing is; see `closure` for why once is not enough."""
    environment = target.environment
    pins = [pin for pin in map(Requirement, wanted.pins) if holds(pin.marker, environment)]
    constraints = work / "constraints.txt"
    constraints.write_text("".join(f"{pin.name}{pin.specifier}\n" for pin in pins))
    roots = [Requirement(root) for root in wanted.roots]
    own = [] if wanted.project is None else [read_distribution(wanted.project)]
    pool, asked = own, set[str]()
    for number in range(ROUNDS):
        chosen, missing = needed(roots, pool, environment)
        if not missing:
            return chosen
        asked.update(missing)
        folder = work / f"pool{number}"
        _download(sorted(asked), wanted, target, constraints, folder)
        pool = [*own, *map(read_distribution, sorted(folder.iterdir()))]
    raise Missing(
        "no set of wheels meets every requirement",
        expected=f"wheels for Python {target.python} and {target.platforms[0]}",
        found=f"nothing for {', '.join(missing)}",
        remedy="correct constraints.txt: a pin must fit what needs it, on that Python too",
    )


def _download(
    asked: Sequence[str], wanted: Wanted, target: Target, constraints: Path, folder: Path
) -> None:
    sources = [one for one in asked if Requirement(one).name in wanted.sources]
    wheels = [one for one in asked if one not in sources]
    common: list[str | Path] = [
        "download",
        "--dest",
        folder,
        "--constraint",
        constraints,
        *wanted.pip,
    ]
    if sources:
        run_pip(*common, "--no-deps", "--no-binary", ",".join(wanted.sources), *sources)
    if wheels:
        run_pip(*common, *target.pip_options(), *wheels)


def _write_requirements(staging: Path, chosen: dict[str, Distribution], wanted: Wanted) -> None:
    """One line a package with its hash; sdists apart, since they are built after the wheels."""
    extras = {Requirement(root).name: Requirement(root).extras for root in wanted.roots}
    lines: dict[str, list[str]] = {REQUIREMENTS: [], SOURCES: []}
    for name, one in chosen.items():
        # An extra whose package is built from source must not stop the wheels.
        own = extras.get(name, set()) - {row.extra for row in CUDA.values() if row.sources}
        asked = f"[{','.join(sorted(own))}]" if own else ""
        file = SOURCES if name in wanted.sources else REQUIREMENTS
        digest = _sha256(one.path)
        lines[file].append(f"{name}{asked}=={one.version} --hash=sha256:{digest}\n")
    for file, texts in lines.items():
        if texts:
            (staging / file).write_text("".join(texts))


def _manifest(chosen: dict[str, Distribution], wanted: Wanted, target: Target) -> dict[str, Any]:
    return {
        "jetpack": None if target.jetpack is None else target.jetpack.major,
        "python": target.python,
        "machine": target.environment["platform_machine"],
        "platforms": list(target.platforms),
        "roots": list(wanted.roots),
        **wanted.choices,
        "packages": [
            {
                "name": name,
                "version": str(one.version),
                "file": one.path.name,
                "bytes": one.path.stat().st_size,
                "sha256": _sha256(one.path),
            }
            for name, one in chosen.items()
        ],
    }


def _prove(staging: Path, target: Target) -> None:
    """Lets pip resolve the finished folder, by hash and from it alone."""
    with tempfile.TemporaryDirectory() as elsewhere:
        run_pip(
            "install",
            "--dry-run",
            "--ignore-installed",
            "--no-index",
            "--find-links",
            staging / WHEELS,
            "--require-hashes",
            "--target",
            elsewhere,
            *target.pip_options(),
            "--requirement",
            staging / REQUIREMENTS,
        )


def _require_wheelhouse(folder: Path) -> None:
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise UsageError(
            f"{folder} is there and is no wheelhouse",
            expected="a new folder, or a wheelhouse to replace",
            found="other files" if folder.is_dir() else "a file",
            remedy="choose another folder: --out DIR",
        )


def _files(folder: Path) -> list[Path]:
    """Every file but the digests themselves."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DIGESTS)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main(argv: Sequence[str] | None = None) -> int:
    """Fill or check a wheelhouse; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/wheelhouse", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--jetpack", type=int, choices=sorted(JETPACKS), help="fill one for it")
    which.add_argument("--here", action="store_true", help="fill one for this machine, to try it")
    which.add_argument("--check", type=Path, metavar="DIR", help="compare one with its digests")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: out/wheelhouse-...")
    parser.add_argument("--cuda", choices=CUDA, default="cuda-bindings", help="%(default)s if none")
    parser.add_argument("--opencv", choices=OPENCV, default="wheel", help="%(default)s if none")
    parser.add_argument("--without-tests", action="store_true", help="without the test runner")
    given = parser.parse_args(argv)
    try:
        if given.check is not None:
            manifest = check(given.check)
            print(f"{given.check}: whole, {len(manifest['packages'])} packages")
            return 0
        name = "here" if given.here else f"jetpack{given.jetpack}"
        out = given.out or ROOT / "out" / f"wheelhouse-{name}"
        target = this_target() if given.here else jetson_target(JETPACKS[given.jetpack])
        with tempfile.TemporaryDirectory() as scratch:
            project = project_wheel(Path(scratch))
            wanted = wanted_by(
                given.cuda, given.opencv, project=project, test_tools=not given.without_tests
            )
            (work := Path(scratch) / "work").mkdir()
            manifest = collect(wanted, target, out, work=work)
        size = sum(one["bytes"] for one in manifest["packages"])
        print(
            f"{out}: {len(manifest['packages'])} packages, {size / 1e6:.0f} MB, "
            f"Python {target.python}, {target.platforms[0]}"
        )
        print(f'its missions say under [target]: cuda = "{given.cuda}"')
    except Refusal as refusal:
        print(f"scripts/wheelhouse: {refusal}", file=sys.stderr)
        return refusal.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
