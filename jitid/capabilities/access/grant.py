"""Access to an authority that serves others: grant, rotation and revocation of access credentials."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

from jitid.capabilities.access.grant_record import recorded_facts
from jitid.capabilities.access.oidc import MAX_KEY
from jitid.capabilities.access.store import AccessChanges, AccessStore
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.revocation import check_reason
from jitid.errors import (
    NotFoundError,
    PolicyDeniedError,
    RefusedError,
    UsageError,
)
from jitid.model.access import ALL_AUDIENCES, BOOTSTRAP, ROLES, Access, AccessState, Caller
from jitid.values import audience, strict_json
from jitid.values.field_types import AUDIENCE, DELEGATOR, DURATION, choice, text
from jitid.values.ids import access_id, new_uuid7, parse_access_id
from jitid.values.names import check_audience, check_delegator
from jitid.values.record import Record
from jitid.values.secret import Secret, fingerprint, new_opaque
from jitid.values.text import label, quote
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.ledger.transaction import Transaction
    from jitid.ledger.view import View

LIFETIME = 43_200
"""The default lifetime of an access token in seconds: half a day."""
LONGEST = 30 * 86_400
KEY_LIFETIME = 30 * 86_400
"""The default lifetime of a registered key in seconds: longer, because the private key never leaves its holder."""
LONGEST_KEY = 365 * 86_400
BOOTSTRAP_LIFETIME = 3_600
OWN_OVERLAP = 60
"""Seconds that an old token stays valid after its holder's rotation: if the answer is lost, the holder can retry."""
LONGEST_OVERLAP = 86_400


class Granted(Record):
    """A new access credential; its secret is available only here."""

    access: Access
    secret: Secret | None
    """None if a key was registered."""


class AccessEnded(Record):
    """The outcome of a revocation."""

    ids: tuple[str, ...]
    """The access credentials that it ended."""
    event: int | None
    """None if all of them had ended before."""


class AccessRequest(Record):
    """A request for access. Times are seconds."""

    name: Annotated[str, DELEGATOR]
    roles: Annotated[tuple[str, ...], choice(*ROLES)] = ()
    ttl: Annotated[int | None, DURATION] = None
    key: Annotated[str | None, text(MAX_KEY, "the key")] = None
    """A public key as JWK (RFC 7517), instead of an access token."""
    audiences: Annotated[tuple[str, ...], AUDIENCE] = ()
    """The caller's own audiences. It sees only tokens for them, and may exchange a token for them that permits it."""
    all_audiences: bool = False
    """Whether the caller sees tokens for all audiences."""


def grant(
    transaction: Transaction, request: AccessRequest, caller: Caller | None, addresses: Sequence[str] = ()
) -> Granted:
    """Grant access to a caller. The secret is valid after the commit, and must not be shown before.

    `addresses` are addresses of the authority, besides the names of its ledger: no service may have them as audience.

    Raises:
        UsageError: a value in the request is invalid.
        PolicyDeniedError: the delegator who would get access is disabled.
        RefusedError: the caller's bootstrap credential may grant only access with the role admin.

    """
    name = _named(transaction, request.name)
    roles = _checked_roles(request.roles)
    public = None if request.key is None else _public(request.key)
    audiences = _checked_audiences(request, roles, (*transaction.names.issuers, *addresses))
    ttl = _lifetime(request.ttl, key=public is not None)
    spent = None
    if caller is not None and caller.roles is not None and BOOTSTRAP in caller.roles:
        if "admin" not in roles:
            raise RefusedError(
                "the bootstrap credential can grant the first role admin only; nothing was changed",
                "jitid access grant NAME --role admin",
            )
        spent = caller.credential
    must_be_enabled(transaction, name)
    made, secret = new_access(
        transaction, name, transaction.now + ttl, roles=roles, public=public, audiences=audiences
    )
    if spent is not None:
        AccessChanges(transaction).end([spent], AccessState.SPENT)
    event = transaction.append("access-grant", {**recorded_facts(made), "spent": spent})
    return Granted(made._replace(event=event.seq), secret)


