"""Makes every further form of `int8.onnx`, proves each on a CPU and keeps only those that agree
with it.

Takes the quantization, pictures and frames; returns the files and an `Equivalence` for each form:
strong.onnx; implicit.onnx with a calibration cache for each release; where the mission asks for
batches, int8 and strong for those. A form that does not agree is not written; its equivalence says
why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnx import ModelProto

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.splits.calibration_holdout import Split
from calibration.inference.sessions import ModelSession
from calibration.observation.observe import observe
from calibration.ranges.ranges import Range, range_of
from converters.lowerings.dla import DlaCut, cut_for_dla
from converters.lowerings.dynamic_batch import open_batch, prove_batch
from converters.lowerings.implicit import (
    cache_differences,
    dynamic_ranges,
    fake_quantize,
    tensors_to_observe,
    to_cache,
)
from converters.lowerings.strongly_typed import to_strong
from converters.quantization.placement import QdqPlacement
from converters.quantization.qdq import quantize_int8
from converters.quantization.qdq_reader import QdqParts, take_apart
from converters.sources.network import Network, running
from converters.sources.source import output_names
from converters.verification.agreement.shares import agreement_limits, agreement_shares
from converters.verification.equivalence.fp16_emulation import emulate_fp16
from converters.verification.equivalence.graph_diff import differences
from converters.verification.equivalence.layer_error import steps_apart
from converters.verification.equivalence.verdict import Equivalence, equivalence_of
from edge.contract.artifact_names import FLOAT, IMPLICIT, INT8, STRONG
from edge.contract.mission.schema import Mission
from edge.engine.calibration_cache import INT8_LEVELS, read_cache, write_cache
from edge.engine.model_choice import batched_name, cache_name
from edge.engine.releases import CACHE_RELEASES
from edge.perception.values import Floats
from edge.progress import Advance

AUTO_IS = "percentile"
"""The method for tensors without a pair, where each pair chose its own."""


@dataclass(frozen=True)
class Quantization:
    """float.onnx, int8.onnx, and the placement between them. Ranges are read from the pairs of
    int8.onnx, so that they fit it whatever corrections it has had."""

    floating: ModelProto
    int8: ModelProto
    placement: QdqPlacement


@dataclass(frozen=True)
class Lowerings:
    """The files of the forms that agree, every form's equivalence, and the cut for a DLA."""

    files: dict[str, bytes]
    equivalences: tuple[Equivalence, ...]
    cut: DlaCut | None


def lower(
    done: Quantization,
    pictures: Sequence[Floats],
    frames: Split,
    mission: Mission,
    *,
    progress: Advance,
) -> Lowerings:
    """Makes each form and proves it on `pictures` (1, 3, H, W).

    Args:
        frames: its calibration frames are those on which the ranges were observed.

    Raises:
        UsageError: the network puts NaN or infinity into a tensor.
        Missing: a frame cannot be read.
    """
    proof = _Proof(done, pictures, output_names(mission.model), mission.target.threads)
    apart = take_apart(done.int8)
    ranges = _ranges_of_region(apart, frames.calibration, mission, progress)
    progress(STRONG, 0, 0)
    strong, strong_agrees = _strong(done, ranges, proof)
    files = {STRONG: strong.SerializeToString()} if strong_agrees.agrees else {}
    progress("calibration caches", 0, 0)
    caches, simulated, implicit_agrees = _implicit(done, apart, ranges, proof)
    # It has numbers of its own, so it is judged as int8.onnx is.
    if limits := agreement_limits(mission.gates):
        networks = proof.running(done.floating), proof.running(simulated)
        shares = agreement_shares(*networks, frames.held_back, mission.model, progress=progress)
        kept = {gate: (shares[gate], least) for gate, least in limits.items()}
        implicit_agrees = replace(implicit_agrees, kept=kept)
    if implicit_agrees.agrees:
        # From int8.onnx, not float.onnx: its biases may be corrected, its channels balanced.
        files |= {IMPLICIT: apart.model.SerializeToString(), **caches}
    cut = None
    if mission.target.dla and implicit_agrees.agrees:
        parts, cut = cut_for_dla(apart.model, pictures, threads=mission.target.threads)
        files |= parts
    files |= _batches(done, files, proof, mission)
    return Lowerings(files, (strong_agrees, implicit_agrees), cut)


