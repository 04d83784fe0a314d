"""Real road frames through networks trained on other pictures: nothing breaks, and uncertain frames
are unknown instead of the likeliest label.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.dataset.frames.frame import RoadFrame
from calibration.dataset.frames.open_frames import frames_of
from converters.sources.network import network_of
from converters.sources.source import open_source
from converters.zoo import roadnet
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.decode import perceive
from edge.perception.preprocess import preprocess
from edge.perception.values import BgrImage, Known, Perception, Unknown

EVERY = 18


def perceived(mission: Mission, images: list[BgrImage]) -> list[Perception]:
    """What the mission's network, as it came, makes of pictures by the device's own path."""
    network = network_of(open_source(mission.model), mission.model, threads=mission.target.threads)
    size = (mission.model.input.width_px, mission.model.input.height_px)
    found = []
    for image in images:
        x, placement = preprocess(image, mission.model.preprocess_spec)
        shape = (image.shape[1], image.shape[0])
        found.append(
            perceive(
                network(x),
                mission.model.network_spec,
                placement=placement,
                input_size=size,
                frame_size=shape,
            )
        )
    return found


@pytest.fixture(scope="module")
def frames(root: Path, shared_data: Path) -> list[BgrImage]:
    """Every eighteenth frame of all drives: sun, cloud, rain and fog."""
    own = f"data.root={shared_data / 'road_scenes'}"
    mission = load_mission(root / "examples" / "efficientnet_lite0", [own])
    every: list[RoadFrame] = frames_of(mission)
    return [frame.read() for frame in every[::EVERY]]


def test_a_classifier_of_everyday_things_does_not_name_what_it_cannot_tell(
    root: Path, frames: list[BgrImage]
) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra [pretrained] is missing")
    mission = load_mission(root / "examples" / "efficientnet_lite0")
    seen = perceived(mission, frames)
    unknown = [one for one in seen if isinstance(one, Unknown)]
    assert 0 < len(unknown) < len(seen)
    assert all("out of distribution" in one.reason for one in unknown)
    for one in seen:
        if isinstance(one, Known):
            assert [said.label in mission.model.labels for said in one.scene] == [True]
            assert one.scene[0].score >= 0.2


def test_a_network_that_knows_nothing_says_so_on_every_frame(
    root: Path, frames: list[BgrImage], tmp_path: Path
) -> None:
    """RoadNet as it is born: no road condition is likelier than another, and none is named."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.pt"
    torch.save(roadnet(3, 4).state_dict(), weights)
    mission = load_mission(root / "examples" / "roadnet", [f"model.weights={weights}"])
    noise = np.random.default_rng(0).integers(0, 256, (384, 640, 3), dtype=np.uint8)
    for one in perceived(mission, [*frames, noise]):
        assert isinstance(one, Known)
        assert [said.label for said in one.scene] == [None]
        assert len(one.detections) == 0
