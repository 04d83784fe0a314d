"""Plans of the simulated TensorRT: a release's real header, then facts as JSON, then the ONNX.

Written when an engine is "built" and read by the simulated runtime, which computes what the ONNX
says.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import onnx

from edge.engine.plan.header import HEADER_BYTES, MASK_AT, RTX_SM_BITS, VERSION_AT

BUILD = 116
"""The fourth number of a version, in header and messages."""

DATA_TYPES = {
    onnx.TensorProto.FLOAT: "FLOAT",
    onnx.TensorProto.FLOAT16: "HALF",
    onnx.TensorProto.INT8: "INT8",
    onnx.TensorProto.UINT8: "UINT8",
    onnx.TensorProto.INT32: "INT32",
    onnx.TensorProto.INT64: "INT64",
    onnx.TensorProto.BOOL: "BOOL",
}

Profile = dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]


@dataclass(frozen=True)
class PlanTensor:
    """An input or output of an engine; open sizes are -1."""

    name: str
    shape: tuple[int, ...]
    data_type: str
    is_input: bool
    format: str = "LINEAR"


@dataclass(frozen=True)
class Plan:
    """What a simulated plan holds behind its header."""

    sm: tuple[int, ...]
    tensors: tuple[PlanTensor, ...]
    profiles: tuple[Profile, ...]
    model: bytes
    capturable: bool = True


def header(trt: Any, *, sm: tuple[int, ...] = (86, 89)) -> bytes:
    """A plan's header as the release of a stand-in module writes it."""
    numbers = [int(part) for part in trt.release.split(".")]
    rtx = trt.__name__ == "tensorrt_rtx"
    mask = sum(1 << RTX_SM_BITS.index(one) for one in sm if one in RTX_SM_BITS) if rtx else 0
    head = bytearray(HEADER_BYTES)
    head[:4] = b"vtrt" if rtx else b"ftrt"
    head[VERSION_AT : VERSION_AT + 4] = bytes([*numbers, BUILD])
    head[MASK_AT : MASK_AT + 4] = mask.to_bytes(4, "little")
    return bytes(head)


def tensors_of(model: bytes) -> tuple[PlanTensor, ...]:
    """Inputs and outputs of an ONNX model."""
    graph = onnx.load_from_string(model).graph
    held = {constant.name for constant in graph.initializer}

    def tensor(value: onnx.ValueInfoProto, *, is_input: bool) -> PlanTensor:
        kind = value.type.tensor_type
        shape = [size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim]
        return PlanTensor(value.name, tuple(shape), DATA_TYPES[kind.elem_type], is_input)

    inputs = [tensor(one, is_input=True) for one in graph.input if one.name not in held]
    return (*inputs, *(tensor(one, is_input=False) for one in graph.output))


def plan_for(
    trt: Any, model: bytes, *, sm: tuple[int, ...], profiles: tuple[Profile, ...] = ()
) -> bytes:
    """The plan that a stand-in module would build of an ONNX model, without a builder."""
    return write_plan(trt, Plan(sm, tensors_of(model), profiles, model))


def write_plan(trt: Any, plan: Plan) -> bytes:
    """The bytes of a plan of a stand-in module."""
    facts = asdict(plan)
    del facts["model"]
    text = json.dumps(facts).encode()
    sizes = len(text).to_bytes(8, "little") + len(plan.model).to_bytes(8, "little")
    return header(trt, sm=plan.sm) + sizes + text + plan.model


def read_plan(data: bytes) -> Plan | None:
    """The plan in these bytes, or None where they are cut short or not of the simulation."""
    text_size, model_size = (
        int.from_bytes(data[HEADER_BYTES + at : HEADER_BYTES + at + 8], "little") for at in (0, 8)
    )
    first = HEADER_BYTES + 16
    if len(data) < first or len(data) != first + text_size + model_size:
        return None
    facts = json.loads(data[first : first + text_size])
    return Plan(
        sm=tuple(facts["sm"]),
        tensors=tuple(
            PlanTensor(**{**one, "shape": tuple(one["shape"])}) for one in facts["tensors"]
        ),
        profiles=tuple(
            {name: tuple(map(tuple, sizes)) for name, sizes in one.items()}  # type: ignore[misc]
            for one in facts["profiles"]
        ),
        model=data[first + text_size :],
        capturable=facts["capturable"],
    )
