"""Reads an ONNX file for the linter, and writes the fixed one atomically.

Takes paths; returns findings, or figures of the fixed file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped] # ships none
from onnx import ModelProto

from calibration.inference.onnx_bounds import check_bounds
from converters.graph.index import all_nodes
from converters.quantization.lint.checks import Finding, Inspection, inspect_model, lint
from converters.quantization.lint.engine_precision import EngineFindings, join
from converters.quantization.lint.fix import fix
from converters.quantization.qdq_reader import Q_OPERATORS
from edge.contract.artifact import write_atomic
from edge.engine.inspector import InspectorReport
from firmware_bridge.errors import Missing, UsageError


@dataclass(frozen=True)
class FixFigures:
    """Figures of the fixed file: share of multiplications in INT8 (0..1), operators in float."""

    macs_int8_share: float
    left_float: int


def lint_file(path: Path) -> tuple[Finding, ...]:
    """Every finding in a quantized ONNX file.

    Raises:
        Missing: no such file.
        UsageError: not an ONNX file, or one that is not quantized.
    """
    return lint(_read(path))


def lint_with_engine(path: Path, engine: InspectorReport) -> EngineFindings:
    """The same, with findings on an engine that was built from the file. Raises as `lint_file`."""
    seen = _read(path)
    return join(seen, lint(seen), engine)


def fix_file(path: Path, out: Path) -> FixFigures:
    """Writes the file again by the rules, to `out`.

    Raises:
        Missing, UsageError: as `lint_file`; also where the file computes in integers outside Q/DQ.
    """
    seen = _read(path)
    integer = sorted({node.op_type for node in all_nodes(seen.model.graph)} & Q_OPERATORS)
    if integer:
        raise UsageError(
            f"{path} cannot be mended",
            expected="float operators between QuantizeLinear and DequantizeLinear",
            found=", ".join(integer),
            remedy="quantize the float network with brakepoint convert",
        )
    fixed = fix(seen)
    write_atomic(out, fixed.model.SerializeToString())
    total = fixed.placement.macs
    share = fixed.placement.macs_int8 / total if total else 0.0
    return FixFigures(share, len(fixed.placement.left_float))


def _read(path: Path) -> Inspection:
    if not path.is_file():
        raise Missing(
            f"no model at {path}",
            expected="a quantized ONNX file",
            found="no such file" if not path.exists() else "a folder",
            remedy="correct the path",
        )
    try:
        model = onnx.load(path, format="protobuf")
        check_bounds(model, path)
        onnx.checker.check_model(model)
        _named(model)
        kinds = {node.op_type for node in model.graph.node}
        if not kinds & {"DequantizeLinear", *Q_OPERATORS}:
            raise UsageError(
                f"{path} is not quantized",
                expected="QuantizeLinear and DequantizeLinear in the graph",
                found=f"{len(model.graph.node)} float operators",
                remedy="brakepoint convert quantizes it; int8.onnx is what it writes",
            )
        return inspect_model(model)
    except (
        DecodeError,
        ValueError,
        RuntimeError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        raise UsageError(
            f"{path} cannot be read as a quantized network",
            expected="a whole ONNX file with constant scales",
            found=(str(error).strip() or type(error).__name__).splitlines()[0],
            remedy="export or copy it again",
        ) from error


def _named(model: ModelProto) -> None:
    """Gives every node a name, so that a finding can point at it."""
    taken = {node.name for node in model.graph.node}
    for row, node in enumerate(model.graph.node):
        if not node.name:
            node.name = f"{node.op_type}_{row}"
            while node.name in taken:
                node.name += "_"
            taken.add(node.name)
