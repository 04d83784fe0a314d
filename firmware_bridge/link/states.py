"""States of the link, the inputs that change them, and the one table of transitions.

A state and an input go in, the next state comes out; session.py decides when an input happens.
"""

from __future__ import annotations

import enum


class LinkState(enum.Enum):
    """A state of the link. Commands travel in ESTABLISHED only."""

    DISCONNECTED = "no open port"
    GREETING = "port open, waiting for the microcontroller's greeting"
    ESTABLISHED = "both sides agree on contract and limits"
    REFUSED = "the microcontroller was built from another contract or other limits"


class LinkInput(enum.Enum):
    """An event that may change the state of the link."""

    OPENED = "port opened"
    LOST = "port lost"
    UNREAD = "the thread that reads the port died"
    CLOSED = "port closed by this side"
    AGREED = "the microcontroller agrees on contract and limits"
    DISAGREED = "the microcontroller has another contract or other limits"
    REBOOTED = "the microcontroller rebooted"
    FORGOTTEN = "the microcontroller does not know this session"
    SILENT = "the microcontroller fell silent"
    DEAF = "the microcontroller no longer acknowledges"


_D, _G, _E, _R = LinkState

TRANSITIONS: dict[LinkState, dict[LinkInput, LinkState]] = {
    LinkState.DISCONNECTED: {
        LinkInput.OPENED: _G,
        LinkInput.LOST: _D,
        LinkInput.UNREAD: _D,
        LinkInput.CLOSED: _D,
        LinkInput.AGREED: _D,
        LinkInput.DISAGREED: _D,
        LinkInput.REBOOTED: _D,
        LinkInput.FORGOTTEN: _D,
        LinkInput.SILENT: _D,
        LinkInput.DEAF: _D,
    },
    LinkState.GREETING: {
        LinkInput.OPENED: _G,
        LinkInput.LOST: _D,
        LinkInput.UNREAD: _D,
        LinkInput.CLOSED: _D,
        LinkInput.AGREED: _E,
        LinkInput.DISAGREED: _R,
        LinkInput.REBOOTED: _G,
        LinkInput.FORGOTTEN: _G,
        LinkInput.SILENT: _G,
        LinkInput.DEAF: _G,
    },
    LinkState.ESTABLISHED: {
        LinkInput.OPENED: _G,
        LinkInput.LOST: _D,
        LinkInput.UNREAD: _D,
        LinkInput.CLOSED: _D,
        LinkInput.AGREED: _E,
        LinkInput.DISAGREED: _R,
        LinkInput.REBOOTED: _G,
        LinkInput.FORGOTTEN: _G,
        LinkInput.SILENT: _G,
        LinkInput.DEAF: _G,
    },
    # A refusal ends only with another greeting: after a reboot (new firmware) or on a new port.
    LinkState.REFUSED: {
        LinkInput.OPENED: _G,
        LinkInput.LOST: _D,
        LinkInput.UNREAD: _D,
        LinkInput.CLOSED: _D,
        LinkInput.AGREED: _E,
        LinkInput.DISAGREED: _R,
        LinkInput.REBOOTED: _G,
        LinkInput.FORGOTTEN: _R,
        LinkInput.SILENT: _R,
        LinkInput.DEAF: _R,
    },
}


def next_state(state: LinkState, happened: LinkInput) -> LinkState:
    """The state after `happened`."""
    return TRANSITIONS[state][happened]
