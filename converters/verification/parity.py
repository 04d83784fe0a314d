"""Compares two forms of one network in numbers: largest difference and signal to noise of each
output.

Takes raw outputs picture by picture, one in memory at a time; returns `Parity`. The limit is a gate
(`gates/table.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from converters.sources.network import Network, Outputs
from edge.perception.values import Floats


@dataclass(frozen=True)
class Difference:
    """One output of two networks over the same pictures.

    Attributes:
        max_abs: largest difference of any value, in the output's own units.
        snr_db: 10 log10(power of the reference / power of the difference); None where they are
            equal in every bit, -inf or NaN where an output holds such values.
    """

    max_abs: float
    snr_db: float | None


@dataclass(frozen=True)
class Parity:
    """Two networks over the same pictures: the difference of each output by its name.

    Attributes:
        outputs: by name, in order.
        pictures: how many were compared.
    """

    outputs: Mapping[str, Difference]
    pictures: int

    @property
    def max_abs(self) -> float:
        """The largest difference of any output; NaN where one of them is."""
        worst = [output.max_abs for output in self.outputs.values()]
        return math.nan if any(map(math.isnan, worst)) else max(worst)

    @property
    def snr_db(self) -> float | None:
        """The lowest ratio of any output, NaN where one is; None where all are equal bit by bit."""
        ratios = [o.snr_db for o in self.outputs.values() if o.snr_db is not None]
        return math.nan if any(map(math.isnan, ratios)) else min(ratios, default=None)

    def to_json(self) -> dict[str, Any]:
        """One row of the section `parity` of report.json: the worst of all outputs, and each."""
        return {
            "max_abs": self.max_abs,
            "snr_db": self.snr_db,
            "pictures": self.pictures,
            "outputs": {name: asdict(output) for name, output in self.outputs.items()},
        }


class Sums:
    """Adds up the difference of one tensor, picture by picture."""

    def __init__(self) -> None:
        self._signal = self._noise = self._worst = 0.0

    def add(self, reference: Floats, candidate: Floats) -> None:
        """Both for one picture, of one shape."""
        wanted = reference.astype(np.float64)
        apart = candidate.astype(np.float64) - wanted
        self._signal += float(np.sum(wanted**2))
        self._noise += float(np.sum(apart**2))
        largest = float(np.max(np.abs(apart), initial=0.0))
        self._worst = largest if math.isnan(largest) else max(self._worst, largest)

    def result(self) -> Difference:
        """The difference of all pictures so far."""
        if self._noise == 0.0:
            return Difference(self._worst, None)
        # A difference of logarithms: a network that puts out infinity makes the noise infinite.
        signal, noise = np.log10([max(self._signal, 1e-300), self._noise])
        return Difference(self._worst, float(10.0 * (signal - noise)))


class Comparison:
    """Adds up the difference of one network from its reference, picture by picture."""

    def __init__(self, names: Sequence[str]) -> None:
        self._sums = {name: Sums() for name in names}
        self._pictures = 0

    def add(self, reference: Outputs, candidate: Outputs) -> None:
        """Outputs of both for one picture, of equal shapes."""
        for sums, wanted, found in zip(self._sums.values(), reference, candidate, strict=True):
            sums.add(wanted, found)
        self._pictures += 1

    def result(self) -> Parity:
        """The difference of all pictures so far."""
        found = {name: sums.result() for name, sums in self._sums.items()}
        return Parity(found, self._pictures)


def compare(
    reference: Network, candidate: Network, pictures: Sequence[Floats], names: Sequence[str]
) -> Parity:
    """The difference of `candidate` from `reference` over `pictures`, outputs named in order."""
    seen = Comparison(names)
    for picture in pictures:
        seen.add(reference(picture), candidate(picture))
    return seen.result()
