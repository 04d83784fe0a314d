"""Digests that tie a converted model to its mission: of `[model]`, and of the preprocess alone."""

from __future__ import annotations

from dataclasses import asdict

from edge.contract.artifact import digest_json
from edge.contract.mission.sections.model import Model
from edge.perception.preprocess import PreprocessSpec


def contract_digest(model: Model) -> str:
    """sha256, as hex, of the values that must be equal when a model is converted and when it runs.

    They are input size, preprocess, decoder (without its thresholds, which may be tuned) and the
    labels of every output.
    """
    condition = model.condition
    return digest_json(
        {
            "input": model.input.model_dump(include={"width_px", "height_px"}),
            "preprocess": model.preprocess.model_dump(),
            "decode": {
                "kind": model.decode.kind,
                "strides": list(model.decode.strides),
                **({} if model.decode.output is None else {"output": model.decode.output}),
            },
            "labels": list(model.labels),
            "condition": None if condition is None else list(condition.labels),
        }
    )


def preprocess_digest(spec: PreprocessSpec) -> str:
    """sha256 of the preprocess, as hex."""
    return digest_json(asdict(spec))
