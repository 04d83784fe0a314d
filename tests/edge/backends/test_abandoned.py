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
    raise SystemExit({code})
"""


def ended(before: str, *, own: bool = True, code: str = "5") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHILD.format(before=before, own=own, code=code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60.0,
    )


@pytest.mark.parametrize(("code", "number"), [("5", 5), ("None", 0), ("'a sentence'", 1)])
def test_neither_destructors_nor_exit_handlers_of_a_device_keep_the_process(
    code: str, number: int
) -> None:
    before = "atexit.register(threading.Event().wait)\nabandon(held)\ndel held"
    done = ended(before, code=code)
    assert done.returncode == number
    assert done.stdout == "the report\n", "what was printed is written, nothing is destroyed"


def test_without_a_lost_device_a_process_ends_as_any_does() -> None:
    done = ended("atexit.register(print, 'as any does')\nOfTheDevice.__del__ = id")
    assert done.returncode == 5
    assert "as any does" in done.stdout


def test_a_program_that_calls_the_command_is_not_ended() -> None:
    """It gets the SystemExit."""
    before = "atexit.register(print, 'mine')\nOfTheDevice.__del__ = id\nabandon(held)"
    assert "mine" in ended(before, own=False).stdout
