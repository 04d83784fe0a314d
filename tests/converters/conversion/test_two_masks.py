"""A network with two masks, each head through `convert`, its gates, `evaluate` and `compare`.

It is trained first, since INT8 costs an untrained network nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hard_networks import GROUNDS, MARKINGS, Course, fit, inputs, roads, two_masks
from mask_road import write_masked, write_mission

from converters.sources.pytorch.export import export
from edge.cli import main

CLI = Callable[..., tuple[int, str, str]]

HEADS = {"grounds": GROUNDS, "markings": MARKINGS}
IOU = 0.02
"""What INT8 may lose of a head's mean IoU."""


@dataclass(frozen=True)
class Head:
    """One head, converted: its mission, and pictures that nothing was fitted or calibrated on."""

    mission: Path
    unseen: Path
    out: Path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network as an ONNX file with both outputs."""
    images, *masks = roads(300, seed=0)
    torch.set_num_threads(1)
    trained = fit(
        two_masks(len(GROUNDS), len(MARKINGS)),
        inputs(images),
        [torch.from_numpy(mask.astype(np.int64)) for mask in masks],
        Course(steps=60, batch=8, rate=1e-2),
    )
    path = tmp_path_factory.mktemp("network") / "two.onnx"
    path.write_bytes(export(trained, (1, 3, 48, 64), list(HEADS)).SerializeToString())
    return path


@pytest.fixture(scope="module", params=HEADS)
def head(
    request: pytest.FixtureRequest, network: Path, tmp_path_factory: pytest.TempPathFactory
) -> Head:
    labels = HEADS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    mission = write_mission(folder)
    for name, count, seed in (("frames", 96, 1), ("unseen", 60, 2)):
        images, *masks = roads(count, seed=seed)
        mask = masks[list(HEADS).index(request.param)]
        write_masked(folder / name, images, mask, labels)
    text = mission.read_text()
    for before, after in (
        ("network.onnx", str(network)),
        ('"road", "vehicle", "sky"', ", ".join(f'"{label}"' for label in labels)),
        ('label = "vehicle"', f'label = "{labels[-1]}"'),
        ('kind = "segment"', f'kind = "segment"\noutput = "{request.param}"'),
        ("strides = [4]", "strides = [1]"),
        ("score_threshold = 0.4", "score_threshold = 0.6"),
        ('color = "bgr"', f'color = "bgr"\nmean = {[127.0] * 3}\nstd = {[128.0] * 3}'),
        ('root = "road"\ntable = "labels.csv"\ngroup = "drive"', 'root = "frames"'),
        ("frames = 8\nheld_back = 4", 'frames = 48\nheld_back = 32\nmethod = "mse"'),
        ("found_min = 0.90", f"found_min = 0.95\naccuracy_min = 0.8\naccuracy_drop_max = {IOU}"),
        ("[budget]", "[precision]\ntask_loss_max = 0.01\nmacs_int8_min = 0.9\n\n[budget]"),
    ):
        assert before in text, before
        text = text.replace(before, after)
    mission.write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(mission), "--out", str(folder / "out")])
    assert ended.value.code == 0
    return Head(mission, folder / "unseen", folder / "out")


def test_a_head_passes_its_gates_in_int8(head: Head) -> None:
    report = json.loads((head.out / "report.json").read_text())
    assert report["quantized"]["macs_int8_share"] >= 0.9
    gates = {gate["name"]: gate for gate in report["gates"]}
    assert gates["found_min int8"]["measured"] >= 0.95
    assert "mean IoU" in gates["accuracy_drop_max cpu"]["sentence"]
    assert all(gate["passed"] is not False for gate in gates.values())
    page = (head.out / "report.html").read_text()
    assert "mean IoU with float's labels" in page
    assert "of pixels changed" in page
    assert "data:image/png;base64," in page


def test_a_head_loses_at_most_a_fiftieth_of_its_iou_on_unseen_roads(
    head: Head, brakepoint: CLI, tmp_path: Path
) -> None:
    given = (head.mission, "--from", head.out, "--data", head.unseen, "--out", tmp_path)
    for precision in ("both", "tensorrt"):
        code, _, err = brakepoint("evaluate", *given, "--precision", precision)
        assert code == 0, err
    told = json.loads((tmp_path / "evaluation-float.json").read_text())
    assert told["overall"]["mean IoU"]["value"] > 0.8
    assert told["overall"]["count"] == 60 * 48 * 64
    for other in ("int8", "tensorrt"):
        files = (tmp_path / "evaluation-float.json", tmp_path / f"evaluation-{other}.json")
        code, out, err = brakepoint("compare", *files, "--max-loss", IOU)
        assert code == 0, err
        assert "mean IoU" in out
