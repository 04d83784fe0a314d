"""Writes the trtexec commands for the files of a conversion, release by release: a page, a script.

Names of files and the table of releases go in; commands, a page and a shell script come out. For
people who build with trtexec. Pure: never runs a command, and the page says that.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edge.engine.model_choice import FILES, cache_name
from edge.engine.releases import BUILDERS, CACHE_RELEASES, BuilderRow, Lowering, Release

PAGE, SCRIPT = "trtexec.md", "trtexec.sh"

WORKSPACE_MIB = 1024
"""trtexec's default is all memory of the device, which a Jetson shares with the system."""

Device = Literal["gpu", "dla"]


@dataclass(frozen=True)
class Command:
    """How trtexec builds a conversion's INT8 network on some releases.

    Attributes:
        since, before: first release, and the first release after the last; with a calibration
            cache only the one in its header.
        model: the ONNX file.
        arguments: all arguments, in order.
        lacks: why the command cannot work; empty where it can.
        shipped_with: a JetPack that brings such a release.
    """

    since: Release
    before: Release
    device: Device
    model: str
    arguments: tuple[str, ...]
    lacks: str
    shipped_with: str

    @property
    def releases(self) -> str:
        """The range of releases in words."""
        if self.before == _next(self.since):
            return str(self.since)
        return f"{self.since} to before {self.before}"

    def to_json(self) -> dict[str, Any]:
        """One row of the section `trtexec` of report.json."""
        return {
            "releases": self.releases,
            "device": self.device,
            "shipped_with": self.shipped_with,
            "command": " ".join(["trtexec", *self.arguments]),
            "lacks": self.lacks,
        }


def commands(
    files: Collection[str],
    *,
    opset: int,
    shapes: Mapping[str, Sequence[int]],
    kept_float: Sequence[str] = (),
) -> tuple[Command, ...]:
    """Every row of the table with a trtexec, on the GPU and, where it takes INT8, on DLA.

    Args:
        files: names of the conversion's files.
        shapes: shapes of inputs whose size the graph leaves open.
        kept_float: layers that must not be INT8, for files without Q/DQ, which cannot encode that.
    """
    found: list[Command] = []
    held = tuple(
        f"{option}={value}"
        for option, value in (
            ("--precisionConstraints", "obey"),
            ("--layerPrecisions", ",".join(f"{name}:fp16" for name in kept_float)),
        )
        if kept_float
    )
    for row in BUILDERS:
        if row.trtexec is not None:
            builds = [_Build("gpu", row.lowering), *_on_dla(row, held)]
            found += [_command(row, one, files, opset=opset, shapes=shapes) for one in builds]
    return tuple(found)


@dataclass(frozen=True)
class _Build:
    """One build; `cached_for` is the release of its calibration cache, if it uses one, `held` the
    arguments that fix the precision of layers."""

    device: Device
    lowering: Lowering
    cached_for: Release | None = None
    held: tuple[str, ...] = ()


def _on_dla(row: BuilderRow, held: tuple[str, ...]) -> Iterator[_Build]:
    if row.dla_lowering == "ranges":
        for release in CACHE_RELEASES:
            if row.since <= release < row.before:
                yield _Build("dla", "ranges", release, held)
    elif row.dla_lowering is not None:
        yield _Build("dla", row.dla_lowering)


def _command(
    row: BuilderRow,
    build: _Build,
    files: Collection[str],
    *,
    opset: int,
    shapes: Mapping[str, Sequence[int]],
) -> Command:
    device, cached_for = build.device, build.cached_for
    assert row.trtexec is not None  # the caller has left such rows out
    model = FILES[build.lowering]
    needed = [model]
    arguments = [f"--onnx={model}", *row.trtexec]
    if cached_for is not None:
        needed.append(cache_name(cached_for))
        arguments += [f"--calib={cache_name(cached_for)}", *build.held]
    if device == "dla":
        arguments += ["--useDLACore=0", "--allowGPUFallback"]
    if shapes:
        sizes = ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())
        arguments += [f"--{which}Shapes={sizes}" for which in ("min", "opt", "max")]
    arguments += [
        f"--memPoolSize=workspace:{WORKSPACE_MIB}",
        "--skipInference",
        "--profilingVerbosity=detailed",
        f"--exportLayerInfo=layers-{device}.json",
        f"--saveEngine=engine-{device}.plan",
    ]
    return Command(
        since=row.since if cached_for is None else cached_for,
        before=row.before if cached_for is None else _next(cached_for),
        device=device,
        model=model,
        arguments=tuple(arguments),
        lacks=_lacks(row, [name for name in needed if name not in files], opset),
        shipped_with=_shipped_with(row, cached_for),
    )


