"""Output of the command line: untrusted text is escaped, and stream faults (real pipes, full
devices, closed descriptors) change neither the exit code nor the remaining output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT
from rich.table import Table
from rich.text import Text

from edge.terminal import CONTROL, new_console, styled, visible

FULL = Path("/dev/full")

ODD = "stop [/left lane] [bold]\x1b[31m\u202e\x9b2J :car:"
SHOWN = "stop [/left lane] [bold]\\x1b[31m\\u202e\\x9b2J :car:"


def call(*arguments: object, **how: object) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *map(str, arguments)],
        text=True,
        check=False,
        cwd=ROOT,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how},  # type: ignore[call-overload]
    )


def record(folder: Path, name: str = "one", mission: str = ODD) -> Path:
    """A recorded run that any base installation can show."""
    runs = folder / "runs"
    runs.mkdir(exist_ok=True)
    document = {
        "schema": "brakepoint.record/1",
        "passed": None,
        "details": {},
        "kind": "convert",
        "mission": mission,
        "started": "20261130T100000Z",
        "seconds": 1.0,
        "parameters": {ODD: ODD},
        "inputs": {},
        "gates": [],
        "metrics": {},
        "outputs": {},
        "environment": {},
    }
    (runs / f"{name}.json").write_text(json.dumps(document))
    return runs


class TestTextIsText:
    def test_control_characters_are_shown(self) -> None:
        assert visible(ODD) == SHOWN
        assert visible("a\tb\nc é 道") == "a\tb\nc é 道"
        assert visible("\r\b\x00\x7f\u2028\ud800") == "\\x0d\\x08\\x00\\x7f\\u2028\\ud800"

    @pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x202E, 0x2066])
    def test_nothing_that_moves_a_cursor_is_left(self, code: int) -> None:
        assert CONTROL.search(visible(chr(code))) is None

    def test_tables_titles_and_lines_take_no_markup(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table = Table(ODD, title=ODD)
        table.add_row(ODD)
        console = new_console(width=200)
        console.print(table)
        console.print(ODD)
        console.print(styled((ODD, "bold"), ODD))
        console.print(Text(ODD))
        out = capsys.readouterr().out
        assert out.count(SHOWN) == 7
        assert "\x1b[31m" not in out

    def test_a_recorded_run_with_an_odd_name(self, tmp_path: Path) -> None:
        runs = record(tmp_path)
        for verb in (["list"], ["show", "one"]):
            done = call("runs", *verb, "--in", runs)
            assert done.returncode == 0, done.stderr
            assert "\x1b" not in done.stdout + done.stderr
            assert "\\x1b[31m" in done.stdout
            assert "[bold]" in done.stdout
        plain = call("runs", "show", "one", "--in", runs, "--json")
        assert json.loads(plain.stdout)["mission"] == ODD

    @pytest.mark.parametrize(
        "arguments",
        [
            [ODD],
            ["runs", "show", ODD, "--in", "RUNS"],
            ["runs", "list", f"--{ODD}"],
            ["mission", "check", ODD],
            ["mission", "check", f"{ODD}.toml", "--set", ODD],
        ],
    )
    def test_refusals_of_odd_words(self, arguments: list[str], tmp_path: Path) -> None:
        runs = record(tmp_path)
        done = call(*(str(runs) if one == "RUNS" else one for one in arguments))
        assert done.returncode in (2, 3)
        assert "Traceback" not in done.stderr
        assert "\x1b" not in done.stderr
        assert "\\x1b[31m" in done.stderr
        assert "[/left lane]" in done.stderr

    def test_no_other_module_prints(self) -> None:
        """By the source: whoever prints past `edge.terminal` prints markup and escapes."""
        for package in ("edge", "calibration", "converters", "firmware_bridge"):
            for path in (ROOT / package).rglob("*.py"):
                if path == ROOT / "edge/terminal.py":
                    continue
                text = path.read_text(encoding="utf-8")
                for word in ("Console(", "typer.echo", "click.echo", "stdout.write"):
                    assert word not in text, f"{path}: {word}"


class TestTroubleOfStreams:
    """`runs list` answers 0 and prints a table; the same refused answers 3 and prints on stderr."""

    def test_a_reader_that_has_gone(self, tmp_path: Path) -> None:
        runs = record(tmp_path)
        read, write = os.pipe()
        os.close(read)
        done = call("runs", "list", "--in", runs, stdout=write)
        os.close(write)
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_reader_of_refusals_that_has_gone(self, tmp_path: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        done = call("runs", "list", "--in", tmp_path, stderr=write)
        os.close(write)
        assert (done.returncode, done.stdout) == (3, "")

    @pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
    @pytest.mark.parametrize("form", [[], ["--json"]])
    def test_a_full_disk_moves_the_answer_to_standard_error(
        self, form: list[str], tmp_path: Path
    ) -> None:
        runs = record(tmp_path)
        wanted = call("runs", "list", "--in", runs, *form).stdout
        with FULL.open("w") as full:
            done = call("runs", "list", "--in", runs, *form, stdout=full)
        assert done.returncode == 0
        first, _, rest = done.stderr.partition("\n")
        assert "No space left on device" in first
        assert rest == wanted

    @pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
    def test_both_full(self, tmp_path: Path) -> None:
        for folder, code in ((record(tmp_path), 0), (ROOT / "edge", 3)):
            with FULL.open("w") as full:
                done = call("runs", "list", "--in", folder, stdout=full, stderr=full)
            assert done.returncode == code

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed_descriptors(self, closed: str, tmp_path: Path) -> None:
        command = f'exec "$0" -m edge.cli runs list --in "$1" {closed}'
        for folder, code in ((record(tmp_path), 0), (ROOT / "edge", 3)):
            done = subprocess.run(
                ["sh", "-c", command, sys.executable, folder],
                capture_output=True, text=True, check=False, cwd=ROOT,
            )  # fmt: skip
            assert done.returncode == code
            assert "Traceback" not in done.stderr

    def test_a_file_that_is_opened_later_does_not_become_standard_error(
        self, tmp_path: Path
    ) -> None:
        written = tmp_path / "file"
        program = (
            "import os, sys\nfrom edge.terminal import outlets\n"
            "with outlets():\n    file = open(sys.argv[1], 'w')\n"
            "    os.write(1, b'of a library')\n    os.write(2, b'of a library')\n    file.close()\n"
        )
        subprocess.run(
            ["sh", "-c", 'exec "$0" -c "$1" "$2" >&- 2>&-', sys.executable, program, written],
            check=True, cwd=ROOT,
        )  # fmt: skip
        assert written.read_text() == ""

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_letters_that_an_encoding_lacks(self, encoding: str, tmp_path: Path) -> None:
        runs = record(tmp_path, mission="Fußgänger 道")
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        done = call("runs", "list", "--in", runs, env=environment, encoding=encoding)
        assert (done.returncode, done.stderr) == (0, "")
        assert "g" in done.stdout

    def test_progress_is_shown_to_nobody(self, tmp_path: Path) -> None:
        read, write = os.pipe()
        os.close(read)
        program = (
            "from edge.progress import progress_bar\nfrom edge.terminal import outlets\n"
            "with outlets(), progress_bar() as advance:\n"
            f"    for step in range(3):\n        advance({ODD!r}, step, 3)\n"
            "print('done')\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=write, text=True,
            check=False, cwd=ROOT,
        )  # fmt: skip
        os.close(write)
        assert (done.returncode, done.stdout) == (0, "done\n")
