"""Two networks that are hard to convert, pictures to train them on in seconds, and their training.

`transforming`: a spatial transformer (affine_grid, grid_sample) before convolutions with mish and
self-attention of two heads. `two_masks`: one encoder, two decoders, each a mask. Pictures are drawn
by a seed; the same seed gives the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 # torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.perception.values import Floats

Masks = NDArray[np.uint8]

SHAPES = ("disc", "square", "triangle", "ring", "cross", "bar")
SIDE = 32
GROUNDS = ("sky", "road", "obstacle")
MARKINGS = ("none", "lane")


class Transforming(nn.Module):
    """(B, 3, 32, 32) to logits of shapes. Source of the transformer: arXiv:1506.02025."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.look = nn.Sequential(
            nn.AvgPool2d(2), nn.Conv2d(3, 16, 5, 2, 2), nn.BatchNorm2d(16), nn.Mish(),
            nn.Conv2d(16, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Mish(),
            nn.Flatten(), nn.Linear(256, 32), nn.Mish(),
        )  # fmt: skip
        self.where = nn.Linear(32, 6)
        nn.init.zeros_(self.where.weight)
        with torch.no_grad():
            self.where.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.Mish(),
            nn.Conv2d(24, 24, 3, 1, 1, groups=24), nn.BatchNorm2d(24), nn.Mish(),
            nn.Conv2d(24, 48, 3, 2, 1), nn.BatchNorm2d(48), nn.Mish(),
        )  # fmt: skip
        self.norm = nn.LayerNorm(48)
        self.query_key_value = nn.Linear(48, 144)
        self.joined = nn.Linear(48, 48)
        self.classes = nn.Linear(48, labels)

    def forward(self, images: Tensor) -> Tensor:
        theta = self.where(self.look(images)).reshape(-1, 2, 3)
        grid = F.affine_grid(theta, [images.shape[0], 3, SIDE, SIDE], align_corners=False)
        turned = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
        tokens = self.body(turned).flatten(2).transpose(1, 2)
        heads = self.query_key_value(self.norm(tokens)).unflatten(2, (3, 2, 24))
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        read = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.joined(read.transpose(1, 2).flatten(2))
        logits: Tensor = self.classes(tokens.mean(dim=1))
        return logits


