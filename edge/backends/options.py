"""What a session is opened with: an approved plan, and options for all backends. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.perception.preprocess import PreprocessSpec


@dataclass(frozen=True)
class ApprovedPlan:
    """An engine plan whose bytes were read once, compared with their digest and approved.

    Attributes:
        data: the bytes that TensorRT gets.
        name: what messages call it.
    """

    data: bytes
    name: str

    def __repr__(self) -> str:
        return f"ApprovedPlan({self.name}, {len(self.data)} bytes)"


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """How a session is opened. Each backend reads what concerns it.

    Attributes:
        threads: of a processor's backend.
        cuda: the row of `edge.backends.cuda.table.CUDA_DRIVERS`.
        gpu: which GPU, by CUDA's ordinal.
        preprocess: a session on a GPU may preprocess pictures by it; None: it does not.
        deadline_ms: an execution on a GPU that takes longer has lost the device.
        inputs, outputs: the tensors that the mission expects, name to shape, in its order. A plan
            must have these and no others; empty: as the plan has them.
    """

    threads: int = 1
    cuda: str = "pycuda"
    gpu: int = 0
    preprocess: PreprocessSpec | None = None
    deadline_ms: float = 2000.0
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
