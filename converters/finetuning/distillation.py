"""Distillation loss: differentiable distance of an INT8 network's outputs from those of float, the
teacher.

Takes raw outputs of both as torch tensors, no labels; returns a scalar. The quantities are those of
`converters.quantization.search.task_loss`: cells and pixels are weighted by float's score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 # torch's own name for it
from torch import Tensor

from converters.training.tasks.detection_loss import giou
from edge.contract.mission.sections.model import Model
from edge.perception.classification import HeadSpec
from edge.perception.decode import DECODERS, DecodeSpec, cells
from edge.perception.segmentation import MaskSpec

SMALLEST = 1e-6
"""Scores are clipped this far from 0 and 1 in logarithms and roots."""

Boxes = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Raw output (B, N, V), grid (N, 2), stride (N, 1) -> boxes (B, N, 4) xyxy, scores (B, N, C)."""

Loss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]
"""Raw outputs of float and of INT8 for the same pictures -> a scalar."""


def _yolox(raw: Tensor, grid: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
    centre = (raw[..., :2] + grid) * stride
    # e^8 cells exceed any picture; an infinite size would have no gradient.
    half = raw[..., 2:4].clamp(max=8.0).exp() * stride / 2.0
    return torch.cat([centre - half, centre + half], dim=-1), raw[..., 4:5] * raw[..., 5:]


def _roadnet(raw: Tensor, grid: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
    centre = (grid + 0.5) * stride
    boxes = [centre - raw[..., :2] * stride, centre + raw[..., 2:4] * stride]
    return torch.cat(boxes, dim=-1), raw[..., 4:].sigmoid()


def _fastestdet(raw: Tensor, grid: Tensor, stride: Tensor) -> tuple[Tensor, Tensor]:
    centre = (grid + raw[..., 1:3].tanh()) * stride
    half = (grid.amax(dim=0) + 1.0) * stride * raw[..., 3:5].sigmoid() / 2.0
    held, shares = raw[..., :1].clamp(min=SMALLEST), raw[..., 5:].clamp(min=SMALLEST)
    return torch.cat([centre - half, centre + half], dim=-1), held**0.6 * shares**0.4


BOXES: dict[str, Boxes] = {"yolox": _yolox, "roadnet": _roadnet, "fastestdet": _fastestdet}
"""Kind of decoder -> boxes and scores, by the same formulas as the decoder's `arithmetic`."""


def output_loss(model: Model) -> Loss:
    """The sum of the losses of the network's heads."""
    spec = model.network_spec
    heads: list[Callable[[Tensor, Tensor], Tensor]] = []
    if isinstance(spec.main, DecodeSpec):
        heads.append(_detector(spec.main, model.input.width_px, model.input.height_px))
    if isinstance(spec.main, MaskSpec):
        heads.append(_segmenter)
    heads += [_classifier] * (isinstance(spec.main, HeadSpec) + (spec.condition is not None))

    def loss(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> Tensor:
        each = [head(*pair) for head, *pair in zip(heads, wanted, found, strict=True)]
        return torch.stack(each).sum()

    return loss


def _detector(
    spec: DecodeSpec, width_px: int, height_px: int
) -> Callable[[Tensor, Tensor], Tensor]:
    boxes_of = BOXES[spec.kind]
    layout = DECODERS[spec.kind].layout
    grid, stride = (torch.from_numpy(v) for v in cells(spec.strides, width_px, height_px))

    def rows(raw: Tensor) -> Tensor:
        return raw if layout == "rows" else raw.flatten(2).transpose(1, 2)

    def of_two(wanted: Tensor, found: Tensor) -> Tensor:
        boxes, scores = boxes_of(rows(wanted), grid, stride)
        other_boxes, other_scores = boxes_of(rows(found), grid, stride)
        weight = scores.amax(dim=-1)
        sure = weight.sum().clamp(min=1.0)
        apart = _divergence(scores, other_scores).sum() / sure
        flat = giou(boxes.reshape(-1, 4), other_boxes.reshape(-1, 4)).reshape(weight.shape)
        return apart + (weight * (1.0 - flat)).sum() / sure

    return of_two


def _divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """Kullback-Leibler divergence of scores as Bernoulli probabilities, value by value."""
    p, q = (score.clamp(SMALLEST, 1.0 - SMALLEST) for score in (wanted, found))
    return p * (p / q).log() + (1.0 - p) * ((1.0 - p) / (1.0 - q)).log()


def _classifier(wanted: Tensor, found: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the softmax shares, mean over pictures."""
    p, q = F.log_softmax(wanted, dim=-1), F.log_softmax(found, dim=-1)
    return F.kl_div(q, p, log_target=True, reduction="batchmean")


def _segmenter(wanted: Tensor, found: Tensor) -> Tensor:
    """Kullback-Leibler divergence of each pixel's softmax shares, mean over pixels."""
    p, q = F.log_softmax(wanted, dim=1), F.log_softmax(found, dim=1)
    return F.kl_div(q, p, log_target=True, reduction="none").sum(dim=1).mean()


def feature_loss(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> Tensor:
    """Mean over inner tensors of the noise-to-signal power ratio; a scalar.

    Outputs of a network that INT8 ruined are constant and give no gradient; its inner tensors do.
    """
    return torch.stack(
        [
            (mine - theirs).square().mean() / theirs.square().mean().clamp(min=1e-12)
            for theirs, mine in zip(wanted, found, strict=True)
        ]
    ).mean()
