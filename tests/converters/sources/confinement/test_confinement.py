"""The confined process writes nothing but its own folder, reads none of the user's files and
reaches no network: shown by trying each inside it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkout import ROOT
from crafted import SIDE, program, script, with_lines
from tiny_graphs import node, tiny
from torch import Tensor, nn

from converters.sources.confinement import system_calls
from converters.sources.confinement.onnx_trial import try_once
from converters.sources.pytorch.confined_network import ConfinedNetwork
from converters.sources.pytorch.exported_program import sanitize_program
from converters.sources.pytorch.torchscript import load_torchscript, sanitize_torchscript
from firmware_bridge.errors import UsageError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

SHAPE = (1, 3, SIDE, SIDE)

TRIES = """
import ctypes, os, signal, socket, sys, threading
from pathlib import Path
from converters.sources.confinement import restrictions
own, other, victim = map(Path, sys.argv[1:4])
listening, parent = int(sys.argv[4]), os.getppid()
if sys.argv[5] == "without Landlock":
    restrictions._landlock = lambda *_: 0  # as a kernel without it answers
places = [Path(place) for place in (*sys.path, sys.prefix, sys.base_prefix) if place]
holds = restrictions.confine(own, memory_bytes=1 << 30, readable=places)
print("files", holds.files, "network", holds.network)

def connect(kind, address, how=socket.SOCK_STREAM):
    with socket.socket(kind, how) as opened:
        opened.connect(address)

def tried(name, call):
    try:
        call()
    except (OSError, MemoryError) as error:
        print(name, "denied", type(error).__name__)
    else:
        print(name, "allowed")

tried("write own", lambda: (own / "a").write_text("a"))
tried("write other", lambda: (other / "a").write_text("a"))
tried("append", lambda: victim.open("a"))
tried("empty by opening", lambda: os.open(victim, os.O_RDONLY | os.O_TRUNC))
tried("truncate", lambda: os.truncate(victim, 0))
tried("remove", victim.unlink)
tried("rename", lambda: victim.rename(own / "b"))
tried("rename inside", lambda: victim.rename(victim.with_name("b")))
tried("make a folder", lambda: (other / "b").mkdir())
tried("link to", lambda: (other / "c").symlink_to(victim))
tried("hard link", lambda: os.link(victim, own / "c"))
tried("mode", lambda: victim.chmod(0o777))
tried("times", lambda: os.utime(victim))
tried("attribute", lambda: os.setxattr(victim, "user.a", b"a"))
tried("connect", lambda: connect(socket.AF_INET, ("127.0.0.1", listening)))
tried("connect 6", lambda: connect(socket.AF_INET6, ("::1", listening)))
tried("datagram", lambda: connect(socket.AF_INET, ("127.0.0.1", 53), socket.SOCK_DGRAM))
tried("local socket", lambda: connect(socket.AF_UNIX, "\\0brakepoint"))
tried("signal", lambda: os.kill(parent, signal.SIGCONT))
tried("program", lambda: os.execv("/bin/true", ["true"]))
tried("memory", lambda: bytearray(2 << 30))
def in_thread():
    tried("thread writes", lambda: (other / "t").write_text("a"))
thread = threading.Thread(target=in_thread)
thread.start()
thread.join()
if holds.files and holds.files.startswith("Landlock"):
    tried("read other", victim.read_text)
