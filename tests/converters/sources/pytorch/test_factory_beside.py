"""A factory in a Python file beside the mission."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from converters.conversion.input_digests import network_code
from converters.sources.pytorch.factory import load_factory, make_network
from converters.sources.source import TorchSource, open_source
from edge.contract.mission.loading import load_mission
from firmware_bridge.errors import UsageError

NET = """
from torch import nn

from my_layers import WIDTH, stem


def make(labels):
    from my_head import head  # what a function imports is found as well

    return nn.Sequential(stem(), head(WIDTH, labels))
"""
LAYERS = """
from torch import nn

WIDTH = 4


def stem():
    return nn.Conv2d(3, WIDTH, 3, 2, 1)
"""
HEAD = """
from torch import nn


def head(width, labels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, labels))
"""
MISSION = """
name = "beside"
purpose = { task = "t", decision = "d", value = "v", harm = "h", feedback = "f" }
data = { kind = "scenes" }
budget = { grab_ms = 1, preprocess_ms = 1, infer_ms = 9, decode_ms = 1, track_ms = 1, decide_ms = 1, send_ms = 1, end_to_end_ms = 99 }
camera = { width_px = 64, height_px = 64, fps = 25, assumed_speed_mps = 14 }

[model]
factory = "my_net_of_a_user:make"
labels = ["city", "rural", "highway"]
input = { width_px = 32, height_px = 32 }
preprocess = { fit = "stretch", color = "rgb" }
decode = { kind = "classify", score_threshold = 0.5 }

[policy]
fallbacks = { speed_ceiling_mps = 5.0, deceleration_mps2 = 1.0 }

[[policy.rules]]
name = "slow in the city"
why = "people"
when = { scene = "city", confidence = 0.6 }
confirm = { k = 3, of = 5 }
action = "NOTIFY"
clear = "when_gone"
"""  # noqa: E501 - one key a line


def write_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "my_net_of_a_user.py").write_text(NET)
    (folder / "my_layers.py").write_text(LAYERS)
    (folder / "my_head.py").write_text(HEAD)
    (folder / "mission.toml").write_text(MISSION)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Called from elsewhere, in a process that has read no such module yet."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_net_of_a_user", "my_layers", "my_head"):
        sys.modules.pop(name, None)
    return write_folder(tmp_path / "road")


def test_a_factory_beside_the_mission_is_found_from_any_folder(folder: Path) -> None:
    source = open_source(load_mission(folder / "mission.toml").model)
    assert isinstance(source, TorchSource)
    assert source.network(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    os.chdir(folder)
    assert open_source(load_mission(Path("mission.toml")).model).sha256 != ""


def test_two_missions_may_each_have_a_module_of_one_name(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other")
    (other / "my_layers.py").write_text(LAYERS.replace("WIDTH = 4", "WIDTH = 6"))
    widths = []
    for mission in (folder, other, folder):
        source = open_source(load_mission(mission / "mission.toml").model)
        assert isinstance(source, TorchSource)
        widths.append(source.network.state_dict()["0.weight"].shape[0])
    assert widths == [4, 6, 4]


def test_a_package_beside_the_mission_is_found_too(folder: Path) -> None:
    package = folder / "nets_beside"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("from torch import nn\nmake = nn.Flatten\n")
    made = load_factory("nets_beside.net:make", beside=folder)
    assert made is torch.nn.Flatten


def test_a_change_of_any_file_beside_makes_results_anew(folder: Path) -> None:
    network = make_network("my_net_of_a_user:make", (3,), beside=folder)
    before = network_code("my_net_of_a_user:make", network)
    assert network_code("my_net_of_a_user:make", network) == before
    (folder / "my_head.py").write_text(HEAD + "\n# another\n")
    assert network_code("my_net_of_a_user:make", network) != before


@pytest.mark.parametrize(
    ("file", "content", "factory", "found"),
    [
        ("types.py", "def make(labels): ...", "types:make", "'types' is the name of"),
        ("broken_net.py", "raise RuntimeError('no GPU')", "broken_net:make", "no GPU"),
        ("odd_net.py", "def make(", "odd_net:make", "SyntaxError"),
        ("lacking_net.py", "import no_such_package", "lacking_net:make", "no_such_package"),
        ("other_net.py", "", "other_net:make", "no attribute 'make'"),
        ("unused.py", "", "nowhere_net:make", "No module named 'nowhere_net'"),
    ],
)
def test_a_module_that_cannot_be_used_says_why_and_where_it_was_looked_for(
    folder: Path, file: str, content: str, factory: str, found: str
) -> None:
    (folder / file).write_text(content)
    with pytest.raises(UsageError) as refused:
        load_factory(factory, beside=folder)
    assert found in refused.value.found
    assert str(folder) in str(refused.value)


def test_no_file_stands_for_a_package_of_this_program(folder: Path) -> None:
    (folder / "converters.py").write_text("raise RuntimeError\n")
    assert callable(load_factory("converters.zoo:roadnet", beside=folder))
