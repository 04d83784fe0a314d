"""Runs networks on one frame and decodes their raw outputs as the device does.

In: the picture of a frame and networks as functions. Out: `FrameOutputs`, which holds the raw
outputs of every network and decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.perception.decode import NetworkSpec, perceive, with_threshold
from edge.perception.preprocess import InputPlacement, PreprocessSpec, preprocess
from edge.perception.segmentation import MaskSpec
from edge.perception.values import BgrImage, Floats, Perception

RawOutputs = tuple[Floats, ...]
"""Raw outputs of one network for one frame, float32: main, then condition."""
RunNetwork = Callable[[Floats], RawOutputs]
"""A network as a function of its input (1, 3, H, W) float32."""


@dataclass(frozen=True)
class FrameOutputs:
    """What networks put out for one frame.

    Attributes:
        raw: name of a network -> its raw outputs.
        spec: how the outputs are decoded.
        placement: where the picture lies in the network input.
        input_size: width and height of the network input in pixels.
        frame_size: width and height of the frame in pixels.
    """

    raw: Mapping[str, RawOutputs]
    spec: NetworkSpec
    placement: InputPlacement
    input_size: tuple[int, int]
    frame_size: tuple[int, int]

    def output(self, row: int) -> dict[str, Floats]:
        """One raw output of every network: 0 the main one, -1 the last."""
        return {name: outputs[row] for name, outputs in self.raw.items()}

    def perceptions(self, *, score_min: float) -> dict[str, Perception]:
        """What every network perceives in the frame; Unknown where an output cannot be right.

        Args:
            score_min: detections below it are dropped. A segmentation network is decoded at 0.0:
                every pixel has its likeliest label.
        """
        threshold = 0.0 if isinstance(self.spec.main, MaskSpec) else score_min
        spec = with_threshold(self.spec, threshold)
        return {
            name: perceive(
                outputs,
                spec,
                placement=self.placement,
                input_size=self.input_size,
                frame_size=self.frame_size,
            )
            for name, outputs in self.raw.items()
        }


def run_networks(
    networks: Mapping[str, RunNetwork],
    image: BgrImage,
    spec: NetworkSpec,
    preprocess_spec: PreprocessSpec,
) -> FrameOutputs:
    """Preprocesses a picture (H, W, 3) uint8 BGR once and runs every network on it.

    Raises what a network raises.
    """
    x, placement = preprocess(image, preprocess_spec)
    return FrameOutputs(
        raw={name: network(x) for name, network in networks.items()},
        spec=spec,
        placement=placement,
        input_size=(preprocess_spec.width_px, preprocess_spec.height_px),
        frame_size=(image.shape[1], image.shape[0]),
    )
