"""The digest that ties a converted model to the mission that gives its numbers a meaning."""

from __future__ import annotations

from dataclasses import asdict

from edge.contract.artifact import digest_json
from edge.contract.mission.schema import Mission
from edge.perception.preprocess import PreprocessSpec


def contract_digest(mission: Mission) -> str:
    """sha256 of what must be the same when a model is converted and when it runs.

    Input size, preprocess, decoder (without its thresholds, which may be tuned) and the labels of
    every output.
    """
    model = mission.model
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
    """sha256 of how pictures become inputs, as hex."""
    return digest_json(asdict(spec))
