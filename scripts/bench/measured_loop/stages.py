"""Figures of single stages beside their floors: preprocess, decode, the tracker."""

from __future__ import annotations

import time
from functools import partial
from typing import Literal

import cv2
import numpy as np

from edge.perception.decode import DecodeSpec, decode, output_shape
from edge.perception.preprocess import Preprocessor, PreprocessSpec
from edge.perception.values import BgrImage, Detections
from edge.runtime.tracking.tracker import Tracker
from measured_loop.measurement import Figure, p, timed_ms

OBJECTS = 20
WARM_UP = 10


def preprocessing(images: list[BgrImage]) -> list[Figure]:
    """960 x 540 to 416 x 416, both fits, with and without mean and standard deviation."""
    found = []
    fits: tuple[tuple[Literal["letterbox", "stretch"], int], ...]
    fits = ("letterbox", 234), ("stretch", 416)
    for fit, height in fits:
        for mean, std in (((0.0,) * 3, (1.0,) * 3), ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4))):
            spec = PreprocessSpec(416, 416, fit, "top_left", 114, "rgb", mean, std)
            ours, resize, convert = _preprocess_ms(spec, (416, height), images)
            floor = resize + convert
            named = f"preprocess {fit}{', mean and std' if mean[0] else ''} / resize and conversion"
            beside = f"{ours:.3f} ms; {floor:.3f} ms"
            found.append(Figure(named, ours / floor, "x", 1.5, beside))
    return found


def _preprocess_ms(
    spec: PreprocessSpec, size: tuple[int, int], images: list[BgrImage]
) -> tuple[float, ...]:
    """Median time of our preprocess, of one resize and of one conversion of the whole input."""
    tensor, write = np.empty((1, 3, 416, 416), np.float32), Preprocessor(spec).write
    canvas = np.zeros((416, 416, 3), np.uint8)
    rows = []
    for image in images:
        cv2.resize(image, size)  # a frame from a camera is in the cache, too
        rows.append(
            (
                timed_ms(partial(write, image, tensor)),
                timed_ms(partial(cv2.resize, image, size)),
                timed_ms(partial(canvas.astype, np.float32)),
            )
        )
    return tuple(p(column, 50.0) for column in zip(*rows, strict=True))


def decoding(rounds: int) -> list[Figure]:
    """8,400 cells of 84 values, 60 of which see something, by both decoders of large outputs."""
    random, found = np.random.default_rng(0), []
    for kind, classes in (("roadnet", 80), ("yolox", 79)):
        spec = DecodeSpec(kind, (8, 16, 32), classes, 0.3, 0.45, 100)  # type: ignore[arg-type] # a Literal
        raw = random.normal(-6.0, 0.9, output_shape(spec, 640, 640)).astype(np.float32)
        assert raw.shape == (1, 8400, 84)
        if kind == "yolox":
            raw = (1.0 / (1.0 + np.exp(-raw))).astype(np.float32)
        raw[..., :4] = random.uniform(0.0, 2.0, raw[..., :4].shape)
        cells = random.integers(0, 8400, 60)
        raw[0, cells, 4] = raw[0, cells, random.integers(5, 84, 60)] = 0.9
        ours = [timed_ms(partial(decode, raw, spec, 640, 640)) for _ in range(rounds)]
        beside = f"p99 {p(ours, 99.0):.3f} ms"
        found.append(Figure(f"decode 8,400 x 84, {kind}: p50", p(ours, 50.0), "ms", 1.0, beside))
    return found


def approach(images: list[BgrImage]) -> list[tuple[BgrImage, Detections]]:
    """The clip with 20 textured objects that come closer, each with a jittering box."""
    random = np.random.default_rng(0)
    patches = [
        cv2.GaussianBlur(random.integers(0, 256, (90, 120, 3), dtype=np.uint8), (0, 0), 2)
        for _ in range(OBJECTS)
    ]
    shown = []
    for index, image in enumerate(images):
        drawn, boxes = image.copy(), []
        for row, patch in enumerate(patches):
            scale = (0.4 + 0.02 * row) * 1.004**index
            x, y = 95.0 + 190.0 * (row % 5) + 0.2 * index, 65.0 + 125.0 * (row // 5)
            turn = np.array([[scale, 0.0, x - 60.0 * scale], [0.0, scale, y - 45.0 * scale]])
            size = (drawn.shape[1], drawn.shape[0])
            cv2.warpAffine(patch, turn, size, dst=drawn, borderMode=cv2.BORDER_TRANSPARENT)
            half = 60.0 * scale, 45.0 * scale
            boxes.append((x - half[0], y - half[1], x + half[0], y + half[1]))
        jittered = np.array(boxes) + random.normal(0.0, 1.0, (OBJECTS, 4))
        scores = np.linspace(0.9, 0.5, OBJECTS, dtype=np.float32)
        labels = np.arange(OBJECTS, dtype=np.int64) % 3
        shown.append((drawn, Detections(jittered.astype(np.float32), scores, labels)))
    return shown


def tracking(images: list[BgrImage]) -> list[Figure]:
    """The tracker's share after inference, with 20 objects in every frame."""
    tracker, took, beside_ms = Tracker(), [], []
    for index, (image, detections) in enumerate(approach(images)):
        at_ns, size = round(index * 40e6), (image.shape[1], image.shape[0])
        beside_ms.append(timed_ms(partial(tracker.follow, image, at_ns)))
        began = time.perf_counter()
        tracks = tracker.update(detections, at_ns, frame_size=size, image=image)
        took.append((time.perf_counter() - began) * 1e3)
    seen = sum(track.contact_from != "boxes" for track in tracks)
    beside = f"p50 {p(took[WARM_UP:], 50.0):.2f} ms; {seen} of {len(tracks)} by pixels; beside "
    beside += f"inference {p(beside_ms[WARM_UP:], 50.0):.2f} ms"
    named = f"track {OBJECTS} objects: p99"
    return [Figure(named, p(took[WARM_UP:], 99.0), "ms", 2.0, beside)]
