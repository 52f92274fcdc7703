"""Audit events as syslog messages (RFC 5424), one a line, as `logger`, rsyslog's imfile and collectors read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jitid.formats.cell import plain
from jitid.model.event import DENIAL, Event
from jitid.values.text import safe
from jitid.values.times import format_time

# RFC 5424, section 6.2.1: 10 is "security/authorization messages", which others call authpriv.
_FACILITY = 10
_WARNING, _NOTICE, _INFORMATIONAL = 4, 5, 6

_USUAL = frozenset({"init", "issue", "confirm", "renew", "attach", "settle", "key-create"})
"""Routine operations. Operations that end something or change trust are logged as notices."""

# The enterprise number that RFC 5612 reserves for documentation: jitid has no registered number.
_ID = "jitid@32473"
_PARAMETERS = ("by", "by_id", "task", "agent", "delegator", "count", "rules", "reason")


def text(events: Iterable[Event], host: str) -> Iterator[str]:
    """Yield one message an event, with its place in the chain as structured data and its whole body as JSON."""
    name = "".join(char if "!" <= char <= "~" else "_" for char in host)[:255] or "-"
    for event in events:
        yield f"{_message(event, name)}\n"


def _message(event: Event, host: str) -> str:
    document = event.document()
    operation = str(document["op"])
    priority = _FACILITY * 8 + _severity(operation)
    data = " ".join(f'{name}="{_value(value)}"' for name, value in _parameters(event, document))
    # DEL is a control character that JSON permits.
    body = event.body.decode().replace("\x7f", "\\u007f")
    return (
        f"<{priority}>1 {format_time(document['at'])} {host} jitid - {operation[:32]} [{_ID} {data}] {body}"
    )


def _severity(operation: str) -> int:
    if operation == DENIAL:
        return _WARNING
    return _INFORMATIONAL if operation in _USUAL else _NOTICE


def _parameters(event: Event, document: dict[str, Any]) -> Iterator[tuple[str, object]]:
    yield "seq", event.seq
    yield "hash", event.hash.hex()
    for name in _PARAMETERS:
        if name in document:
            yield name, document[name]


def _value(value: object) -> str:
    """Return a value with the three special characters escaped (section 6.3.3)."""
    escaped = safe(plain(value))
    return escaped.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
