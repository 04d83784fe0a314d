"""The preprocess kernel, compiled for the host, against OpenCV and the formula of the input."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from cuda_host_shim import SAMPLES, HostKernels, build, sanitizer_runtime
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S

from edge.backends.cuda.preprocess_kernel import (
    PictureLayout,
    PreprocessParams,
    kernel_launch,
    picture_layout,
)
from edge.perception.pixel_formats import FORMATS, Picture, PixelFormat, to_bgr
from edge.perception.preprocess import PreprocessSpec, fitted_size, input_placement, preprocess
from edge.perception.values import BgrImage, Floats
from edge.scenes.still import still

PIXEL_FORMATS: tuple[PixelFormat, ...] = get_args(PixelFormat)
WAYS = list(itertools.product(("letterbox", "stretch"), ("center", "top_left"), ("bgr", "rgb")))

# Picture and input sizes: down, up, halved, whole factors, the same, odd, one pixel, thin.
SIZES = [
    ((960, 540), (416, 416)),
    ((320, 180), (416, 416)),
    ((640, 480), (320, 240)),
    ((640, 480), (160, 120)),
    ((96, 64), (96, 64)),
    ((322, 194), (97, 61)),
    ((100, 10), (50, 17)),
    ((2, 2), (7, 5)),
    ((2, 2), (1, 1)),
    ((600, 2), (16, 16)),
]
ODD_SIZES = [((1, 1), (8, 8)), ((3, 1), (7, 5)), ((1, 301), (32, 32)), ((641, 481), (320, 240))]


def spec(**changes: object) -> PreprocessSpec:
    values: dict[str, object] = {
        "width_px": 320,
        "height_px": 192,
        "fit": "letterbox",
        "anchor": "center",
        "pad_value": 114,
        "color": "rgb",
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
    }
    return PreprocessSpec(**(values | changes))  # type: ignore[arg-type] # test shorthand


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> HostKernels:
    return HostKernels(build(tmp_path_factory.mktemp("cuda_host_shim")))


def noise(pixel_format: PixelFormat, width: int, height: int, *, seed: int = 0) -> Picture:
    """A picture in which every byte is any of 256."""
    rule = FORMATS[pixel_format]
    shape = (height * rule.rows // 2, width, *rule.shape)
    return Picture(np.random.default_rng(seed).integers(0, 256, shape, np.uint8), pixel_format)


def run_kernel(kernels: HostKernels, picture: Picture, made: PreprocessSpec) -> Floats:
    launch = kernel_launch(made, picture_layout(picture))
    found = np.full((1, 3, made.height_px, made.width_px), np.nan, np.float32)
    assert found.nbytes == launch.input_bytes
    addresses = (picture.data.ctypes.data, found.ctypes.data)
    kernels.launch(launch.entry, launch.grid, launch.block, addresses, launch.params)
    return found


def by_opencv(picture: Picture, made: PreprocessSpec) -> Floats:
    """The definition by OpenCV and numpy, without the code of `preprocess`."""
    image = to_bgr(picture)
    size = fitted_size(made, picture.width_px, picture.height_px)
    placement = input_placement(made, picture.width_px, picture.height_px)
    left, top = int(placement.offset_x_px), int(placement.offset_y_px)
    canvas = np.full((made.height_px, made.width_px, 3), made.pad_value, np.uint8)
    resized = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    canvas[top : top + size[1], left : left + size[0]] = resized
    planes = canvas.transpose(2, 0, 1)[:: -1 if made.color == "rgb" else 1].astype(np.float32)
    mean, std = np.float32(made.mean)[:, None, None], np.float32(made.std)[:, None, None]
    return ((planes - mean) / std)[np.newaxis]


def steps_apart(found: Floats, right: Floats, made: PreprocessSpec) -> float:
    """The largest difference in steps of an 8-bit pixel. NaN where the kernel left a hole."""
    return float((np.abs(found - right) * np.float32(made.std)[:, None, None]).max())


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
@pytest.mark.parametrize(("frame", "network"), SIZES)
def test_every_way_of_fitting_noise_equals_opencv_to_the_bit(
    kernels: HostKernels,
    pixel_format: PixelFormat,
    frame: tuple[int, int],
    network: tuple[int, int],
) -> None:
    picture = noise(pixel_format, *frame)
    for fit, anchor, color in WAYS:
        made = spec(width_px=network[0], height_px=network[1], fit=fit, anchor=anchor, color=color)
        found = run_kernel(kernels, picture, made)
        np.testing.assert_array_equal(found, by_opencv(picture, made), f"{fit} {anchor} {color}")
        assert steps_apart(found, preprocess(to_bgr(picture), made)[0], made) <= 1.0


@pytest.mark.parametrize(("frame", "network"), ODD_SIZES)
def test_odd_and_tiny_pictures_equal_opencv_to_the_bit(
    kernels: HostKernels, frame: tuple[int, int], network: tuple[int, int]
) -> None:
    picture = noise("bgr", *frame)
    for fit, anchor, color in WAYS:
        made = spec(width_px=network[0], height_px=network[1], fit=fit, anchor=anchor, color=color)
        np.testing.assert_array_equal(
            run_kernel(kernels, picture, made), by_opencv(picture, made), f"{fit} {anchor} {color}"
        )


@st.composite
def cases(draw: st.DrawFn, *, side: int) -> tuple[Picture, PreprocessSpec]:
    """A picture of noise in any format and size, and a way of fitting it into an input."""
    sides = st.integers(1, side)
    pixel_format = draw(st.sampled_from(PIXEL_FORMATS))
    rule = FORMATS[pixel_format]
    width, height = draw(sides) * rule.across, draw(sides) * rule.down
    fit, anchor, color = draw(st.sampled_from(WAYS))
    made = spec(
        width_px=draw(sides),
        height_px=draw(sides),
        fit=fit,
        anchor=anchor,
        color=color,
        pad_value=draw(st.integers(0, 255)),
    )
    return noise(pixel_format, width, height, seed=draw(st.integers(0, 99))), made


@settings(max_examples=150, deadline=None)
@given(case=cases(side=120))
def test_any_sizes_equal_opencv_to_the_bit(
    kernels: HostKernels, case: tuple[Picture, PreprocessSpec]
) -> None:
    np.testing.assert_array_equal(run_kernel(kernels, *case), by_opencv(*case))


@pytest.mark.long
@settings(max_examples=5_000, deadline=None)
@given(case=cases(side=900))
def test_many_and_large_sizes_equal_opencv_to_the_bit(
    kernels: HostKernels, case: tuple[Picture, PreprocessSpec]
) -> None:
    np.testing.assert_array_equal(run_kernel(kernels, *case), by_opencv(*case))


def yuv_picture(luma: np.ndarray, u: np.ndarray, v: np.ndarray, pixel_format: str) -> Picture:
    """A picture of this luma (H, W), with U and V (H / 2, W / 2)."""
    pairs = np.stack((u, v), axis=-1).reshape(u.shape[0], 2 * u.shape[1])
    if pixel_format == "nv12":
        return Picture(np.vstack((luma, pairs)), "nv12")
    return Picture(np.stack((luma, pairs.repeat(2, axis=0)), axis=-1), "yuyv")


def as_format(image: BgrImage, pixel_format: PixelFormat) -> Picture:
    """A BGR picture of even sides as a camera of this format would deliver it."""
    if pixel_format == "bgr":
        return Picture(image)
    height, width = image.shape[:2]
    planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    u, v = planar[height:].reshape(2, height // 2, width // 2)
    return yuv_picture(planar[:height], u, v, pixel_format)


def assert_equal_in_every_way(kernels: HostKernels, image: BgrImage) -> None:
    """In every format and way of fitting into 416 x 320, the kernel equals OpenCV to the bit."""
    even = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
    for pixel_format in PIXEL_FORMATS:
        picture = as_format(even, pixel_format)
        for fit, anchor, color in WAYS:
            made = spec(width_px=416, height_px=320, fit=fit, anchor=anchor, color=color)
            found = run_kernel(kernels, picture, made)
            np.testing.assert_array_equal(found, by_opencv(picture, made), pixel_format)


def test_a_generated_scene_equals_opencv_to_the_bit(kernels: HostKernels) -> None:
    assert_equal_in_every_way(kernels, still(44, width_px=1280, height_px=720).image)


def test_real_pictures_equal_opencv_to_the_bit(kernels: HostKernels, shared_data: Path) -> None:
    files = sorted((shared_data / "road_scenes" / "images").iterdir())
    for file in files[:: len(files) // 3]:
        assert_equal_in_every_way(kernels, cv2.imread(str(file)))


@pytest.mark.long
def test_every_real_picture_equals_opencv_to_the_bit(
    kernels: HostKernels, shared_data: Path
) -> None:
    for file in (shared_data / "road_scenes" / "images").iterdir():
        assert_equal_in_every_way(kernels, cv2.imread(str(file)))


LUMA = (0, 13, 17, 120, 233, 252)
"""Below, at and above the limited range."""


@pytest.mark.parametrize("pixel_format", ["nv12", "yuyv"])
@pytest.mark.parametrize("luma", [LUMA, pytest.param(range(0, 256, 4), marks=pytest.mark.long)])
def test_every_chroma_pair_converts_as_opencv_does(
    kernels: HostKernels, pixel_format: PixelFormat, luma: Iterable[int]
) -> None:
    u, v = (part.astype(np.uint8) for part in np.indices((256, 256)))
    same = spec(width_px=512, height_px=512, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    for lowest in luma:  # the long test has every colour: 256 x 256 pairs, 256 values of luma
        four = np.arange(lowest, lowest + 4, dtype=np.uint8).reshape(2, 2)
        picture = yuv_picture(np.tile(four, (256, 256)), u, v, pixel_format)
        found = run_kernel(kernels, picture, same)
        np.testing.assert_array_equal(found, by_opencv(picture, same), f"luma from {lowest}")


@pytest.mark.parametrize("pixel_format", PIXEL_FORMATS)
def test_rows_may_lie_apart(kernels: HostKernels, pixel_format: PixelFormat) -> None:
    rule = FORMATS[pixel_format]
    packed = noise(pixel_format, 64, 48).data
    wide = np.full((packed.shape[0], 100, *rule.shape), 7, np.uint8)
    wide[:, :64] = packed
    made = spec()
    strided = Picture(wide[:, :64], pixel_format)
    assert strided.row_stride_bytes == 100 * rule.pixel_bytes
    found = run_kernel(kernels, strided, made)
    np.testing.assert_array_equal(found, by_opencv(Picture(packed, pixel_format), made))


def test_the_planes_of_nv12_may_lie_apart(kernels: HostKernels) -> None:
    picture = noise("nv12", 64, 48)
    memory = np.full(20_000, 7, np.uint8)
    luma = memory[: 48 * 80].reshape(48, 80)
    chroma = memory[9_000 : 9_000 + 24 * 96].reshape(24, 96)
    luma[:, :64], chroma[:, :64] = picture.data[:48], picture.data[48:]
    launch = kernel_launch(spec(), PictureLayout("nv12", 64, 48, 80, 96, 9_000))
    assert launch.picture_bytes == 9_000 + 23 * 96 + 64
    found = np.zeros((1, 3, 192, 320), np.float32)
    addresses = (memory.ctypes.data, found.ctypes.data)
    kernels.launch(launch.entry, launch.grid, launch.block, addresses, launch.params)
    np.testing.assert_array_equal(found, by_opencv(picture, spec()))


def test_the_params_lie_in_c_as_in_python(kernels: HostKernels) -> None:
    fields = [(name, getattr(PreprocessParams, name)) for name, _ in PreprocessParams._fields_]
    ours = [(name, field.offset, field.size) for name, field in fields]
    assert kernels.params_layout() == (ours, ctypes.sizeof(PreprocessParams))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sanitized"), sanitized=True)


def launch_sanitized(library: Path, *, launches: int, missing_bytes: int) -> tuple[int, str]:
    """Exit code and report of a process with the address sanitizer."""
    module = "cuda_host_shim.sanitized_launches"
    done = subprocess.run(
        [sys.executable, "-m", module, str(library), str(launches), str(missing_bytes)],
        env={
            "LD_PRELOAD": str(sanitizer_runtime()),
            "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter's own
            "PYTHONPATH": str(SAMPLES),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    return done.returncode, done.stderr


def test_no_launch_touches_memory_beyond_its_buffers(sanitized: Path) -> None:
    assert launch_sanitized(sanitized, launches=300, missing_bytes=0) == (0, "")


def test_the_sanitizer_sees_a_picture_that_is_a_byte_too_short(sanitized: Path) -> None:
    code, report = launch_sanitized(sanitized, launches=300, missing_bytes=1)
    assert code != 0
    assert "heap-buffer-overflow" in report
    assert "preprocess.cu" in report
