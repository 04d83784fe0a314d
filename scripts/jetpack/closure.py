"""Which distributions a set of requirements needs on another machine, by their own metadata.

Requirements, files of wheels and sdists and the environment of the target go in; the files that
are needed and what is missing come out. pip evaluates environment markers for the machine that it
runs on, whatever `--platform` says, so its answer for another Python lacks packages. Installs
nothing and runs no code of a package.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

Environment = Mapping[str, str]
"""Names of environment markers and their values, PEP 508."""


@dataclass(frozen=True)
class Distribution:
    """One wheel or sdist. `needs` are its requirements with their markers."""

    path: Path
    name: str
    version: Version
    needs: tuple[Requirement, ...]


def read_distribution(path: Path) -> Distribution:
    """Name, version and requirements by the metadata in a wheel or an sdist."""
    metadata = _wheel(path) if path.suffix == ".whl" else _sdist(path)
    return Distribution(
        path,
        canonicalize_name(metadata["Name"]),
        Version(metadata["Version"]),
        tuple(map(Requirement, metadata.get_all("Requires-Dist", []))),
    )


def _wheel(path: Path) -> Message:
    with zipfile.ZipFile(path) as archive:
        (name,) = (
            one
            for one in archive.namelist()
            if one.endswith(".dist-info/METADATA") and one.count("/") == 1
        )
        return HeaderParser().parsestr(archive.read(name).decode())


def _sdist(path: Path) -> Message:
    with tarfile.open(path) as archive:
        (member,) = (
            one for one in archive if one.name.endswith("/PKG-INFO") and one.name.count("/") == 1
        )
        stream = archive.extractfile(member)
        assert stream is not None
        return HeaderParser().parsestr(stream.read().decode())


def holds(marker: Marker | None, environment: Environment, *, extra: str = "") -> bool:
    """Whether a marker is true on the target."""
    return marker is None or marker.evaluate({**environment, "extra": extra})


def needed(
    roots: Iterable[Requirement], pool: Iterable[Distribution], environment: Environment
) -> tuple[dict[str, Distribution], tuple[str, ...]]:
    """What the roots need on the target, by name, and requirements that nothing in the pool meets.

    Markers of the roots are evaluated too.
    """
    there = {one.name: one for one in pool}
    found: dict[str, Distribution] = {}
    missing: dict[str, None] = {}
    open_: list[tuple[Requirement, str]] = [(root, "") for root in roots]
    seen: set[str] = set()
    while open_:
        requirement, extra = open_.pop()
        if not holds(requirement.marker, environment, extra=extra):
            continue
        requirement = _without_marker(requirement)
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        name = canonicalize_name(requirement.name)
        one = there.get(name)
        if one is None or not requirement.specifier.contains(one.version, prereleases=True):
            missing[str(requirement)] = None
            continue
        found[name] = one
        for asked in ("", *sorted(requirement.extras)):
            open_ += [(need, asked) for need in one.needs]
    return dict(sorted(found.items())), tuple(missing)


def _without_marker(requirement: Requirement) -> Requirement:
    bare = Requirement(str(requirement))
    bare.marker = None
    return bare
