"""The first hour on a device: every step ends in a state with its reason, on one page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from jetson_root import write_jetson
from tiny_road import write_clip

from edge.contract.artifact import read_json, write_json
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.qualification.device.facts import read_facts
from edge.qualification.device.files import DeviceFiles
from edge.qualification.device_steps import DEVICE_STEPS, Device
from edge.qualification.model_steps import MODEL_STEPS, WHEELHOUSE_SCHEMA
from edge.qualification.page import page
from edge.qualification.qualify import Record, read_record, run_step
from edge.qualification.step import Done, Step, failed, passed
from edge.qualification.subject import Subject
from firmware_bridge.errors import Missing, NotTrusted

Brakepoint = Callable[..., tuple[int, str, str]]
NAMES = [step.name for step in (*DEVICE_STEPS, *MODEL_STEPS)]


def subject_of(mission: Path, converted: Path, root: Path, work: Path, **more: Any) -> Subject:
    files = DeviceFiles(root)
    return Subject(
        Device(files, read_facts(files)),
        load_mission(mission),
        converted,
        "int8",
        work=work,
        source=None,
        port="emulated",
        clip_s=1.0,
        golden=2,
        **more,
    )


def outcome(name: str, subject: Subject) -> Done:
    """What one step about the model finds."""
    (step,) = (step for step in MODEL_STEPS if step.name == name)
    return run_step(Step(name, (), step.does, step.run), subject, {})


def test_needs_name_steps_that_come_before() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for step in (*DEVICE_STEPS, *MODEL_STEPS):
        assert set(step.needs) <= set(NAMES[: NAMES.index(step.name)]), step.name


def test_every_step_stands_in_the_documents(root: Path) -> None:
    rows = (root / "docs" / "qualify.md").read_text().splitlines()
    told = [row.split("|")[1].strip() for row in rows if row.startswith("|")]
    assert [name for name in told if name in NAMES] == NAMES


def test_a_step_whose_needs_did_not_pass_is_left_out_with_their_names() -> None:
    bad = Done("engine", "", failed("no", remedy="mend it"), 0.0)
    good = Done("conversion", "", passed("yes"), 0.0)
    step: Step[None] = Step("inspector", ("engine", "conversion"), "asks", lambda _: passed("ran"))
    done = run_step(step, None, {"engine": bad, "conversion": good})
    assert (done.outcome.state, done.outcome.found) == ("left out", "needs engine (failed)")
    done = run_step(step, None, {"engine": good, "conversion": good})
    assert (done.outcome.state, done.outcome.found) == ("passed", "ran")


def test_a_refusal_is_a_failure_with_its_remedy() -> None:
    def refuse(_: None) -> Any:
        raise Missing("no trtexec", expected="one", found="none", remedy="install it")

    done = run_step(Step("trtexec", (), "times", refuse), None, {})
    assert done.outcome.state == "failed"
    assert done.outcome.found == "no trtexec: expected one; found none"
    assert done.outcome.remedy == "install it"


def test_the_verb_goes_as_far_as_it_can_here_and_says_what_it_left_out(
    brakepoint: Brakepoint, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    clip, out = write_clip(tmp_path / "clip.mp4", frames=40), tmp_path / "out"
    code, printed, err = brakepoint(
        *("qualify", tiny_mission, "--from", converted, "--source", clip, "--out", out),
        *("--seconds", "1", "--signed-off-by", "Ada <ada@example.org>"),
    )
    assert code == 0, printed + err
    assert "qualified as far as it was tried" in printed
    record = read_record(out / "qualification.json")
    assert [step["step"] for step in record.steps] == NAMES
    states = {step["step"]: step["state"] for step in record.steps}
    for name in ("Python", "OpenCV", "memory", "permissions", "conversion"):
        assert states[name] == "passed", name
    assert states["golden frames"] == states["clip"] == "passed"
    assert states["engine"] == states["trtexec"] == states["inspector"] == "left out"
    assert all(step["found"] for step in record.steps)
    clip_step = next(step for step in record.steps if step["step"] == "clip")
    assert clip_step["figures"]["run"]["frames"]["inferred"] > 0
    assert clip_step["figures"]["run"]["commands"]["acknowledged"] > 0

    code, shown, _ = brakepoint("qualify", "show", out / "qualification.json")
    assert code == 0
    assert "golden frames" in shown
    html = (out / "qualification.html").read_text()
    assert "Ada &lt;ada@example.org&gt;" in html
    assert record.document["digest"] in html
    assert "not a signature" in html


def test_gates_that_failed_end_the_qualification(
    brakepoint: Brakepoint, tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(converted, spoilt)
    report = json.loads((spoilt / "report.json").read_text())
    for gate in report["gates"]:
        gate["passed"] = gate["passed"] and "found_min" not in gate["name"]
    (spoilt / "report.json").write_text(json.dumps(report))
    how = ("qualify", tiny_mission, "--from", spoilt, "--out", tmp_path / "out")
    code, printed, _ = brakepoint(*how, "--json")
    assert code == 1
    document = json.loads(printed)
    states = {step["step"]: step for step in document["steps"]}
    assert states["conversion"]["state"] == "failed"
    assert "convert again" in states["conversion"]["remedy"]
    assert (
        states["clip"]["found"] == states["golden frames"]["found"] == "needs conversion (failed)"
    )
    assert brakepoint("qualify", "show", tmp_path / "out" / "qualification.json")[0] == 1


def test_a_record_that_was_changed_is_not_trusted(
    tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    subject = subject_of(tiny_mission, converted, write_jetson(tmp_path / "jetson"), tmp_path)
    steps = [Done("memory", "reads memory", failed("too little", remedy="more"), 0.1)]
    path = tmp_path / "qualification.json"
    record = Record.of(subject, steps, signed_off_by="")
    path.write_bytes(record.to_bytes())
    assert read_record(path).document == json.loads(json.dumps(record.document))
    assert record.verdict == "not qualified: 1 of 1 steps failed"
    document = json.loads(path.read_text())
    document["steps"][0]["state"] = "passed"
    write_json(path, document.pop("schema"), document)
    with pytest.raises(NotTrusted, match="was changed"):
        read_record(path)


class Texts(HTMLParser):
    """The texts of a page, and whether its elements are closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.open = "", list[str]()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_of_a_jetson_has_every_step_and_takes_no_text_as_markup(
    tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    board = {"/proc/device-tree/model": "Orin <b>&\0"}
    subject = subject_of(
        tiny_mission, converted, write_jetson(tmp_path / "jetson", board), tmp_path
    )
    steps = [
        Done(step.name, step.does, passed(f"fine <script>{step.name}"), 0.25)
        for step in (*DEVICE_STEPS, *MODEL_STEPS)
    ]
    seen = Texts(page(Record.of(subject, steps, signed_off_by="")))
    assert seen.open == []
    assert "tiny on Orin <b>&" in seen.text
    assert "nobody yet" in seen.text
    assert f"qualified: all {len(NAMES)} steps passed" in seen.text
    for name in NAMES:
        assert f"fine <script>{name}" in seen.text
    for fact in ("L4T 36.4.4", "CUDA 12.6.11"):
        assert fact in seen.text


def test_packages_are_compared_with_the_wheelhouse(
    tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    house = tmp_path / "house"
    packages = [{"name": "numpy", "version": metadata.version("numpy")}]
    write_json(house / "manifest.json", WHEELHOUSE_SCHEMA, {"packages": packages})
    subject = subject_of(tiny_mission, converted, tmp_path, tmp_path, wheelhouse=house)
    assert outcome("installation", subject).outcome.found == "1 packages as in the wheelhouse"
    packages += [{"name": "rich", "version": "1.0"}, {"name": "nobody-has-this", "version": "2"}]
    write_json(house / "manifest.json", WHEELHOUSE_SCHEMA, {"packages": packages})
    told = outcome("installation", subject).outcome
    assert told.state == "failed"
    assert "rich" in told.found
    assert "nobody-has-this not installed, not 2" in told.found
    assert read_json(house / "manifest.json", WHEELHOUSE_SCHEMA)["packages"] == packages


def test_another_model_in_the_conversion_is_found_before_anything_runs(
    tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    spoilt = tmp_path / "spoilt"
    shutil.copytree(converted, spoilt)
    with (spoilt / "int8.onnx").open("ab") as stream:
        stream.write(b"\0")
    subject = subject_of(tiny_mission, spoilt, tmp_path, tmp_path)
    told = outcome("golden frames", subject).outcome
    assert told.state == "failed"
    assert "is not the file that was judged" in told.found


def test_a_mission_for_a_device_waits_for_its_engine(
    tiny_mission: Path, converted: Path, tmp_path: Path
) -> None:
    subject = subject_of(tiny_mission, converted, tmp_path, tmp_path)
    raw = subject.mission.model_dump()
    raw["target"]["backend"] = "tensorrt"
    subject.mission = Mission.model_validate(raw)
    told = {
        name: outcome(name, subject).outcome for name in ("conversion", "golden frames", "clip")
    }
    assert told["conversion"].found == "gates hold: an engine for tensorrt"
    assert told["golden frames"].state == told["clip"].state == "left out"
