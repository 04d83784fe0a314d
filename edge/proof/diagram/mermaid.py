"""A policy as Mermaid text: rules and faults by the action that they ask for, and the modes.

In: a mission. Out: text that GitHub and others draw. The modes come from their own table.
"""

from __future__ import annotations

from edge.contract.mission.schema import Mission
from edge.proof.diagram.words import conditions, confirmation, numbers
from edge.proof.laws.faults import FAULTS
from edge.runtime.policy.modes import mermaid as mermaid_modes
from edge.runtime.policy.settings import PolicySettings
from firmware_bridge.protocol.messages import Action


def mermaid_policy(mission: Mission) -> str:
    """Rules, faults and actions, the gravest action first."""
    settings = PolicySettings.of(mission, fps=mission.camera.fps)
    lines = ["flowchart LR"]
    for number, rule in enumerate(mission.policy.rules, start=1):
        words = (rule.name, conditions(rule.when), confirmation(rule))
        lines.append(f'    rule{number}["{"<br/>".join(map(_quoted, words))}"]')
    for action in reversed(Action):
        lines.append(f"    {action.name}([{action.name}])")
    for number, rule in enumerate(mission.policy.rules, start=1):
        given = numbers(rule)
        label = f'|"{_quoted(given)}"|' if given else ""
        lines.append(f"    rule{number} -->{label} {rule.action}")
    for number, fault in enumerate(FAULTS.values(), start=1):
        told = (fault.name, fault.deadline(settings))
        lines.append(f'    fault{number}["{"<br/>".join(map(_quoted, told))}"]')
        lines.append(f"    {fault.action.name} <--- fault{number}")
    return "\n".join(lines) + "\n"


def mermaid(mission: Mission) -> str:
    """Both diagrams, each in a fenced block of Markdown."""
    blocks = (mermaid_policy(mission), mermaid_modes())
    return "\n".join(f"```mermaid\n{block}```\n" for block in blocks)


def _quoted(text: str) -> str:
    """Text inside Mermaid's quotation marks, with entities for what it reads itself."""
    for sign, entity in (("#", "#35;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;")):
        text = text.replace(sign, entity)
    return text
