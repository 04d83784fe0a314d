"""Errors that a person can mend: what happened, expected, found, what to do, exit code.

They live in the rightmost package because every other package may import it. Only the command line
prints them.
"""

from __future__ import annotations


class Refusal(Exception):
    """A failure that the person at the keyboard can do something about.

    Args:
        what: one sentence saying what was refused.
        expected: what would have been right.
        found: what was there instead.
        remedy: the next thing to do, a command where there is one.
    """

    exit_code = 1

    def __init__(self, what: str, *, expected: str, found: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.expected = expected
        self.found = found
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle all four texts: by default only `what` would reach another process."""
        return _rebuild, (type(self), self.what, self.expected, self.found, self.remedy)

    def __str__(self) -> str:
        return (
            f"{self.what}\n  expected: {self.expected}\n  found:    {self.found}\n"
            f"  to mend:  {self.remedy}"
        )


def _rebuild(kind: type[Refusal], what: str, expected: str, found: str, remedy: str) -> Refusal:
    return kind(what, expected=expected, found=found, remedy=remedy)


class GateFailed(Refusal):
    """Everything ran, and a gate failed (exit 1)."""

    exit_code = 1


class UsageError(Refusal):
    """The command or the mission file is wrong (exit 2)."""

    exit_code = 2


class Missing(Refusal):
    """A required file, package or tool is missing or not readable (exit 3)."""

    exit_code = 3


class NotTrusted(Refusal):
    """Content does not match its digest or signature (exit 4)."""

    exit_code = 4


class DeviceFault(Refusal):
    """A port, camera or microcontroller failed (exit 5)."""

    exit_code = 5
