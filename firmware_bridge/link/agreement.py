"""What both ends must have in common before a command may travel: protocol, contract and limits.

No clock, no bytes; link.py says what a disagreement does to the link.
"""

from __future__ import annotations

from firmware_bridge.protocol.codec import PROTOCOL_VERSION, contract_hash
from firmware_bridge.protocol.limits import limits_hash
from firmware_bridge.protocol.messages import HostHello, McuHello

FORGOTTEN = frozenset({"no_greeting", "contract_mismatch", "limits_mismatch"})
"""Faults by which the microcontroller says that it knows no session with this host."""


def greeting(boot_id: int) -> HostHello:
    """What this end has."""
    return HostHello(
        version=PROTOCOL_VERSION,
        boot_id=boot_id,
        contract_hash=contract_hash(),
        limits_hash=limits_hash(),
    )


def disagreement(hello: McuHello) -> str | None:
    """What the other end has otherwise, and what to do about it; None where both agree."""
    expected = (PROTOCOL_VERSION, contract_hash(), limits_hash())
    found = (hello.version, hello.contract_hash, hello.limits_hash)
    if found == expected:
        return None
    return (
        f"host: protocol {expected[0]}, contract {expected[1]:06x}, limits"
        f" {expected[2]:06x}; microcontroller: protocol {found[0]}, contract"
        f" {found[1]:06x}, limits {found[2]:06x}; flash the firmware of this version of"
        " brakepoint, or install the version that the firmware was built from"
    )
