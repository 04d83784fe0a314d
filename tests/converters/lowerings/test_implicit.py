"""Which tensors need a range in the calibration cache of a DLA."""

from __future__ import annotations

import numpy as np
import onnx
from tiny_graphs import node, tiny

from converters.lowerings.implicit import int8_region, tensors_to_observe


def test_what_a_mover_makes_of_an_operator_that_stays_in_float_is_observed() -> None:
    """Softmax, Transpose, Reshape: the first moved tensor has a range of its own."""
    model = tiny(
        [
            node("Softmax", ["x"], ["n"]),
            node("Transpose", ["n"], ["t"], perm=[0, 1, 3, 2]),
            node("Reshape", ["t", "shape"], ["y"]),
        ],
        {"shape": np.array([1, 192])},
        inputs={"x": (1, 3, 8, 8)},
    )
    model = onnx.shape_inference.infer_shapes(model)
    assert int8_region(model) == ("x", "t", "y")
    assert tensors_to_observe(model) == ("x", "t")
