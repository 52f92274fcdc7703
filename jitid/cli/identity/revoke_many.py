"""Revocation of more credentials than one request to an authority can name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jitid.capabilities.identity import revocation
from jitid.capabilities.inventory.operations import Revoke
from jitid.cli.identity.revoke import confirmed, perform
from jitid.model.ledger_rows import Radius, Selection

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation_result import Ended
    from jitid.cli.invocation import Invocation
    from jitid.operation.base import Authority

_ID = 40
"""Number of characters of an id in a request, with its quotes and separators."""


def end(cli: Invocation, authority: Authority, operation: Revoke, room: int | None) -> Ended:
    """End any number of credentials that an operation selects by id, in requests of at most `room` characters.

    The guard counts all of them before any credential ends. The combined result has the numbers of tasks and
    delegators of the largest request, since several requests may name the same ones.

    Raises:
        TooManyError: more credentials than `operation.most` would end; nothing was changed.

    """
    ids = operation.selection.ids
    size = len(ids) if room is None else max(room // _ID, 1)
    if len(ids) <= size:
        return perform(cli, authority, operation)
    parts = [ids[start : start + size] for start in range(0, len(ids), size)]
    limit = operation.most
    if not operation.dry_run and limit is not None:
        foreseen = _together(
            [authority.perform(_part(operation, part, dry_run=True)) for part in parts]
        ).radius
        limit = confirmed(cli, limit, lambda: foreseen)
        revocation.guard(foreseen, limit or 0)
    return _together(
        [perform(cli, authority, _part(operation, part, dry_run=operation.dry_run)) for part in parts]
    )


def _part(operation: Revoke, ids: tuple[str, ...], *, dry_run: bool) -> Revoke:
    return operation.replace(selection=Selection(ids=ids), tokens=(), most=None, dry_run=dry_run)


def _together(parts: Sequence[Ended]) -> Ended:
    """Return the combined result of several revocations."""
    radii = [part.radius for part in parts]
    offline_times = [radius.offline_until for radius in radii if radius.offline_until is not None]
    refusal_times = [radius.refused_since for radius in radii]
    acceptance_times = [radius.accepted_until for radius in radii if radius.accepted_until is not None]
    target_times = [radius.at_targets for radius in radii if radius.at_targets is not None]
    combined = Radius(
        matched=sum(radius.matched for radius in radii),
        identities=sum(radius.identities for radius in radii),
        credentials=sum(radius.credentials for radius in radii),
        tasks=max(radius.tasks for radius in radii),
        delegators=max(radius.delegators for radius in radii),
        offline_until=max(offline_times, default=None),
        signed=sum(radius.signed for radius in radii),
        # If one part is still accepted, so is the whole.
        refused_since=None
        if None in refusal_times
        else max(time for time in refusal_times if time is not None),
        accepted_until=max(acceptance_times, default=None),
        at=max(radius.at for radius in radii),
        at_targets=max(target_times, default=None),
    )
    return parts[-1]._replace(
        radius=combined,
        credentials=sum(part.credentials for part in parts),
        event=next((part.event for part in reversed(parts) if part.event is not None), None),
        unsettled=sum(part.unsettled for part in parts),
        earlier=tuple(id_ for part in parts for id_ in part.earlier),
        confirmed=sum(part.confirmed for part in parts),
        unsupported=sum(part.unsupported for part in parts),
        left=tuple(unconfirmed for part in parts for unconfirmed in part.left),
        unsaid=_first(part.unsaid for part in parts),
        unproved=_first(part.unproved for part in parts),
        settled_at=max((part.settled_at for part in parts if part.settled_at is not None), default=None),
    )


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text is not None), None)
