"""The end of a process that holds something of a lost device, in a child process."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import atexit, sys, threading
from edge.backends.abandoned import abandon, process_end

class OfTheDevice:
    def __del__(self):
        print("destroyed", flush=True)
        threading.Event().wait()

held = OfTheDevice()
{before}
with process_end(own={own}):
    print("the report")
    {end}
"""


def ended(
    before: str, *, own: bool = True, end: str = "raise SystemExit(5)"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD.format(before=before, own=own, end=end)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60.0,
    )


@pytest.mark.parametrize(
    ("end", "number", "errors"),
    [
        ("raise SystemExit(5)", 5, ""),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit('a sentence')", 1, ""),
        ("raise RuntimeError('a defect')", 1, "RuntimeError: a defect"),
        ("raise KeyboardInterrupt", 1, "KeyboardInterrupt"),
    ],
)
def test_neither_destructors_nor_exit_handlers_of_a_device_keep_the_process(
    end: str, number: int, errors: str
) -> None:
    before = "atexit.register(threading.Event().wait)\nabandon(held)\ndel held"
    done = ended(before, end=end)
    assert done.returncode == number
    assert errors in done.stderr
    assert done.stdout == "the report\n", "what was printed is written, nothing is destroyed"


def test_without_a_lost_device_a_process_ends_as_any_does() -> None:
    done = ended("atexit.register(print, 'as any does')\nOfTheDevice.__del__ = id")
    assert done.returncode == 5
    assert "as any does" in done.stdout


def test_a_program_that_calls_the_command_is_not_ended() -> None:
    """It gets the SystemExit."""
    before = "atexit.register(print, 'mine')\nOfTheDevice.__del__ = id\nabandon(held)"
    assert "mine" in ended(before, own=False).stdout
