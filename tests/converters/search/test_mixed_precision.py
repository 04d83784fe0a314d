"""Which layers stay in float: the one that ruins the result is found and is enough."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from onnx import ModelProto
from ruined_layer import FRAMES, difference, network, range_of_part, ranges_of, writers
from tiny_graphs import run

from calibration.ranges.ranges import Range
from converters.graph.index import Graph
from converters.lowerings.cpu import quantize_cpu
from converters.quantization.bias_correction import correct_bias
from converters.quantization.placement import MEASURED, place
from converters.quantization.qdq import quantize_int8
from converters.quantization.range_scaling import RANGE_SCALES, scaled_ranges
from converters.search.candidate import better_bias
from converters.search.evaluator import Evaluator
from converters.search.mixed_precision import MixedPrecision, search_mixed_precision
from converters.search.sensitivity import sensitivities
from converters.search.stop_criterion import TaskLossAim
from converters.search.task_loss import LOST, NOISE, TaskLoss, task_loss_measure
from edge.contract.mission.loading import load_mission
from edge.perception.values import Floats


def chosen(
    model: ModelProto, *, task_loss_max: float, macs_int8_min: float = 0.1, narrowed: float = 1.0
) -> MixedPrecision:
    evaluator = Evaluator(model, FRAMES, difference, threads=1)
    return search_mixed_precision(
        model,
        writers(model, narrowed=narrowed),
        evaluator,
        FRAMES,
        macs_int8_min=macs_int8_min,
        aim=TaskLossAim(task_loss_max),
        threads=1,
        progress=lambda *_: None,
    )


class TestSensitivity:
    def test_any_number_of_threads_judges_the_same(self) -> None:
        model = network()
        candidate = quantize_int8(model, place(model), ranges_of(model))
        found = {
            Evaluator(model, FRAMES, difference, threads=threads).task_loss(candidate)
            for threads in (1, 2, 5)
        }
        assert len(found) == 1
        assert found.pop() > 0.0

    def test_the_layer_that_int8_ruins_is_the_worst_by_far(self) -> None:
        model = network()
        evaluator = Evaluator(model, FRAMES, difference, threads=1)
        told: list[tuple[str, int, int]] = []
        layers = sensitivities(
            model,
            place(model),
            writers(model)(1.0)[0],
            evaluator,
            progress=lambda *step: told.append(step),
        )
        convolutions = [one.name for one in model.graph.node if one.op_type == "Conv"]
        assert [layer.node for layer in layers] == convolutions
        worst = max(layers, key=lambda layer: layer.task_loss)
        rest = [layer.task_loss for layer in layers if layer is not worst]
        assert worst.node == second(model)
        assert worst.task_loss > 5.0 * max(rest)
        assert told[-1] == ("sensitivity", 3, 3)


def second(model: ModelProto) -> str:
    return [one.name for one in model.graph.node if one.op_type == "Conv"][1]


class TestChoice:
    def test_it_leaves_that_layer_in_float_and_says_why(self) -> None:
        model = network()
        mixed = chosen(model, task_loss_max=0.05)
        assert mixed.search.reached
        left = {one.node: one for one in mixed.placement.left_float}
        assert second(model) in left
        assert left[second(model)].rule == MEASURED
        assert "task loss" in left[second(model)].why
        assert 0 < len(mixed.placement.macs_of) < 3
        assert mixed.search.steps[-1].task_loss <= 0.05 < mixed.search.steps[0].task_loss

    def test_a_generous_aim_leaves_everything_in_int8(self) -> None:
        mixed = chosen(network(), task_loss_max=2.0)
        assert mixed.search.steps[-1].float_layers == 0
        assert mixed.placement.macs_int8 == mixed.placement.macs

    def test_an_aim_out_of_reach_is_said_and_the_least_task_loss_is_taken(self) -> None:
        mixed = chosen(network(), task_loss_max=1e-9)
        assert not mixed.search.reached
        assert mixed.search.steps[-1].task_loss == min(
            step.task_loss for step in mixed.search.steps
        )

    def test_the_share_in_int8_is_kept(self) -> None:
        model = network()
        whole = place(model)
        share = 1.0 - whole.macs_of[second(model)] / whole.macs + 0.01
        mixed = chosen(model, task_loss_max=0.05, macs_int8_min=share)
        assert mixed.placement.macs_int8 >= share * whole.macs
        assert not mixed.search.reached

    def test_twice_the_same(self) -> None:
        one, other = (chosen(network(), task_loss_max=0.05) for _ in range(2))
        assert one.quantized.SerializeToString() == other.quantized.SerializeToString()
        assert one.search.steps == other.search.steps


class TestWays:
    """How weights are rounded and how far ranges reach is measured where INT8 is to be."""

    @pytest.mark.parametrize("narrowed", [0.6, 0.8, 1.0])
    def test_the_way_that_is_taken_does_the_least_task_loss_there(self, narrowed: float) -> None:
        model = network()
        mixed = chosen(model, task_loss_max=0.05, narrowed=narrowed)
        evaluator = Evaluator(model, FRAMES, difference, threads=1)
        all_of_them = [
            better_bias(model, write, mixed.placement, evaluator, FRAMES, threads=1).task_loss
            for range_scale in RANGE_SCALES
            for write in writers(model, narrowed=narrowed)(range_scale)
        ]
        assert mixed.best.task_loss <= min(all_of_them) / (1.0 - NOISE)
        assert mixed.best.task_loss == mixed.search.steps[-1].task_loss
        assert evaluator.task_loss(mixed.quantized) == mixed.best.task_loss

    def test_ranges_that_cut_off_too_much_are_widened(self) -> None:
        """Three fifths of what occurs: once the layer that INT8 ruins is in float, the widest that
        is tried loses least."""
        assert (
            chosen(network(), task_loss_max=0.05, narrowed=0.6).search.range_scale
            == RANGE_SCALES[-1]
        )

    def test_ranges_that_reach_as_far_as_what_was_seen_stay(self) -> None:
        model = network()
        assert chosen(model, task_loss_max=0.05).search.range_scale == 1.0
        ranges = ranges_of(model)
        assert scaled_ranges(ranges, 2.0) == ranges

    def test_a_wider_range_keeps_within_what_was_seen(self) -> None:
        narrow = Range(1.0, -0.2, 1.0, -0.2, 1.1, 9)
        assert scaled_ranges({"x": narrow}, 1.05)["x"] == Range(1.05, -0.2, 1.05, -0.2, 1.1, 9)
        assert scaled_ranges({"x": narrow}, 1.5)["x"] == Range(1.1, -0.2, 1.1, -0.2, 1.1, 9)


class TestBiasCorrection:
    @pytest.mark.parametrize("writer", [quantize_int8, quantize_cpu])
    def test_the_mean_of_every_layer_is_that_of_float(self, writer) -> None:  # type: ignore[no-untyped-def] # a quantizer
        """Ranges that clip shift every mean; corrected, the last layer's is back."""
        model = network()
        wide = ranges_of(model)
        clipped = {
            name: range_of_part(one, 0.5) if name == "r1" else one for name, one in wide.items()
        }
        placement = place(model)
        quantize = partial(writer, placement=placement, ranges=clipped)
        corrected = correct_bias(model, placement, quantize, FRAMES, threads=1)
        means = [
            np.mean([run(graph, x) for x in FRAMES], axis=0)
            for graph in (model, quantize(model), quantize(corrected))
        ]
        before, after = (np.abs(mean - means[0]).mean() for mean in means[1:])
        assert after < 0.7 * before

    def test_float_stays_as_it_was(self) -> None:
        model = network()
        before = model.SerializeToString()
        placement = place(model)
        ranges = ranges_of(model)
        changed = correct_bias(
            model,
            placement,
            lambda graph: quantize_int8(graph, placement, ranges),
            FRAMES,
            threads=1,
        )
        assert model.SerializeToString() == before
        names = {one.name for one in Graph(changed).nodes}
        assert names == {one.name for one in Graph(model).nodes}

    @pytest.mark.parametrize("misled", [False, True])
    def test_it_is_not_used_where_it_does_harm(self, misled: bool) -> None:
        """The means of pictures that are like none of the judge's are the wrong ones."""
        model = network()
        placement, ranges = place(model), ranges_of(model)
        evaluator = Evaluator(model, FRAMES, difference, threads=1)
        pictures = [np.full_like(FRAMES[0], -3.0)] if misled else FRAMES
        quantize = partial(quantize_int8, ranges=ranges)
        best = better_bias(model, quantize, placement, evaluator, pictures, threads=1)
        assert best.corrected is not misled
        assert evaluator.task_loss(best.quantized) == best.task_loss
        assert best.task_loss <= evaluator.task_loss(quantize(model, placement))


