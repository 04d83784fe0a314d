"""Exports a PyTorch network to ONNX by torch.export.

Takes a module, the shape of a picture and the names of outputs; returns an ONNX model in memory.
The exporter's messages are silenced. The pass `strip_metadata` later removes what the exporter
writes about itself and the machine, so that the bytes depend on the network alone.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from onnx import ModelProto

from converters.graph.index import opset_of
from converters.graph.passes.canonical_names import PICTURE
from firmware_bridge.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import fx, nn

EXPORTER_OPSET = 18
"""The exporter's own opset. Asked for an earlier one it keeps 18 and says so on stderr only, so the
pass `convert_opset` makes other opsets from 18 and checks the result."""


def export(
    network: nn.Module, shape: tuple[int, int, int, int], outputs: Sequence[str]
) -> ModelProto:
    """An ONNX model of `network` in evaluation mode for one picture of `shape` (1, 3, H, W), with
    its outputs named in order.

    Raises:
        UsageError: torch.export cannot trace the network, or it has another number of outputs.
    """
    from converters.sources.pytorch.confined_network import ConfinedNetwork

    if isinstance(network, ConfinedNetwork):
        return network.export(shape, outputs)
    model: ModelProto = _program(network, shape, outputs).model_proto
    if opset_of(model) != EXPORTER_OPSET:
        raise UsageError(
            "the exporter did not do as it was told",
            expected=f"opset {EXPORTER_OPSET}",
            found=f"opset {opset_of(model)}",
            remedy="install the torch version that constraints.txt names",
        )
    return model


def trace(
    network: nn.Module, shape: tuple[int, int, int, int], outputs: Sequence[str]
) -> fx.GraphModule:
    """The traced network: each node has the name of the tensor that it computes in the ONNX model
    of `export`. Raises UsageError as `export` does.
    """
    program = _program(network, shape, outputs).exported_program
    assert program is not None  # it traced the network
    module: fx.GraphModule = program.module()
    return module


def _program(
    network: nn.Module, shape: tuple[int, int, int, int], outputs: Sequence[str]
) -> torch.onnx.ONNXProgram:
    import torch

    network.eval()
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (torch.zeros(shape),),
                dynamo=True,
                opset_version=EXPORTER_OPSET,
                input_names=[PICTURE],
                output_names=list(outputs),
                external_data=False,
                verbose=False,
            )
    # torch.export raises its own errors and the network's; all of them mean the same to the user.
    except Exception as error:
        raise UsageError(
            "the network cannot be exported",
            expected="a network whose forward takes one tensor (1, 3, H, W) and returns "
            + " and ".join(outputs),
            found=_first_line(error),
            remedy="make forward free of branches on tensor values; in evaluation mode it must "
            "return a tensor, or a tuple of two: main and condition",
        ) from error
    assert program is not None  # dynamo=True returns a program
    return program


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's warnings, log and prints (a program it cannot trace is written to
    stderr whole) for the time of the export."""
    disabled = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)


def _first_line(error: BaseException) -> str:
    """What went wrong first, in one line: the exporter wraps it in its own errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
