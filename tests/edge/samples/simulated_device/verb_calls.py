"""Calls the command line several times in one child process with a simulated device.

One process for all calls: importing everything takes longer than most of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from patience import PATIENCE_S

from simulated_device.site import Site

CHILD = """
import contextlib, io, json, sys
from edge.cli import main

def call(arguments):
    out, errors, code = io.StringIO(), io.StringIO(), None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main(arguments)
        except SystemExit as end:
            code = end.code
    return {"code": code, "out": out.getvalue(), "errors": " ".join(errors.getvalue().split())}

ended = {name: call(arguments) for name, arguments in json.load(sys.stdin).items()}
sys.stdout.write(json.dumps(ended))
"""


@dataclass(frozen=True)
class Done:
    """How a call ended. `errors` has single spaces, so that a sentence can be looked for."""

    code: int
    out: str
    errors: str


def call_verbs(site: Site, calls: Mapping[str, Sequence[object]]) -> dict[str, Done]:
    """Name -> arguments of the command line goes in; name -> how it ended comes out."""
    asked = {name: list(map(str, arguments)) for name, arguments in calls.items()}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=site.environment(),
    )
    assert done.returncode == 0, done.stderr
    return {name: Done(**one) for name, one in json.loads(done.stdout).items()}
