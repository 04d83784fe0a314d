"""What the real TensorRT-RTX says of plans that it does not take; it needs no GPU to say so."""

from __future__ import annotations

from typing import Any

import pytest

from edge.backends.options import SessionOptions
from edge.backends.tensorrt_engine import Engine, import_tensorrt
from firmware_bridge.errors import DeviceFault

NO_DRIVER: Any = None
"""It is not asked before TensorRT has taken the plan."""


@pytest.fixture(scope="module")
def trt() -> Any:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: extra [rtx]")
    return import_tensorrt("tensorrt_rtx")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (b"", "Cannot deserialize with an empty memory buffer"),
        (b"vtrt" + bytes(200), "plan.header.size == blobSize failed"),
        (b"ftrt" + bytes(200), "header.magicTag == kEXPECTED_MAGIC_TAG failed"),
    ],
    ids=["nothing", "cut short", "another TensorRT's"],
)
def test_its_own_words_are_in_the_refusal(plan: bytes, words: str, trt: Any) -> None:
    engine = Engine(trt, NO_DRIVER, name="road.plan")
    with pytest.raises(DeviceFault, match=r"road\.plan cannot be loaded") as refused:
        engine.load(plan, SessionOptions())
    assert words in refused.value.found
    assert f"tensorrt_rtx {trt.__version__}" in refused.value.expected
    assert "\n" not in refused.value.found
    engine.close()
