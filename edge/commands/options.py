"""Options that several verbs share: mission, conversion, model, port, settings, JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.contract.conversion_output import Precision
from edge.engine.choose_backend import AUTO, ENGINE_BACKENDS, ONNXRUNTIME

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="set a mission key for this run; repeatable"),
]
MissionArgument = Annotated[Path, typer.Argument(metavar="MISSION", help="a mission.toml")]
ConvertedOption = Annotated[
    Path, typer.Option("--from", metavar="DIR", help="folder that `convert` wrote")
]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="refused if its gates failed")
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        "--backend", help=f"{', '.join((*ENGINE_BACKENDS, ONNXRUNTIME, AUTO))}; default: mission's"
    ),
]
EngineOption = Annotated[
    Path | None,
    typer.Option("--engine", metavar="FILE", help="this engine; default: found in DIR"),
]
PortOption = Annotated[
    str | None, typer.Option("--port", help="serial device or emulated; default: mission's")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print facts as JSON")]
