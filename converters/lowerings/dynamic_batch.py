"""Opens the batch size of a network for one picture, and proves that each picture of a batch gives
the same outputs as alone.

Takes a model with a fixed batch of 1; returns one with an open batch. It changes only the first
size of input and outputs and the constants that repeat it, and proves the result by running batches
of different pictures. Quantization and all judgements are of single pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto

from calibration.inference.sessions import CannotRun, ModelSession
from converters.graph.index import Array, Graph, attributes, copy_model, with_nodes
from converters.graph.passes.canonical_names import PICTURE
from converters.sources.network import running
from converters.verification.parity import Comparison
from edge.contract.mission.sections.model import Input
from edge.perception.values import Floats
from firmware_bridge.errors import UsageError

BATCH = "batch"
"""The name of the open size."""

SNR_DB_MIN = 40.0
"""Least signal to noise of a picture's outputs in a batch against those alone. Kernels add in
another order for another batch, which may move a number by one INT8 step; a network that mixes
pictures is far below."""

REMEDY = "leave model.input.batch out, or export a network that treats each picture by itself"


def profiles_of(given: Input) -> dict[str, tuple[tuple[int, ...], ...]]:
    """By input, the shapes that engines are built for: least, usual, largest; empty without a
    batch."""
    shapes = tuple((size, 3, given.height_px, given.width_px) for size in given.batch or ())
    return {PICTURE: shapes} if shapes else {}


def open_batch(model: ModelProto) -> ModelProto:
    """The network with an open first size of its picture and its outputs."""
    graph = Graph(model)
    constants: dict[str, Array] = {}
    nodes = []
    for node in graph.nodes:
        nodes.append(_opened(graph, node, constants))
    other = copy_model(with_nodes(model, nodes=nodes, initializers=constants))
    for value in (*other.graph.input, *other.graph.output):
        size = value.type.tensor_type.shape.dim[0]
        size.Clear()
        size.dim_param = BATCH
    return other


def _opened(graph: Graph, node: NodeProto, constants: dict[str, Array]) -> NodeProto:
    """The node, without constants that give the number of pictures."""
    other = NodeProto()
    other.CopyFrom(node)
    made = graph.shape(node.output[0]) if node.output else None
    if node.op_type == "Reshape" and made:
        wanted = graph.constant(node.input[1])
        if wanted is not None and wanted.size and made[0] == 1 and wanted.flat[0] in (0, 1):
            # In a Reshape 0 keeps the size of the input, -1 is what remains.
            comes = graph.shape(node.input[0])
            keeps = comes is not None and comes[0] == 1 and not attributes(node).get("allowzero")
            sizes = np.array([1, *made[1:]], np.int64)
            sizes[0] = 0 if keeps else -1
            other.input[1] = f"{node.output[0]}.sizes"
            constants[other.input[1]] = sizes
    elif node.op_type == "Resize" and len(node.input) > 3 and node.input[3]:
        comes = graph.shape(node.input[0])
        if comes and made:
            other.input[3] = ""
            del other.input[3:]
            other.input[2] = f"{node.output[0]}.scales"
            scales = [wide / small for wide, small in zip(made, comes, strict=True)]
            constants[other.input[2]] = np.array(scales, np.float32)
    return other


def prove_batch(
    single: ModelProto,
    opened: ModelProto,
    pictures: Sequence[Floats],
    *,
    sizes: Sequence[int],
    threads: int,
) -> None:
    """Runs batches of `sizes` made of `pictures` (1, 3, H, W), each shifted sideways.

    Raises:
        UsageError: the network does not run on a batch, or mixes its pictures.
    """
    alone = running(ModelSession(single.SerializeToString(), threads=threads))
    try:
        session = ModelSession(opened.SerializeToString(), threads=threads)
    except CannotRun as error:
        raise _refusal(str(error)) from error
    names = [value.name for value in single.graph.output]
    for size in sizes:
        shown = [np.roll(pictures[row % len(pictures)], 7 * row, axis=-1) for row in range(size)]
        try:
            found = session.run({PICTURE: np.concatenate(shown)})
        except CannotRun as error:
            raise _refusal(f"batch {size}: {error}") from error
        seen = Comparison(names)
        for row, picture in enumerate(shown):
            wanted = alone(picture)
            answers = tuple(np.asarray(one[row : row + 1], np.float32) for one in found)
            if [one.shape for one in answers] != [one.shape for one in wanted]:
                raise _refusal(f"batch {size}: outputs {[one.shape for one in found]}")
            seen.add(wanted, answers)
        apart = seen.result().snr_db
        if apart is not None and not apart >= SNR_DB_MIN:
            raise _refusal(
                f"batch {size}: pictures are answered otherwise than alone ({apart:.1f} dB apart)"
            )


def _refusal(found: str) -> UsageError:
    return UsageError(
        "the network cannot take several pictures at once",
        expected="an answer to each picture of a batch as if it were alone",
        found=found,
        remedy=REMEDY,
    )
