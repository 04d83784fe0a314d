"""A network as a function: one picture in, its raw outputs out.

`network_of` makes it of a source as the user gave it, `running` of a converted ONNX model. Outputs
are checked against the mission; NaN and infinity are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from calibration.inference.sessions import CannotRun, ModelSession
from converters.graph.passes.canonical_names import PICTURE
from converters.sources.source import OnnxSource, Source, check_output
from edge.contract.mission.sections.model import Model
from edge.perception.values import Floats
from firmware_bridge.errors import Refusal, UsageError

Outputs = tuple[Floats, ...]
"""Raw outputs of one picture, main and condition, float32."""
Network = Callable[[Floats], Outputs]
"""A picture (1, 3, H, W) float32 to its raw outputs."""


def network_of(source: Source, model: Model, *, threads: int) -> Network:
    """The source as a function, before any conversion.

    The function raises UsageError at the first picture whose outputs have other shapes than the
    mission reads or are not finite, and CannotRun where the network fails.
    """
    if isinstance(source, OnnxSource):
        session = ModelSession(source.model.SerializeToString(), threads=threads)
        (name,) = session.inputs

        def run_onnx(x: Floats) -> Outputs:
            found = session.run({name: x})
            check_output([value.shape for value in found], model)
            return _finite(found)

        return run_onnx

    import torch  # not needed for ONNX files

    network = source.network

    def run_torch(x: Floats) -> Outputs:
        try:
            with torch.inference_mode():
                found = network(torch.from_numpy(x))
        except Refusal:
            raise  # a missing output, as `pick_torch` says it
        # The network is the user's code: its errors are shown to the user as they are.
        except Exception as error:
            raise CannotRun(f"{type(error).__name__}: {error}".splitlines()[0]) from error
        values = found if isinstance(found, tuple | list) else [found]
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        check_output([tuple(value.shape) for value in tensors], model)
        return _finite([value.numpy() for value in tensors])

    return run_torch


def _finite(outputs: Sequence[Floats]) -> Outputs:
    for raw in outputs:
        if not np.isfinite(raw).all():
            raise UsageError(
                "the network puts out NaN or infinity",
                expected="finite numbers on every picture",
                found=f"{int(np.count_nonzero(~np.isfinite(raw)))} of {raw.size} values of an "
                f"output {raw.shape}",
                remedy="check model.preprocess (mean, std, color) and the network's weights",
            )
    return tuple(np.asarray(raw, np.float32) for raw in outputs)


def running(session: ModelSession) -> Network:
    """A converted network as a function."""
    return lambda x: tuple(np.asarray(raw, np.float32) for raw in session.run({PICTURE: x}))