def _shipped_with(row: BuilderRow, cached_for: Release | None) -> str:
    """The JetPack of the row, where it brings exactly the cache's release."""
    jetpack = row.shipped_with or ""
    if cached_for is None:
        return jetpack
    names = (str(cached_for), f"{cached_for.major}.{cached_for.minor}")
    return jetpack if jetpack.endswith(names) else ""


def _lacks(row: BuilderRow, missing: Sequence[str], opset: int) -> str:
    if missing:
        return f"this conversion has no {' and no '.join(missing)}"
    if row.opset_max is not None and opset > row.opset_max:
        return (
            f"its parser reads opset {row.opset_max}, these files have {opset}: convert again "
            f"with --set precision.opset={row.opset_max}"
        )
    return ""


def page(found: Sequence[Command], *, mission: str, failed: Sequence[str]) -> bytes:
    """The page of commands, as UTF-8; `failed` names the failed gates."""
    lines = [f"# {mission}: building the engine with trtexec", ""]
    if failed:
        lines += [f"**Do not build: {', '.join(failed)} failed (report.html).**", ""]
    lines += [
        f"`sh {SCRIPT} RELEASE [gpu|dla]` runs the command for a release, such as `sh {SCRIPT} "
        "10.3.0`; `TRTEXEC` names trtexec where it is not on the path (on a Jetson "
        "`/usr/src/tensorrt/bin/trtexec`). The commands follow NVIDIA's documentation of each "
        "release; none of them was run where this conversion was made.",
        "",
        "- Build on the very device that will run the engine: a plan fits one release and one GPU.",
        "- int8.onnx and strong.onnx hold their scales, so they take no `--calib`. "
        f"{FILES['ranges']} is quantized by a calibration cache, and a cache counts for the one "
        "release in its first line: another one calibrates again, on nothing.",
        f"- `workspace:{WORKSPACE_MIB}` is in MiB; without it trtexec may take all memory of the "
        "device.",
        "- `layers-*.json` tells what each layer computes in: look there before trusting that the "
        "engine is INT8. Layers that DLA does not take run on the GPU.",
        "",
    ]
    for one in found:
        shipped = f" ({one.shipped_with})" if one.shipped_with else ""
        lines += [f"## TensorRT {one.releases}{shipped}, {one.device.upper()}", ""]
        if one.lacks:
            lines += [f"Not with these files: {one.lacks}.", ""]
        lines += ["```", f"trtexec {_broken(one.arguments, '    ')}", "```", ""]
    return "\n".join(lines).encode()


def script(found: Sequence[Command], *, mission: str, failed: Sequence[str]) -> bytes:
    """The same commands as a script for any POSIX shell."""
    lines = [
        "#!/bin/sh",
        f"# Builds the INT8 engine of {mission}: sh {SCRIPT} RELEASE [gpu|dla], such as 10.3.0 gpu",
        f"# Explained in {PAGE}. Never run where it was written.",
        "set -eu",
        'cd "$(dirname "$0")"',
    ]
    if failed:
        lines += [
            f"echo 'not built: {', '.join(failed)} failed, see report.html' >&2",
            "exit 1",
            "",
        ]
        return "\n".join(lines).encode()
    lines += [
        f"usage='usage: sh {SCRIPT} RELEASE [gpu|dla], such as 10.3.0 gpu'",
        'release=${1:?"$usage"}',
        "device=${2:-gpu}",
        "IFS=. read -r major minor patch rest <<END",
        "$release...",
        "END",
        'case "$major$minor" in *[!0-9]*|"") echo "$usage" >&2; exit 2 ;; esac',
        'case "${patch:-0}" in *[!0-9]*) echo "$usage" >&2; exit 2 ;; esac',
        "number=$((major * 10000 + ${minor:-0} * 100 + ${patch:-0}))",
    ]
    for one in found:
        lines += [
            f'if [ "$device" = {one.device} ] && [ "$number" -ge {_number(one.since)} ] && '
            f'[ "$number" -lt {_number(one.before)} ]; then',
        ]
        if one.lacks:
            lines += [f"    echo 'TensorRT {one.releases}: {one.lacks}' >&2", "    exit 3"]
        else:
            lines += [f'    exec "${{TRTEXEC:-trtexec}}" {_broken(one.arguments, "        ")}']
        lines += ["fi"]
    known = "; ".join(f"{one.device} {one.releases}" for one in found)
    lines += [f"echo 'no command for that release and device. Known: {known}' >&2", "exit 2", ""]
    return "\n".join(lines).encode()


def _broken(arguments: Sequence[str], indent: str) -> str:
    """The arguments, one a line, for a shell."""
    return f" \\\n{indent}".join(map(shlex.quote, arguments))


def _number(release: Release) -> int:
    return release.major * 10_000 + release.minor * 100 + release.patch


def _next(release: Release) -> Release:
    return Release(release.major, release.minor, release.patch + 1)
