"""Mixed precision search: chooses which layers stay in float, as few multiplications as possible.

Takes a float graph, writers that quantize it, and an evaluator with the search frames; returns the
chosen INT8 graph and every step of the search. Layers stay in float in the order of squared task
loss saved per multiplication (the noise of layers adds up in squares), step by step, until the stop
criterion holds (`stop_criterion.py`). Rounding and range scale are chosen again at the end: what is
best for a network that INT8 has ruined need not be best for the chosen one. The same inputs give
the same choice. It does not use the names of layers, nor the frames of the gates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from onnx import ModelProto

from converters.quantization.placement import QdqPlacement, place
from converters.quantization.range_scaling import RANGE_SCALES
from converters.search.candidate import Candidate, better_bias
from converters.search.evaluator import Evaluator, Writers
from converters.search.sensitivity import Sensitivity, sensitivities
from converters.search.stop_criterion import Aim, AimVerdict, GateAgreement
from converters.search.task_loss import NOISE
from edge.perception.values import Floats
from edge.progress import Advance

STEPS = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.5)
"""Shares of the multiplications that may stay in float, tried in this order."""

FREE = 0.001
"""Share of the multiplications that is added to every layer's cost: a layer in float also costs two
conversions, so that many tiny ones are not free."""


@dataclass(frozen=True)
class _Way:
    """How a placement is written: the factor on ranges, whether weights are rounded jointly."""

    range_scale: float
    together: bool


WAYS = tuple(
    _Way(range_scale, together) for range_scale in RANGE_SCALES for together in (False, True)
)
"""All that are compared at the chosen placement."""


@dataclass(frozen=True)
class Step:
    """One placement of the search, and its figures on the search frames.

    Attributes:
        float_layers: how many layers stayed in float.
        macs_int8_share: multiply-accumulates in INT8, 0..1.
        task_loss_plain, task_loss_corrected: mean task loss, without bias correction and with it;
            see `task_loss.py`.
        enough: whether it reaches the aim.
        kept: by gate, agreement with float on the search frames; see `stop_criterion.py`.
    """

    float_layers: int
    macs_int8_share: float
    task_loss_plain: float
    task_loss_corrected: float
    enough: bool
    kept: Mapping[str, GateAgreement]

    @property
    def task_loss(self) -> float:
        """The smaller of the two."""
        return min(self.task_loss_plain, self.task_loss_corrected)


@dataclass(frozen=True)
class Search:
    """How a placement was chosen.

    Attributes:
        layers: task loss of each layer when it alone is quantized, in graph order.
        steps: in order; the last is the chosen one.
        bias_corrected: whether its biases differ from float's.
        rounded_together: whether its weights are rounded jointly, not each to its nearest step.
        range_scale: factor on its ranges.
        reached: whether it reaches the aim.
        macs_int8_min: the least share of the multiplications that must stay in INT8, 0..1.
    """

    layers: tuple[Sensitivity, ...]
    steps: tuple[Step, ...]
    bias_corrected: bool
    rounded_together: bool
    range_scale: float
    reached: bool
    macs_int8_min: float

    def to_json(self) -> dict[str, Any]:
        """The section `search` of report.json."""
        return {
            "reached": self.reached,
            "macs_int8_min": self.macs_int8_min,
            "bias_corrected": self.bias_corrected,
            "rounded_together": self.rounded_together,
            "steps": [{**asdict(step), "task_loss": step.task_loss} for step in self.steps],
            "layers": [asdict(layer) for layer in self.layers],
        }


@dataclass(frozen=True)
class MixedPrecision:
    """The chosen placement.

    Attributes:
        best: the INT8 graph, with corrected biases where they help.
        placement: the placement, with the reason for each layer in float.
        search: how it was chosen.
        tried: placements of all steps, by growing share in float.
    """

    best: Candidate
    placement: QdqPlacement
    search: Search
    tried: tuple[QdqPlacement, ...]

    @property
    def quantized(self) -> ModelProto:
        """The INT8 graph."""
        return self.best.quantized


def search_mixed_precision(
    model: ModelProto,
    writers: Writers,
    evaluator: Evaluator,
    pictures: Sequence[Floats],
    *,
    macs_int8_min: float,
    aim: Aim,
    threads: int,
    progress: Advance,
) -> MixedPrecision:
    """The cheapest placement that is enough for `aim`, or else that with the least task loss that
    `macs_int8_min` (share of the multiplications that can be INT8, 0..1) allows.

    Layers are measured with the writer that has the least task loss with all layers in INT8 and
    ranges unscaled. At the chosen placement, another of `writers` replaces it where its
    task loss is clearly lower and still enough. `evaluator` holds the search frames; `pictures`
    (others) give the means for bias correction.
    """

    def better(way: _Way, placement: QdqPlacement) -> Candidate:
        write = writers(way.range_scale)[way.together]
        return better_bias(model, write, placement, evaluator, pictures, threads=threads)

    whole = place(model)
    progress("round weights", 0, 0)
    first = min(
        (way for way in WAYS if way.range_scale == 1.0),
        key=lambda way: better(way, whole).task_loss,
    )
    write = writers(first.range_scale)[first.together]
    layers = sensitivities(model, whole, write, evaluator, progress=progress)
    order = sorted(
        layers, key=lambda layer: -(layer.task_loss**2) / (layer.macs / whole.macs + FREE)
    )
    tried: list[_Tried] = []
    allowed = [share for share in STEPS if share < 1.0 - macs_int8_min] + [1.0 - macs_int8_min]
    seen: set[frozenset[str]] = set()
    for row, share in enumerate(allowed, start=1):
        kept = _within(order, share * whole.macs_int8)
        progress("choose layers", row, len(allowed))
        if frozenset(kept) in seen:
            continue
        seen.add(frozenset(kept))
        placement = place(model, kept_float=kept)
        found = better(first, placement)
        tried.append(_Tried(placement, found, aim(found)))
        if tried[-1].reached.enough:
            break
    # Where none is enough: the one with the least task loss. The gates judge it.
    chosen = tried[-1]
    if not chosen.reached.enough:
        chosen = min(tried, key=lambda one: one.found.task_loss)
    placement, best_way = chosen.placement, first
    limit = (1.0 - NOISE) * chosen.found.task_loss
    others = [way for way in WAYS if way != first]
    for row, way in enumerate(others, start=1):
        progress("choose ranges", row, len(others))
        found = better(way, placement)
        if found.task_loss < min(limit, chosen.found.task_loss):
            reached = aim(found)
            if reached.enough or not chosen.reached.enough:
                chosen, best_way = _Tried(placement, found, reached), way
    return MixedPrecision(
        best=chosen.found,
        placement=placement,
        search=Search(
            layers=layers,
            steps=tuple(_step(one, whole) for one in (*tried, chosen)),
            bias_corrected=chosen.found.corrected,
            rounded_together=best_way.together,
            range_scale=best_way.range_scale,
            reached=chosen.reached.enough,
            macs_int8_min=macs_int8_min,
        ),
        tried=tuple(one.placement for one in tried),
    )


@dataclass(frozen=True)
class _Tried:
    """A placement, its candidate, and whether that is enough."""

    placement: QdqPlacement
    found: Candidate
    reached: AimVerdict


def choose_cpu(
    model: ModelProto,
    writers: Writers,
    evaluator: Evaluator,
    pictures: Sequence[Floats],
    mixed: MixedPrecision,
    *,
    aim: Aim,
    threads: int,
    progress: Advance,
) -> Candidate:
    """cpu.onnx: of the placements that the search for `mixed` tried, the first, the one with the
    fewest layers in float, that is enough for `aim`; where int8.onnx is not enough either, the
    first whose task loss is no more than that of int8.onnx.

    Unsigned ranges are twice as fine, and every layer in float costs a processor time. The factor
    on ranges is that of int8.onnx. Where no placement will do, that with the least task loss.
    """
    reached, allowed = mixed.search.reached, mixed.best.task_loss
    best: Candidate | None = None
    for row, placement in enumerate(mixed.tried, start=1):
        progress("choose layers of cpu.onnx", row, len(mixed.tried))
        here = min(
            (
                better_bias(model, write, placement, evaluator, pictures, threads=threads)
                for write in writers(mixed.search.range_scale)
            ),
            key=lambda one: one.task_loss,
        )
        if best is None or here.task_loss < best.task_loss:
            best = here
        if aim(here).enough if reached else here.task_loss <= allowed:
            return here
    assert best is not None  # a search has a step
    return best


def _step(tried: _Tried, whole: QdqPlacement) -> Step:
    found, reached = tried.found, tried.reached
    return Step(
        float_layers=len(whole.macs_of) - len(tried.placement.macs_of),
        macs_int8_share=tried.placement.macs_int8 / whole.macs,
        task_loss_plain=found.task_loss_plain,
        task_loss_corrected=found.task_loss_corrected,
        enough=reached.enough,
        kept=reached.kept,
    )


def _within(order: Sequence[Sensitivity], macs: float) -> dict[str, str]:
    """Layers from the front of `order` that fit into `macs`, with the reason for each."""
    kept: dict[str, str] = {}
    for layer in order:
        if layer.macs <= macs:
            macs -= layer.macs
            kept[layer.node] = (
                f"task loss {layer.task_loss:.4f} an answer when it alone is quantized"
            )
    return kept
