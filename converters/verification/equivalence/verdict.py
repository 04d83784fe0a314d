"""Decides on a CPU whether a lowering is equivalent to `int8.onnx`.

Takes the differences of the graphs (`graph_diff.py`), the distance of each layer in INT8 steps
(`layer_error.py`) and the networks as functions; returns an `Equivalence`. It answers three
questions, each with a limit that follows from what a lowering is (decision record 16): is it the
same computation to the bit (operators, reads, scales)? Where its numbers have another type, does
that cost less, layer by layer from the same codes, than INT8's own rounding? Is the whole as good:
no noisier than two such networks, or, where it has numbers of its own, within the gates of
int8.onnx? The first has no tolerance, so it finds faults that the noise of INT8 would hide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from converters.sources.network import Network
from converters.verification.parity import compare
from edge.contract.artifact_names import FLOAT, INT8
from edge.perception.values import Floats

STEPS_MAX = 0.25
"""Mean distance in INT8 steps of a layer's codes when it reads the same codes: that of INT8's own
rounding, which is off by up to half a step, evenly. A type that adds more limits the layer. One
rounding to FP16 at INT8's full scale, the worst, is off by 127 / 2^11 = 1/16 step at most."""

WORSE_DB = 10.0 * math.log10(2.0)
"""How much lower the signal to noise towards float may be than the reference's: noise of twice the
power, as of two independent roundings in place of one."""

INT8_DB = 20.0 * math.log10(2.0 * 127.0)
"""Signal to noise, 48.1 dB, of values that fill INT8's steps evenly and are rounded once: amax^2/3
over step^2/12. A reference that is closer to float is so by chance: no lowering must match that."""

MOST_NAMED = 5
"""How many differences a failure names; it counts the rest."""


@dataclass(frozen=True)
class Equivalence:
    """One lowering against the reference and float, over the same pictures.

    Attributes:
        differs: what it computes otherwise, in words; empty where it is the same to the bit.
        steps, steps_at: mean distance in INT8 steps of the layer that is farthest from the
            reference when both start from the same codes, and its tensor; None where the types are
            the reference's own.
        to_reference_db, to_float_db, reference_to_float_db: signal to noise of the worst output;
            infinite where outputs are equal in every bit.
        kept: by gate of the mission, its agreement with float on held-back frames (0..1, None where
            float gives no answer) and the limit of the gate; empty where only its types differ, or
            the mission has no such gate. Where it is not empty, decibels do not decide.
    """

    lowering: str
    differs: tuple[str, ...]
    steps: float | None
    steps_at: str | None
    to_reference_db: float
    to_float_db: float
    reference_to_float_db: float
    kept: Mapping[str, tuple[float | None, float]] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[str, ...]:
        """A sentence for every limit that it breaks."""
        failures = []
        if self.differs:
            more = len(self.differs) - MOST_NAMED
            told = "; ".join(self.differs[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
            failures.append(f"it is another computation: {told}")
        if self.steps is not None and not self.steps <= STEPS_MAX:
            failures.append(
                f"'{self.steps_at}' is {self.steps:.3f} INT8 steps off from the same codes, more "
                f"than {STEPS_MAX:.3f}: its numbers do not fit FP16"
            )
        if (
            not self.kept
            and not self.to_float_db >= min(self.reference_to_float_db, INT8_DB) - WORSE_DB
        ):
            failures.append(
                f"it has {self.to_float_db:.1f} dB towards float where {INT8} has "
                f"{self.reference_to_float_db:.1f}: more than twice its noise"
            )
        for gate, (share, least) in self.kept.items():
            if share is None or not share >= least:
                told = "an unknown part" if share is None else f"{100 * share:.1f} %"
                failures.append(
                    f"it keeps {told} of what float says on held-back frames, and gates.{gate} "
                    f"asks for {100 * least:g} %"
                )
        return tuple(failures)

    @property
    def agrees(self) -> bool:
        """Whether it keeps every limit."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """One row of the section `lowerings` of report.json."""
        return {**asdict(self), "agrees": self.agrees, "failures": self.failures}


def equivalence_of(
    lowering: str,
    *,
    differs: Sequence[str],
    steps: Mapping[str, float] | None,
    networks: Mapping[str, Network],
    lowered: Network,
    pictures: Sequence[Floats],
    names: Sequence[str],
) -> Equivalence:
    """Compares a lowering with the `networks` FLOAT and INT8.

    Args:
        lowering: its name in the report.
        differs: see `graph_diff.differences`.
        steps: by tensor, see `layer_error.steps_apart`; None where the types are the reference's.
        lowered: the lowering as a function.
        pictures: inputs (1, 3, H, W) float32.
        names: of the outputs, in order.
    """
    reference, original = networks[INT8], networks[FLOAT]

    def db(wanted: Network, found: Network) -> float:
        snr = compare(wanted, found, pictures, names).snr_db
        return math.inf if snr is None else snr

    at = None if not steps else max(steps, key=lambda name: _badness(steps[name]))
    return Equivalence(
        lowering=lowering,
        differs=tuple(differs),
        steps=None if at is None or steps is None else steps[at],
        steps_at=at,
        to_reference_db=db(reference, lowered),
        to_float_db=db(original, lowered),
        reference_to_float_db=db(original, reference),
    )


def _badness(value: float) -> float:
    return math.inf if math.isnan(value) else value
