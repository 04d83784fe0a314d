"""Runs the graph passes in order: one table, with what each requires and ensures.

Takes a model and probe pictures; returns the changed model and a `PassResult` a pass. It checks the
properties before and after each pass, and that outputs on the probes stay the same; a pass that
breaks either stops the conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
from onnx import ModelProto

from calibration.inference.sessions import CannotRun, ModelSession
from converters.graph.passes.bind_input_shape import bind_shapes
from converters.graph.passes.canonical_names import PICTURE, name_everything
from converters.graph.passes.convert_opset import to_opset
from converters.graph.passes.drop_initializer_inputs import mend_inputs
from converters.graph.passes.eliminate_dead_code import drop_dead_code
from converters.graph.passes.eliminate_identity import remove_identities
from converters.graph.passes.fold_batchnorm import fold_batchnorm
from converters.graph.passes.fold_constants import fold_constants
from converters.graph.passes.infer_shapes import infer_shapes
from converters.graph.passes.properties import PROPERTIES
from converters.graph.passes.strip_metadata import strip_metadata
from edge.perception.values import Floats
from firmware_bridge.errors import GateFailed, UsageError

TOLERANCE = 1e-4
"""How far a pass may move an output, as a share of that output's largest magnitude, or of 1 where
that is less: float32 rounding in another order, with room for a hundred layers."""

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class Pass:
    """One change of the graph; `requires` and `ensures` are keys of PROPERTIES."""

    name: str
    apply: Callable[[ModelProto], ModelProto]
    requires: tuple[str, ...] = ()
    ensures: tuple[str, ...] = ()


@dataclass(frozen=True)
class PassResult:
    """Effect of a pass: numbers of nodes before and after, and the largest difference of any
    output."""

    name: str
    nodes_before: int
    nodes_after: int
    max_abs: float


def passes(opset: int, shape: Shape, outputs: Sequence[str]) -> tuple[Pass, ...]:
    """Every pass in order, for a target opset, a picture shape (1, 3, H, W) and names of the
    outputs."""
    mended, constant = "initializers are no inputs", "constants are initializers"
    static = "shapes are static"
    return (
        Pass("mend_inputs", mend_inputs, ensures=(mended,)),
        Pass("bind_shapes", partial(bind_shapes, shape=shape), (mended,)),
        Pass("opset", partial(to_opset, opset=opset), (mended,), ("opset in range",)),
        Pass("shapes", infer_shapes),
        Pass("fold_constants", fold_constants, (mended,), (constant,)),
        Pass("identities", remove_identities, ensures=("no identities",)),
        Pass("fold_batchnorm", fold_batchnorm, (constant,), ("BatchNorm is folded",)),
        Pass("dead_code", drop_dead_code, ensures=("everything is used",)),
        Pass("names", partial(name_everything, outputs=outputs), ensures=("nodes are named",)),
        Pass("strip_metadata", strip_metadata, ensures=("carries no talk",)),
        Pass("shapes", infer_shapes, (constant,), (static, constant, mended, "no identities")),
    )


def run_passes(
    model: ModelProto, table: Sequence[Pass], probes: Sequence[Floats]
) -> tuple[ModelProto, list[PassResult]]:
    """The model after every pass, and the result of each on `probes`, pictures (1, 3, H, W).

    Raises:
        UsageError: the model has an operator or shape that a pass cannot handle.
        GateFailed: a pass broke a property or changed an output, a defect of this program.
    """
    results: list[PassResult] = []
    outputs = _run(model, probes)
    for step in table:
        _require(model, step.requires, f"pass '{step.name}' requires")
        try:
            changed = step.apply(model)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
            raise UsageError(
                "the model's shapes do not fit together",
                expected="a graph whose shapes follow from its picture input",
                found=f"{step.name}: {str(error).strip().splitlines()[0]}",
                remedy="export the network again for one picture of a fixed size",
            ) from error
        _require(changed, step.ensures, f"pass '{step.name}' ensures")
        after = outputs
        worst = 0.0
        if changed is not model:
            after = _run(changed, probes)
            worst = _largest_difference(step.name, outputs, after)
        results.append(PassResult(step.name, len(model.graph.node), len(changed.graph.node), worst))
        model, outputs = changed, after
    onnx.checker.check_model(model, full_check=True)
    return model, results


def _require(model: ModelProto, properties: Sequence[str], what: str) -> None:
    for name in properties:
        for violation in PROPERTIES[name](model):
            unmet = UsageError if name == "shapes are static" else GateFailed
            raise unmet(
                f"{what}: {name}",
                expected=name,
                found=violation,
                remedy="export the network with fixed sizes, without control flow or data-dependent"
                " shapes",
            )


def _run(model: ModelProto, probes: Sequence[Floats]) -> list[list[Floats]]:
    try:
        session = ModelSession(model.SerializeToString(), threads=1)
        names = [name for name in session.inputs if name == PICTURE] or session.inputs[:1]
        return [session.run({names[0]: probe}) for probe in probes]
    except CannotRun as error:
        raise UsageError(
            "the model cannot run",
            expected="a graph that onnxruntime runs on a picture of the mission's size",
            found=str(error),
            remedy="export the network again; check model.input in the mission",
        ) from error


def _largest_difference(
    name: str, before: Sequence[Sequence[Floats]], after: Sequence[Sequence[Floats]]
) -> float:
    worst = 0.0
    for one, other in zip(before, after, strict=True):
        for reference, value in zip(one, other, strict=True):
            difference = float(np.max(np.abs(value - reference), initial=0.0))
            worst = max(worst, difference)
            allowed = TOLERANCE * max(1.0, float(np.max(np.abs(reference), initial=0.0)))
            if not difference <= allowed:
                raise GateFailed(
                    f"pass '{name}' changed the network",
                    expected=f"outputs within {allowed:.3g} of those before",
                    found=f"a difference of {difference:.3g}",
                    remedy="do not use this file; report the model's operators as a defect",
                )
    return worst
