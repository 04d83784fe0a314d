"""Verb `parity`: difference of two forms of a network, layer by layer, worst first."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import onnx
import typer
from onnx import ModelProto
from rich.table import Table

from calibration.inference.sessions import CannotRun
from converters.conversion.frame_split import frames_to_split
from converters.graph.passes.bind_input_shape import bind_shapes
from converters.graph.passes.canonical_names import name_everything
from converters.graph.passes.drop_initializer_inputs import mend_inputs
from converters.graph.passes.infer_shapes import infer_shapes
from converters.sources.pytorch.export import trace
from converters.sources.pytorch.intermediate_values import TorchForm
from converters.sources.source import (
    OnnxSource,
    Source,
    name_of,
    open_source,
    output_names,
    picture_shape,
)
from converters.verification.equivalence.fp16_emulation import emulate_fp16
from converters.verification.layer_parity import Form, Layer, OnnxForm, compare_layers, worst_first
from converters.verification.layer_parity_plot import layers_plot
from edge.commands.options import JsonOption, MissionArgument, SetOption
from edge.contract.artifact import read_json, write_atomic
from edge.contract.artifact_names import CPU, FLOAT, INT8, STRONG
from edge.contract.conversion_output import REPORT_SCHEMA, judged_file
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.preprocess import preprocess
from edge.perception.values import Floats
from edge.progress import progress_bar
from edge.terminal import echo, new_console
from firmware_bridge.errors import NotTrusted, UsageError

SCHEMA = "brakepoint.layers/1"

PAIRS: Mapping[str, tuple[str, str]] = {
    "source": ("source", FLOAT),
    "int8": (FLOAT, INT8),
    "cpu": (FLOAT, CPU),
    "strong": (FLOAT, STRONG),
}
"""Name of a pair -> reference and candidate."""


def parity(
    mission: MissionArgument,
    *,
    converted: Annotated[Path, typer.Option("--from", metavar="DIR", help="of `convert`")],
    pair: Annotated[
        str, typer.Option(help=f"what is held against what: {', '.join(PAIRS)}")
    ] = "int8",
    frames: Annotated[int, typer.Option(min=1, help="held-back frames to compare on")] = 4,
    worst: Annotated[int, typer.Option(min=1, help="layers to show")] = 15,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="draw every layer in order")
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where two forms of a network come apart, layer by layer, in dB, worst first."""
    if pair not in PAIRS:
        raise UsageError(
            f"no pair '{pair}'",
            expected=", ".join(PAIRS),
            found=pair,
            remedy="--pair int8 holds int8.onnx against float.onnx",
        )
    loaded = load_mission(mission, set_ or [])
    reference, candidate = PAIRS[pair]
    with progress_bar() as advance:
        advance("read", 0, 0)
        forms = [_form(name, loaded, converted) for name in (reference, candidate)]
        try:
            layers = compare_layers(forms[0], forms[1], _pictures(loaded, frames), progress=advance)
        except CannotRun as error:
            raise _not_comparable(pair, str(error)) from error
    if not layers:
        raise _not_comparable(pair, "no tensor has the same name in both")
    if plot is not None:
        write_atomic(plot, layers_plot(layers, title=f"{loaded.name}: {reference} → {candidate}"))
    if as_json:
        document = {
            "schema": SCHEMA,
            "mission": loaded.name,
            "reference": reference,
            "candidate": candidate,
            "frames": frames,
            "layers": [_plain(layer) for layer in layers],
        }
        echo(json.dumps(document, indent=1, allow_nan=False))
        return
    _show(layers, worst, f"{reference} → {candidate}, {frames} held-back frames")


def _not_comparable(pair: str, found: str) -> UsageError:
    return UsageError(
        f"the pair '{pair}' cannot be compared layer by layer",
        expected="two forms that run on the mission's picture and share names of tensors",
        found=found,
        remedy="convert again: brakepoint convert MISSION --out DIR; or choose another --pair",
    )


def _form(name: str, mission: Mission, converted: Path) -> Form:
    threads = mission.target.threads
    if name == "source":
        source = open_source(mission.model)
        _require_same_source(source, converted)
        from converters.sources.pytorch.confined_network import ConfinedNetwork

        if isinstance(source, OnnxSource):
            fed = bind_shapes(mend_inputs(source.model), picture_shape(mission.model))
            named = name_everything(fed, output_names(mission.model))
            return OnnxForm(infer_shapes(named), threads=threads)
        shape, names = picture_shape(mission.model), output_names(mission.model)
        if isinstance(source.network, ConfinedNetwork):
            return source.network.form(shape, names)
        return TorchForm(trace(source.network, shape, names))
    model: ModelProto = onnx.load(judged_file(converted, mission, name))
    change: Callable[[ModelProto], ModelProto] = emulate_fp16 if name == STRONG else _as_it_is
    return OnnxForm(change(model), threads=threads)


def _require_same_source(source: Source, converted: Path) -> None:
    recorded = read_json(converted / "report.json", REPORT_SCHEMA).get("source")
    wanted = recorded.get("sha256") if isinstance(recorded, dict) else None
    if source.sha256 != wanted:
        raise NotTrusted(
            f"{converted} was converted from another network",
            expected=f"{name_of(source)} with sha256 {wanted}",
            found=f"sha256 {source.sha256}",
            remedy=f"convert again: brakepoint convert MISSION --out {converted}",
        )


def _as_it_is(model: ModelProto) -> ModelProto:
    return model


def _pictures(mission: Mission, count: int) -> Sequence[Floats]:
    spec = mission.model.preprocess_spec
    held_back = frames_to_split(mission).held_back[:count]
    return [preprocess(frame.read(), spec)[0] for frame in held_back]


def _plain(layer: Layer) -> dict[str, Any]:
    values = asdict(layer)
    found = values.pop("difference")
    told = {
        key: one if one is not None and math.isfinite(one) else None for key, one in found.items()
    }
    return {**values, **told, "equal": found["snr_db"] is None}


def _show(layers: Sequence[Layer], worst: int, title: str) -> None:
    console = new_console()
    table = Table(title=title, title_justify="left")
    for name in ("dB", "largest difference", "tensor", "made by", "place"):
        table.add_column(name, justify="right" if name in ("dB", "place") else "left")
    for layer in worst_first(layers)[:worst]:
        found = layer.difference
        ratio = "equal" if found.snr_db is None else f"{found.snr_db:.1f}"
        place = f"{layer.place + 1} of {len(layers)}"
        table.add_row(ratio, f"{found.max_abs:.3g}", layer.tensor, layer.operator, place)
    console.print(table)
    if len(layers) > worst:
        console.print(f"and {len(layers) - worst} layers that are closer: --json names all")
