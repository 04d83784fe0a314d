"""Corrupts pictures as weather, light, lens and transmission do, in five severities.

In: a picture, the name of a corruption, a severity and a seed. Out: a picture; the same inputs give
the same pixels. Objects do not move, so labels stay valid. After Hendrycks & Dietterich,
"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", arXiv:1903.12261;
severities and formulas are our own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.perception.values import BgrImage, Floats
from firmware_bridge.errors import UsageError

SEVERITIES = (1, 2, 3, 4, 5)
Random = np.random.Generator

REFERENCE_PX = 640.0
"""Lengths below are in pixels of a picture of this width; they scale with the width."""


@dataclass(frozen=True)
class Corruption:
    """One row.

    Attributes:
        what: one line for people.
        strengths: the `strength` of severities 1 to 5.
        apply: (picture 0..255 float32 (H, W, 3) BGR, strength, random) -> the same, unclipped.
    """

    what: str
    strengths: tuple[float, float, float, float, float]
    apply: Callable[[Floats, float, Random], Floats]


def corrupt(image: BgrImage, name: str, severity: int, *, seed: int) -> BgrImage:
    """A corrupted copy of a picture, (H, W, 3) uint8 BGR.

    Raises:
        UsageError: no such corruption or severity.
    """
    if name not in CORRUPTIONS or severity not in SEVERITIES:
        raise UsageError(
            f"no corruption '{name}' of severity {severity}",
            expected=f"one of {', '.join(CORRUPTIONS)}; severity 1 to 5",
            found=f"{name}, {severity}",
            remedy="choose one of them",
        )
    row = CORRUPTIONS[name]
    # The name is part of the seed, so that two corruptions of a picture draw different numbers.
    random = np.random.default_rng([seed, zlib.crc32(name.encode()), severity])
    found = row.apply(image.astype(np.float32), row.strengths[severity - 1], random)
    return np.clip(np.rint(found), 0, 255).astype(np.uint8)


def _gaussian_noise(image: Floats, sigma: float, random: Random) -> Floats:
    return image + sigma * random.standard_normal(image.shape, np.float32)


def _motion_blur(image: Floats, length_px: float, random: Random) -> Floats:
    """Blur along a line within 20 degrees of the horizontal, as in a turning vehicle."""
    length = max(2.0, _scaled(image, length_px))
    size = 2 * int(np.ceil(length / 2)) + 1
    kernel = np.zeros((size, size), np.float32)
    turn, middle = np.deg2rad(random.uniform(-20.0, 20.0)), size // 2
    for step in np.linspace(-length / 2, length / 2, 4 * size):
        row = round(middle + float(step * np.sin(turn)))
        column = round(middle + float(step * np.cos(turn)))
        kernel[row, column] += 1.0
    return _filtered(image, kernel)


def _defocus(image: Floats, radius_px: float, random: Random) -> Floats:
    """Defocus: the image of a point is a disk."""
    radius = max(0.75, _scaled(image, radius_px))
    reach = int(np.ceil(radius))
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = np.clip(radius + 0.5 - np.hypot(rows, columns), 0.0, 1.0)
    return _filtered(image, inside.astype(np.float32))


def _jpeg(image: Floats, quality: float, random: Random) -> Floats:
    _, data = cv2.imencode(".jpg", image.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)


def _low_contrast(image: Floats, factor: float, random: Random) -> Floats:
    middle = image.mean(axis=(0, 1), keepdims=True, dtype=np.float64).astype(np.float32)
    return np.asarray((image - middle) * np.float32(factor) + middle, np.float32)


def _dark(image: Floats, exposure: float, random: Random) -> Floats:
    """Less light, and the noise of a sensor that counts few photons."""
    lit = image * np.float32(exposure)
    noise = np.sqrt(lit) * random.standard_normal(image.shape, np.float32) * np.float32(0.9)
    return np.asarray(
        lit + noise + 2.0 * random.standard_normal(image.shape, np.float32), np.float32
    )


def _glare(image: Floats, strength: float, random: Random) -> Floats:
    """A low sun in the upper half: a bloom around it, and a veil that lifts the blacks."""
    height, width = image.shape[:2]
    row, column = random.uniform(0.1, 0.5) * height, random.uniform(0.2, 0.8) * width
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    away = ((rows - row) ** 2 + (columns - column) ** 2) / np.float32(width) ** 2
    bloom = 1.4 * np.exp(-away / 0.003) + 0.5 * np.exp(-away / 0.08) + 0.2
    light = np.array((205.0, 235.0, 255.0), np.float32)
    share = np.clip(strength * bloom, 0.0, 0.97)[:, :, None].astype(np.float32)
    return np.asarray(image * (1 - share) + light * share, np.float32)


def _fog(image: Floats, thickness: float, random: Random) -> Floats:
    """Koschmieder 1924: I = J t + A (1 - t), t = e^(-thickness x depth); depth by row, in drifts.

    Rows above the horizon (the middle) are as far as the horizon, rows below it are a flat road.
    """
    height, width = image.shape[:2]
    below = np.clip(np.arange(height, dtype=np.float32) / height - 0.5, 0.0, None)
    depth = 1.0 / (1.0 + 8.0 * below)
    drift = 0.75 + 0.5 * _clouds(height, width, random)
    through = np.exp(-thickness * depth[:, None] * drift)[:, :, None].astype(np.float32)
    return np.asarray(
        image * through + np.array((212.0, 210.0, 206.0), np.float32) * (1.0 - through), np.float32
    )


def _rain(image: Floats, density: float, random: Random) -> Floats:
    """Bright streaks, all of one slant, under a grey veil."""
    height, width = image.shape[:2]
    slant = random.uniform(-0.25, 0.25)
    layer = np.zeros((height, width), np.uint8)
    longest = max(3.0, _scaled(image, 34.0))
    for _ in range(max(1, round(density * 550))):
        column, row = random.uniform(-0.1, 1.1) * width, random.uniform(-0.1, 1.0) * height
        length = random.uniform(0.4, 1.0) * longest
        end = (round(column + slant * length), round(row + length))
        shade = int(random.integers(90, 220))
        cv2.line(
            layer, (round(column), round(row)), end, shade, max(1, round(width / REFERENCE_PX))
        )
    return _under(_towards(image, 150.0, 0.10 * density), layer, 225.0, 0.7)


def _snow(image: Floats, density: float, random: Random) -> Floats:
    """Flakes, near ones larger, blown along one slant, and a whitened scene."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    slant = random.uniform(-0.6, 0.6)
    for _ in range(max(1, round(density * 650))):
        column, row = int(random.integers(0, width)), int(random.integers(0, height))
        radius = max(1, round(_scaled(image, float(random.choice((1.0, 1.0, 2.0, 3.5))))))
        end = (round(column + slant * 2 * radius), row + 2 * radius)
        cv2.line(layer, (column, row), end, int(random.integers(150, 256)), radius)
    return _under(_towards(image, 235.0, 0.11 * density), layer, 250.0, 0.9)


