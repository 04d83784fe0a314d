"""Prints a proof for a person: deadlines, what was explored, properties, counter-examples as
stories.

In: a proof and its mission. Out: lines on a console. A property that does not hold comes with its
story.
"""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from edge.contract.mission.schema import Mission
from edge.proof.proof import CounterExample, Exploration, Proof
from edge.proof.properties import PROPERTIES
from edge.proof.stories.story_file import Replay, StoryFile
from edge.terminal import styled


def print_proof(console: Console, proof: Proof, mission: Mission) -> None:
    """The whole proof."""
    faults = Table("fault", "commanded", "from when on", title="deadlines", title_justify="left")
    for one in proof.deadlines:
        faults.add_row(one.fault, one.action, one.within)
    console.print(faults)
    console.print(_explored(proof))
    properties = Table("property", "", "what holds", title="properties", title_justify="left")
    for name, prop in PROPERTIES.items():
        verdict = "broken" if name in proof.broken else "holds"
        colour = "bold red" if name in proof.broken else "green"
        properties.add_row(name, styled((verdict, colour)), prop.sentence)
    console.print(properties)
    for note in proof.notes:
        console.print(f"note: {note}")
    for name, found in proof.broken.items():
        _print_counter_example(console, name, found, proof, mission)
    count = len(PROPERTIES)
    if proof.holds:
        console.print(f"{proof.mission}: all {count} properties hold")
    else:
        console.print(f"{proof.mission}: {len(proof.broken)} of {count} properties are broken")


def print_replay(console: Console, replay: Replay) -> None:
    """The lines of a played story."""
    table = Table(*replay.columns)
    for line in replay.lines:
        table.add_row(*line)
    console.print(table)


def _explored(proof: Proof) -> Table:
    table = Table("explored", title="exploration", title_justify="left")
    for column in ("states", "edges", "seconds", "million edges a second"):
        table.add_column(column, justify="right")
    whole = Exploration(
        "all",
        states=sum(one.states for one in proof.explorations),
        edges=sum(one.edges for one in proof.explorations),
        seconds=sum(one.seconds for one in proof.explorations),
    )
    for one in (*proof.explorations, whole):
        rate = one.edges_a_second
        table.add_row(
            one.name,
            f"{one.states:,}",
            f"{one.edges:,}",
            f"{one.seconds:.1f}",
            "" if rate is None else f"{rate / 1e6:.0f}",
        )
    return table


def _print_counter_example(
    console: Console, name: str, found: CounterExample, proof: Proof, mission: Mission
) -> None:
    console.print(styled(("broken: ", "bold red"), f"{name}. {PROPERTIES[name].sentence}"))
    console.print(f"  {found.text}")
    body = found.story if found.story is not None else found.core
    if body is not None:
        if found.story is not None and found.story.start is not None:
            console.print("  from a state that is reached; no story from the start was found")
        print_replay(console, StoryFile(name, proof.mission, body).replay(mission))
        return
    for number, words in enumerate(found.words, start=1):
        console.print(f"  {number}. {words}")