def bootstrap(transaction: Transaction, name: str) -> Granted:
    """Create the bootstrap credential, which grants the first administrator access.

    Raises:
        UsageError: a caller has the role admin already.

    """
    admins = [access for access in _live(transaction) if "admin" in access.roles]
    if admins:
        raise UsageError(
            f"{quote(admins[0].name)} has the role admin already; nothing was changed",
            "this administrator can grant access; or on the ledger's machine: jitid access grant NAME --role admin",
        )
    # The new bootstrap credential replaces the previous one.
    previous_id = next((access.id for access in _live(transaction) if access.bootstrap), None)
    if previous_id is not None:
        AccessChanges(transaction).end([previous_id], AccessState.SPENT)
    made, secret = new_access(transaction, name, transaction.now + BOOTSTRAP_LIFETIME, bootstrap=True)
    event = transaction.append("access-bootstrap", {**recorded_facts(made), "spent": previous_id})
    return Granted(made._replace(event=event.seq), secret)


def rotate(
    transaction: Transaction,
    id_: str,
    ttl: int | None,
    overlap: int | None,
    caller: Caller | None,
    *,
    again: bool = False,
) -> Granted:
    """Replace an access token by a new one. The holder's own rotation does not extend the lifetime.

    One credential has one successor: a second one would be duplicate access that goes unnoticed. `again` means that
    the answer with the successor was lost, and that this transaction has ended that successor.

    Raises:
        NotFoundError: there is no such access credential.
        UsageError: the credential has ended, or has no access token; nothing was changed.
        PolicyDeniedError: the credential was rotated already, or its holder is disabled.

    """
    access = find(transaction, id_)
    state, now = access.state_at(transaction.now), transaction.now
    if access.superseded_at is not None and state in (AccessState.ACTIVE, AccessState.ROTATED):
        if not (again and access.expires_at > now and _was_taken_back(transaction, id_)):
            raise _rotated_twice(access)
    elif state is not AccessState.ACTIVE:
        raise UsageError(
            f"{id_} is {state.value}; nothing was changed",
            f"to grant access again: jitid access grant {access.name}",
        )
    if access.login is not None:
        raise UsageError(
            f"{id_} is a login, which is not rotated; nothing was changed", "log in again: jitid login"
        )
    if access.fingerprint is None or access.bootstrap:
        raise UsageError(
            f"{id_} has no access token to rotate; nothing was changed",
            f"grant access with the new key, then: jitid access revoke {id_}",
        )
    must_be_enabled(transaction, access.name)
    by_holder = caller is not None and caller.roles is not None and caller.credential == id_
    if by_holder:
        expires_at = (
            access.expires_at if ttl is None else min(access.expires_at, now + _lifetime(ttl, key=False))
        )
    else:
        expires_at = now + _lifetime(access.expires_at - access.issued_at if ttl is None else ttl, key=False)
    lag = (OWN_OVERLAP if by_holder else 0) if overlap is None else overlap
    if not 0 <= lag <= LONGEST_OVERLAP:
        raise UsageError(
            f"the overlap must be at most {format_duration(LONGEST_OVERLAP)}; nothing was changed",
            "for example: --overlap 5m",
        )
    made, secret = new_access(
        transaction, access.name, expires_at, roles=access.roles, predecessor=id_, audiences=access.audiences
    )
    ends_at = min(now + lag, access.expires_at)
    AccessChanges(transaction).supersede(id_, ends_at)
    event = transaction.append(
        "access-rotate",
        {
            **recorded_facts(made),
            "predecessor": id_,
            "ends": ends_at,
            "by_role": None if by_holder else True,
        },
    )
    return Granted(made._replace(event=event.seq), secret)


