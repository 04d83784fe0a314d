"""The calibration stage as a whole: its frames, stop, refusals and resumption."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_network import TENSORS, PaintedFrame, painted, small_mission, small_network

from calibration.observation.observation import pack, read_observation, write_observation
from calibration.observation.sampling import SETTLED, STEP_FRAMES, in_quotas, stratum
from calibration.ranges import calibrate as module
from calibration.ranges.calibrate import ObservedCalibration, calibrate
from calibration.ranges.methods.table import METHODS
from calibration.ranges.plot import plot
from calibration.ranges.ranges import require_fresh
from edge.contract.artifact import canonical_json
from edge.perception.conditions import Conditions
from edge.perception.values import BgrImage
from firmware_bridge.errors import NotTrusted, UsageError


def quiet(what: str, done: int, total: int) -> None:
    pass


def calibrated(
    folder: Path, frames: list[PaintedFrame], *settings: str, state: Path | None = None
) -> ObservedCalibration:
    mission = small_mission(folder, *settings)
    return calibrate(small_network(), TENSORS, frames, mission, progress=quiet, state=state)


def ranges_bytes(found: ObservedCalibration) -> bytes:
    return canonical_json(found.ranges.to_json())


def in_weather(weather: str, seeds: range, group: str) -> list[PaintedFrame]:
    where = Conditions(weather=weather)
    return [PaintedFrame(seed, group=group, conditions=where) for seed in seeds]


def test_every_beginning_holds_all_conditions_and_drives_evenly() -> None:
    frames = [
        *in_weather("clear", range(40), "a"),
        *in_weather("clear", range(100, 110), "b"),
        *in_weather("fog", range(200, 206), "c"),
    ]
    order = in_quotas(frames, seed=3)
    assert sorted(frame.name for frame in order) == sorted(frame.name for frame in frames)
    first = order[:12]
    assert [stratum(frame) for frame in first].count("fog") == 6
    assert [frame.group for frame in first].count("b") == 3
    assert in_quotas(frames[::-1], seed=3) == order
    assert in_quotas(frames, seed=4) != order


def test_stops_once_the_ranges_stand_still(tmp_path: Path) -> None:
    alike = painted(400)
    found = calibrated(tmp_path, alike, 'calibration.method="percentile"')
    sampling = found.sampling
    assert sampling.settled
    assert len(sampling.frames) < 400
    assert found.ranges.frames == tuple(sorted(sampling.frames))
    assert [row[1] < SETTLED for row in sampling.curve[-2:] if row[1] is not None] == [True, True]
    assert any(row[1] is not None and row[1] >= SETTLED for row in sampling.curve[:-2])


def test_a_late_bright_frame_is_named_as_what_moved_the_ranges(tmp_path: Path) -> None:
    frames = [PaintedFrame(seed, brightness=0.2) for seed in range(STEP_FRAMES * 2)]
    late = in_quotas(frames, seed=0)[STEP_FRAMES + 3].name
    seed = int(late.removeprefix("painted-"))
    frames[seed] = PaintedFrame(seed, brightness=1.0)
    found = calibrated(tmp_path, frames, 'calibration.method="max"')
    assert not found.sampling.settled
    (moved,) = found.sampling.moves
    # Darkness is as far from the mean as brightness, so the picture's own range stands still.
    assert "picture" not in {one.tensor for one in moved}
    assert {one.frame for one in moved} == {late}
    assert found.sampling.to_json()["curve"][1]["tensors_moved"] == len(moved)


@dataclasses.dataclass(frozen=True)
class Given(PaintedFrame):
    """A frame of a given kind of picture."""

    kind: str = "constant"

    def read(self) -> BgrImage:
        if self.kind == "constant":
            return np.full((48, 48, 3), 90, np.uint8)
        if self.kind == "random":
            random = np.random.default_rng(self.seed)
            return random.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        return PaintedFrame(0).read()


@pytest.mark.parametrize("kind", ["constant", "random", "duplicate"])
def test_a_set_that_is_not_of_the_road_is_refused(tmp_path: Path, kind: str) -> None:
    frames: list[PaintedFrame] = [Given(seed, kind=kind) for seed in range(20)]
    with pytest.raises(UsageError, match="not fit to calibrate on") as refused:
        calibrated(tmp_path, frames)
    assert (
        "same picture" in refused.value.found
        if kind == "duplicate"
        else kind in refused.value.found
    )


def test_an_empty_or_tiny_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no frame"):
        calibrated(tmp_path, [])
    with pytest.raises(UsageError, match="not fit"):
        calibrated(tmp_path, painted(7))


def test_a_few_unfit_frames_are_left_out_and_named(tmp_path: Path) -> None:
    frames = [*painted(24), Given(90, kind="random"), Given(91, kind="duplicate")]
    found = calibrated(tmp_path, frames)
    assert found.left_out.pop("painted-00090") == "random"
    ((name, why),) = found.left_out.items()  # of two that are the same, the later by quotas
    assert {name, why.removeprefix("the same picture as ")} == {"painted-00000", "painted-00091"}
    amax = {name: one.amax for name, one in found.ranges.tensors.items()}
    whole = calibrated(tmp_path, painted(24)).ranges.tensors
    assert amax == {name: one.amax for name, one in whole.items()}


class Stopped(Exception):
    pass


@pytest.mark.parametrize("method", ["max", "percentile", "auto"])
def test_work_that_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    state = tmp_path / "observation.npz"
    mission = small_mission(tmp_path, f'calibration.method="{method}"')
    frames = painted(40)

    def run(stop_at: int | None) -> tuple[ObservedCalibration, int]:
        looked = 0

        def progress(what: str, done: int, total: int) -> None:
            nonlocal looked
            if what != "observe":
                return
            looked += 1
            if stop_at is not None and done >= stop_at:
                raise Stopped

        return (
            calibrate(small_network(), TENSORS, frames, mission, progress=progress, state=state),
            looked,
        )

    for stop_at in (5, 22):  # within the first step, and within the second
        with pytest.raises(Stopped):
            run(stop_at)
        assert 3 <= len(read_observation(state).frames) <= stop_at + 4
    resumed, looked = run(None)
    assert looked < 40
    whole = calibrate(small_network(), TENSORS, frames, mission, progress=quiet)
    assert ranges_bytes(resumed) == ranges_bytes(whole)
    assert pack(resumed.observation) == pack(whole.observation)
    assert resumed.sampling == whole.sampling
    again, looked = run(None)
    assert looked == 0
    assert ranges_bytes(again) == ranges_bytes(whole)


@pytest.mark.parametrize("other", ["frames", "content", "model", "method", "damaged"])
def test_state_of_other_work_is_not_used(tmp_path: Path, other: str) -> None:
    state = tmp_path / "observation.npz"
    frames = painted(20)
    settings = ['calibration.method="max"'] if other == "method" else []
    calibrated(tmp_path, painted(22) if other == "frames" else frames, *settings, state=state)
    if other == "content":
        frames[1] = PaintedFrame(1, brightness=0.5)
    elif other == "model":
        seen = read_observation(state)
        seen.subject = dataclasses.replace(seen.subject, model="0" * 64)
        write_observation(state, seen)
    elif other == "damaged":
        state.write_bytes(state.read_bytes()[:-100])
    found, fresh = calibrated(tmp_path, frames, state=state), calibrated(tmp_path, frames)
    assert pack(found.observation) == pack(fresh.observation)
    assert ranges_bytes(found) == ranges_bytes(fresh)


def test_stale_ranges_are_refused_and_say_what_differs(tmp_path: Path) -> None:
    frames = painted(12)
    old = calibrated(tmp_path, frames).ranges
    frames[3] = PaintedFrame(3, brightness=0.9)
    fresh = calibrated(tmp_path, frames, 'calibration.method="mse"').ranges
    require_fresh(old, old, source="ranges.json")
    with pytest.raises(NotTrusted, match=r"ranges\.json is stale") as refused:
        require_fresh(old, fresh, source="ranges.json")
    assert "method percentile" in refused.value.found
    assert f"data {old.data}" in refused.value.found
    assert "model" not in refused.value.found


def test_auto_says_what_it_took(tmp_path: Path) -> None:
    found = calibrated(tmp_path, painted(16), 'calibration.method="auto"')
    chosen = found.ranges.method_of
    assert set(chosen) == set(TENSORS)
    for tensor, name in chosen.items():
        amax = METHODS[name](found.observation.histograms[tensor], 99.99)
        assert found.ranges.tensors[tensor].amax == float(np.float32(amax))


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_plot_of_the_same_ranges_is_the_same_file(tmp_path: Path, suffix: str) -> None:
    found = calibrated(tmp_path, painted(16))
    paths = [tmp_path / f"{name}.{suffix}" for name in ("one", "two")]
    for path in paths:
        plot(found.ranges, found.observation, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert paths[0].stat().st_size > 5_000
    other = calibrated(tmp_path, painted(17))
    with pytest.raises(UsageError, match="were not taken from this observation"):
        plot(found.ranges, other.observation, paths[0])
    with pytest.raises(UsageError, match="cannot draw"):
        plot(found.ranges, found.observation, tmp_path / "ranges.gif")
