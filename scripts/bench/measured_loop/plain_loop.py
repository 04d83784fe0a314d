"""The loop that one writes first, with which the product's own is compared."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from edge.perception.values import Floats


@dataclass(frozen=True)
class PlainLoop:
    """The loop that one writes first: OpenCV reads, numpy prepares, `infer` runs, every cell is
    decoded, boxes are suppressed one by one. For a YOLOX network."""

    infer: Callable[[Floats], Floats]
    width_px: int
    height_px: int
    score_threshold: float
    iou_threshold: float

    def rate(self, clip: Path, frames: int) -> float:
        """Detects in so many frames; returns frames a second from the first one on."""
        grid, strides = self._grid()
        video, done_s = cv2.VideoCapture(str(clip)), []
        for _ in range(frames):
            good, image = video.read()
            if not good:
                break
            ratio = min(self.height_px / image.shape[0], self.width_px / image.shape[1])
            size = (int(image.shape[1] * ratio), int(image.shape[0] * ratio))
            padded = np.full((self.height_px, self.width_px, 3), 114, np.uint8)
            padded[: size[1], : size[0]] = cv2.resize(image, size)
            tensor = np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32)[None]
            self._detections(self.infer(tensor)[0], grid, strides, ratio)
            done_s.append(time.perf_counter())
        video.release()
        return (len(done_s) - 1) / (done_s[-1] - done_s[0])

    @staticmethod
    def on_the_cpu(model: Path) -> Callable[[Floats], Floats]:
        """onnxruntime with its default options."""
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: np.asarray(session.run(None, {name: x})[0], np.float32)

    def _grid(self) -> tuple[Floats, Floats]:
        grids, strides = [], []
        for stride in (8, 16, 32):
            x, y = np.meshgrid(
                np.arange(self.width_px // stride), np.arange(self.height_px // stride)
            )
            grids.append(np.stack((x, y), 2).reshape(-1, 2))
            strides.append(np.full((len(grids[-1]), 1), stride))
        return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)

    def _detections(
        self, output: Floats, grid: Floats, strides: Floats, ratio: float
    ) -> list[tuple[int, int]]:
        """Label and row of every detection."""
        centre = (output[:, :2] + grid) * strides
        size = np.exp(output[:, 2:4]) * strides
        boxes: Floats = np.concatenate([centre - size / 2.0, centre + size / 2.0], axis=1)
        boxes /= ratio
        scores = output[:, 4:5] * output[:, 5:]
        labels = scores.argmax(axis=1)
        best = scores[np.arange(len(scores)), labels]
        found = []
        for label in np.unique(labels[best > self.score_threshold]):
            rows = np.flatnonzero((best > self.score_threshold) & (labels == label))
            kept = self._suppressed(boxes[rows], best[rows])
            found += [(int(label), int(rows[row])) for row in kept]
        return found

    def _suppressed(self, boxes: Floats, scores: Floats) -> list[int]:
        x1, y1, x2, y2 = boxes.T
        areas = (x2 - x1) * (y2 - y1)
        order, kept = scores.argsort()[::-1], []
        while order.size:
            best, others = order[0], order[1:]
            kept.append(int(best))
            across = np.minimum(x2[best], x2[others]) - np.maximum(x1[best], x1[others])
            down = np.minimum(y2[best], y2[others]) - np.maximum(y1[best], y1[others])
            shared = np.maximum(0.0, across) * np.maximum(0.0, down)
            overlap = shared / (areas[best] + areas[others] - shared)
            order = others[overlap <= self.iou_threshold]
        return kept
