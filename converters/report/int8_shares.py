"""Share of the multiplications that each file of a conversion computes in INT8.

For TensorRT files: where the placement put INT8. For cpu.onnx: what onnxruntime computes in
integers, read from its optimized graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from converters.quantization.placement import QdqPlacement
from edge.contract.artifact_names import CPU, FLOAT, IMPLICIT, INT8, STRONG
from edge.engine.model_choice import batched_name

FOR_TENSORRT = frozenset({INT8, STRONG, IMPLICIT, batched_name(INT8), batched_name(STRONG)})
"""Files in which INT8 is where the placement put it."""


def int8_shares(
    names: Iterable[str], placement: QdqPlacement, in_integers: Mapping[str, int]
) -> dict[str, float | None]:
    """File -> share of the network's multiplications in INT8, 0..1; None for what is no whole
    network, and where nothing is multiplied.

    Args:
        in_integers: of cpu.onnx; see `integer_multiplications`.
    """
    known = {FLOAT: 0, CPU: sum(in_integers.values())} | dict.fromkeys(
        FOR_TENSORRT, placement.macs_int8
    )
    return {
        name: known[name] / placement.macs if name in known and placement.macs else None
        for name in names
    }
