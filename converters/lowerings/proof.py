"""Proves on a CPU that the three lowerings say the same: one table of limits.

`int8.onnx` as written is the reference. Rounding differs between the forms (FP16 between the
operators; a scale on every tensor), and near a step's edge it flips a step, so no fixed number of
decibels fits every network. None may lie farther from float than the reference, and none may
differ from the reference by more than two independent roundings of the same size do: 3 dB. Never
converts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calibration.sessions import Floats
from converters.parity import Network, compare
from firmware_bridge.errors import GateFailed

REFERENCE, FLOAT = "int8.onnx", "float.onnx"


@dataclass(frozen=True)
class Limit:
    """What a lowering owes the reference, signal to noise in dB.

    Attributes:
        closer_db: its distance to the reference is so much less than float's to the reference;
            -3 is that of two independent roundings, whose powers add up.
        worse_db: it may be so much farther from float than the reference is.
        enough_db: at and above this it agrees, whatever float says.
    """

    closer_db: float
    worse_db: float
    enough_db: float


LIMITS: dict[str, Limit] = {
    "strong": Limit(closer_db=-3.0, worse_db=1.0, enough_db=30.0),
    "ranges": Limit(closer_db=3.0, worse_db=2.0, enough_db=30.0),
}
"""By lowering. Measured with everything in INT8: 39.6 dB, or 7 to 10 dB closer and at most 1 dB
worse; YOLOX-nano with its worst layers in float, where less is left to be closer to: 0.1 dB farther
from the reference than float is, and 0.03 dB worse."""


@dataclass(frozen=True)
class Agreement:
    """One lowering against the reference and float, over the same pictures.

    Signal to noise in dB, infinite where outputs are equal in every bit.
    """

    lowering: str
    to_reference_db: float
    to_float_db: float
    reference_to_float_db: float

    @property
    def agrees(self) -> bool:
        """Within its limit."""
        limit = LIMITS[self.lowering]
        if self.to_reference_db >= limit.enough_db:
            return True
        return (
            self.to_reference_db >= self.reference_to_float_db + limit.closer_db
            and self.to_float_db >= self.reference_to_float_db - limit.worse_db
        )


def agreements(
    networks: Mapping[str, Network],
    lowerings: Mapping[str, Network],
    pictures: Sequence[Floats],
    names: Sequence[str],
) -> list[Agreement]:
    """How far each of `lowerings` (by a key of LIMITS) is from `networks` FLOAT and REFERENCE.

    The worst of their outputs, named `names`, counts.
    """
    reference, original = networks[REFERENCE], networks[FLOAT]

    def db(wanted: Network, found: Network) -> float:
        snr = compare(wanted, found, pictures, names).snr_db
        return math.inf if snr is None else snr

    apart = db(original, reference)
    return [
        Agreement(
            lowering=name,
            to_reference_db=db(reference, network),
            to_float_db=db(original, network),
            reference_to_float_db=apart,
        )
        for name, network in lowerings.items()
    ]


def demand(found: Sequence[Agreement]) -> None:
    """Refuses lowerings that do not agree.

    Raises:
        GateFailed: the first that does not; a defect of ours, or a network that FP16 does not hold.
    """
    for one in found:
        if not one.agrees:
            limit = LIMITS[one.lowering]
            raise GateFailed(
                f"the lowering '{one.lowering}' does not compute what {REFERENCE} computes",
                expected=f"{limit.enough_db:g} dB from it, or {limit.closer_db:g} dB more than the "
                f"{one.reference_to_float_db:.1f} dB between it and float, and to float at most "
                f"{limit.worse_db:g} dB less",
                found=f"{one.to_reference_db:.1f} dB, and {one.to_float_db:.1f} dB to float",
                remedy="do not build engines from it; report the network's operators as a defect",
            )
