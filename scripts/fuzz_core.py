"""Compares the microcontroller's core with a model of docs/link.md on random sequences of inputs.

    .venv/bin/python scripts/fuzz_core.py --updates 5000000 --seed 1000000

A life is one such sequence from boot on. Exits with 0 where both agree on every byte, else with 1,
printing the first difference and its seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "firmware_bridge" / "samples")]

from core_fuzz import UPDATES_A_LIFE, disagreement, life  # noqa: E402 the path comes first

from firmware_bridge.emulation.build import build_firmware, default_build_folder  # noqa: E402

LIVES_AT_ONCE = 200


def main(argv: list[str]) -> int:
    """Run the comparison; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--updates", type=int, default=1_000_000, help="how many updates")
    parser.add_argument("--seed", type=int, default=0, help="the first life's seed")
    parser.add_argument("--program", type=Path, help="a probe that is already built")
    options = parser.parse_args(argv)
    program = options.program or build_firmware(default_build_folder(), target="probe")
    lives = max(1, options.updates // UPDATES_A_LIFE)
    began = time.monotonic()
    for first in range(0, lives, LIVES_AT_ONCE):
        seeds = range(options.seed + first, options.seed + min(first + LIVES_AT_ONCE, lives))
        differs = disagreement(program, [life(seed) for seed in seeds])
        if differs is not None:
            print(differs)
            return 1
    updates, seconds = lives * UPDATES_A_LIFE, time.monotonic() - began
    print(f"{lives} lives, {updates} updates: core and document agree ({seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
