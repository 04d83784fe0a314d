"""Devices: the providers requested of onnxruntime, refusals, and no silent fallback to the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from small_network import SPEC, TENSORS, painted, small_mission, small_network

from calibration.inference.devices import CPU, CUDA, DEVICES, device_by_name, require_device
from calibration.inference.sessions import ModelSession
from calibration.observation.observe import subject_of
from calibration.ranges.calibrate import calibrate
from edge.backends import integer_products
from edge.cli import main
from firmware_bridge.errors import Missing, UsageError

without_cuda = pytest.mark.skipif(
    CUDA.provider in onnxruntime.get_available_providers(), reason="onnxruntime has CUDA here"
)


def test_a_device_is_named_or_refused() -> None:
    assert device_by_name("cpu") == CPU
    with pytest.raises(UsageError, match="no device is called 'gpu'") as refused:
        device_by_name("gpu")
    assert refused.value.expected == " or ".join(DEVICES)


@without_cuda
def test_cuda_without_its_provider_is_missing_and_says_what_to_install() -> None:
    with pytest.raises(Missing, match="cannot run on CUDA") as refused:
        device_by_name("cuda")
    assert "pip install onnxruntime-gpu" in refused.value.remedy
    with pytest.raises(Missing, match="cannot run on CUDA"):
        ModelSession(small_network().SerializeToString(), threads=1, device=CUDA)


@without_cuda
def test_the_verb_refuses_cuda_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", "mission.toml", "--out", str(out), "--device", "cuda"])
    assert ended.value.code == 3
    assert not out.exists()


def test_a_provider_that_a_session_has_dropped_is_refused() -> None:
    require_device(CUDA, ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(Missing, match="CUDA"):
        require_device(CUDA, ["CPUExecutionProvider"])


def test_a_session_is_asked_for_its_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    class Session:
        def __init__(
            self, model: bytes, options: onnxruntime.SessionOptions, **given: object
        ) -> None:
            fallback = options.get_session_config_entry("session.disable_cpu_ep_fallback")
            asked.update(given, no_cpu=fallback)

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]  # as onnxruntime answers where the driver is missing

    integer_products.session_options()  # tries a session of its own, once in a process
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA.provider])
    with pytest.raises(Missing, match="CUDA"):
        ModelSession(b"", threads=1, device=CUDA)
    assert asked == {
        "providers": [("CUDAExecutionProvider", {"use_tf32": "0"})],
        "enable_fallback": 0,
        "no_cpu": "1",
    }


def test_observations_of_two_devices_are_not_joined() -> None:
    one, other = (
        subject_of(small_network(), TENSORS, SPEC, device=device) for device in (CPU, CUDA)
    )
    assert one != other


@pytest.mark.gpu
def test_cuda_finds_the_ranges_of_the_cpu(tmp_path: Path) -> None:
    if CUDA.provider not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime has no CUDA here")
    mission, frames = small_mission(tmp_path), painted(12)
    found = []
    for device in (CPU, CUDA):
        done = calibrate(
            small_network(), TENSORS, frames, mission, progress=lambda *_: None, device=device
        )
        found.append([done.ranges.tensors[name].amax for name in TENSORS])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-2)
