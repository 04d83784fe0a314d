"""Behind `brakepoint finetune`: the weights of a converted network fitted to the ranges and places
that its INT8 was given, and converted anew with them, under the same gates.

For networks that no choice of layers saves. Float is the teacher, so no labels are needed; frames
that judge are never looked at. Never touches the conversion that it starts from.
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
"""Frames on which the torch network is compared with onnxruntime."""


@dataclass(frozen=True)
class FinetuneReport:
    """What came of it.

    Attributes:
        before: report.json of the conversion that it started from.
        after: the report of the new one.
        facts: the fine-tuning itself: lineage, task loss before and after, curve.
        state: the weights as a state dict of the source: sha256 and largest difference from
            tuned.onnx, or why there is none.
        seconds: of fitting, over all resumptions.
        resumed_at: steps at which it was taken up again.
    """

    before: dict[str, Any]
    after: Report
    facts: dict[str, Any]
    state: dict[str, Any]
    seconds: float
    resumed_at: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values: what both conversions found, and the fine-tuning."""
        after = self.after.to_json()
        told = ("agreement", "gates", "passed")
        return {
            "finetuning": self.facts,
            "state_dict": self.state,
            "seconds": round(self.seconds, 1),
            "resumed_at": list(self.resumed_at),
            "before": {name: self.before[name] for name in told},
            "after": {name: after[name] for name in told},
            "artifacts": after["artifacts"],
        }


def finetune(
    mission: Mission, parent_folder: Path, out: Path, *, progress: Advance, fresh: bool = False
) -> FinetuneReport:
    """Fine-tunes what is in `parent_folder` and converts the result into `out`.

    Goes on from the checkpoint of a fine-tuning that was cut off, unless `fresh`.

    Raises:
        NotTrusted: the folder holds another mission's or network's conversion, or stale ranges.
        Missing: the conversion, the network, frames or a package are not there.
        UsageError: the network cannot be fine-tuned, or the checkpoint is of another recipe.
        GateFailed: the loss left the finite numbers.
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
    source = open_source(mission)
    parent = read_parent(parent_folder, mission, source)
    require_quantizable(parent.placement, mission)
    # What is searched decides whether float.onnx was equalized: it is to come out the same.
    mission = with_search(mission, parent.search)
    split = frames_to_split(mission)
    ranges_file = parent_folder / RANGES
    reuse(  # stale ranges are refused now, not after minutes
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
    tuned = Tuned(network.written_into(parent.model), parent.kept_float, parent.range_scale, facts)
    report = convert(mission, out, progress=progress, ranges_file=ranges_file, tuned=tuned)
    pictures = pictures_of(examples.watched[:PROBES], mission)
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
    """All that decides what weights come out."""
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
    watched = pictures_of(examples.watched, mission)
    evaluator = Evaluator(parent.model, watched, task_loss_measure(mission.model), threads=threads)

    def task_loss(network: GraphNetwork) -> float:
        tuned = network.written_into(parent.model)
        return evaluator.task_loss(quantize_int8(tuned, parent.placement, ranges))

    def pictures(rows: Any) -> list[Floats]:
        return pictures_of([examples.fitted[row] for row in rows], mission)

    with repeatable(seed=mission.finetune.seed, threads=threads):
        network, teacher = (
            network_of(parent.model, watched[:PROBES], threads=threads) for _ in range(2)
        )
        done = fit(
            network,
            Distillation(
                teacher.requires_grad_(False),
                FakeQuantization.of(parent.placement, ranges),
                output_loss(mission),
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
