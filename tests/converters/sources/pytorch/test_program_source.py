"""Networks in PyTorch's files: TorchScript and torch.export programs are read, whatever the file's
name, and no code in them runs but operators of a network.
"""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_torch
import torch
from tiny_graphs import run
from torch import Tensor, nn

from converters.graph.passes.pipeline import passes, run_passes
from converters.sources.network import network_of
from converters.sources.pytorch.export import export
from converters.sources.pytorch.exported_program import load_program, sanitize_program
from converters.sources.pytorch.torchscript import load_torchscript, sanitize_torchscript
from converters.sources.source import TorchSource, name_of, open_source
from edge.contract.mission.loading import load_mission
from edge.contract.mission.schema import Mission
from edge.perception.decode import DETECTIONS
from firmware_bridge.errors import Refusal, UsageError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

SIDE = 64
SHAPE = (1, 3, SIDE, SIDE)
Command = Callable[..., tuple[int, str, str]]


def for_file(tiny_mission: Path, file: Path) -> Mission:
    raw = load_mission(tiny_mission).model_dump()
    raw["model"] |= {"file": file}
    return Mission.model_validate(raw)


def network() -> nn.Module:
    return tiny_torch.tiny(3).eval()


def traced(given: nn.Module | None = None, side: int = SIDE) -> torch.jit.ScriptModule:
    made: torch.jit.ScriptModule = torch.jit.trace(
        given or network(), torch.zeros(1, 3, side, side)
    )
    return made


def frozen() -> torch.jit.ScriptModule:
    return torch.jit.freeze(traced())


def program(given: nn.Module | None = None, **more: Any) -> torch.export.ExportedProgram:
    count = 2 if more else 1
    return torch.export.export(given or network(), (torch.zeros(count, 3, SIDE, SIDE),), **more)


def open_batch() -> torch.export.ExportedProgram:
    return program(dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=8)},))


def saved(path: Path, what: Any) -> Path:
    if isinstance(what, torch.export.ExportedProgram):
        made = io.BytesIO()
        torch.export.save(what, made)
        path.write_bytes(made.getvalue())
    else:
        torch.jit.save(what, path)
    return path


def refused(tiny_mission: Path, path: Path, words: str) -> Refusal:
    with pytest.raises(UsageError, match=words) as caught:
        open_source(for_file(tiny_mission, path).model)
    assert path.name in caught.value.what
    return caught.value


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (traced, "torchscript"),
        (lambda: torch.jit.script(network()), "torchscript"),
        (frozen, "torchscript"),
        (program, "exported"),
        (open_batch, "exported"),
    ],
    ids=["traced", "scripted", "frozen", "exported", "with an open batch"],
)
def test_the_network_is_what_was_saved(
    make: Callable[[], Any], kind: str, tiny_mission: Path, tmp_path: Path
) -> None:
    path = saved(tmp_path / "network.bin", make())  # content decides, not the name
    mission = for_file(tiny_mission, path)
    source = open_source(mission.model)
    assert isinstance(source, TorchSource)
    assert (source.kind, source.factory, name_of(source)) == (kind, None, str(path))
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = network()(x).numpy()
    np.testing.assert_allclose(
        network_of(source, mission.model, threads=mission.target.threads)(x.numpy())[0],
        wanted,
        atol=1e-5,
    )
    model = export(source.network, SHAPE, [DETECTIONS])
    exported, _ = run_passes(model, passes(18, SHAPE, [DETECTIONS]), [x.numpy()])
    np.testing.assert_allclose(run(exported, x.numpy()), wanted, atol=1e-4)


def test_convert_tells_the_kind(brakepoint: Command, tiny_mission: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "network.onnx", traced())
    out = tmp_path / "out"
    code, _, err = brakepoint(
        "convert", tiny_mission, "--out", out, "--set", f"model.file={path}",
        "--set", "gates.found_min=0.01", "--set", "precision.search=none",
    )  # fmt: skip
    assert code in (0, 1), err  # untrained, so its INT8 may find anything
    report = json.loads((out / "report.json").read_text())
    assert report["source"]["kind"] == "torchscript"
    assert report["source"]["file"] == "network.onnx"
    assert report["source"]["factory"] is None


