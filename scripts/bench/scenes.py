"""Times generated stills: 640 x 384 pixels, one OpenCV thread, every weather and light.

Exits 1 where the median is over the budget of 15 ms. There is no peer: no other package that
installs here draws labelled road stills on a CPU.

usage: scripts/bench/scenes.py [--stills N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import cv2
from rich.console import Console
from rich.table import Table

from edge.perception.conditions import LIGHTS, WEATHERS, Conditions
from edge.scenes.still import still

BUDGET_MS = 15.0


def measure(seeds: range) -> dict[tuple[str, str], list[float]]:
    """Milliseconds of each still, by weather and light; the first of each pair warms caches."""
    times: dict[tuple[str, str], list[float]] = {}
    for weather in WEATHERS:
        for light in LIGHTS:
            conditions = Conditions(weather, light)
            still(seeds.start, conditions=conditions)
            rows = times.setdefault((weather, light), [])
            for seed in seeds:
                began = time.perf_counter()
                still(seed, conditions=conditions)
                rows.append((time.perf_counter() - began) * 1e3)
    return times


def main() -> None:
    """Print the table; `--json` writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stills", type=int, default=20, help="of each weather and light")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    times = measure(range(1, arguments.stills + 1))
    everything = sorted(value for rows in times.values() for value in rows)
    median = statistics.median(everything)
    p95 = everything[int(0.95 * (len(everything) - 1))]
    table = Table("weather", *LIGHTS, title="median ms of a still, 640 x 384, one thread")
    for weather in WEATHERS:
        table.add_row(weather, *(f"{statistics.median(times[weather, x]):.1f}" for x in LIGHTS))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"all: median {median:.1f} ms, p95 {p95:.1f} ms, budget {BUDGET_MS:g} ms")
    if arguments.json:
        by_pair = {f"{w}/{x}": statistics.median(rows) for (w, x), rows in times.items()}
        figures = {"median_ms": median, "p95_ms": p95, "budget_ms": BUDGET_MS, "median_of": by_pair}
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
    raise SystemExit(0 if median <= BUDGET_MS else 1)


if __name__ == "__main__":
    main()
