"""Cuts `implicit.onnx` into body and head for a DLA, and proves that the two in turn compute what
the whole does.

Takes the model and pictures; returns both files and a `DlaCut` for the report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import ModelProto

from calibration.inference.sessions import ModelSession
from converters.graph.index import Graph
from converters.graph.passes.canonical_names import PICTURE
from converters.lowerings.dla_partition import Cut, cut_head
from converters.quantization.rules import WEIGHTED
from converters.sources.network import Outputs, running
from converters.verification.parity import compare
from edge.contract.artifact_names import DLA_BODY, DLA_HEAD
from edge.perception.values import Floats
from firmware_bridge.errors import GateFailed


@dataclass(frozen=True)
class DlaCut:
    """A cut, for the report.

    Attributes:
        tensors: outputs of the body, which the head reads or the network puts out.
        fallback: operators of the body that no DLA runs.
        head: weighted operators of the head, which neither a DLA nor the cache's INT8 runs.
        max_abs: largest difference from the whole.
    """

    tensors: tuple[str, ...]
    fallback: tuple[str, ...]
    head: tuple[str, ...]
    max_abs: float


def cut_for_dla(
    model: ModelProto, pictures: Sequence[Floats], *, threads: int
) -> tuple[dict[str, bytes], DlaCut | None]:
    """Body and head as files, and the cut; no files and None where there is no head to cut off.

    Args:
        pictures: network inputs (1, 3, H, W).

    Raises:
        GateFailed: the two compute something else than the whole, a defect of this program.
    """
    cut = cut_head(model)
    if cut is None:
        return {}, None
    for part in (cut.body, cut.head):
        onnx.checker.check_model(part, full_check=True)
    whole = running(ModelSession(model.SerializeToString(), threads=threads))
    names = [value.name for value in model.graph.output]
    apart = compare(whole, BodyAndHead(cut, names, threads=threads), pictures, names)
    if apart.max_abs != 0.0:
        raise GateFailed(
            "body and head for DLA compute otherwise than the network",
            expected="the same numbers: they are the same operators",
            found=f"a difference of {apart.max_abs:.3g}",
            remedy="leave target.dla out; report the network's operators as a defect",
        )
    weighted = tuple(n.name for n in Graph(cut.head).nodes if n.op_type in WEIGHTED)
    files = {DLA_BODY: cut.body.SerializeToString(), DLA_HEAD: cut.head.SerializeToString()}
    return files, DlaCut(cut.tensors, cut.fallback, weighted, apart.max_abs)


class BodyAndHead:
    """The body, then the head, as a function: a picture to the outputs of the whole, in order."""

    def __init__(self, cut: Cut, outputs: Sequence[str], *, threads: int) -> None:
        self._body = ModelSession(cut.body.SerializeToString(), threads=threads)
        self._head = ModelSession(cut.head.SerializeToString(), threads=threads)
        self._tensors, self._outputs = cut.tensors, outputs
        self._last = [value.name for value in cut.head.graph.output]

    def __call__(self, picture: Floats) -> Outputs:
        seen = dict(zip(self._tensors, self._body.run({PICTURE: picture}), strict=True))
        seen[PICTURE] = picture
        fed = {name: seen[name] for name in self._head.inputs}
        seen |= dict(zip(self._last, self._head.run(fed), strict=True))
        return tuple(seen[name] for name in self._outputs)