def _batches(
    done: Quantization, files: Mapping[str, bytes], proof: _Proof, mission: Mission
) -> dict[str, bytes]:
    """Each form with Q/DQ from which engines are built, for batches where the mission asks for
    them."""
    sizes = mission.model.input.batch
    if sizes is None:
        return {}
    made = {}
    for name, model in ((INT8, done.int8), (STRONG, files.get(STRONG))):
        if model is not None:
            single = ModelProto.FromString(model) if isinstance(model, bytes) else model
            opened = open_batch(single)
            prove_batch(single, opened, proof.pictures, sizes=sizes, threads=proof.threads)
            made[batched_name(name)] = opened.SerializeToString()
    return made


class _Proof:
    """The networks with which forms are compared."""

    def __init__(
        self, done: Quantization, pictures: Sequence[Floats], names: Sequence[str], threads: int
    ) -> None:
        self.pictures, self.threads = pictures, threads
        self._names = names
        self._networks = {FLOAT: self.running(done.floating), INT8: self.running(done.int8)}

    def equivalence_of(
        self,
        lowering: str,
        runs: ModelProto,
        *,
        differs: Sequence[str],
        steps: Mapping[str, float] | None,
    ) -> Equivalence:
        """The equivalence of the form that computes what `runs` does."""
        return equivalence_of(
            lowering,
            differs=differs,
            steps=steps,
            networks=self._networks,
            lowered=self.running(runs),
            pictures=self.pictures,
            names=self._names,
        )

    def running(self, model: ModelProto) -> Network:
        """A graph as a function."""
        return running(ModelSession(model.SerializeToString(), threads=self.threads))


def _strong(
    done: Quantization, ranges: Mapping[str, Range], proof: _Proof
) -> tuple[ModelProto, Equivalence]:
    seen = {name: max(one.amax, -one.lowest, one.highest) for name, one in ranges.items()}
    strong = to_strong(done.int8, magnitudes=seen)
    runs = emulate_fp16(strong)
    steps = steps_apart(done.int8, runs, proof.pictures, threads=proof.threads)
    differs = differences(done.int8, strong)
    return strong, proof.equivalence_of("strong", runs, differs=differs, steps=steps)


def _implicit(
    done: Quantization, apart: QdqParts, ranges: Mapping[str, Range], proof: _Proof
) -> tuple[dict[str, bytes], ModelProto, Equivalence]:
    amax = dynamic_ranges(apart.model, done.placement, ranges)
    caches = {
        cache_name(release): write_cache(to_cache(amax, release)) for release in CACHE_RELEASES
    }
    differs = list(differences(done.int8, quantize_int8(apart.model, done.placement, ranges)))
    for name, data in caches.items():
        read = read_cache(data)
        found_in_cache = cache_differences(apart.model, done.int8, read, ranges)
        differs += [f"{name}: {one}" for one in found_in_cache]
    simulated = fake_quantize(apart.model, done.placement, read.scales)
    found = proof.equivalence_of("ranges", simulated, differs=differs, steps=None)
    return caches, simulated, found


def _ranges_of_region(
    apart: QdqParts, calibration: Sequence[RoadFrame], mission: Mission, progress: Advance
) -> dict[str, Range]:
    """Ranges of the pairs, and of the region's other tensors, observed on the same frames."""
    paired = ranges_of_pairs(apart)
    asked = mission.calibration
    method = AUTO_IS if asked.method == "auto" else asked.method
    seen = observe(
        apart.model,
        [name for name in tensors_to_observe(apart.model) if name not in paired],
        calibration,
        preprocess_spec=mission.model.preprocess_spec,
        threads=mission.target.threads,
        progress=progress,
    )
    return paired | {
        name: range_of(histogram, method=method, percentile=asked.percentile)
        for name, histogram in seen.histograms.items()
    }


def ranges_of_pairs(apart: QdqParts) -> dict[str, Range]:
    """Range of each activation's pair, to the bit: 127 of its steps."""
    amax: dict[str, float] = {}
    for pair in apart.pairs:
        if pair.kind == "activation":
            covers = float(pair.scale) * INT8_LEVELS
            amax[pair.tensor] = max(covers, amax.get(pair.tensor, 0.0))
    return {name: Range(a, -a, a, -a, a, 0) for name, a in amax.items()}
