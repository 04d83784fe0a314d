"""RoadNet, this project's own compact anchor-free detector for pedestrians, vehicles and signs,
with a second head for the condition of the road.

Factories that missions name: number of labels and conditions in, a torch module out.
`converters.training` fits it, `edge.perception.decode` decodes its outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROADNET_STRIDES = (8, 16, 32)


class ConvBnRelu(nn.Sequential):
    """The only block: 3 x 3 convolution, batch normalisation, ReLU; folded and quantized as one."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class RoadNet(nn.Module):
    """Plain convolutions, three levels, one shared detection head; no channel count below 16
    (rule R10).

    Input (B, 3, H, W) float32, H and W multiples of 32, normalised as the mission says. Output
    (B, cells, 4 + classes): distances left, top, right, bottom of the cell's centre in strides
    (never negative), then class logits; cells level by level, row by row. With conditions, a pair:
    that and (B, conditions) logits of the whole picture.

    Args:
        classes: labels of objects.
        conditions: labels of the whole picture; 0: no second head.
        width: channels of the first stage; later ones follow in proportion.
        depth: convolutions of a stage after the one that halves the size.
    """

    def __init__(
        self, classes: int, conditions: int = 0, *, width: int = 24, depth: int = 1
    ) -> None:
        super().__init__()
        self.classes = classes
        levels = (2 * width, round(2.75 * width), 4 * width)
        self.stem = nn.Sequential(
            ConvBnRelu(3, 16, stride=2), ConvBnRelu(16, width, stride=2), ConvBnRelu(width, width)
        )
        self.stage8 = _stage(width, levels[0], depth)
        self.stage16 = _stage(levels[0], levels[1], depth)
        self.stage32 = _stage(levels[1], levels[2], depth)
        neck = 2 * width
        self.lateral = nn.ModuleList(ConvBnRelu(level, neck, kernel=1) for level in levels)
        self.smooth = nn.ModuleList(ConvBnRelu(neck, neck) for _ in ROADNET_STRIDES)
        self.head = ConvBnRelu(neck, neck)
        self.distances = nn.Conv2d(neck, 4, 1)
        self.logits = nn.Conv2d(neck, classes, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        nn.init.constant_(self.distances.bias, 1.5)  # type: ignore[arg-type] # bias is not None here
        # Focal loss needs rare positives at the start: sigmoid(-4) = 0.02 (arXiv:1708.02002, 4.1).
        nn.init.constant_(self.logits.bias, -4.0)  # type: ignore[arg-type] # as above
        self.condition = ConditionHead((levels[0], levels[2]), conditions) if conditions else None

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) to raw output (B, cells, 4 + classes), and (B, conditions) logits."""
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
        raw = torch.cat(rows, dim=1)
        return raw if self.condition is None else (raw, self.condition(level8, level32))


class ConditionHead(nn.Module):
    """Logits of the whole picture, from the means of a fine level (rain, snow) and the coarsest.

    The means are of non-negative features, so their INT8 ranges are tight.
    """

    def __init__(self, channels: tuple[int, int], conditions: int) -> None:
        super().__init__()
        self.squeeze = nn.ModuleList(ConvBnRelu(count, 32, kernel=1) for count in channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.logits = nn.Conv2d(64, conditions, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """Features (B, C, h, w) of two levels to (B, conditions)."""
        pooled = [
            self.pool(squeeze(level))
            for squeeze, level in zip(self.squeeze, (fine, coarse), strict=True)
        ]
        made: Tensor = self.logits(torch.cat(pooled, dim=1))
        return made.flatten(1)


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    halving = ConvBnRelu(inputs, outputs, stride=2)
    return nn.Sequential(halving, *(ConvBnRelu(outputs, outputs) for _ in range(depth)))


def roadnet(classes: int, conditions: int = 0) -> nn.Module:
    """RoadNet for this many labels and conditions; the factory that missions name."""
    return RoadNet(classes, conditions)


def roadnet_narrow(classes: int, conditions: int = 0) -> nn.Module:
    """RoadNet with two thirds of the channels."""
    return RoadNet(classes, conditions, width=16)


def roadnet_deep(classes: int, conditions: int = 0) -> nn.Module:
    """RoadNet with one more convolution in every stage."""
    return RoadNet(classes, conditions, depth=2)


def roadnet_wide(classes: int, conditions: int = 0) -> nn.Module:
    """RoadNet with a third more channels."""
    return RoadNet(classes, conditions, width=32)