tried("read Python", lambda: Path(os.__file__).read_text())
"""

ALLOWED = {"write own", "read Python"}


def confined(tmp_path: Path, how: str) -> dict[str, str]:
    """What each try came to."""
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    victim = other / "victim"
    victim.write_text("of the user")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-c", TRIES, own, other, victim, str(port), how],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
    assert victim.read_text() == "of the user"
    assert sorted(path.name for path in other.iterdir()) == ["victim"]
    first, *lines = done.stdout.splitlines()
    if "None" in first:
        pytest.skip(f"this kernel or processor has neither Landlock nor seccomp: {first}")
    found = {}
    for line in lines:
        name, _, answer = line.partition(" denied")
        found[name if answer or line.endswith("denied") else line.removesuffix(" allowed")] = (
            "denied" if " denied" in line else "allowed"
        )
    return found


def test_nothing_but_its_own_folder_and_what_python_needs(tmp_path: Path) -> None:
    found = confined(tmp_path, "as it is")
    assert {name for name, answer in found.items() if answer == "allowed"} <= ALLOWED | {"read"}
    assert found["write own"] == found["read Python"] == "allowed"
    assert len(found) >= 23


def test_without_landlock_it_writes_nothing_at_all(tmp_path: Path) -> None:
    found = confined(tmp_path, "without Landlock")
    assert [name for name, answer in found.items() if answer == "allowed"] == ["read Python"]


def test_every_call_is_told_for_both_processors() -> None:
    tables = [system_calls.NETWORK, system_calls.OTHERS, system_calls.SYSTEM]
    tables += [system_calls.CHANGING, system_calls.WRITING]
    for machine in system_calls.ARCHITECTURES:
        found = [one for table in tables for one in system_calls.numbers(table, machine)]
        assert len(found) == len(set(found))
        assert system_calls.OPENING[machine]
        assert 435 not in found  # clone3 makes threads


class TestOperatorsThatGotThrough:
    """Should the look at the code miss an operator, two further things stand in its way."""

    def test_the_compiled_graph_is_looked_at_before_it_runs(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"of the user")
        path = script(tmp_path / "n.pt")
        made = f'torch.from_file("{victim}", True, 2)'
        with_lines(path, f"images = torch.add(images, torch.mean(torch.fill_({made}, 1)))")
        with pytest.raises(UsageError, match="not run here") as caught:
            load_torchscript(path.read_bytes(), path)
        assert caught.value.found == "aten::from_file"
        assert victim.read_bytes() == b"of the user"

    def test_the_process_has_no_right_to_do_it(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_bytes(b"of the user")
        writes = (
            "import sys, torch\nfrom pathlib import Path\n"
            "from converters.sources.confinement.restrictions import confine\n"
            "places = [Path(one) for one in (*sys.path, sys.prefix, sys.base_prefix) if one]\n"
            "holds = confine(Path(sys.argv[1]), memory_bytes=1 << 33, readable=places)\n"
            "print(holds.files)\n"
            "torch.from_file(sys.argv[2], shared=True, size=2).fill_(1)\n"
        )
        own = tmp_path / "own"
        own.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", writes, own, victim], capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == "None":
            pytest.skip("this kernel or processor has neither Landlock nor seccomp")
        assert done.returncode == 1
        assert "Operation not permitted" in done.stderr or "Permission denied" in done.stderr
        assert victim.read_bytes() == b"of the user"


class Endless(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        while bool(images.sum() >= 0):
            images = images + 1
        return images


class TestTheProcess:
    def test_a_network_that_never_answers_is_ended(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "n.pt"
        torch.jit.save(torch.jit.script(Endless()), path)
        network = ConfinedNetwork("torchscript", sanitize_torchscript(path), path, SHAPE)
        monkeypatch.setattr("converters.sources.confinement.process.LIMIT_S", {"run": 2.0})
        with pytest.raises(UsageError, match="cannot be run here") as caught:
            network(torch.ones(SHAPE))
        assert caught.value.found == "not done in 2 s"
        with pytest.raises(UsageError, match="cannot be run here"):
            network(torch.ones(SHAPE))

    def test_it_ends_with_the_network_and_leaves_no_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        monkeypatch.setenv("SECRET_KEY", "of the user")
        path = program(tmp_path / "n.pt2")
        network = ConfinedNetwork("exported", sanitize_program(path), path, SHAPE)
        (child,) = (one.name for one in Path("/proc").iterdir() if is_child(one))
        assert list(tmp_path.glob("brakepoint-*"))
        assert "SECRET_KEY" not in Path(f"/proc/{child}/environ").read_text()
        assert network.open == ()
        assert len(network(torch.zeros(SHAPE))) == 1
        del network
        assert not Path(f"/proc/{child}").exists()
        assert not list(tmp_path.glob("brakepoint-*"))

    def test_what_is_open_on_a_machine_is_told(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("converters.sources.confinement.process.COMMAND", WITHOUT_RIGHTS_TAKEN)
        path = program(tmp_path / "n.pt2")
        network = ConfinedNetwork("exported", sanitize_program(path), path, SHAPE)
        assert network.open == ("write your files", "reach the network")
        (told,) = (one.getMessage() for one in caplog.records if one.name == "brakepoint")
        assert "could write your files and reach the network" in told
        assert "docs/sources.md" in told


WITHOUT_RIGHTS_TAKEN = (
    "import sys; sys.path[:] = sys.argv.pop().split('\\n'); "
    "import converters.sources.confinement.restrictions as c; c._landlock = lambda *_: 0; "
    "c._filter = lambda *_, **__: False; "
    "from converters.sources.pytorch.confined_child import main; main()"
)
"""As on a system that has neither."""


def is_child(process: Path) -> bool:
    """Whether this process started that one, which loads a network's file."""
    try:
        parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        return (
            int(parent) == os.getpid() and b"confined_child" in (process / "cmdline").read_bytes()
        )
    except (OSError, IndexError):
        return False


def test_an_editable_install_is_read_wherever_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkout is on no path then: Python finds it by an import hook."""
    kept = [one for one in sys.path if not (Path(one) / "converters").is_dir()]
    monkeypatch.setattr(sys, "path", kept)
    monkeypatch.chdir(tmp_path)
    model = tiny([node("Relu", ["x"], ["y"])], {}, inputs={"x": (1, 3, 8, 8)})
    assert try_once(model, tmp_path / "n.onnx", (1, 3, 8, 8)) is None
