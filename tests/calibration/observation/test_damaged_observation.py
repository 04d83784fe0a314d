"""A damaged observation file is refused, and never read as another observation."""

from __future__ import annotations

import random

import numpy as np

from calibration.observation.observation import Observation, Subject, pack, unpack
from firmware_bridge.errors import NotTrusted


def observed() -> Observation:
    seen = Observation.empty(Subject("a" * 64, "b" * 64, "cpu", ("x", "y")))
    for histogram in seen.histograms.values():
        histogram.add(np.random.default_rng(0).normal(size=300).astype(np.float32))
    seen.frames["one"] = "c" * 64
    seen.extremes["one"] = np.zeros((2, 2), np.float32)
    return seen


def test_damaged_bytes_are_refused_or_change_nothing() -> None:
    whole = pack(observed())
    chance = random.Random(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            assert pack(unpack(bytes(damaged), source="it")) == whole
        except NotTrusted:
            refused += 1
    assert refused > 1800
