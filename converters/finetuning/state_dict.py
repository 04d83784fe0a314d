"""Writes the fine-tuned weights as a state dict of the PyTorch source.

Takes the source, the mission and tuned.onnx; returns what the report says of it. Writes the file
only if the network with these weights computes what tuned.onnx does, else says why not.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calibration.dataset.splits.calibration_holdout import Split
from calibration.inference.sessions import ModelSession
from converters.conversion.float_stage import to_float
from converters.conversion.tuned_weights import Tuned
from converters.finetuning.torch_graph.network import ALIKE
from converters.finetuning.unfold_batchnorm import CannotUnfold, unfold
from converters.graph.passes.canonical_names import PICTURE
from converters.sources.source import OnnxSource, Source
from converters.training.checkpoint import to_bytes
from converters.training.tasks.task import outputs_of
from edge.contract.artifact import write_atomic
from edge.contract.mission.schema import Mission
from edge.perception.values import Floats


def with_search(mission: Mission, search: str) -> Mission:
    """The mission with another `precision.search`; with "none", float.onnx is not equalized."""
    precision = mission.precision.model_copy(update={"search": search})
    return mission.model_copy(update={"precision": precision})


def write_state(
    source: Source,
    mission: Mission,
    split: Split,
    tuned: Tuned,
    pictures: Sequence[Floats],
    *,
    path: Path,
) -> dict[str, Any]:
    """Writes the tuned weights as a state dict of the PyTorch source, if that computes the same."""
    path.unlink(missing_ok=True)  # of an earlier run, with other weights
    if isinstance(source, OnnxSource) or source.kind != "torch":
        return {"file": None, "why": "the source is no factory with weights: see tuned.onnx"}
    network = copy.deepcopy(source.network)
    plain, _ = to_float(source, with_search(mission, "none"), split, progress=lambda *_: None)
    try:
        state = unfold(network, plain, tuned.model)
    except CannotUnfold as error:
        return {"file": None, "why": str(error)}
    network.load_state_dict(state)
    session = ModelSession(tuned.model.SerializeToString(), threads=1)
    worst = largest = 0.0
    with torch.inference_mode():
        for picture in pictures:
            mine = outputs_of(network.eval(), torch.from_numpy(picture))
            for values, wanted in zip(mine, session.run({PICTURE: picture}), strict=True):
                worst = max(worst, float(np.abs(values.numpy() - wanted).max(initial=0.0)))
                largest = max(largest, float(np.abs(wanted).max(initial=0.0)))
    if not worst <= ALIKE * max(1.0, largest):
        return {"file": None, "why": f"unfolded it differs from tuned.onnx by {worst:.3g}"}
    digest = write_atomic(path, to_bytes(state))
    return {"file": path.name, "sha256": digest, "max_abs": worst}