def revoke(
    transaction: Transaction,
    ids: Sequence[str],
    names: Sequence[str],
    reason: str | None,
    *,
    alone: bool = False,
) -> AccessEnded:
    """Revoke access credentials, by their ids or all of a name.

    An id revokes the whole line of rotations that the holders made themselves. `alone` revokes only that credential:
    for a lost answer, and for a caller without a role: such a caller may be a thief with the old access token.

    Raises:
        UsageError: neither ids nor names are given.
        NotFoundError: an id or a name is unknown; nothing was changed.

    """
    check_reason(reason)
    if not ids and not names:
        raise UsageError(
            "an id or a name is required", "state an id (acc_…), or the name of a person or service"
        )
    selected = [find(transaction, id_) for id_ in ids]
    if not alone:
        selected = _with_lines(transaction, selected)
    for stated_name in names:
        name = DirectoryStore(transaction).own_name(check_delegator(stated_name))
        of_name = AccessChanges(transaction).some(live=False, name=name, after=None, limit=_ALL)
        if not of_name:
            raise NotFoundError(
                f"{label(name)} was never granted access; nothing was changed",
                "see: jitid access list --all",
            )
        selected += of_name
    live_ids = sorted(
        {access.id for access in selected if access.state_at(transaction.now) is AccessState.ACTIVE}
    )
    if not live_ids:
        return AccessEnded((), None)
    AccessChanges(transaction).end(live_ids, AccessState.REVOKED)
    holders = sorted({access.name for access in selected})
    event = transaction.append("access-revoke", {"access": live_ids, "name": holders, "reason": reason})
    return AccessEnded(tuple(live_ids), event.seq)


def find(snapshot: View, id_: str) -> Access:
    """Return an access credential by its id. Raises NotFoundError, UsageError."""
    access = AccessStore(snapshot).find(parse_access_id(id_))
    if access is None:
        raise NotFoundError(f"unknown access credential {quote(id_)}", "see: jitid access list")
    return access


ROTATED_TWICE = "rotated-twice"
"""The rule that refuses a second rotation of the same access credential."""


def _rotated_twice(access: Access) -> PolicyDeniedError:
    reason = (
        f"rule `{ROTATED_TWICE}`: {access.id} was rotated already, and has a successor; "
        "if you did not rotate it, it was stolen"
    )
    return PolicyDeniedError(
        f"denied: {reason}; nothing was changed",
        f"use the successor; or revoke all access of {access.name}: jitid access revoke {access.name}",
        {"delegator": access.name, "access": access.id, "rules": [ROTATED_TWICE], "reason": reason},
    )


def _was_taken_back(transaction: Transaction, id_: str) -> bool:
    """Return whether every successor of an access credential has ended, and none of them has a successor."""
    return all(
        access.superseded_at is None and access.state_at(transaction.now) is not AccessState.ACTIVE
        for access in AccessChanges(transaction).all()
        if access.predecessor == id_
    )


def _with_lines(snapshot: View, selected: Sequence[Access]) -> list[Access]:
    """Return access credentials with their lines: predecessors and successors by rotations of the holders themselves.

    A thief may have rotated the access token, and may have the previous one. A rotation by a role gave the new token
    to another caller, so it does not link the two.
    """
    if all(access.superseded_at is None and access.predecessor is None for access in selected):
        return list(selected)
    by_id = {access.id: access for access in AccessStore(snapshot).all()}
    lines = {access.id: access for access in selected}
    linked: dict[str, list[Access]] = {}
    for access in by_id.values():
        if access.predecessor in by_id and _by_its_holder(snapshot, access):
            linked.setdefault(access.predecessor, []).append(access)
            linked.setdefault(access.id, []).append(by_id[access.predecessor])
    pending_ids = list(lines)
    while pending_ids:
        for access in linked.get(pending_ids.pop(), ()):
            if access.id not in lines:
                lines[access.id] = access
                pending_ids.append(access.id)
    return list(lines.values())


def _by_its_holder(snapshot: View, successor: Access) -> bool:
    """Return whether the holder of the predecessor rotated it; true for events older than `by_role`."""
    event = snapshot.event(successor.event)
    return event is None or not event.document().get("by_role")


_ALL = 1_000_000


def _live(snapshot: View) -> list[Access]:
    return AccessStore(snapshot).some(live=True, name=None, after=None, limit=_ALL)


