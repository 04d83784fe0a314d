"""Networks as people save them pass the checks of files: convolutional and transformer backbones,
detection and segmentation heads, recurrent layers, scripted, traced and exported. One of each kind
goes through the confined process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its usual name

from converters.sources.pytorch.confined_network import ConfinedNetwork
from converters.sources.pytorch.exported_program import load_program, sanitize_program
from converters.sources.pytorch.torchscript import load_torchscript, sanitize_torchscript

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:.*nested tensor.*:UserWarning"),
]

SHAPE = (1, 3, 32, 32)


class Residual(nn.Module):
    """Convolutions of every kind, normalisation, pooling, attention over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, "valid"), nn.BatchNorm2d(16), nn.SiLU())
        self.grouped = nn.Conv2d(16, 16, 3, padding="same", groups=16, padding_mode="reflect")
        self.norm = nn.GroupNorm(4, 16)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 4, 1), nn.ReLU6(inplace=True),
            nn.Conv2d(4, 16, 1), nn.Hardsigmoid(),
        )  # fmt: skip
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.drop = nn.Dropout2d(0.1)
        self.head = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = x + F.hardswish(self.norm(self.grouped(x)))
        x = x * self.squeeze(x)
        if x.shape[2] % 2 == 1:
            x = F.pad(x, [0, 1, 0, 1])
        x = F.avg_pool2d(F.max_pool2d(self.up(self.drop(x)), 2), 2)
        return self.head(torch.flatten(x.mean([2, 3]), 1)).log_softmax(dim=-1)


class Attentive(nn.Module):
    """Patches, a position, multi-head attention, einsum, rolled windows."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 8, 8)
        self.position = nn.Parameter(torch.zeros(1, 16, 24))
        layer = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.attention = nn.MultiheadAttention(24, 4, batch_first=True)
        self.last = nn.LayerNorm(24)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2) + self.position
        x = self.encoder(x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        shifted = torch.roll(x.view(1, 4, 4, 24), shifts=(1, 1), dims=(1, 2)).reshape(1, 16, 24)
        scores = torch.einsum("bic,bjc->bij", x, shifted).softmax(-1)
        mixed = F.scaled_dot_product_attention(x, shifted, shifted) + scores @ x
        return self.last(mixed).mean(dim=1)


class Detecting(nn.Module):
    """Several levels, a decoder with grids, the best cells, boxes held to the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)])
        self.lateral = nn.ModuleDict({"small": nn.Conv2d(8, 8, 1), "large": nn.Conv2d(8, 8, 1)})
        self.cells = nn.Conv2d(8, 6, 1)
        self.register_buffer("anchors", torch.tensor([[4.0, 4.0], [8.0, 8.0]]))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        levels = []
        x = images
        for layer in self.body:
            x = F.leaky_relu(layer(x), 0.1)
            levels.append(x)
        large = self.lateral["large"](levels[0])
        grown = F.interpolate(self.lateral["small"](levels[1]), size=large.shape[-2:])
        raw = self.cells(large + grown)
        height, width = raw.shape[-2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        grid = torch.stack([columns, rows], dim=0).unsqueeze(0).to(raw.dtype)
        centers = (raw[:, :2].sigmoid() * 2 - 0.5 + grid) * 2.0
        sizes = (raw[:, 2:4].clamp(max=4.0).exp()) * self.anchors[0].view(1, 2, 1, 1)
        boxes = torch.cat([centers - sizes / 2, centers + sizes / 2], 1).flatten(2).permute(0, 2, 1)
        scores = raw[:, 4:].sigmoid().flatten(2).amax(dim=1)
        best, where = torch.topk(scores, 10, dim=1)
        kept = torch.gather(boxes, 1, where.unsqueeze(-1).expand(-1, -1, 4)).clamp(0.0, 32.0)
        return kept, torch.where(best > 0.05, best, torch.zeros_like(best))


class Segmenting(nn.Module):
    """Dilated convolutions, bilinear growth, outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, 2, 2, dilation=2, bias=False)
        self.norm = nn.InstanceNorm2d(8, affine=True)
        self.act = nn.PReLU(8)
        self.shuffled = nn.Conv2d(8, 16, 1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        x = self.act(self.norm(self.body(images)))
        x = F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
        mask = self.shuffle(self.shuffled(x))
        return {"out": F.interpolate(mask, size=(32, 32), mode="bicubic"), "aux": x}


class Recurrent(nn.Module):
    """A state over columns, a loop over a list, an embedding of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 8, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 8, batch_first=True)
        self.places = nn.Embedding(8, 8)

    def forward(self, images: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(images, (4, 8)).permute(0, 3, 1, 2).flatten(2)
        x, _ = self.lstm(x)
        x, state = self.gru(x)
        x = x + self.places(torch.arange(8))
        total = state[0]
        for step in range(4):
            total = torch.lerp(total, x[:, step], 0.5)
        return F.normalize(total, dim=-1)


def script(network: nn.Module, path: Path) -> Path:
    torch.jit.save(torch.jit.script(network), path)
    return path


def trace(network: nn.Module, path: Path) -> Path:
    torch.jit.save(
        torch.jit.trace(network, torch.zeros(SHAPE), strict=False, check_trace=False), path
    )
    return path


def export(network: nn.Module, path: Path) -> Path:
    torch.export.save(torch.export.export(network, (torch.zeros(SHAPE),)), path)
    return path


def first(found: object) -> Tensor:
    """The main output."""
    if isinstance(found, dict):
        found = next(iter(found.values()))
    elif isinstance(found, tuple | list):
        found = found[0]
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize("how", [script, trace, export])
@pytest.mark.parametrize("made", [Residual, Attentive, Detecting, Segmenting, Recurrent])
def test_it_loads_and_computes_as_before(
    made: type[nn.Module], how: Callable[[nn.Module, Path], Path], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = made().eval()
    path = how(network, tmp_path / "n.pt2")
    if how is export:
        loaded = load_program(sanitize_program(path), path, SHAPE)
    else:
        loaded = load_torchscript(sanitize_torchscript(path), path)
    images = torch.rand(SHAPE)
    with torch.inference_mode():
        wanted, found = first(network(images)), first(loaded(images))
    np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-4)


@pytest.mark.parametrize("how", [script, export])
def test_it_runs_is_exported_and_looked_into_in_its_process(
    how: Callable[[nn.Module, Path], Path], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = Residual().eval()
    path = how(network, tmp_path / "n.pt2")
    kind, plain = (
        ("exported", sanitize_program(path)) if how is export
        else ("torchscript", sanitize_torchscript(path))
    )  # fmt: skip
    there = ConfinedNetwork(kind, plain, path, SHAPE)
    images = torch.rand(SHAPE)
    with torch.inference_mode():
        wanted = network(images).numpy()
    np.testing.assert_allclose(there(images)[0].numpy(), wanted, atol=1e-5)
    model = there.export(SHAPE, ["scores"])
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.output] == ["scores"]
    form = there.form(SHAPE, ["scores"])
    names = [name for name in form.tensors if name.startswith("conv2d")]
    assert len(names) >= 3
    assert all(one.ndim == 4 for one in form.values(images.numpy(), names))
