"""How far two forms of one network are apart in numbers: largest difference and signal to noise.

Streams: one picture in memory at a time. Never decides whether it is too far: `gates.py` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from calibration.sessions import CannotRun, Floats, ModelSession
from converters.passes.names import PICTURE
from converters.sources import OnnxSource, Source, check_output
from edge.contract.mission import Mission
from firmware_bridge.errors import UsageError

Network = Callable[[Floats], Floats]
"""A picture (1, 3, H, W) float32 to the raw output (1, cells, values) float32."""


@dataclass(frozen=True)
class Difference:
    """Two networks over the same pictures.

    Attributes:
        max_abs: largest difference of any output value, in the output's own units.
        snr_db: 10 log10(power of the reference / power of the difference); None where they are
            equal in every bit.
        pictures: how many were compared.
    """

    max_abs: float
    snr_db: float | None
    pictures: int


class Comparison:
    """Adds up the difference of one network from its reference, picture by picture."""

    def __init__(self) -> None:
        self._signal = self._noise = self._worst = 0.0
        self._pictures = 0

    def add(self, reference: Floats, candidate: Floats) -> None:
        """Outputs of both for one picture, of equal shape."""
        wanted = reference.astype(np.float64)
        apart = candidate.astype(np.float64) - wanted
        self._signal += float(np.sum(wanted**2))
        self._noise += float(np.sum(apart**2))
        largest = float(np.max(np.abs(apart), initial=0.0))
        self._worst = largest if math.isnan(largest) else max(self._worst, largest)
        self._pictures += 1

    def result(self) -> Difference:
        """What was seen so far."""
        snr = None
        if self._noise > 0.0:
            snr = 10.0 * math.log10(max(self._signal, 1e-300) / self._noise)
        return Difference(self._worst, snr, self._pictures)


def network_of(source: Source, mission: Mission) -> Network:
    """The source as it came, before any change of ours, as a function.

    Refuses (UsageError) at the first picture whose output does not fit the mission.
    """
    if isinstance(source, OnnxSource):
        session = ModelSession(source.model.SerializeToString(), threads=mission.target.threads)
        (name,) = session.inputs

        def run_onnx(x: Floats) -> Floats:
            found = session.run({name: x})
            check_output([value.shape for value in found], mission)
            return _finite(found[0])

        return run_onnx

    network = source.network

    def run_torch(x: Floats) -> Floats:
        try:
            with torch.inference_mode():
                found = network(torch.from_numpy(x))
        # The network is the user's code: whatever it raises is theirs to read.
        except Exception as error:
            raise CannotRun(f"{type(error).__name__}: {error}".splitlines()[0]) from error
        values = found if isinstance(found, tuple | list) else [found]
        shapes = [tuple(value.shape) for value in values if isinstance(value, torch.Tensor)]
        check_output(shapes, mission)
        return _finite(values[0].numpy())

    return run_torch


def _finite(raw: Floats) -> Floats:
    if not np.isfinite(raw).all():
        raise UsageError(
            "the network puts out NaN or infinity",
            expected="finite numbers on every picture",
            found=f"{int(np.count_nonzero(~np.isfinite(raw)))} of {raw.size} values",
            remedy="check model.preprocess (mean, std, color) and the network's weights",
        )
    return np.asarray(raw, np.float32)


def running(session: ModelSession) -> Network:
    """A converted network as a function."""
    return lambda x: np.asarray(session.run({PICTURE: x})[0], np.float32)


def compare(reference: Network, candidate: Network, pictures: Sequence[Floats]) -> Difference:
    """The difference of `candidate` from `reference` over `pictures`."""
    seen = Comparison()
    for picture in pictures:
        seen.add(reference(picture), candidate(picture))
    return seen.result()