def new_access(
    transaction: Transaction,
    name: str,
    expires_at: int,
    *,
    roles: tuple[str, ...] = (),
    public: str | None = None,
    bootstrap: bool = False,
    predecessor: str | None = None,
    audiences: tuple[str, ...] | None = None,
    with_token: bool = True,
    subject: str | None = None,
    proved_at: int | None = None,
    holder: str | None = None,
) -> tuple[Access, Secret | None]:
    """Record an access credential for the next event, and return it with its access token.

    With `public`, or without `with_token`, it has no access token. Only a login has the last three.
    """
    secret = new_opaque(os.urandom) if public is None and with_token else None
    access = Access(
        id=access_id(new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))),
        name=name,
        roles=roles,
        fingerprint=None if secret is None else fingerprint(secret),
        public=public,
        issued_at=transaction.now,
        expires_at=expires_at,
        superseded_at=None,
        ended_at=None,
        ended_as=None,
        bootstrap=int(bootstrap),
        predecessor=predecessor,
        event=0,
        ended_event=None,
        audiences=audiences,
        subject=subject,
        proved_at=proved_at,
        holder=holder,
    )
    AccessChanges(transaction).add(access)
    return access, None if secret is None else Secret.single(secret)


def _named(snapshot: View, stated_name: str) -> str:
    name = check_delegator(stated_name)
    if name.startswith("agent:"):
        raise UsageError(
            "access cannot be granted to an agent: it authenticates with its identity token",
            "name a person or a service: user:NAME, system:NAME",
        )
    return DirectoryStore(snapshot).own_name(name)


def must_be_enabled(snapshot: View, name: str) -> None:
    """Refuse a disabled delegator. Raises PolicyDeniedError."""
    person = DirectoryStore(snapshot).find_delegator(name)
    if person is not None and person.disabled_at is not None:
        reason = f"rule `delegator-disabled`: {label(name)} is disabled"
        raise PolicyDeniedError(
            f"denied: {reason}; nothing was changed",
            f"to enable the delegator: jitid delegator enable {name}",
            {"delegator": name, "rules": ["delegator-disabled"], "reason": reason},
        )


def _checked_roles(roles: Sequence[str]) -> tuple[str, ...]:
    for role in roles:
        if role not in ROLES:
            raise UsageError(f"unknown role {quote(role)}", f"use one of: {', '.join(ROLES)}")
    return tuple(sorted(set(roles)))


def _checked_audiences(
    request: AccessRequest, roles: Sequence[str], own_names: Collection[str]
) -> tuple[str, ...] | None:
    """Return the audiences that a caller is granted; `own_names` are the authority's names.

    Raises UsageError for a verifier without audiences, for a wildcard, and for the authority itself.
    """
    if request.all_audiences:
        if request.audiences:
            raise UsageError("--audience and --all-audiences exclude each other", "use one of them")
        return ALL_AUDIENCES
    if not request.audiences:
        if "verifier" in roles:
            raise UsageError(
                "the role verifier requires an audience; nothing was changed",
                "add --audience, such as --audience https://api.example.com; or --all-audiences",
            )
        return None
    for name in request.audiences:
        check_audience(name)
        if "*" in name:
            raise UsageError(
                f"{quote(name)} is not a single audience",
                "state each audience of the service, without wildcards",
            )
        if audience.is_named(name, own_names):
            raise UsageError(
                f"{quote(name)} is this authority, not a service; nothing was changed",
                "state the audience of the service's tokens, such as https://api.example.com",
            )
    return tuple(dict.fromkeys(request.audiences))


def _lifetime(ttl: int | None, *, key: bool) -> int:
    usual, longest = (KEY_LIFETIME, LONGEST_KEY) if key else (LIFETIME, LONGEST)
    if ttl is None:
        return usual
    if not 0 < ttl <= longest:
        raise UsageError(
            f"the lifetime of an access {'key' if key else 'token'} must be at most {format_duration(longest)}; "
            "nothing was changed",
            f"for example: --ttl {format_duration(usual)}; access can be granted again",
        )
    return ttl


def _public(text: str) -> str:
    """Return a public key as canonical JSON. Raises UsageError."""
    from jitid.capabilities.access.oidc import registered_key

    return strict_json.dumps(registered_key(text))
