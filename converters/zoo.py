"""Networks of our own: RoadNet, a compact anchor-free detector for pedestrians, vehicles, signs.

Defines shapes and arithmetic only; fitting is in `train.py`, decoding in `edge.contract.decode`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROADNET_STRIDES = (8, 16, 32)


class ConvBnRelu(nn.Sequential):
    """The one block: 3 x 3 convolution, batch normalisation, ReLU; folds and quantizes as one."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class RoadNet(nn.Module):
    """Plain convolutions, three levels, one shared head; no channel count below 16 (rule R10).

    Input (B, 3, H, W) float32, H and W multiples of 32, normalised as the mission says. Output
    (B, cells, 4 + classes): distances left, top, right, bottom of the cell's centre in strides
    (never negative), then class logits; cells level by level, row by row.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.stem = nn.Sequential(
            ConvBnRelu(3, 16, stride=2), ConvBnRelu(16, 24, stride=2), ConvBnRelu(24, 24)
        )
        self.stage8 = nn.Sequential(ConvBnRelu(24, 48, stride=2), ConvBnRelu(48, 48))
        self.stage16 = nn.Sequential(ConvBnRelu(48, 64, stride=2), ConvBnRelu(64, 64))
        self.stage32 = nn.Sequential(ConvBnRelu(64, 96, stride=2), ConvBnRelu(96, 96))
        width = 48
        self.lateral = nn.ModuleList(
            ConvBnRelu(channels, width, kernel=1) for channels in (48, 64, 96)
        )
        self.smooth = nn.ModuleList(ConvBnRelu(width, width) for _ in ROADNET_STRIDES)
        self.head = ConvBnRelu(width, width)
        self.distances = nn.Conv2d(width, 4, 1)
        self.logits = nn.Conv2d(width, classes, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        nn.init.constant_(self.distances.bias, 1.5)  # type: ignore[arg-type] # bias is not None here
        # Focal loss wants rare positives at the start: sigmoid(-4) = 0.02 (arXiv:1708.02002, 4.1).
        nn.init.constant_(self.logits.bias, -4.0)  # type: ignore[arg-type] # as above

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to raw output (B, cells, 4 + classes)."""
        level8 = self.stage8(self.stem(images))
        level16 = self.stage16(level8)
        level32 = self.stage32(level16)
        top = self.lateral[2](level32)
        middle = self.lateral[1](level16) + self.upsample(top)
        low = self.lateral[0](level8) + self.upsample(middle)
        rows = []
        for smooth, level in zip(self.smooth, (low, middle, top), strict=True):
            seen = self.head(smooth(level))
            values = torch.cat([torch.relu(self.distances(seen)), self.logits(seen)], dim=1)
            rows.append(values.flatten(2).transpose(1, 2))
        return torch.cat(rows, dim=1)


def roadnet(classes: int) -> nn.Module:
    """RoadNet for this many labels; the factory that missions name."""
    return RoadNet(classes)