class TestTaskLoss:
    @pytest.fixture
    def measure(self, root):  # type: ignore[no-untyped-def] # a Measure
        mission = load_mission(root / "examples" / "yolox_nano" / "mission.toml")
        return task_loss_measure(mission.model)

    @pytest.fixture
    def answer(self) -> Floats:
        """A car of certain place and score 0.72 in one cell, nothing elsewhere."""
        raw = np.zeros((1, 3549, 85), np.float32)
        raw[0, 1000, 2:4] = 1.0
        raw[0, 1000, 4], raw[0, 1000, 5 + 2] = 0.9, 0.8
        return raw

    def test_the_same_answer_costs_nothing(self, measure, answer: Floats) -> None:  # type: ignore[no-untyped-def]
        assert measure((answer,), (answer,)) == TaskLoss(0.0, 1)

    def test_a_lower_score_a_moved_box_and_a_ghost_cost(self, measure, answer: Floats) -> None:  # type: ignore[no-untyped-def]
        lower, moved, ghost = answer.copy(), answer.copy(), answer.copy()
        lower[0, 1000, 4] = 0.45
        moved[0, 1000, 0] += 100.0
        ghost[0, 5, 4], ghost[0, 5, 5] = 1.0, 0.6
        assert measure((answer,), (lower,)).total == pytest.approx(0.36, abs=1e-6)
        assert measure((answer,), (moved,)).total == pytest.approx(0.72, abs=1e-6)
        assert measure((answer,), (ghost,)).total == pytest.approx(0.5, abs=1e-6)

    def test_numbers_that_are_none_cost_most(self, measure, answer: Floats) -> None:  # type: ignore[no-untyped-def]
        broken = np.full_like(answer, np.nan)
        assert measure((answer,), (broken,)).total >= LOST
