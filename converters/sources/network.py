"""A network as a function: a batch of pictures in, its outputs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from calibration.inference.sessions import CannotRun, ModelSession
from converters.graph.passes.canonical_names import PICTURE
from converters.sources.source import OnnxSource, Source, check_output
from edge.contract.mission.schema import Mission
from edge.perception.values import Floats
from firmware_bridge.errors import Refusal, UsageError

Outputs = tuple[Floats, ...]
"""Raw outputs of one picture, main and condition, float32."""
Network = Callable[[Floats], Outputs]
"""A picture (1, 3, H, W) float32 to its raw outputs."""


def network_of(source: Source, mission: Mission) -> Network:
    """The source as it came, before any change of ours, as a function.

    Refuses (UsageError) at the first picture whose output does not fit the mission.
    """
    if isinstance(source, OnnxSource):
        session = ModelSession(source.model.SerializeToString(), threads=mission.target.threads)
        (name,) = session.inputs

        def run_onnx(x: Floats) -> Outputs:
            found = session.run({name: x})
            check_output([value.shape for value in found], mission)
            return _finite(found)

        return run_onnx

    import torch  # a user's ONNX file needs none of it

    network = source.network

    def run_torch(x: Floats) -> Outputs:
        try:
            with torch.inference_mode():
                found = network(torch.from_numpy(x))
        except Refusal:
            raise  # of the output that is not there
        # The network is the user's code: whatever it raises is theirs to read.
        except Exception as error:
            raise CannotRun(f"{type(error).__name__}: {error}".splitlines()[0]) from error
        values = found if isinstance(found, tuple | list) else [found]
        tensors = [value for value in values if isinstance(value, torch.Tensor)]
        check_output([tuple(value.shape) for value in tensors], mission)
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
