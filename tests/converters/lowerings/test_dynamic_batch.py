"""Networks for several pictures at once: each picture gets the output that it gets alone, and
networks that mix pictures are refused. The mission's shapes reach the report, from which engines
are built.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto
from tiny_graphs import node, picture, ready, weights

from calibration.inference.sessions import ModelSession
from converters.graph.passes.canonical_names import PICTURE
from converters.lowerings.dynamic_batch import BATCH, open_batch, prove_batch
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from firmware_bridge.errors import UsageError

SHAPE = (1, 3, 8, 8)
PICTURES = [picture(seed, SHAPE) for seed in range(3)]
SIZES = (1, 2, 5)
Command = Callable[..., tuple[int, str, str]]


def network(*tail: NodeProto, **constants: Any) -> ModelProto:
    """A convolution to "c" (1, 8, 8, 8), and these operators."""
    return ready(
        [node("Conv", [PICTURE, "w"], ["c"]), *tail],
        {"w": weights(8, 3, 1, 1), **constants},
        inputs={PICTURE: SHAPE},
    )


def proved(model: ModelProto) -> ModelProto:
    opened = open_batch(model)
    prove_batch(model, opened, PICTURES, sizes=SIZES, threads=1)
    return opened


APART: dict[str, ModelProto] = {
    "one picture in the sizes": network(
        node("Reshape", ["c", "s"], ["f"]),
        node("Transpose", ["f"], ["y"], perm=[0, 2, 1]),
        s=np.array([1, 8, 64]),
    ),
    "the rest in the sizes": network(node("Reshape", ["c", "s"], ["y"]), s=np.array([1, -1])),
    "as it comes in": network(node("Reshape", ["c", "s"], ["y"]), s=np.array([0, 8, -1])),
    "channels shuffled": network(
        node("Reshape", ["c", "s"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["t", "back"], ["y"]),
        s=np.array([1, 2, 4, 8, 8]),
        back=np.array([1, 8, 8, 8]),
    ),
    "enlarged to a size": network(
        node("Resize", ["c", "", "", "s"], ["y"], mode="linear"), s=np.array([1, 8, 16, 12])
    ),
    "a softmax of each": network(
        node("GlobalAveragePool", ["c"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Softmax", ["f"], ["y"], axis=1),
    ),
}

MIXED: dict[str, ModelProto] = {
    "the mean of all": network(
        node("ReduceMean", ["c", "axes"], ["m"], keepdims=1),
        node("Sub", ["c", "m"], ["y"]),
        axes=np.array([0, 2, 3]),
    ),
    "one after the other": network(
        node("Reshape", ["c", "s"], ["r"]),
        node("Gather", ["r", "first"], ["y"], axis=0),
        s=np.array([64, 8]),
        first=np.arange(64)[None],
    ),
    "a softmax over all": network(node("Softmax", ["c"], ["y"], axis=0)),
}


@pytest.mark.parametrize("what", APART)
def test_each_picture_is_answered_as_alone(what: str) -> None:
    opened = proved(APART[what])
    session = ModelSession(opened.SerializeToString(), threads=1)
    assert session.run({PICTURE: np.concatenate(PICTURES)})[0].shape[0] == len(PICTURES)
    for value in (opened.graph.input[0], opened.graph.output[0]):
        assert value.type.tensor_type.shape.dim[0].dim_param == BATCH
    onnx.checker.check_model(opened, full_check=True)


@pytest.mark.parametrize("what", MIXED)
def test_what_mixes_pictures_is_refused(what: str) -> None:
    with pytest.raises(UsageError, match="cannot take several pictures") as refusal:
        proved(MIXED[what])
    assert "model.input.batch" in refusal.value.remedy


def test_a_conversion_for_batches(brakepoint: Command, tiny_mission: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, err = brakepoint(
        "convert", tiny_mission, "--out", out, "--set", "model.input.batch=[1, 2, 4]"
    )
    assert code == 0, err
    report = json.loads((out / "report.json").read_text())
    assert report["profiles"] == {"images": [[size, 3, 64, 64] for size in (1, 2, 4)]}
    for name in ("int8", "strong"):
        single, several = (
            ModelSession((out / file).read_bytes(), threads=1)
            for file in (f"{name}.onnx", f"{name}.batch.onnx")
        )
        shown = [picture(seed, (1, 3, 64, 64)) * 60.0 for seed in range(4)]
        together = several.run({PICTURE: np.concatenate(shown)})[0]
        for row, one in enumerate(shown):
            np.testing.assert_allclose(together[row : row + 1], single.run({PICTURE: one})[0])
    assert brakepoint("convert", tiny_mission, "--out", out)[0] == 0
    assert json.loads((out / "report.json").read_text())["profiles"] == {}


def test_without_it_nothing_is_written_for_batches(
    brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert brakepoint("convert", tiny_mission, "--out", out)[0] == 0
    assert not list(out.glob("*.batch.onnx"))


@pytest.mark.parametrize("batch", ["[4, 2, 8]", "[0, 1, 2]", "[1, 2]", "4"])
def test_a_batch_that_is_none(
    batch: str, brakepoint: Command, tiny_mission: Path, tmp_path: Path
) -> None:
    code, _, err = brakepoint(
        "convert", tiny_mission, "--out", tmp_path / "o", "--set", f"model.input.batch={batch}"
    )
    assert code == 2
    assert "model.input.batch" in err


def test_the_device_reads_the_same_contract(tiny_mission: Path) -> None:
    """A batch changes what engines take, not what the numbers mean."""
    from edge.contract.mission.digest import contract_digest

    mission = load_mission(tiny_mission)
    raw = mission.model_dump()
    raw["model"]["input"]["batch"] = (1, 2, 4)
    assert contract_digest(Mission.model_validate(raw).model) == contract_digest(mission.model)
