"""The page for people: whole, alone, honest where nothing is known, and deaf to hostile text."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_mission import MISSION, SIDE, write_mission
from torch import nn

from calibration.dataset.frames.images import image_frames
from calibration.dataset.splits.calibration_holdout import Split
from converters.conversion.convert import convert
from converters.report.context import context_of
from converters.report.page.render import render
from converters.report.page.worst_frames import MOST_BYTES, pictures_of, small
from converters.report.report import TIMES
from converters.sources.source import TorchSource
from converters.training.run_record import SCHEMA
from converters.verification.agreement.breakdown import AgreementBreakdown, Predictions
from edge.contract.artifact import digest_file, write_json
from edge.contract.mission.loading import load_mission
from edge.perception.conditions import Conditions

Document = dict[str, Any]

VOID = {"meta", "br", "img", "link", "input", "hr"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> & 'pedestrian'"


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails where a tag is not closed in its turn."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page.decode("utf-8"))
        self.close()
        assert self._open == []
        self.text = " ".join(self.text.split())

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] != "style":
            self.text += data


def silent(_what: str, _done: int, _of: int) -> None:
    """Progress nobody looks at."""


def converted(folder: Path, out: Path) -> tuple[Document, bytes]:
    """The report and the page of a mission in `folder`."""
    convert(load_mission(folder / "mission.toml"), out, progress=silent)
    return json.loads((out / "report.json").read_text()), (out / "report.html").read_bytes()


@pytest.fixture(scope="module")
def tiny(tiny_mission: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Document, bytes]:
    return converted(tiny_mission.parent, tmp_path_factory.mktemp("page") / "out")


def test_the_page_is_whole_and_needs_nothing_else(tiny: tuple[Document, bytes]) -> None:
    document, raw = tiny
    page = Page(raw)
    assert page.tags.count("html") == page.tags.count("main") == 1
    assert "script" not in page.tags
    assert not {"link", "iframe", "img"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("href", "src", "srcset", "action", "data"):
            assert value.startswith(("#", "data:")), value
    assert not re.search(rb"https?://|@import|url\(", raw)
    assert b"prefers-color-scheme: dark" in raw
    assert b"@media print" in raw
    assert page.text.startswith("tiny: passed")
    for gate in document["gates"]:
        assert gate["sentence"] in page.text
    for text in document["purpose"].values():
        assert text in page.text
    for artifact in document["artifacts"].values():
        assert artifact["sha256"] in page.text


def test_error_by_layer_ranges_and_commands_are_on_it(tiny: tuple[Document, bytes]) -> None:
    document, raw = tiny
    text, html = Page(raw).text, raw.decode()
    assert "Error by layer" in text
    for layer in document["search"]["layers"]:
        assert f"<title>{layer['node']}: " in html
    assert len(document["ranges"]) == document["quantized"]["activation_pairs"]
    for one in document["ranges"]:
        assert f"<title>{one['tensor']}: {one['amax']:.4g}" in html
        assert f"{one['lowest']:.4g} to {one['highest']:.4g}" in text
    for row in document["trtexec"]:
        assert f"TensorRT {row['releases']}, {row['device'].upper()}" in text
        assert row["command"].split(" ")[1] in text


def test_layers_that_were_not_measured_and_tensors_of_nothing_are_drawn_all_the_same(
    tiny: tuple[Document, bytes],
) -> None:
    """Infinite task loss is no number in JSON; a tensor may be all zeros."""
    other = copy.deepcopy(tiny[0])
    other["search"] = None
    for one in other["ranges"]:
        one |= {"amax": 0.0, "lowest": 0.0, "highest": 0.0}
    assert "this mission asks for no search" in Page(render(other, {})).text
    other = copy.deepcopy(tiny[0])
    other["search"]["layers"][0]["task_loss"] = None
    other["ranges"][0] |= {"lowest": -1e30, "highest": 1e-30}
    text = Page(render(other, {})).text
    assert "1e+30" in text
    other["ranges"] = []
    assert "Ranges" in Page(render(other, {})).text


def verdict(document: Document, **passed: bool | None) -> str:
    """The page's text where these gates (by the file's short name) passed or not."""
    worse = copy.deepcopy(document)
    for gate in worse["gates"]:
        known = gate["artifact"].removesuffix(".onnx")
        if known in passed and gate["name"].split(" ")[0] in ("parity_max_abs", "found_min"):
            gate["passed"] = passed[known]
    return Page(render(worse, {})).text


def test_the_verdict_says_which_files_may_be_used(tiny: tuple[Document, bytes]) -> None:
    assert "Passed: 3 of 3 gates hold. INT8 keeps what" in verdict(tiny[0])
    told = verdict(tiny[0], int8=False)
    assert "Failed: 1 of 3 gates. int8.onnx must not be used; float.onnx and cpu.onnx may." in told
    assert "Run the float network meanwhile" in told
    told = verdict(tiny[0], float=False)
    assert "No file may be used." in told
    assert "Run the float network meanwhile" not in told
    told = verdict(tiny[0], int8=None, cpu=None)
    assert "says little about INT8" in told
    assert (
        "Not gated: found_min int8, found_min cpu, size_max_mb, macs_int8_min int8, "
        "macs_int8_min cpu, accuracy_min int8 and accuracy_min cpu"
    ) in told


def test_a_name_that_is_no_text_is_shown_somehow(
    tiny: tuple[Document, bytes], tiny_mission: Path
) -> None:
    _, page = lossy(
        tiny[0], b"lorry \xff".decode("utf-8", "surrogateescape"), tiny_mission.parent / "road"
    )
    assert "lorry ? 0.91" in Page(page).text


def test_the_same_inputs_give_the_same_page_apart_from_times(
    tiny: tuple[Document, bytes], tiny_mission: Path, tmp_path: Path
) -> None:
    document, page = tiny
    again, _ = converted(tiny_mission.parent, tmp_path / "out")
    again |= {key: document[key] for key in TIMES}
    frames = image_frames(tiny_mission.parent / "road", table=None, group=None)
    names = {row["name"] for row in again["evaluation"]["detections"]["worst_frames"]}
    assert render(again, pictures_of(frames, names)) == page


def test_nothing_found_and_nothing_told_is_said_and_not_passed(tmp_path: Path) -> None:
    write_mission(tmp_path)
    for row, path in enumerate(sorted((tmp_path / "road").iterdir())):
        slope = np.linspace(60 + row, 120, SIDE, dtype=np.float32)
        grey = np.repeat((slope[:, None] + slope[None, :]) / 2, 3).reshape(SIDE, SIDE, 3)
        cv2.imwrite(str(path), grey.astype(np.uint8))
    document, raw = converted(tmp_path, tmp_path / "out")
    page = Page(raw)
    assert not document["passed"]
    assert "Failed: 2 of 3 gates" in page.text
    assert "nothing is known" in page.text
    assert "The data does not say what its frames were taken in" in page.text
    assert "No true boxes are known" not in page.text  # it would stand below a table
    assert "Run the float network meanwhile" in page.text


def lossy(document: Document, label: str, folder: Path) -> tuple[Document, bytes]:
    """The same report with one frame whose `label` INT8 lost, and the page of it."""
    worse = copy.deepcopy(document)
    evaluation = worse["evaluation"]["detections"]
    name = worse["held_back"]["frames"][0]
    box = {"label": label, "score": 0.91, "box": [3.0, 4.0, 20.0, 30.0]}
    evaluation["worst_frames"] = [
        {
            "name": name,
            "conditions": {"weather": "fog", "light": None, "road": None, "as labelled": label},
            "networks": {
                "float.onnx": [{**box, "lost_by": ["int8.onnx"]}],
                "int8.onnx": [{**box, "label": "new", "added": True}],
                "cpu.onnx": [{**box, "added": False}],
            },
        }
    ]
    evaluation["by_class"][0]["label"] = label
    pictures = pictures_of(image_frames(folder, table=None, group=None), {name})
    return worse, render(worse, pictures)


def test_a_lost_detection_is_drawn_on_both_pictures(
    tiny: tuple[Document, bytes], tiny_mission: Path
) -> None:
    page = Page(lossy(tiny[0], "lorry", tiny_mission.parent / "road")[1])
    assert page.text.count("lorry 0.91: lost") == 1
    assert page.text.count("lorry 0.91: missing") == 1
    assert page.text.count("new 0.91: added") == 1
    # One picture serves every panel; cpu.onnx lost nothing and has none.
    assert page.tags.count("image") == 1
    assert page.tags.count("use") == 1
    assert "INT8 · 1 lost, 1 new" in page.text


def test_hostile_labels_names_and_canvas_stay_text(tmp_path: Path) -> None:
    write_mission(tmp_path)
    text = MISSION.replace("pedestrian", HOSTILE).replace("find cells", HOSTILE)
    (tmp_path / "mission.toml").write_text(text)
    document, raw = converted(tmp_path, tmp_path / "out")
    for page in (Page(raw), Page(lossy(document, HOSTILE, tmp_path / "road")[1])):
        assert not {"script", "img"} & set(page.tags)
        assert "onerror" not in dict(page.attributes)
        assert HOSTILE in page.text


@dataclass(frozen=True)
class Rainy:
    """A frame that tells its name and that it rained."""

    name: str
    conditions: Conditions = field(default_factory=lambda: Conditions("rain"))
    words: str = "drizzle"


def test_classifiers_and_condition_heads_have_their_figures(tiny: tuple[Document, bytes]) -> None:
    document = copy.deepcopy(tiny[0])
    names = ("float.onnx", "int8.onnx", "cpu.onnx")
    judged = AgreementBreakdown(("dry", "wet", "ice"), names, iou_min=0.5)
    for number, tops in enumerate([(0, 1, 0), (0, 0, 0), (1, 2, 1), (1, 1, 1)]):
        said = {name: Predictions.top(top, 0.8) for name, top in zip(names, tops, strict=True)}
        judged.add(Rainy(f"frame {number}"), said)  # type: ignore[arg-type] # read for its words
    document["evaluation"] = {"classes": judged.to_json(), "condition": judged.to_json()}
    page = Page(render(document, {"frame 0": small(np.zeros((40, 60, 3), np.uint8))}))
    assert "Label of the frame: float against INT8" in page.text
    assert "Condition of the road: float against INT8" in page.text
    assert page.text.count("What INT8 takes float's labels for") == 2
    assert page.text.count("drizzle") >= 2
    assert "50.0 %" in page.text


def test_the_record_of_training_is_told_where_it_is_of_these_weights(
    tiny: tuple[Document, bytes], root: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"weights")
    source = TorchSource(nn.Identity(), "m:f", weights, digest_file(weights))
    facts = {
        "parameters": 12,
        "examples": 30,
        "validation_examples": 9,
        "steps": 5,
        "seconds": 1.5,
        "weights_sha256": source.sha256,
        "judgement": {
            "figures": {"frames": 9, "ap50": 0.625},
            "by_label": {"<b>lorry</b>": {"ap50": None, "recall": 0.5}},
            "by_condition": {"fog day": {"frames": 9, "ap50": 0.625}},
        },
    }
    mission = load_mission(root / "examples" / "roadnet")
    frames = Split((), ())

    def told() -> Any:
        return context_of(mission, source, frames, calibrated_on=())["training"]

    assert told() is None
    write_json(tmp_path / "w.json", SCHEMA, {**facts, "weights_sha256": "others"})
    assert told() is None
    (tmp_path / "w.json").write_text("{")
    assert told() is None
    write_json(tmp_path / "w.json", SCHEMA, facts)
    document = {**tiny[0], "training": told()}
    page = Page(render(document, {}))
    assert "How the network was trained" in page.text
    assert "0.625" in page.text
    assert "<b>lorry</b>" in page.text


def test_a_picture_is_small_whatever_it_shows() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    picture = small(noise)
    assert len(picture.jpeg) <= MOST_BYTES * 4 / 3 + 4
    assert (picture.width_px, picture.height_px) == (1920, 1080)


def test_the_command_line_says_where_the_page_lies(
    brakepoint: Any, tiny_mission: Path, tmp_path: Path
) -> None:
    code, out, _ = brakepoint("convert", tiny_mission, "--out", tmp_path / "o")
    assert code == 0
    assert str(tmp_path / "o" / "report.html") in out
