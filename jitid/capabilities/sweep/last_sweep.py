"""The record of the last sweep that this user ran: its time and the number of findings by severity.

It informs `jitid status` only. No right and no verdict depends on it, so a changed or missing file does no harm.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from jitid.capabilities.sweep.finding import SEVERITIES
from jitid.errors import JitidError
from jitid.system.files import check_private, read_regular, remove_leftovers, write_private
from jitid.values.field_types import LAST
from jitid.values.record import Record

_MAX_BYTES = 4_096
_MAX_COUNT = 1 << 63


class LastSweep(Record):
    """The outcome of a sweep with the default rules."""

    issuer: str
    """The issuer of the ledger."""
    at: int
    """The time of the sweep by the ledger's clock, in seconds since the epoch."""
    findings: Mapping[str, int]
    """Severity -> number of findings."""
    complete: bool
    """Whether every rule examined everything."""
    known: int = 0
    """Number of further findings, which the baseline has."""


def remember(location: str, sweep: LastSweep) -> None:
    """Write the record of a sweep of the ledger or authority `location`.

    A failure is ignored: the sweep itself counts.
    """
    document = {"place": location, **sweep._asdict(), "findings": dict(sweep.findings)}
    try:
        path = _path(location)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_private(path, json.dumps(document).encode() + b"\n")
        remove_leftovers(path)
    except (OSError, JitidError):
        return


def recall(location: str, issuer: str) -> LastSweep | None:
    """Return the record of the last sweep of a ledger or authority.

    None if there is none, or if it is unreadable, accessible to others, or of another ledger.
    """
    try:
        path = _path(location)
        check_private(path, "the record of the last sweep")
        document = json.loads(read_regular(path, _MAX_BYTES))
        # Older versions wrote no number of known findings.
        sweep = LastSweep(*({"known": 0, **document}[name] for name in LastSweep._fields))
        fits = document["place"] == location and sweep.issuer == issuer and _is_valid(sweep)
    except (OSError, JitidError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return sweep if fits else None


def _is_valid(sweep: LastSweep) -> bool:
    """Return whether all values are such as `remember` writes."""
    findings: Any = sweep.findings
    return (
        _is_count(sweep.at, LAST + 1)
        and type(sweep.complete) is bool
        and _is_count(sweep.known, 1 << 62)
        and type(findings) is dict
        and set(findings) == set(SEVERITIES)
        and all(_is_count(count, _MAX_COUNT) for count in findings.values())
    )


def _is_count(value: object, limit: int) -> bool:
    return type(value) is int and 0 <= value < limit


def _path(location: str) -> str:
    """Return the path of the record for a ledger or an authority. Raises ConfigurationError without a home folder."""
    from jitid.system.xdg import state_folder

    digest = sha256(location.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{state_folder()}/last-sweep-{digest}.json"