class TestWhatHoldsNoNetwork:
    @pytest.mark.parametrize("zipped", [True, False])
    def test_weights_alone_and_a_pickled_module(
        self, zipped: bool, tiny_mission: Path, tmp_path: Path
    ) -> None:
        for what in (network().state_dict(), network()):
            torch.save(what, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
            refusal = refused(tiny_mission, tmp_path / "w.pt", "holds no network")
            assert "model.factory" in refusal.remedy
            assert "torch.jit.save" in refusal.remedy

    def test_a_zip_of_something_else(self, tiny_mission: Path, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
            archive.writestr("readme.txt", "hello")
        refused(tiny_mission, tmp_path / "a.pt", "holds no network")

    @pytest.mark.parametrize("make", [traced, program])
    def test_a_small_file_that_unpacks_to_gigabytes(
        self, make: Callable[[], Any], tiny_mission: Path, tmp_path: Path
    ) -> None:
        path = saved(tmp_path / "n.pt", make())
        with zipfile.ZipFile(path, "a", compression=zipfile.ZIP_DEFLATED, compresslevel=1) as bomb:
            with bomb.open(f"{bomb.namelist()[0].split('/')[0]}/extra/a", "w") as file:
                file.write(b"0")
            bomb.infolist()[-1].file_size = 3 << 30
        assert "unpacked" in refused(tiny_mission, path, "is too large").found

    @pytest.mark.parametrize("make", [traced, program])
    def test_cut_anywhere_and_damaged(self, make: Callable[[], Any], tmp_path: Path) -> None:
        path = saved(tmp_path / "whole.pt", make())
        whole = path.read_bytes()
        chance = np.random.default_rng(0)
        contents = [whole[: len(whole) * part // 7] for part in range(1, 7)]
        for _ in range(20):
            damaged = bytearray(whole)
            for at in chance.integers(0, len(whole), 40):
                damaged[at] ^= 0xFF
            contents.append(bytes(damaged))
        for content in contents:
            path.write_bytes(content)
            with contextlib.suppress(Refusal):  # never a traceback; a flipped weight may pass
                if make is traced:
                    load_torchscript(sanitize_torchscript(path), path)
                else:
                    load_program(sanitize_program(path), path, SHAPE)


class Reads(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images + torch.from_file("/etc/hostname", False, 4, dtype=torch.uint8).sum()


class Writes(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        torch.save(images, "was-run")
        return images


class TestNothingElseIsRun:
    @pytest.mark.parametrize("made", [Reads, Writes])
    def test_torchscript_that_touches_files(
        self, made: type[nn.Module], tiny_mission: Path, tmp_path: Path
    ) -> None:
        path = saved(tmp_path / "n.pt", torch.jit.script(made()))
        refusal = refused(tiny_mission, path, "holds code that is not run here")
        assert "from_file in" in refusal.found or "save in" in refusal.found

    def test_torchscript_with_other_operators(self, tiny_mission: Path, tmp_path: Path) -> None:
        path = changed(saved(tmp_path / "n.pt", traced()), ".py", b"torch.relu(", b"ops.mine.relu(")
        assert "mine::relu" in refused(tiny_mission, path, "not run here").found

    def test_quantized_torchscript_is_refused_as_such(
        self, tiny_mission: Path, tmp_path: Path
    ) -> None:
        path = changed(
            saved(tmp_path / "n.pt", traced()), ".py", b"torch.relu(", b"ops.quantized.relu("
        )
        refused(tiny_mission, path, "is quantized already")

    @pytest.mark.parametrize(
        "texts",
        [
            ("torch.ops.aten.relu.default", "torch.os.system", "target"),
            ("torch.ops.aten.relu.default", "torch.ops.aten.from_file.default", "target"),
            ("torch.ops.aten.relu.default", "torch.ops.mine.relu.default", "target"),
            ("Symbol('s", "__import__('os').system('touch was-run') or Symbol('s", "expr_str"),
            ("Symbol('s", "open('was-run', 'w') and Symbol('s", "expr_str"),
            ('"images"', '"images=print(1)"', "images=print"),
            ("builtins.tuple", "collections.defaultdict", "in_spec"),
        ],
    )
    def test_a_program_with_code_in_its_texts(
        self,
        texts: tuple[str, str, str],
        tiny_mission: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        old, new, words = texts
        monkeypatch.chdir(tmp_path)
        path = saved(tmp_path / "n.pt2", open_batch())
        changed(path, "model.json", old.encode(), new.encode())
        assert words in refused(tiny_mission, path, "holds more than a network").found
        assert not (tmp_path / "was-run").exists()

    def test_guards_and_sample_inputs_are_never_looked_at(
        self, tiny_mission: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        path = saved(tmp_path / "n.pt2", program())
        code = b"\"guards_code\": [\"open('was-run', 'w')\"]"
        changed(path, "model.json", b'"guards_code": []', code)
        changed(path, "sample_inputs/model.pt", None, pickle.dumps(Payload()))
        source = open_source(for_file(tiny_mission, path).model)
        assert isinstance(source, TorchSource)
        source.network(torch.zeros(SHAPE))
        assert not (tmp_path / "was-run").exists()

    @pytest.mark.parametrize("name", ["data/aotinductor/model/a.so", "data/constants/custom_obj_0"])
    def test_a_program_with_compiled_code_or_objects(
        self, name: str, tiny_mission: Path, tmp_path: Path
    ) -> None:
        path = saved(tmp_path / "n.pt2", program())
        with zipfile.ZipFile(path, "a") as archive:
            root = archive.namelist()[0].split("/")[0]
            archive.writestr(f"{root}/{name}", b"code")
        assert name in refused(tiny_mission, path, "holds more than a network").found

    def test_a_program_with_pickled_weights(self, tiny_mission: Path, tmp_path: Path) -> None:
        path = saved(tmp_path / "n.pt2", program())
        changed(path, "weights_config.json", b'"use_pickle": false', b'"use_pickle": true')
        assert "as a pickle" in refused(tiny_mission, path, "holds more than a network").found


class Payload:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("was-run"),))


def changed(path: Path, ending: str, old: bytes | None, new: bytes) -> Path:
    """The archive with one file's bytes replaced, wholly where `old` is None."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            if not name.endswith(ending):
                archive.writestr(name, data)
                continue
            assert old is None or old in data or ending == ".py"
            archive.writestr(name, new if old is None else data.replace(old, new))
    return path


class TestAnotherNetworkThanTheMissions:
    def test_a_program_for_another_size(self, tiny_mission: Path, tmp_path: Path) -> None:
        other = torch.export.export(network(), (torch.zeros(1, 3, 2 * SIDE, SIDE),))
        refusal = refused(tiny_mission, saved(tmp_path / "n.pt2", other), "mission's picture")
        assert "[1, 3, 128, 64]" in refusal.found
        assert "[1, 3, 64, 64]" in refusal.expected

    def test_a_trace_with_another_size_baked_in(
        self, brakepoint: Command, tiny_mission: Path, tmp_path: Path
    ) -> None:
        path = saved(tmp_path / "n.pt", traced(Baked(3).eval(), 2 * SIDE))
        code, _, err = brakepoint(
            "convert", tiny_mission, "--out", tmp_path / "out", "--set", f"model.file={path}"
        )
        assert code == 2
        assert "cannot run on the mission's picture" in err
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("kind", ["traced", "exported"])
    def test_one_saved_in_training_mode(
        self, kind: str, tiny_mission: Path, tmp_path: Path
    ) -> None:
        trained = tiny_torch.tiny(3).train()
        path = saved(tmp_path / "n.pt", traced(trained) if kind == "traced" else program(trained))
        assert "network.eval()" in refused(tiny_mission, path, "in training mode").remedy

    @pytest.mark.parametrize("make", [traced, program])
    def test_one_with_weights_that_are_no_numbers(
        self, make: Callable[[nn.Module], Any], tiny_mission: Path, tmp_path: Path
    ) -> None:
        broken = network()
        broken.skip.weight.data[0] = float("inf")  # type: ignore[union-attr, operator] # a Conv2d
        path = saved(tmp_path / "n.pt", make(broken))
        assert "'skip.weight'" in refused(tiny_mission, path, "NaN or infinity").found


class Baked(tiny_torch.Tiny):
    """Adds a grid whose size is that of the picture it was traced with."""

    def forward(self, images: Tensor) -> Tensor:
        raw = super().forward(images)
        return raw + torch.ones(1, int(raw.shape[1]), 1)
