"""Near duplicates: found after what people do to pictures, not between different ones, and fast."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from data_sets import picture

from calibration.dataset.checks.near_duplicates import WINDOW, similar_clusters
from calibration.dataset.pictures.summary import PictureSummary, summarize
from edge.perception.values import BgrImage


def jpeg(image: BgrImage) -> BgrImage:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def half(image: BgrImage) -> BgrImage:
    return np.asarray(
        cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8
    )


def brighter(image: BgrImage) -> BgrImage:
    return np.asarray(cv2.convertScaleAbs(image, alpha=0.8, beta=30), np.uint8)


@pytest.mark.parametrize("change", [jpeg, half, brighter])
def test_a_changed_copy_is_found_and_different_pictures_are_not(change: object) -> None:
    assert callable(change)
    originals = [picture(seed, width_px=320, height_px=240) for seed in range(40)]
    looks = [summarize(image) for image in originals]
    assert similar_clusters(looks) == []
    copies = [summarize(change(image)) for image in originals[:30]]
    found = similar_clusters([*looks, *copies])
    assert all(len(rows) == 2 and rows[1] - rows[0] == 40 for rows in found)
    assert len(found) >= 28


def synthetic(hashes: list[int], thumbs: list[bytes]) -> list[PictureSummary]:
    measured = summarize(picture(0)).measured
    return [
        PictureSummary(64, 48, measured, gradient_hash, thumb, None)
        for gradient_hash, thumb in zip(hashes, thumbs, strict=True)
    ]


def test_hashes_up_to_four_bits_apart_are_found_wherever_the_bits_are() -> None:
    random = np.random.default_rng(1)
    thumb = random.integers(0, 256, 256, dtype=np.uint8).tobytes()
    for _ in range(200):
        base = int(random.integers(0, 1 << 63))
        flips = random.choice(64, 5, replace=False).tolist()
        near = base
        for bit in flips[:4]:
            near ^= 1 << bit
        assert similar_clusters(synthetic([base, near], [thumb, thumb])) == [[0, 1]]
        assert similar_clusters(synthetic([base, near ^ (1 << flips[4])], [thumb, thumb])) == []


def test_a_hash_alone_does_not_make_a_pair() -> None:
    random = np.random.default_rng(2)
    thumbs = [random.integers(0, 256, 256, dtype=np.uint8).tobytes() for _ in range(2)]
    assert similar_clusters(synthetic([5, 5], thumbs)) == []


def test_a_frozen_camera_is_one_cluster_and_many_flat_pictures_do_not_explode() -> None:
    random = np.random.default_rng(3)
    thumb = random.integers(0, 256, 256, dtype=np.uint8).tobytes()
    assert similar_clusters(synthetic([9] * 3000, [thumb] * 3000)) == [list(range(3000))]
    others = [random.integers(0, 256, 256, dtype=np.uint8).tobytes() for _ in range(4 * WINDOW)]
    assert similar_clusters(synthetic(list(range(4 * WINDOW)), others)) == []


def test_few_pictures() -> None:
    assert similar_clusters([]) == []
    assert similar_clusters([summarize(picture(1))]) == []
