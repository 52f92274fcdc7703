"""The record of the last sweep that this user ran: its time and the number of findings by severity.

It informs `jitid status` only. No right and no verdict depends on it, so a changed or missing file does no harm.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256

from jitid.errors import JitidError
from jitid.system.files import read_regular, remove_leftovers, write_private
from jitid.values.record import Record

_MAX_BYTES = 4_096


class LastSweep(Record):
    """The outcome of a sweep with the default rules."""

    at: int
    """Seconds since the epoch."""
    findings: Mapping[str, int]
    """Severity -> number of findings; severities without findings are absent."""
    complete: bool
    """Whether every rule examined everything."""


def remember(location: str, sweep: LastSweep) -> None:
    """Write the record of a sweep of the ledger or authority `location`.

    A failure is ignored: the sweep itself counts.
    """
    path = _path(location)
    document = {
        "place": location,
        "at": sweep.at,
        "findings": dict(sweep.findings),
        "complete": sweep.complete,
    }
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_private(path, json.dumps(document).encode() + b"\n")
        remove_leftovers(path)
    except (OSError, JitidError):
        return


def recall(location: str) -> LastSweep | None:
    """Return the record of the last sweep of a ledger or authority; None if there is none that can be read."""
    try:
        path = _path(location)
        if not os.path.lexists(path):
            return None
        document = json.loads(read_regular(path, _MAX_BYTES))
        at, findings, complete = document["at"], document["findings"], document["complete"]
        fits = (
            document["place"] == location
            and type(at) is int
            and type(complete) is bool
            and all(type(count) is int for count in findings.values())
        )
    except (OSError, JitidError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return LastSweep(at, findings, complete) if fits else None


def _path(location: str) -> str:
    """Return the path of the record for a ledger or an authority. Raises ConfigurationError without a home folder."""
    from jitid.system.xdg import state_folder

    return f"{state_folder()}/last-sweep-{sha256(location.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}.json"
