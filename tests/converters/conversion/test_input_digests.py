"""Inputs that a conversion's results depend on: the code of a factory is one of them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from torch import nn

from converters.conversion.input_digests import code_digest, network_code
from converters.zoo import roadnet

HELPER = "def width():\n    return 4\n"
NET = """
from torch import nn
from nets_of_a_user.helper import width

class Net(nn.Sequential):
    pass

def make(labels):
    return Net(nn.Conv2d(3, width(), 1))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "nets_of_a_user"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "net.py").write_text(NET)
    (folder / "helper.py").write_text(HELPER)
    (folder / "other.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.startswith("nets_of_a_user")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def test_any_file_of_the_networks_package_counts_and_what_else_is_loaded_does_not(
    package: Path,
) -> None:
    network: nn.Module = importlib.import_module("nets_of_a_user.net").make(3)
    before = network_code("nets_of_a_user.net:make", network)
    importlib.import_module("nets_of_a_user.other")
    assert network_code("nets_of_a_user.net:make", network) == before
    (package / "helper.py").write_text(HELPER.replace("4", "8"))
    assert network_code("nets_of_a_user.net:make", network) != before
    (package / "helper.py").write_text(HELPER)
    assert network_code("nets_of_a_user.net:make", network) == before


def test_our_own_networks_are_covered_by_the_programs_digest() -> None:
    ours = network_code("converters.zoo:roadnet", roadnet(3, 2))
    assert ours == network_code("converters.zoo:other", nn.Identity())
    assert len(code_digest()) == 64
