"""Operations on the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.operation.base import Operation

if TYPE_CHECKING:
    from jitid.capabilities.audit.audit_log import LogFilter


class ReadLog(Operation["list[dict[str, Any]]"]):
    """Read audit events, oldest first."""

    chosen: LogFilter
    limit: int | None
    members: bool = False
    """With the ids of the credentials that each event issued and ended."""


class LogPage(NamedTuple):
    """Audit events, and how far the log was read for them."""

    events: list[dict[str, Any]]
    seen: int
    """The number of the last event that was looked at, whether it matched or not."""


class FollowLog(Operation["LogPage"]):
    """Read what the audit log has after `chosen.after`, to be asked again after what was seen then."""

    chosen: LogFilter
    limit: int
    last: bool = False
    """The last `limit` that match, and not the first."""
    members: bool = False


class SignHead(Operation["str"]):
    """Sign the last link of the audit chain."""