CORRUPTIONS: dict[str, Corruption] = {
    "fog": Corruption("fog that thickens towards the horizon", (0.5, 0.9, 1.4, 2.1, 3.2), _fog),
    "rain": Corruption("streaks under a grey veil", (0.6, 1.2, 2.0, 3.0, 4.2), _rain),
    "snow": Corruption("flakes and a whitened scene", (0.5, 1.0, 1.7, 2.6, 3.8), _snow),
    "dark": Corruption("less light, with sensor noise", (0.6, 0.42, 0.28, 0.18, 0.1), _dark),
    "glare": Corruption("a low sun ahead", (0.3, 0.5, 0.75, 1.0, 1.3), _glare),
    "gaussian_noise": Corruption("noise, sigma of 255", (8, 14, 22, 34, 50), _gaussian_noise),
    "motion_blur": Corruption("a turn, pixels of 640", (4, 8, 13, 20, 30), _motion_blur),
    "defocus": Corruption("a lens out of focus, pixels of 640", (1.2, 2, 3, 4.5, 6.5), _defocus),
    "jpeg": Corruption("compression, quality", (45, 28, 17, 10, 5), _jpeg),
    "low_contrast": Corruption("contrast, share", (0.7, 0.5, 0.35, 0.22, 0.12), _low_contrast),
}


def _towards(image: Floats, shade: float, share: float) -> Floats:
    return np.asarray(image * (1.0 - share) + shade * share, np.float32)


def _under(image: Floats, layer: NDArray[np.uint8], shade: float, opacity: float) -> Floats:
    """The picture with `layer`, 0..255 (H, W), over it in one shade, softened at its edges."""
    soft = np.asarray(cv2.GaussianBlur(layer, (3, 3), 0), np.float32)[:, :, None] / 255.0
    return np.asarray(image * (1.0 - opacity * soft) + shade * opacity * soft, np.float32)


def _scaled(image: Floats, length_px: float) -> float:
    return length_px * int(image.shape[1]) / REFERENCE_PX


def _filtered(image: Floats, kernel: Floats) -> Floats:
    weights = kernel / kernel.sum()
    return np.asarray(
        cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_REFLECT_101), np.float32
    )


def _clouds(height: int, width: int, random: Random) -> Floats:
    """(height, width) 0..1: the sum of random grids, finer ones with less weight, smoothed."""
    total = np.zeros((height, width), np.float32)
    for octave in range(4):
        size = (4 << octave, 3 << octave)
        grid = random.integers(0, 256, (size[1], size[0]), dtype=np.uint8).astype(np.float32)
        smooth = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
        total += np.asarray(smooth, np.float32) / np.float32(255 << octave)
    return total / np.float32(1.875)
