"""trtexec commands: every release of the table, the right file and flags, a script that runs."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from edge.contract.artifact_names import IMPLICIT
from edge.engine.model_choice import cache_name
from edge.engine.releases import BUILDERS, CACHE_RELEASES, Release, builder_row
from edge.engine.trtexec import Command, commands, page, script

CACHES = [cache_name(release) for release in CACHE_RELEASES]
FILES = ["float.onnx", "int8.onnx", "strong.onnx", IMPLICIT, *CACHES]


def of(release: str, device: str, found: tuple[Command, ...]) -> list[Command]:
    asked = Release(*map(int, release.split(".")))
    return [one for one in found if one.device == device and one.since <= asked < one.before]


def every(files: list[str] = FILES, opset: int = 17) -> tuple[Command, ...]:
    return commands(files, opset=opset, shapes={})


def test_every_release_has_one_command_for_the_gpu_and_the_flags_of_its_row() -> None:
    for row in BUILDERS:
        if row.backend != "tensorrt":
            continue
        (one,) = of(str(row.since), "gpu", every())
        weak = {"INT8", "FP16"} <= set(row.precision_flags)
        assert ("--int8" in one.arguments and "--fp16" in one.arguments) is weak
        assert not [word for word in one.arguments if word.startswith("--calib")]
        assert not one.lacks


@pytest.mark.parametrize(
    ("release", "model", "flags"),
    [
        ("8.6.1", "int8.onnx", {"--int8", "--fp16"}),
        ("10.3.0", "int8.onnx", {"--int8", "--fp16"}),
        ("10.11.0", "int8.onnx", {"--int8", "--fp16"}),
        ("10.12.0", "strong.onnx", {"--stronglyTyped"}),
        ("10.13.2", "strong.onnx", {"--stronglyTyped"}),
        ("11.0.0", "strong.onnx", set()),
        ("11.4.1", "strong.onnx", set()),
    ],
)
def test_the_file_and_the_precision_of_a_release(release: str, model: str, flags: set[str]) -> None:
    """NVIDIA's page on migrating trtexec to 11: no precision flags any more, nor --calib."""
    (one,) = of(release, "gpu", every())
    assert one.arguments[0] == f"--onnx={model}"
    asked = {"--int8", "--fp16", "--stronglyTyped"} & set(one.arguments)
    assert asked == flags
    assert builder_row("tensorrt", one.since).lowering == ("qdq" if "int8" in model else "strong")


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("8.6.1", {f"--onnx={IMPLICIT}", "--calib=calibration-8.6.1.cache", "--int8"}),
        ("10.3.0", {f"--onnx={IMPLICIT}", "--calib=calibration-10.3.0.cache", "--int8"}),
        ("11.4.1", {"--onnx=strong.onnx"}),
    ],
)
def test_dla_takes_ranges_of_its_very_release_and_is_back_in_11_4_1(
    release: str, words: set[str]
) -> None:
    (one,) = of(release, "dla", every())
    assert words | {"--useDLACore=0", "--allowGPUFallback"} <= set(one.arguments)
    for none in ("10.4.0", "10.8.0", "10.13.2", "11.4.0"):
        assert not of(none, "dla", every())


def test_a_jetpack_stands_beside_the_cache_of_its_own_release_alone() -> None:
    told = {str(one.since): one.shipped_with for one in every() if one.device == "dla"}
    assert told["8.6.2"].startswith("JetPack 6.0")
    assert told["10.3.0"].startswith("JetPack 6.1")
    assert (told["8.6.1"], told["10.7.0"]) == ("", "")


def test_what_is_in_the_way_is_said_and_how_to_mend_it() -> None:
    (one,) = of("8.6.1", "gpu", every(opset=18))
    assert "--set precision.opset=17" in one.lacks
    (one,) = of("10.3.0", "dla", every([IMPLICIT, "int8.onnx"]))
    assert one.lacks == "this conversion has no calibration-10.3.0.cache"
    (one,) = of("11.0.0", "gpu", every(["float.onnx", "int8.onnx"]))
    assert "no strong.onnx" in one.lacks


def test_open_sizes_get_a_profile_and_fixed_ones_none() -> None:
    (one,) = of("10.3.0", "gpu", commands(FILES, opset=17, shapes={"x": (1, 3, 64, 64)}))
    assert {f"--{w}Shapes=x:1x3x64x64" for w in ("min", "opt", "max")} <= set(one.arguments)
    assert not [word for word in of("10.3.0", "gpu", every())[0].arguments if "Shapes" in word]


def ran(folder: Path, *arguments: str) -> tuple[int, list[str], str]:
    """The script in a real shell from another folder, with a stand-in that prints what it gets."""
    stand_in = folder / "stand-in"
    stand_in.write_text('#!/bin/sh\npwd\nfor word in "$@"; do echo "$word"; done\n')
    stand_in.chmod(0o755)
    done = subprocess.run(
        ["sh", str(folder / "trtexec.sh"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, "TRTEXEC": str(stand_in)},
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_the_script_runs_the_command_of_the_release_where_the_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    found = every()
    (folder / "trtexec.sh").write_bytes(script(found, mission="m", failed=[]))
    for given, release, device in (
        ("10.3.0", "10.3.0", "gpu"),
        ("10.3", "10.3.0", "dla"),
        ("10.13.2.6", "10.13.2", "gpu"),
        ("8.6.1", "8.6.1", "dla"),
    ):
        code, out, err = ran(folder, given, device)
        assert (code, out[0]) == (0, str(folder)), err
        assert tuple(out[1:]) == of(release, device, found)[0].arguments
    assert ran(folder, "10.3.0")[1][1:] == list(of("10.3.0", "gpu", found)[0].arguments)
    for wrong in (
        (),
        ("banana",),
        ("10.x",),
        ("9.0.0", "gpu"),
        ("10.8.0", "dla"),
        ("10.3.0", "tpu"),
    ):
        code, out, err = ran(folder, *wrong)
        assert code == 2, wrong
        assert not out
        assert err


def test_the_script_of_failed_gates_builds_nothing(tmp_path: Path) -> None:
    (tmp_path / "trtexec.sh").write_bytes(script(every(), mission="m", failed=["found_min int8"]))
    code, out, err = ran(tmp_path, "10.3.0", "gpu")
    assert (code, out) == (1, [])
    assert "found_min int8 failed" in err
    text = page(every(), mission="m", failed=["found_min int8"]).decode()
    assert "Do not build: found_min int8 failed" in text


def test_the_script_says_what_a_release_lacks(tmp_path: Path) -> None:
    (tmp_path / "trtexec.sh").write_bytes(script(every(opset=18), mission="m", failed=[]))
    code, _, err = ran(tmp_path, "8.6.1")
    assert code == 3
    assert "precision.opset=17" in err


def test_the_page_holds_every_command_and_says_that_none_was_run() -> None:
    text = page(every(), mission="m", failed=[]).decode()
    for one in every():
        for word in one.arguments:
            assert word in text
    assert "none of them was run" in text


def test_layers_that_stay_in_float_are_named_where_the_file_does_not_say_so() -> None:
    kept = ["/head/Conv", "it's"]
    found = commands(FILES, opset=17, shapes={}, kept_float=kept)
    held = "--layerPrecisions=/head/Conv:fp16,it's:fp16"
    for one in found:
        assert (held in one.arguments) == any(word.startswith("--calib=") for word in one.arguments)
        assert (held in one.arguments) == ("--precisionConstraints=obey" in one.arguments)
    text = script(found, mission="m", failed=[]).decode()
    assert shlex.quote(held) in text
