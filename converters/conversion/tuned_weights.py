"""Fine-tuned weights as an input of a conversion, with the placement and range scale they need.

float.onnx stays the original network, so that every gate compares with it; the tuned weights are
used only where INT8 is written, as corrected biases are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any

from onnx import ModelProto

from calibration.ranges.ranges import Range
from converters.lowerings.cpu import quantize_cpu
from converters.quantization.placement import QdqPlacement, place
from converters.quantization.qdq import quantize_int8
from converters.search.candidate import better_bias
from converters.search.evaluator import Evaluator
from edge.contract.artifact import digest_json
from edge.contract.artifact_names import CPU, INT8
from edge.perception.values import Floats

TUNED, STATE = "tuned.onnx", "tuned.pt"
"""The tuned weights as a float graph: the same graph as float.onnx, other numbers; and, where they
came from a PyTorch network, as that network's state dict."""


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned network.

    Attributes:
        model: the float graph with its tuned weights.
        kept_float: operators that stay in float, with the reason.
        range_scale: how many times as far as ranges.json says the ranges reach.
        facts: where it came from and how, for the report.
    """

    model: ModelProto
    kept_float: Mapping[str, str]
    range_scale: float
    facts: Mapping[str, Any]

    @property
    def digests(self) -> dict[str, str]:
        """sha256 of all that a conversion follows from, as hex."""
        return {
            "model": sha256(self.model.SerializeToString()).hexdigest(),
            "kept_float": digest_json(dict(self.kept_float)),
            "range_scale": str(self.range_scale),
        }

    def quantized(
        self,
        floating: ModelProto,
        ranges: Mapping[str, Range],
        evaluator: Evaluator,
        pictures: Sequence[Floats],
        *,
        threads: int,
    ) -> tuple[dict[str, ModelProto], QdqPlacement]:
        """The graphs by name, and where INT8 went: the same places and ranges, these weights.

        Biases are corrected where that lowers the task loss, which `evaluator` measures.
        """
        placement = place(floating, kept_float=self.kept_float)
        models = {TUNED: self.model}
        for name, write in ((INT8, quantize_int8), (CPU, quantize_cpu)):
            models[name] = better_bias(
                self.model,
                partial(write, ranges=ranges),
                placement,
                evaluator,
                pictures,
                threads=threads,
            ).quantized
        return models, placement
