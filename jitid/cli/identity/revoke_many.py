"""Revocation of more credentials than one request to an authority can name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from jitid.capabilities.identity import revocation
from jitid.capabilities.inventory.operations import Revoke
from jitid.cli.identity.revoke import confirmed, perform
from jitid.model.ledger_rows import Radius, Selection

if TYPE_CHECKING:
    from jitid.capabilities.identity.revocation import Ended
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
    parts = [ids[first : first + size] for first in range(0, len(ids), size)]
    most = operation.most
    if not operation.dry_run and most is not None:
        foreseen = _together(
            [authority.perform(_part(operation, part, dry_run=True)) for part in parts]
        ).radius
        most = confirmed(cli, most, lambda: foreseen)
        revocation.guard(foreseen, most or 0)
    return _together(
        [perform(cli, authority, _part(operation, part, dry_run=operation.dry_run)) for part in parts]
    )


def _part(operation: Revoke, ids: tuple[str, ...], *, dry_run: bool) -> Revoke:
    return Revoke(
        selection=Selection(ids=ids),
        reason=operation.reason,
        most=None,
        dry_run=dry_run,
        accept_clock=operation.accept_clock,
    )


def _together(parts: Sequence[Ended]) -> Ended:
    """Return the combined result of several revocations."""
    radii = [each.radius for each in parts]
    until = [each.offline_until for each in radii if each.offline_until is not None]
    refused = [each.refused_since for each in radii]
    accepted = [each.accepted_until for each in radii if each.accepted_until is not None]
    at_targets = [each.at_targets for each in radii if each.at_targets is not None]
    radius = Radius(
        matched=sum(each.matched for each in radii),
        identities=sum(each.identities for each in radii),
        credentials=sum(each.credentials for each in radii),
        tasks=max(each.tasks for each in radii),
        delegators=max(each.delegators for each in radii),
        offline_until=max(until, default=None),
        signed=sum(each.signed for each in radii),
        # If one part is still accepted, so is the whole.
        refused_since=None if None in refused else max(at for at in refused if at is not None),
        accepted_until=max(accepted, default=None),
        at=max(each.at for each in radii),
        at_targets=max(at_targets, default=None),
    )
    return parts[-1]._replace(
        radius=radius,
        credentials=sum(each.credentials for each in parts),
        event=next((each.event for each in reversed(parts) if each.event is not None), None),
        unsettled=sum(each.unsettled for each in parts),
        earlier=tuple(id_ for each in parts for id_ in each.earlier),
        confirmed=sum(each.confirmed for each in parts),
        unsupported=sum(each.unsupported for each in parts),
        left=tuple(left for each in parts for left in each.left),
        unsaid=_first(each.unsaid for each in parts),
        unproved=_first(each.unproved for each in parts),
        settled_at=max((each.settled_at for each in parts if each.settled_at is not None), default=None),
    )


def _first(texts: Iterable[str | None]) -> str | None:
    return next((text for text in texts if text is not None), None)