class TwoMasks(nn.Module):
    """(B, 3, H, W) to logits of each pixel: GROUNDS (B, 3, H, W) and MARKINGS (B, 2, H, W)."""

    def __init__(self, grounds: int, markings: int) -> None:
        super().__init__()
        torch.manual_seed(0)

        def step(read: int, made: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(read, made, 3, stride, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU()
            )

        self.fine, self.middle, self.coarse = step(3, 16, 1), step(16, 24, 2), step(24, 32, 2)
        self.up = nn.ConvTranspose2d(32, 24, 2, 2)
        self.joined = step(48, 24, 1)
        self.heads = nn.ModuleList(
            nn.Sequential(step(40, 16, 1), nn.Conv2d(16, labels, 1))
            for labels in (grounds, markings)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.fine(images)
        middle = self.middle(fine)
        seen = self.joined(torch.cat([self.up(self.coarse(middle)), middle], dim=1))
        wide = F.interpolate(seen, scale_factor=2.0, mode="nearest")
        both = torch.cat([wide, fine], dim=1)
        first, second = (head(both) for head in self.heads)
        return first, second


def transforming(labels: int) -> nn.Module:
    """The factory of the network with a spatial transformer."""
    return Transforming(labels)


def two_masks(grounds: int, markings: int = len(MARKINGS)) -> nn.Module:
    """The factory of the network with two masks."""
    return TwoMasks(grounds, markings)


class MasksByName(TwoMasks):
    """The same two masks in a dictionary, as torchvision's segmentation networks put them out."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:  # type: ignore[override] # on purpose
        out, aux = super().forward(images)
        return {"out": out, "aux": aux}


def masks_by_name(grounds: int) -> nn.Module:
    """The factory of the network with a dictionary of masks."""
    return MasksByName(grounds, len(MARKINGS))


def shapes(count: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pictures (N, 32, 32, 3) uint8 of a shape, turned, moved and scaled; their labels (N,)."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(SHAPES), count)
    row, column = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) - (SIDE - 1) / 2

    def each(low: float, high: float) -> Floats:
        return random.uniform(low, high, (count, 1, 1)).astype(np.float32)

    x, y, turn, size = column - each(-5, 5), row - each(-5, 5), each(0, 6.28), each(7, 11)
    u = (x * np.cos(turn) + y * np.sin(turn)) / size
    v = (y * np.cos(turn) - x * np.sin(turn)) / size
    far, wide = np.hypot(u, v), np.maximum(np.abs(u), np.abs(v))
    inside = np.stack([
        far < 0.9,
        wide < 0.8,
        (v < 0.6) & (v > 2.0 * np.abs(u) - 1.0),
        (far < 1.0) & (far > 0.55),
        (wide < 0.95) & (np.minimum(np.abs(u), np.abs(v)) < 0.25),
        (np.abs(u) < 1.0) & (np.abs(v) < 0.3),
    ])[labels, np.arange(count)]  # fmt: skip
    ground, ink = (
        random.integers(0, 120, (count, 1, 1, 3)),
        random.integers(120, 255, (count, 1, 1, 3)),
    )
    clean = np.where(inside[..., None], ink, ground)
    noisy = clean + random.normal(0.0, 12.0, clean.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), labels.astype(np.int64)


def roads(count: int, *, seed: int) -> tuple[NDArray[np.uint8], Masks, Masks]:
    """Pictures (N, 48, 64, 3) uint8 of a road under a sky with an obstacle and lane markings; their
    two masks (N, 48, 64)."""
    random = np.random.default_rng(seed)
    height, width = 48, 64
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)

    def each(low: float, high: float) -> Floats:
        return random.uniform(low, high, (count, 1, 1)).astype(np.float32)

    horizon, bend = each(14, 22), each(-0.5, 0.5)
    road = np.broadcast_to(row > horizon, (count, height, width))
    below = np.clip(row - horizon, 0, None)
    side = (column - width / 2 - bend * below) / (2.0 + 0.5 * below)
    lane = road & (np.abs(np.abs(side) - 1.0) < 0.12) & (below > 3)
    x, y, half = each(12, 52), each(20, 40), each(4, 8)
    obstacle = (np.abs(column - x) < half) & (np.abs(row - y) < half)
    grounds = np.where(obstacle, 2, road.astype(int)).astype(np.uint8)
    markings = (lane & ~obstacle).astype(np.uint8)
    colours = np.stack([
        random.integers(140, 200, (count, 3)), random.integers(50, 90, (count, 3)),
        random.integers(0, 255, (count, 3)),
    ], axis=1)  # fmt: skip
    colours[:, 2] = np.where(colours[:, 2] % 2 == 0, colours[:, 2] // 6, 255 - colours[:, 2] // 6)
    clean = colours[np.arange(count)[:, None, None], grounds]
    clean = np.where(markings[..., None] == 1, 210, clean) + random.normal(
        0, 25, (*grounds.shape, 3)
    )
    return np.clip(clean, 0, 255).astype(np.uint8), grounds, markings


def inputs(images: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 to what the networks read: (N, 3, H, W) in -1..1."""
    scaled = (images.astype(np.float32) - 127.0) / 128.0
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


@dataclass(frozen=True)
class Course:
    """How long a network is trained."""

    steps: int
    batch: int
    rate: float


def fit(network: nn.Module, x: Tensor, targets: list[Tensor], course: Course) -> nn.Module:
    """Trains by cross-entropy of every output; in evaluation mode afterwards."""
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), course.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, course.rate, course.steps)
    network.train()
    for _ in range(course.steps):
        rows = torch.randint(len(x), (course.batch,), generator=order)
        found = network(x[rows])
        outputs = found if isinstance(found, tuple) else (found,)
        loss = torch.stack([
            F.cross_entropy(output, target[rows])
            for output, target in zip(outputs, targets, strict=True)
        ]).sum()  # fmt: skip
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()
