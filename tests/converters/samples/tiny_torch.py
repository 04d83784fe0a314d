"""Torch networks of a few layers, as factories that a mission may name."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CELL = 16


class Tiny(nn.Module):
    """The shape of the "roadnet" decoder with one level of CELL: (B, cells, 4 + labels)."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 4, 4, bias=False), nn.BatchNorm2d(16), nn.SiLU(), nn.Dropout(0.5)
        )
        self.skip = nn.Conv2d(16, 16, 3, 1, 1)
        self.cells = nn.Conv2d(16, 4 + labels, 4, 4)
        nn.init.constant_(self.cells.bias, 0.5)

    def forward(self, images: Tensor) -> Tensor:
        seen = self.body(images)
        raw = self.cells(seen + self.skip(seen))
        values = torch.cat([torch.relu(raw[:, :4]), raw[:, 4:]], dim=1)
        return values.flatten(2).transpose(1, 2)


class Branching(Tiny):
    """What cannot be exported: the way depends on the picture."""

    def forward(self, images: Tensor) -> Tensor:
        if images.mean() > 0:
            images = -images
        return super().forward(images)


class Wrapping(nn.Module):
    """A network whose own part is called `module`."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.module = Tiny(labels)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.module(images)
        return found


def tiny(labels: int) -> nn.Module:
    """The usual one."""
    return Tiny(labels)


def branching(labels: int) -> nn.Module:
    """Not exportable."""
    return Branching(labels)


def wrapping(labels: int) -> nn.Module:
    """With a part called `module`."""
    return Wrapping(labels)


def other(labels: int) -> nn.Module:
    """Another architecture."""
    return nn.Sequential(nn.Conv2d(3, labels, 1))


def failing(labels: int) -> nn.Module:
    """Raises."""
    raise RuntimeError(f"no network for {labels}")


def no_network(labels: int) -> int:
    """Returns something else."""
    return labels
