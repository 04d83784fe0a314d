"""The mission file: loading, overrides and refusals as its author meets them."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from edge.contract.mission.checks.cross_checks import CHECKS, STAGES
from edge.contract.mission.loading import MissionInvalid, load_mission
from edge.contract.mission.sections.device import Budget
from edge.contract.mission.sections.policy import ActionName
from edge.contract.mission.template import mission_template
from firmware_bridge.errors import Missing, UsageError
from firmware_bridge.protocol.messages import Action

TEMPLATE = mission_template()


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """The template with pieces of text replaced, as a file."""
    text = TEMPLATE
    for old, new in changes:
        assert old in text, f"the template no longer holds {old!r}"
        text = text.replace(old, new, 1)
    path = folder / "mission.toml"
    path.write_text(text)
    return path


def mistakes(path: Path, *overrides: str) -> dict[str, str]:
    with pytest.raises(MissionInvalid) as caught:
        load_mission(path, overrides)
    return dict(caught.value.mistakes)


def test_the_template_is_a_valid_mission(tmp_path: Path) -> None:
    mission = load_mission(written(tmp_path))
    assert mission.policy.rules[0].action == "EMERGENCY_STOP"
    assert mission.model.weights == tmp_path / "weights.pt"


@pytest.mark.parametrize("example", ["roadnet", "yolox_nano"])
def test_the_examples_are_valid(root: Path, example: str) -> None:
    assert load_mission(root / "examples" / example / "mission.toml").policy.rules


def test_the_template_comments_on_every_key_it_holds() -> None:
    sections = [line for line in TEMPLATE.splitlines() if line.startswith("[") and "[[" not in line]
    for wanted in ("purpose", "model", "data", "calibration", "gates", "budget", "link", "target"):
        assert any(line.startswith(f"[{wanted}]") for line in sections)


def test_five_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        ("infer_ms = 40", "infer_ms = -3"),
        ('kind = "roadnet"', 'kind = "yolo"'),
        ("fps = 25", "fsp = 25"),
        ('zone = "corridor", height_min = 0.05', 'zone = "road", height_min = 0.05'),
        ('"vehicle", "traffic sign"]', '"car", "traffic sign"]'),
    )
    found = mistakes(path)
    assert found["budget.infer_ms"].endswith("found -3")
    assert "'fastestdet', 'classify' or 'segment'" in found["model.decode.kind"]
    assert found["camera.fps"] == "missing"
    assert "did you mean 'fps'" in found["camera.fsp"]
    assert "'road'" in found["policy.rules[0].when.zone"]
    assert "'vehicle'" in found["policy.rules[1].when.label"]


CROSS = {
    "origin": (("factory =", 'file = "a.onnx"\nfactory ='), "model", "either file"),
    "weights": (('weights = "weights.pt"', ""), "model.weights", "missing: [train]"),
    "labels": (('["pedestrian",', '["vehicle", "pedestrian",'), "model.labels", "more than once"),
    "conditions": (
        ("[data]", '[model.condition]\nlabels = ["wet", "wet"]\nscore_threshold = 0.6\n[data]'),
        "model.condition.labels",
        "more than once",
    ),
    "decoder": (("strides = [8, 16, 32] ", "#"), "model.decode.strides", "'roadnet' needs it"),
    "one level": (
        ('kind = "roadnet"', 'kind = "fastestdet"'),
        "model.decode.strides",
        "one output level, found 3",
    ),
    "threshold": (
        ("[data]", '[model.condition]\nlabels = ["dry", "wet"]\nscore_threshold = 0.5\n[data]'),
        "model.condition.score_threshold",
        "never says unknown",
    ),
    "scene": (
        ('label = "vehicle", confidence = 0.5', 'scene = "wet", confidence = 0.5'),
        "policy.rules[1].when.scene",
        "no condition head",
    ),
    "one thing": (
        ('label = "vehicle", confidence = 0.5', "confidence = 0.5"),
        "policy.rules[1].when",
        "either label",
    ),
    "strides": (("width_px = 320", "width_px = 330"), "model.input.width_px", "multiple"),
    "input": (
        ("width_px = 320\nheight_px = 192", "width_px = 8192\nheight_px = 8192"),
        "model.input",
        "more than 33,554,432 pixels",
    ),
    "count": (
        ("height_min = 0.05 }", "height_min = 0.05, count = 101 }"),
        "policy.rules[0].when.count",
        "more than model.decode.max_detections, 100",
    ),
    "tall": (
        ("[0.94, 1.0], [0.06, 1.0]]", "[0.94, 0.8], [0.06, 0.8]]"),
        "policy.rules[0].when.height_min",
        "never met: what stands in 'corridor' ends at 0.8 of its height",
    ),
    "shape": (
        ("[[0.44, 0.52], [0.56, 0.52], [0.94, 1.0]", "[[0.44, 0.52], [0.94, 1.0], [0.56, 0.52]"),
        "policy.zones.corridor",
        "crosses itself",
    ),
    "data": (('kind = "scenes"', 'kind = "images"'), "data.root", "needs a folder"),
    "url": (('kind = "scenes"', 'kind = "scenes"\nurl = "s3://a/b"'), "data.url", "'images'"),
    "budget": (("end_to_end_ms = 100", "end_to_end_ms = 50"), "budget.end_to_end_ms", "85 ms"),
    "gates": (
        ("# condition_agree_min", "condition_agree_min"),
        "gates.condition_agree_min",
        "no [model.condition]",
    ),
    "condition of a gate": (
        ("# condition_agree_min = 0.95", 'condition_accuracy_min = { "fogy" = 0.2 } #'),
        "gates.condition_accuracy_min.fogy",
        "did you mean 'fog'? (weather: clear, cloudy, rain, fog, snow; light: day,",
    ),
    "names": (
        ('"vehicle close ahead"', '"pedestrian in the corridor"'),
        "policy.rules[1].name",
        "another rule",
    ),
    "zone": (('zone = "corridor"', 'zone = "x"'), "policy.rules[0].when.zone", "corridor"),
    "ceiling": (("speed_ceiling_mps = 10.0", ""), "policy.rules[1].speed_ceiling_mps", "needs it"),
    "stop": (
        ('clear = "standstill" ', 'clear = "when_gone" '),
        "policy.rules[0].clear",
        "earliest",
    ),
    "confirm": (("k = 3, of = 5", "k = 6, of = 5"), "policy.rules[0].confirm", "never"),
    "order": (
        ("slow_down_after_periods = 5.0", "slow_down_after_periods = 2.0"),
        "policy.fallbacks",
        "order",
    ),
    "slow line": (("baud = 115200", "baud = 19200"), "link.baud", "at least"),
    "turns": (("rate_hz = 50", "rate_hz = 20\nvalid_for_ms = 100 #"), "link.valid_for_ms", "three"),
    "train": (
        ('factory = "converters.zoo:roadnet"\nweights = "weights.pt"', 'file = "a.onnx"'),
        "train",
        "model.factory",
    ),
    "head": (
        ("max_detections = 100", 'output = "ground"'),
        "model.decode.output",
        "goes with kind = 'segment'",
    ),
    "areas": (
        ("height_min = 0.05", "share_min = 0.05"),
        "policy.rules[0].when.share_min",
        "goes with decode.kind = 'segment'",
    ),
    "distance": (
        ("height_min = 0.05", "distance_max_m = 12.0"),
        "policy.rules[0].when.distance_max_m",
        "no [camera.geometry]",
    ),
    "geometry": (
        ("[policy.zones]", "[camera.geometry]\nwidth_px = 1280\nheight_px = 384\n[policy.zones]"),
        "camera.geometry",
        "of another camera or mode",
    ),
    "draw": (('draw = "shuffled"', 'draw = "balanced"'), "train.draw", "count twice"),
    "split": (('kind = "scenes"', 'kind = "scenes"\nsplit = "s.json"'), "data.split", "lock"),
}


@pytest.mark.parametrize("case", CROSS)
def test_keys_that_do_not_fit_together(tmp_path: Path, case: str) -> None:
    change, key, words = CROSS[case]
    text = TEMPLATE.replace(*change, 1)
    if case == "tall":
        text = text.replace("height_min = 0.05", "height_min = 0.85", 1)
    if case == "turns":
        text = text.replace("valid_for_ms = 250", "# ")
    path = tmp_path / "mission.toml"
    path.write_text(text)
    found = mistakes(path)
    assert words in found[key], found


def test_every_cross_check_has_a_case() -> None:
    assert len(CHECKS) <= len(CROSS)


def test_set_overrides_and_its_paths_resolve_against_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = written(tmp_path)
    monkeypatch.chdir(elsewhere)
    mission = load_mission(
        path, ["model.weights=other.pt", "gates.found_min=0.5", "target.threads=1"]
    )
    assert mission.model.weights == elsewhere / "other.pt"
    assert mission.gates.found_min == 0.5
    assert mission.target.threads == 1


@pytest.mark.parametrize("override", ["nonsense", "=3", "name.deeper=1", "a..b=1"])
def test_an_override_that_cannot_be_meant(tmp_path: Path, override: str) -> None:
    with pytest.raises(UsageError):
        load_mission(written(tmp_path), [override])


def test_an_unknown_key_by_set_is_refused(tmp_path: Path) -> None:
    assert "unknown key" in mistakes(written(tmp_path), "gates.fonud_min=0.5")["gates.fonud_min"]


def test_labels_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("pedestrian\nvehicle\n\ntraffic sign\n")
    path = written(
        tmp_path, ('labels = ["pedestrian", "vehicle", "traffic sign"]', 'labels = "labels.txt"')
    )
    assert load_mission(path).model.labels == ("pedestrian", "vehicle", "traffic sign")


def test_missing_files_say_so(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="brakepoint init"):
        load_mission(tmp_path / "none.toml")
    with pytest.raises(Missing, match=r"none\.txt"):
        load_mission(written(tmp_path), ["model.labels=none.txt"])


def test_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "mission.toml"
    path.write_text("name = \n")
    with pytest.raises(UsageError, match="line 1"):
        load_mission(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Missing, match="UTF-8"):
        load_mission(path)


def test_action_names_are_the_links() -> None:
    assert set(typing.get_args(ActionName)) == set(Action.__members__) - {"NONE"}


def test_every_stage_has_a_budget() -> None:
    assert {f"{stage}_ms" for stage in STAGES} | {"end_to_end_ms"} == set(Budget.model_fields)


CLASSIFIER = (
    'kind = "roadnet"          # or "yolox", "fastestdet", "classify", "segment": docs/mission.md\n'
    "strides = [8, 16, 32]     # network pixels a cell, in output order\n"
    "score_threshold = 0.45\n"
    "iou_threshold = 0.5       # boxes of one label that overlap more are one object\n",
    'kind = "classify"\nscore_threshold = 0.5\n',
)


def test_a_classifier_needs_no_cells_and_its_rules_ask_for_scenes(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        CLASSIFIER,
        ('{ label = "pedestrian", confidence = 0.6, zone = "corridor", height_min = 0.05 }', "{}"),
        ("{}", '{ scene = "pedestrian", confidence = 0.6 }'),
        ('{ label = "vehicle", confidence = 0.5, zone = "corridor", height_min = 0.15 }', "{}"),
        ("{}", '{ scene = "vehicle", confidence = 0.6 }'),
        ('label = "vehicle", confidence = 0.5, zone = "corridor", height_min = 0.15, ', "scene = "),
        ("time_to_contact_max_s = 2.5 }", '"vehicle", confidence = 0.7 }'),
    )
    mission = load_mission(path)
    assert mission.policy.rules[0].when.scene == "pedestrian"
    assert mission.model.head_sizes == (3,)


def test_a_classifier_has_no_strides_and_finds_no_objects(tmp_path: Path) -> None:
    path = written(tmp_path, CLASSIFIER)
    found = mistakes(path, "model.decode.strides=[8]", "model.decode.iou_threshold=0.5")
    assert "with a detector" in found["model.decode.strides"]
    assert "with a detector" in found["model.decode.iou_threshold"]
    assert "ask for scene" in found["policy.rules[0].when.label"]


SEGMENTER = (
    *CLASSIFIER[:1],
    'kind = "segment"\nstrides = [8]\nscore_threshold = 0.5\n',
)


def test_a_segmentation_network_has_one_stride_and_its_rules_ask_for_areas(tmp_path: Path) -> None:
    found = mistakes(written(tmp_path, SEGMENTER))
    assert "rules ask for areas" in found["policy.rules[0].when.share_min"]
    assert "finds no objects" in found["policy.rules[0].when.height_min"]
    found = mistakes(
        written(tmp_path, SEGMENTER),
        "model.decode.strides=[8,16]",
        "model.decode.iou_threshold=0.5",
        "model.decode.score_threshold=0.2",
    )
    assert "one output level" in found["model.decode.strides"]
    assert "with a detector" in found["model.decode.iou_threshold"]
    assert "never says unknown" in found["model.decode.score_threshold"]
    assert (
        "needs it"
        in mistakes(written(tmp_path, SEGMENTER), "model.decode.strides=[]")["model.decode.strides"]
    )
    asked = '{ label = "pedestrian", confidence = 0.6, zone = "corridor", share_min = 0.05 }'
    path = written(
        tmp_path,
        SEGMENTER,
        ('{ label = "pedestrian", confidence = 0.6, zone = "corridor", height_min = 0.05 }', asked),
        ('{ label = "vehicle", confidence = 0.5, zone = "corridor", height_min = 0.15 }', asked),
        ('zone = "corridor", height_min = 0.15, time_to_contact_max_s = 2.5', "share_min = 0.1"),
    )
    assert load_mission(path, ["model.decode.output=ground"]).model.decode.output == "ground"


def test_where_and_how_many_goes_with_objects(tmp_path: Path) -> None:
    condition = '[model.condition]\nlabels = ["dry", "wet"]\nscore_threshold = 0.6\n\n[data]'
    path = written(tmp_path, ("[data]", condition), ('label = "vehicle"', 'scene = "wet"'))
    found = mistakes(path)
    assert "whole frame" in found["policy.rules[1].when.zone"]
    assert "whole frame" in found["policy.rules[1].when.height_min"]
    path = written(tmp_path, ("[data]", condition), ('zone = "corridor", height_min = 0.15, ', ""))
    asked = mistakes(path, 'policy.rules=[{when={scene="wet",time_to_contact_max_s=2.0}}]')
    assert "whole frame" in asked["policy.rules[0].when.time_to_contact_max_s"]
    both = written(tmp_path, ("[data]", condition), ('label = "vehicle"', 'scene="wet", label="x"'))
    assert "either label" in mistakes(both)["policy.rules[1].when"]


def test_a_condition_that_a_classifier_has_too_is_ambiguous(tmp_path: Path) -> None:
    condition = '[model.condition]\nlabels = ["dry", "vehicle"]\nscore_threshold = 0.6\n\n[data]'
    found = mistakes(written(tmp_path, CLASSIFIER, ("[data]", condition)))
    assert "also in model.labels" in found["model.condition.labels"]


FURTHER = """
[[data.also]]
name = "fog"
root = "misty"
weather = "fog"
"""


def test_further_folders_resolve_as_other_paths_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = ('kind = "scenes"', 'kind = "images"\nroot = "road"')
    of_scenes = [(text, "") for text in ("scenes = 1800", "validation_scenes = 300")]
    path = written(tmp_path, images, *of_scenes, ("[calibration]", f"{FURTHER}\n[calibration]"))
    (first,) = load_mission(path).data.also
    assert (first.root, first.weather, first.light) == (tmp_path / "misty", "fog", None)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    given = 'data.also=[{name = "a", root = "x", lock = "x.json"}, {name = "b", root = "y"}]'
    also = load_mission(path, [given]).data.also
    assert [one.root for one in also] == [tmp_path / "elsewhere" / name for name in "xy"]
    assert also[0].lock == tmp_path / "elsewhere" / "x.json"


@pytest.mark.parametrize(
    ("given", "key", "words"),
    [
        ('{name = "a", root = "x"}, {name = "a", root = "y"}', "data.also", "name 'a'"),
        ('{name = "a", root = "x"}, {name = "b", root = "x"}', "data.also", "more than once"),
        ('{name = "a", root = "x", table = "t.csv"}', "data.also[0]", "go together"),
        ('{name = "a", root = "x", weather = "foggy"}', "data.also[0].weather", "foggy"),
        ('{name = "a", roof = "x"}', "data.also[0].roof", "did you mean 'root'"),
        ("3", "data.also[0]", "3"),
    ],
)
def test_further_folders_that_cannot_be_meant(
    given: str, key: str, words: str, tmp_path: Path
) -> None:
    images = ('kind = "scenes"', 'kind = "images"\nroot = "road"')
    assert words in mistakes(written(tmp_path, images), f"data.also=[{given}]")[key]


def test_generated_scenes_have_no_further_folders(tmp_path: Path) -> None:
    path = written(tmp_path, ("[calibration]", f"{FURTHER}\n[calibration]"))
    assert "kind = 'images'" in mistakes(path)["data.also"]
