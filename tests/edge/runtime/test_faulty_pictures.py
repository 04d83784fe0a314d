"""Pictures with a fault, and what the firmware process does about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_road import chosen, picture, tiny_mission, write_network

from edge.perception.values import BgrImage
from edge.runtime.daemon import run
from edge.runtime.health.picture_checks import PICTURE_CHECKS
from firmware_bridge.link.driver import LinkDriver


def noisy(index: int) -> BgrImage:
    """The road by a sensor with noise."""
    noise = np.random.default_rng(index).integers(-3, 4, (128, 128, 3))
    return np.clip(picture() + noise, 0, 255).astype(np.uint8)


FAULTY: dict[str, Callable[[int], BgrImage]] = {
    "frozen": lambda _index: noisy(0),
    "dark": lambda index: noisy(index) // np.uint8(20),
}


@pytest.mark.requirement("R-RUN-142")
@pytest.mark.requirement("R-RUN-140")
@pytest.mark.requirement("R-RUN-5")
@pytest.mark.parametrize("name", FAULTY)
def test_pictures_with_a_fault_slow_the_vehicle(
    root: Path, link: LinkDriver, tmp_path: Path, name: str
) -> None:
    """Twenty sound pictures, then as many and more with the fault, all with fresh times."""
    folder = tmp_path / "road"
    folder.mkdir()
    for index in range(45):
        image = noisy(index) if index < 20 else FAULTY[name](index)
        cv2.imwrite(str(folder / f"{index}.png"), image)
    others = [check.name for check in PICTURE_CHECKS if check.name != name]
    mission = tiny_mission(
        root,
        camera={"fps": 12.0},
        budget={"infer_ms": 300.0, "end_to_end_ms": 400.0},
        link={"acknowledge_within_ms": 500},
        health={"off": others},
    )
    report = run(
        mission,
        source=str(folder),
        model=chosen(write_network(tmp_path / "tiny.onnx")),
        link=link,
        on_event=lambda _event: None,
    )
    actions = [effective.action.name for effective in report.effective]
    assert "NONE" in actions, "released while the pictures were sound"
    assert "SLOW_DOWN" in actions[actions.index("NONE") :]
    (count,) = [count for count in report.health if count.name == name]
    assert count.failed >= 15
    assert any(fault.text.startswith(f"{name}: ") for fault in report.faults)
    not_made = {count.name for count in report.health if count.not_made}
    assert not_made == {*others, "out of distribution"}
