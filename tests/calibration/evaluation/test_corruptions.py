"""Corruptions: the same for a seed, worse with severity, and fit for any size of picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from edge.perception.values import BgrImage
from edge.scenes.still import still
from firmware_bridge.errors import UsageError


@pytest.fixture(scope="module")
def scene() -> BgrImage:
    return still(5, width_px=320, height_px=192).image


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_pixels_on_one_thread_and_on_two(
    name: str, scene: BgrImage
) -> None:
    before, threads = scene.copy(), cv2.getNumThreads()
    first = corrupt(scene, name, 3, seed=9)
    try:
        for count in (1, 2):
            cv2.setNumThreads(count)
            np.testing.assert_array_equal(first, corrupt(scene, name, 3, seed=9))
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(scene, before)
    assert first.dtype == np.uint8
    assert first.shape == scene.shape


def test_another_process_gives_the_same_pixels(scene: BgrImage) -> None:
    code = """
import zlib
from calibration.evaluation.corruptions import CORRUPTIONS, corrupt
from edge.scenes.still import still
scene = still(5, width_px=320, height_px=192).image
print([zlib.crc32(corrupt(scene, name, 4, seed=2).tobytes()) for name in CORRUPTIONS])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = [_crc(corrupt(scene, name, 4, seed=2)) for name in CORRUPTIONS]
    assert done.stdout.strip() == str(here)


def _crc(image: BgrImage) -> int:
    import zlib

    return zlib.crc32(image.tobytes())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_higher_severity_is_further_from_the_picture(name: str, scene: BgrImage) -> None:
    away = [
        np.abs(corrupt(scene, name, severity, seed=4).astype(int) - scene).mean()
        for severity in SEVERITIES
    ]
    assert away == sorted(away)
    assert away[0] > 0.5
    assert away[-1] > 1.5 * away[0]


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"defocus", "jpeg", "low_contrast"}))
def test_another_seed_gives_other_pixels(name: str, scene: BgrImage) -> None:
    assert not np.array_equal(corrupt(scene, name, 3, seed=1), corrupt(scene, name, 3, seed=2))


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (7, 90), (720, 1280)])
def test_every_size_of_picture(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for name in CORRUPTIONS:
        assert corrupt(image, name, 5, seed=0).shape == image.shape


def test_each_does_what_it_is_named_for(scene: BgrImage) -> None:
    def severe(name: str) -> BgrImage:
        return corrupt(scene, name, 4, seed=3)

    assert severe("dark").mean() < scene.mean() / 2
    assert severe("glare").mean() > scene.mean()
    assert severe("low_contrast").std() < scene.std() / 2
    sharp = cv2.Laplacian(scene, cv2.CV_64F).var()
    for name in ("motion_blur", "defocus"):
        assert cv2.Laplacian(severe(name), cv2.CV_64F).var() < sharp / 3
    plain = np.full((200, 320, 3), 80, np.uint8)
    for name in ("gaussian_noise", "rain", "snow"):
        assert len(np.unique(corrupt(plain, name, 3, seed=0))) > 20
    stripes = np.zeros((200, 320, 3), np.uint8)
    stripes[:, ::8] = 255
    fog = corrupt(stripes, "fog", 4, seed=0)
    assert fog[95:100].std() < fog[-5:].std() / 2, "thickest at the horizon"


@pytest.mark.parametrize(("name", "severity"), [("hail", 3), ("fog", 0), ("fog", 6)])
def test_what_is_not_in_the_table_is_refused(name: str, severity: int, scene: BgrImage) -> None:
    with pytest.raises(UsageError, match="no corruption"):
        corrupt(scene, name, severity, seed=0)


def test_a_real_frame_keeps_its_size(shared_data: Path) -> None:
    path = sorted((shared_data / "road_scenes" / "images").iterdir())[0]
    image = np.asarray(cv2.imread(str(path)), np.uint8)
    for name in CORRUPTIONS:
        assert corrupt(image, name, 2, seed=0).shape == image.shape
