"""Verbs `engine build` and `engine inspect`: build a TensorRT engine, read one's precision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from edge.commands.build_progress import build_progress
from edge.commands.options import JsonOption
from edge.engine.build.run_build import build_engine
from edge.engine.build_request import BuildRequest, Shape
from edge.engine.gpu import dotted
from edge.engine.inspector import InspectorReport, read_inspector_file
from edge.engine.plan.header import read_header
from edge.engine.plan.sidecar import Sidecar, read_sidecar
from edge.engine.releases import MODULES, Backend
from edge.terminal import echo, new_console
from firmware_bridge.errors import UsageError


def build(
    source: Annotated[Path, typer.Argument(help="folder of a conversion, or an ONNX file")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="the engine to write")],
    backend: Annotated[
        str, typer.Option("--backend", help=f"one of: {', '.join(MODULES)}")
    ] = "tensorrt",
    sm: Annotated[str, typer.Option("--sm", metavar="86,89", help="rtx: GPUs to build for")] = "",
    gpu: Annotated[
        int, typer.Option("--gpu", min=0, help="tensorrt: number of the GPU to build on")
    ] = 0,
    dla: Annotated[bool, typer.Option("--dla", help="on DLA, the GPU where it cannot")] = False,
    dla_core: Annotated[int, typer.Option("--dla-core", min=0, help="which DLA core")] = 0,
    workspace_mb: Annotated[
        int | None,
        typer.Option("--workspace-mb", min=1, help="limit; default: half of what is free"),
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option("--timing-cache", metavar="FILE", help="read and written")
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="INPUT=MIN,USUAL,MAX", help="for open sizes"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Build a TensorRT engine with its sidecar, in a process of its own."""
    request = BuildRequest(
        source=str(source),
        plan="",
        backend=_backend(backend),
        sm=_numbers(sm),
        gpu=gpu,
        dla_core=dla_core if dla else None,
        workspace_bytes=None if workspace_mb is None else workspace_mb << 20,
        timing_cache=None if timing_cache is None else str(timing_cache),
        profiles=dict(_profile(text) for text in profile or []),
    )
    with build_progress(as_json=as_json) as show:
        sidecar = build_engine(request, out, progress=show)
    _show(out, sidecar, None, as_json=as_json)


def inspect(
    plan: Annotated[Path, typer.Argument(help="an engine")],
    *,
    inspector: Annotated[
        Path | None,
        typer.Option("--inspector", metavar="FILE", help="JSON of TensorRT's engine inspector"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read an engine's header and sidecar, and what an inspector's JSON says of its precision."""
    header = read_header(plan)
    sidecar = Sidecar(
        {
            **read_sidecar(plan).document,
            "header": {
                "release": str(header.release),
                "build": header.build,
                "sm": list(header.sm),
            },
        }
    )
    report = None if inspector is None else read_inspector_file(inspector)
    _show(plan, sidecar, report, as_json=as_json)


def _show(plan: Path, sidecar: Sidecar, report: InspectorReport | None, *, as_json: bool) -> None:
    document = sidecar.document
    if as_json:
        more = None if report is None else report.to_json()
        echo(json.dumps({**document, "inspector": more}, indent=1))
        return
    precision, dla = document["precision"], document["dla"]
    rows = {
        "engine": f"{plan}  {document['plan']['bytes'] / 1e6:.1f} MB",
        "built by": f"{MODULES[document['backend']]} {document['release']}, "
        f"{document['build_seconds']:g} s",
        "for": _gpus(sidecar),
        "from": f"{document['model']['file']}  lowering: {document['lowering']}",
        "INT8 in the network": f"{precision['int8']} of {precision['weighted']} convolutions and "
        "the like",
        "takes": _tensors(sidecar, "input"),
        "gives": _tensors(sidecar, "output"),
    }
    if dla is not None:
        rows["DLA fallback to GPU"] = f"{len(dla['fallback'])} of {dla['layers']} layers"
    if report is not None:
        share = "none" if report.int8_share is None else f"{100 * report.int8_share:.1f} %"
        total = len(report.int8) + len(report.in_float)
        rows["INT8 in the engine"] = f"{share} ({len(report.int8)} of {total})"
        rows["left in float"] = ", ".join(report.in_float) or "none"
        rows["reformat layers"] = str(len(report.reformats))
        rows["unfused Quantize"] = ", ".join(report.unfused_quantize) or "none"
    rows |= {f"known fault {row}": text for row, text in enumerate(document["known_faults"], 1)}
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in rows.items():
        table.add_row(name, value)
    new_console().print(table)


def _gpus(sidecar: Sidecar) -> str:
    if sidecar.gpu is not None:
        return sidecar.gpu.words
    return ", ".join(f"SM {dotted(sm)}" for sm in sidecar.sm) or "a GPU that is not known"


def _tensors(sidecar: Sidecar, role: str) -> str:
    return "; ".join(tensor.words for tensor in sidecar.tensors if tensor.role == role)


def _backend(name: str) -> Backend:
    for known in MODULES:
        if known == name:
            return known
    raise UsageError(
        f"no backend '{name}' builds engines",
        expected=", ".join(MODULES),
        found=name,
        remedy="--backend tensorrt on a device, --backend rtx on a workstation",
    )


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise UsageError(
            "--sm cannot be read",
            expected="compute capabilities, each once, such as 86,89 for SM 8.6 and 8.9",
            found=text,
            remedy="--sm 86,89",
        )
    return tuple(sorted(int(part) for part in parts))


def _profile(text: str) -> tuple[str, tuple[Shape, Shape, Shape]]:
    name, _, rest = text.rpartition("=")
    try:
        low, usual, high = (
            tuple(int(size) for size in shape.split("x")) for shape in rest.split(",")
        )
    except ValueError as error:
        raise UsageError(
            "--profile cannot be read",
            expected="INPUT=MIN,USUAL,MAX with shapes such as 1x3x320x320",
            found=text,
            remedy="--profile images=1x3x320x320,1x3x416x416,1x3x640x640",
        ) from error
    return name, (low, usual, high)
