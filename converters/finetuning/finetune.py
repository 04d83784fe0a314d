"""Quantization-aware fine-tuning for `brakepoint finetune`: fits a converted network's weights to
its ranges and placement, and converts the network again under the same gates.

Takes a mission and the folder of a conversion; returns a `FinetuneReport` and writes a conversion
to another folder. For networks that mixed precision cannot save. Float is the teacher, so no labels
are needed; held-back frames are not read. The first conversion stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from calibration.ranges.ranges import NAME as RANGES
from calibration.ranges.reuse import reuse
from converters.conversion.convert import convert
from converters.conversion.float_stage import require_quantizable
from converters.conversion.frame_split import frames_to_split
from converters.conversion.tuned_weights import STATE, Tuned
from converters.finetuning.distillation import output_loss
from converters.finetuning.loop import Distillation, fit
from converters.finetuning.parent_conversion import Parent, read_parent
from converters.finetuning.state_dict import with_search, write_state
from converters.finetuning.torch_graph.network import FakeQuantization, GraphNetwork, network_of
from converters.finetuning.training_frames import TrainingFrames, pictures_of, training_frames
from converters.lowerings.cpu_placement import cpu_tensors
from converters.quantization.qdq import quantize_int8
from converters.report.report import Report
from converters.search.evaluator import Evaluator
from converters.search.task_loss import task_loss_measure
from converters.sources.source import open_source
from converters.training.checkpoint import Progress
from converters.training.loop import repeatable
from converters.training.recipe import Recipe
from converters.training.run_record import curve_rows, now, write_record
from edge.contract.artifact import require_folder
from edge.contract.mission.schema import Mission
from edge.perception.values import Floats
from edge.progress import Advance
from firmware_bridge.errors import UsageError

CHECKPOINT = "finetune.checkpoint.pt"
PROBES = 2
"""Number of frames on which the torch network is compared with onnxruntime."""


@dataclass(frozen=True)
class FinetuneReport:
    """The result of a fine-tuning.

    Attributes:
        before: report.json of the first conversion.
        after: the report of the new one.
        facts: the fine-tuning itself: lineage, task loss before and after, curve.
        state: the weights as a state dict of the source: sha256 and largest difference from
            tuned.onnx, or why there is none.
        seconds: spent on fitting, over all resumptions.
        resumed_at: steps at which it was resumed.
    """

    before: dict[str, Any]
    after: Report
    facts: dict[str, Any]
    state: dict[str, Any]
    seconds: float
    resumed_at: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """The fine-tuning and the results of both conversions as JSON values."""
        after = self.after.to_json()
        results = ("agreement", "gates", "passed")
        return {
            "finetuning": self.facts,
            "state_dict": self.state,
            "seconds": round(self.seconds, 1),
            "resumed_at": list(self.resumed_at),
            "before": {name: self.before[name] for name in results},
            "after": {name: after[name] for name in results},
            "artifacts": after["artifacts"],
        }


def finetune(
    mission: Mission, parent_folder: Path, out: Path, *, progress: Advance, fresh: bool = False
) -> FinetuneReport:
    """Fine-tunes the conversion in `parent_folder` and converts the result into `out`.

    Resumes an interrupted fine-tuning from its checkpoint, unless `fresh`.

    Raises:
        NotTrusted: the folder holds another mission's or network's conversion, or stale ranges.
        Missing: the conversion, the network, frames or a package are not there.
        UsageError: the network cannot be fine-tuned, or the checkpoint is of another recipe.
        GateFailed: the loss became NaN or infinite.
    """
    started = now()
    require_folder(out)
    if out.resolve() == parent_folder.resolve():
        raise UsageError(
            "--out is the conversion to start from",
            expected="another folder, so that both can be compared",
            found=str(out),
            remedy="choose another folder: --out DIR",
        )
    source = open_source(mission.model)
    parent = read_parent(parent_folder, mission, source)
    require_quantizable(parent.placement, mission)
    # `precision.search` decides whether float.onnx is equalized; it must come out the same.
    mission = with_search(mission, parent.search)
    split = frames_to_split(mission)
    ranges_file = parent_folder / RANGES
    reuse(  # so that stale ranges are refused now, not after minutes
        ranges_file,
        parent.model,
        cpu_tensors(parent.model, parent.placement),
        split.calibration,
        mission,
        progress=progress,
    )
    examples = training_frames(mission, mission.finetune, split)
    out.mkdir(parents=True, exist_ok=True)
    file = out / CHECKPOINT
    if fresh:
        file.unlink(missing_ok=True)
    recipe = recipe_of(mission, parent, examples)
    network, done = _fitted(mission, parent, examples, recipe, file=file, progress=progress)
    facts = _facts(parent, examples, recipe, done)
    tuned = Tuned(network.write_into(parent.model), parent.kept_float, parent.range_scale, facts)
    report = convert(mission, out, progress=progress, ranges_file=ranges_file, tuned=tuned)
    pictures = pictures_of(examples.watched[:PROBES], mission.model.preprocess_spec)
    state = write_state(source, mission, split, tuned, pictures, path=out / STATE)
    made = FinetuneReport(
        dict(parent.report), report, facts, state, done.seconds, tuple(done.resumed_at)
    )
    write_record(
        out / CHECKPOINT,
        "finetune",
        started=started,
        recipe_digest=recipe.digest,
        facts={"mission": mission.name, "recipe": dict(recipe.values), **made.to_json()},
    )
    file.unlink(missing_ok=True)
    return made


def recipe_of(mission: Mission, parent: Parent, examples: TrainingFrames) -> Recipe:
    """Everything that the tuned weights depend on."""
    model = mission.model
    return Recipe(
        {
            "float": parent.model_sha256,
            "ranges": parent.ranges_sha256,
            "placement": parent.placement_sha256,
            "range_scale": parent.range_scale,
            "decode": model.decode.model_dump(mode="json"),
            "finetune": mission.finetune.model_dump(mode="json", exclude={"checkpoint_every"}),
            "frames": examples.digest,
            "threads": mission.target.threads,
            "torch": torch.__version__,
        }
    )


def _fitted(
    mission: Mission,
    parent: Parent,
    examples: TrainingFrames,
    recipe: Recipe,
    *,
    file: Path,
    progress: Advance,
) -> tuple[GraphNetwork, Progress]:
    threads, ranges = mission.target.threads, parent.ranges.tensors
    watched = pictures_of(examples.watched, mission.model.preprocess_spec)
    evaluator = Evaluator(parent.model, watched, task_loss_measure(mission.model), threads=threads)

    def task_loss(network: GraphNetwork) -> float:
        tuned = network.write_into(parent.model)
        return evaluator.task_loss(quantize_int8(tuned, parent.placement, ranges))

    def pictures(rows: Any) -> list[Floats]:
        return pictures_of([examples.fitted[row] for row in rows], mission.model.preprocess_spec)

    with repeatable(seed=mission.finetune.seed, threads=threads):
        network, teacher = (
            network_of(parent.model, watched[:PROBES], threads=threads) for _ in range(2)
        )
        done = fit(
            network,
            Distillation(
                teacher.requires_grad_(False),
                FakeQuantization.of(parent.placement, ranges),
                output_loss(mission.model),
            ),
            mission.finetune,
            pictures=pictures,
            count=len(examples.fitted),
            task_loss=task_loss,
            recipe=recipe,
            file=file,
            progress=progress,
        )
    return network, done


def _facts(
    parent: Parent, examples: TrainingFrames, recipe: Recipe, done: Progress
) -> dict[str, Any]:
    return {
        "parent": {
            "float_sha256": parent.model_sha256,
            "ranges_sha256": parent.ranges_sha256,
            "placement_sha256": parent.placement_sha256,
        },
        "search": parent.search,
        "recipe_digest": recipe.digest,
        "frames": {"fitted": len(examples.fitted), "watched": len(examples.watched)},
        "steps": done.step,
        "best_step": done.best_step,
        "task_loss": {"before": done.start_score, "after": done.best_score},
        "curve": curve_rows(done.curve),
    }
