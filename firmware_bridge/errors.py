"""The one way a failure reaches a user: what happened, expected, found, what to do, exit code.

Lives in the rightmost package because every other package may import it. It never prints: the
command line does.
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
        """Whole after a journey to another process: by default only `what` would travel."""
        return _again, (type(self), self.what, self.expected, self.found, self.remedy)

    def __str__(self) -> str:
        return (
            f"{self.what}\n  expected: {self.expected}\n  found:    {self.found}\n"
            f"  to mend:  {self.remedy}"
        )


def _again(kind: type[Refusal], what: str, expected: str, found: str, remedy: str) -> Refusal:
    return kind(what, expected=expected, found=found, remedy=remedy)


class GateFailed(Refusal):
    """The answer is no: everything ran, and a gate said so (exit 1)."""

    exit_code = 1


class UsageError(Refusal):
    """The command or the mission file cannot be meant like this (exit 2)."""

    exit_code = 2


class Missing(Refusal):
    """A file, a package or a tool that is needed is not there or not readable (exit 3)."""

    exit_code = 3


class NotTrusted(Refusal):
    """Content does not match the digest or signature that vouches for it (exit 4)."""

    exit_code = 4


class DeviceFault(Refusal):
    """A port, camera or microcontroller did not do its part (exit 5)."""

    exit_code = 5
