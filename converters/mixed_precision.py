"""Chooses which layers stay in float: as few multiplications as the answer allows.

Layers are left in float in the order of squared damage saved a multiplication (the noise of layers
adds up in squares), step by step, until the quantized network answers as float does; the caller
says what that means. The same inputs give the
same choice. Never asks for a layer's name, and never judges on frames that the result will be
judged on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto

from calibration.sessions import Floats
from converters.bias_correction import correct_bias
from converters.placement import Placement, place
from converters.sensitivity import Judge, Progress, Sensitivity, Writer, Writers, sensitivities

STEPS = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.5)
"""Shares of the multiplications that may stay in float, tried in this order."""

FREE = 0.001
"""Share of the multiplications that is added to every layer's cost: a layer in float also costs two
conversions, so that many tiny ones are not free."""


@dataclass(frozen=True)
class Step:
    """One assignment that was tried, and what it gave on the search frames.

    Attributes:
        float_layers: how many layers stayed in float.
        macs_int8_share: multiply-accumulates in INT8, 0..1.
        damage_plain, damage_corrected: mean damage an answer, without bias correction and with it;
            see `damage.py`.
    """

    float_layers: int
    macs_int8_share: float
    damage_plain: float
    damage_corrected: float

    @property
    def damage(self) -> float:
        """The less of the two."""
        return min(self.damage_plain, self.damage_corrected)


@dataclass(frozen=True)
class Search:
    """How an assignment was chosen.

    Attributes:
        layers: what each layer costs when it alone is quantized, in graph order.
        steps: what was tried, in order; the last is the chosen one.
        bias_corrected: whether its biases differ from float's.
        rounded_together: whether its weights were rounded together, not each to the nearest.
        reached: whether the damage allowed was reached within the multiplications allowed.
    """

    layers: tuple[Sensitivity, ...]
    steps: tuple[Step, ...]
    bias_corrected: bool
    rounded_together: bool
    reached: bool


@dataclass(frozen=True)
class Mixed:
    """The chosen assignment.

    Attributes:
        quantized: the INT8 graph, biases corrected where that helped.
        placement: what is quantized; layers left in float carry the reason.
        search: how it was chosen.
        tried: the placements of the search's steps, by growing share in float.
    """

    quantized: ModelProto
    placement: Placement
    search: Search
    tried: tuple[Placement, ...]


def choose(
    model: ModelProto,
    writers: Writers,
    judge: Judge,
    pictures: Sequence[Floats],
    *,
    macs_int8_min: float,
    damage_max: float,
    threads: int,
    progress: Progress,
) -> Mixed:
    """The cheapest assignment whose damage is at most `damage_max`, or else the least damage that
    `macs_int8_min` (share of all multiplications, 0..1) allows.

    The one of `writers` that does less damage with all layers in INT8 is used throughout. `judge`
    holds the search frames; `pictures`, others, give the means for bias correction.
    """

    def better(write: Writer, placement: Placement) -> Better:
        return better_bias(model, write, placement, judge, pictures, threads=threads)

    whole = place(model)
    progress("round weights", 0, 0)
    write = min(writers, key=lambda one: better(one, whole).damage)
    layers = sensitivities(model, whole, write, judge, progress=progress)
    order = sorted(layers, key=lambda layer: -(layer.damage**2) / (layer.macs / whole.macs + FREE))
    tried: list[tuple[Step, Placement, Better]] = []
    allowed = [share for share in STEPS if share < 1.0 - macs_int8_min] + [1.0 - macs_int8_min]
    seen: set[frozenset[str]] = set()
    for row, share in enumerate(allowed, start=1):
        kept = _within(order, share * whole.macs)
        progress("choose layers", row, len(allowed))
        if frozenset(kept) in seen:
            continue
        seen.add(frozenset(kept))
        placement = place(model, kept_float=kept)
        best = better(write, placement)
        share_int8 = placement.macs_int8 / whole.macs
        step = Step(len(kept), share_int8, best.damage_plain, best.damage_corrected)
        tried.append((step, placement, best))
        if step.damage <= damage_max:
            break
    else:
        # None was good enough: the least damage there is, to be judged as it is.
        tried.append(min(tried, key=lambda one: one[0].damage))
    step, placement, best = tried[-1]
    return Mixed(
        quantized=best.quantized,
        placement=placement,
        search=Search(
            layers=layers,
            steps=tuple(one[0] for one in tried),
            bias_corrected=best.corrected,
            rounded_together=write is writers[1],
            reached=step.damage <= damage_max,
        ),
        tried=tuple(one[1] for one in tried),
    )


def choose_cpu(
    model: ModelProto,
    writers: Writers,
    judge: Judge,
    pictures: Sequence[Floats],
    mixed: Mixed,
    *,
    damage_max: float,
    threads: int,
    progress: Progress,
) -> ModelProto:
    """cpu.onnx: of the placements that the search for `mixed` tried, the first, the one with the
    fewest layers in float, that does no more damage than is allowed, or than int8.onnx does.

    Unsigned ranges are twice as fine, and every layer in float costs a processor time. The last
    placement is taken where none is good enough.
    """
    allowed = max(damage_max, mixed.search.steps[-1].damage)
    best: Better | None = None
    for row, placement in enumerate(mixed.tried, start=1):
        progress("choose layers of cpu.onnx", row, len(mixed.tried))
        both = [
            better_bias(model, write, placement, judge, pictures, threads=threads)
            for write in writers
        ]
        best = min(both, key=lambda one: one.damage)
        if best.damage <= allowed:
            break
    assert best is not None  # a search has a step
    return best.quantized


@dataclass(frozen=True)
class Better:
    """A quantized graph, with corrected biases where they did less damage on the search frames."""

    quantized: ModelProto
    damage_plain: float
    damage_corrected: float

    @property
    def damage(self) -> float:
        """The less of the two."""
        return min(self.damage_plain, self.damage_corrected)

    @property
    def corrected(self) -> bool:
        """Whether the biases were corrected."""
        return self.damage_corrected < self.damage_plain


def better_bias(
    model: ModelProto,
    write: Writer,
    placement: Placement,
    judge: Judge,
    pictures: Sequence[Floats],
    *,
    threads: int,
) -> Better:
    """The graph as `write` quantizes it, with corrected biases if that does less damage."""

    def quantize(graph: ModelProto) -> ModelProto:
        return write(graph, placement)

    corrected = correct_bias(model, placement, quantize, pictures, threads=threads)
    both = [quantize(model), quantize(corrected)]
    plain, mended = (judge.damage(candidate) for candidate in both)
    return Better(both[mended < plain], plain, mended)


def _within(order: Sequence[Sensitivity], macs: float) -> dict[str, str]:
    """Layers from the front of `order` that fit into `macs`, with the reason for each."""
    kept: dict[str, str] = {}
    for layer in order:
        if layer.macs <= macs:
            macs -= layer.macs
            kept[layer.node] = f"damage {layer.damage:.4f} an answer when it alone is quantized"
    return kept
