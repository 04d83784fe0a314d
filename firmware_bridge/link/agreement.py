"""Compares protocol version, contract and limits of both ends before a command may travel.

The microcontroller's Hello goes in; a disagreement in words, or None, comes out. session.py decides
what a disagreement does to the link.
"""

from __future__ import annotations

from firmware_bridge.protocol.codec import PROTOCOL_VERSION, contract_hash
from firmware_bridge.protocol.limits import limits_hash
from firmware_bridge.protocol.messages import HostHello, McuHello

UNKNOWN_SESSION_FAULTS = frozenset({"no_greeting", "contract_mismatch", "limits_mismatch"})
"""Faults of a microcontroller that knows no session with this host."""


def host_hello(boot_id: int) -> HostHello:
    """The host's Hello: its protocol version, contract hash and limits hash."""
    return HostHello(
        version=PROTOCOL_VERSION,
        boot_id=boot_id,
        contract_hash=contract_hash(),
        limits_hash=limits_hash(),
    )


def disagreement(hello: McuHello) -> str | None:
    """What differs at the other end, and what to do about it; None where both agree."""
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
