"""Small networks for tests: a detector with a second head, and a classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn

CELL = 32


class TwoHeads(nn.Module):
    """One convolution a cell; the condition is read from its average."""

    def __init__(self, classes: int, conditions: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 16, CELL, CELL), nn.BatchNorm2d(16), nn.ReLU())
        self.cells = nn.Conv2d(16, 4 + classes, 1)
        self.condition = nn.Linear(16, conditions)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) to (B, cells, 4 + classes) and (B, conditions)."""
        seen = self.body(images)
        raw = self.cells(seen).flatten(2).transpose(1, 2)
        main = torch.cat([torch.relu(raw[..., :4]), raw[..., 4:]], dim=2)
        return main, self.condition(seen.mean(dim=(2, 3)))


class Classifier(nn.Module):
    """Logits of a label for the whole picture."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(nn.Conv2d(3, 16, CELL, CELL), nn.ReLU())
        self.classes = nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, classes)."""
        scores: Tensor = self.classes(self.body(images).mean(dim=(2, 3)))
        return scores


def two_heads(classes: int, conditions: int) -> nn.Module:
    """The factory of a detector with a condition head."""
    return TwoHeads(classes, conditions)


def classifier(classes: int) -> nn.Module:
    """The factory of a classifier."""
    return Classifier(classes)


def already_shares(classes: int) -> nn.Module:
    """A classifier that ends with its softmax, as many exported ones do."""
    return nn.Sequential(Classifier(classes), nn.Softmax(dim=1))


def swapped(classes: int, conditions: int) -> nn.Module:
    """A network whose outputs come in the wrong order."""

    class Swapped(TwoHeads):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            main, condition = super().forward(images)
            return condition, main

    return Swapped(classes, conditions)
