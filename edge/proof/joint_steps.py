"""The explorations of the microcontroller and of the closed loop.

In: a `Work` whose host is tabled. Out: its `Findings`.
"""

from __future__ import annotations

from edge.proof.machines.closed_loop import ClosedLoop
from edge.proof.machines.core_laws import core_breaches
from edge.proof.machines.microcontroller import Microcontroller, representatives
from edge.proof.proof import CounterExample
from edge.proof.properties import DRIVES
from edge.proof.steps import Advance, Work


def microcontroller_and_loop(work: Work, advance: Advance) -> None:
    """The compiled core under any host, and then with this one."""
    assert work.host is not None
    findings = work.findings
    explored_as = representatives(work.host.demands)
    with findings.measured("microcontroller under any host") as counted:
        mcu = Microcontroller.under_any_host(work.core, explored_as.values())
        explored = mcu.explore()
        counted.add(explored)
        for breach in core_breaches(mcu, explored):
            words = tuple(letter.text() for letter in breach.letters)
            found = CounterExample(breach.text, words=words, core=breach)
            findings.broken.setdefault(breach.law, found)
    with findings.measured("host, line, microcontroller, vehicle") as counted:
        loop = ClosedLoop(work.host, mcu, explored_as)
        joint = loop.explore(lambda reached: advance(reached, 0))
        counted.add(joint)
        turns, stuck = loop.turns_to_drive(joint)
        if len(stuck):
            state = int(stuck[joint.depth[stuck].argmin()])
            text = f"it does not get back to driving from: {loop.describe(state)}"
            findings.add(DRIVES, text, words=loop.way_to(joint, state))
        else:
            findings.notes.append(
                f"once nothing is wrong, every joint state drives again after {turns} turns at most"
            )
