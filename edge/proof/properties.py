"""The properties that are proved of a policy: one table, each with its sentence and its
requirements.

The laws of single turns, of the microcontroller and of the modes are properties; so are those of
the whole mission below. Values only; proof.py finds out which hold.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.proof.laws.turn_laws import LAWS
from edge.proof.machines.core_laws import CORE_LAWS
from edge.proof.machines.mode_laws import LEAVES_BY_STOPPED, SAYS_WHAT_HOLDS

AGES = "ages as declared"
MATCHES = "matches as asked"
IN_TIME = "faults act in time"
REACHABLE = "every rule fires"
DECIDES = "no rule shadowed"
RULES_END = "rules can be left"
RECOVERS = "faults can be left"
DRIVES = "every state can be left"
FACTORS = "factors make the whole"


@dataclass(frozen=True)
class Property:
    """One property.

    Attributes:
        name: short and unique.
        sentence: what holds.
        requirements: numbered sentences of docs/ that it stands for.
    """

    name: str
    sentence: str
    requirements: tuple[str, ...]


_OF_LAWS = [
    *(Property(law.name, law.sentence, law.requirements) for law in LAWS),
    *(Property(law.name, law.sentence, law.requirements) for law in CORE_LAWS),
]

PROPERTIES: dict[str, Property] = {
    one.name: one
    for one in (
        Property(
            REACHABLE,
            "For every rule there is a frame that it matches, and a story in which it fires.",
            ("R-RUN-121",),
        ),
        Property(
            DECIDES,
            "For every rule there is a story in which it changes the command.",
            ("R-RUN-121",),
        ),
        Property(
            MATCHES,
            "A rule matches at exactly the numbers it asks for, and not a millionth below.",
            ("R-RUN-121",),
        ),
        Property(
            AGES,
            "Ages, steps of escalation and times to live are those that the mission declares.",
            ("R-RUN-1", "R-RUN-2", "R-RUN-3"),
        ),
        Property(
            IN_TIME,
            "From every level of a counter the declared number of bad results in a row is enough.",
            ("R-RUN-5", "R-RUN-6"),
        ),
        *_OF_LAWS,
        Property(LEAVES_BY_STOPPED, "A stop is left by STOPPED only.", ("R-RUN-26",)),
        Property(SAYS_WHAT_HOLDS, "Every mode is reached, and says what holds.", ("R-RUN-26",)),
        Property(
            RULES_END,
            "From every state a rule ends within its confirm window of clear frames, where its "
            "clear is met; one that never clears never ends.",
            ("R-RUN-13", "R-RUN-122"),
        ),
        Property(
            RECOVERS,
            "From the worst state the road is free again when counters and holds have run out.",
            ("R-RUN-4", "R-RUN-5", "R-RUN-6", "R-RUN-122"),
        ),
        Property(
            DRIVES,
            "From every joint state of host, line, microcontroller and vehicle nothing is applied "
            "any more once nothing is wrong.",
            ("R-RUN-122",),
        ),
        Property(
            FACTORS,
            "Each turn of the whole policy is the product of what was explored apart.",
            ("R-RUN-123",),
        ),
    )
}
