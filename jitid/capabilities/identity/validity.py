"""Validity of a credential in the ledger: its own state and task, and the state and rights of all that it rests on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from jitid.capabilities.identity.store import CredentialStore
from jitid.errors import ExpiredError, InvalidCredentialError, NotFoundError
from jitid.ledger.lineage import MAX_GROUNDS as MAX_GROUNDS
from jitid.ledger.view import View
from jitid.model.credential import (
    FORMER_PROOF,
    Credential,
    State,
    named_kind,
)
from jitid.model.ledger_rows import Ancestor, Ground, ancestors
from jitid.values import audience
from jitid.values.ids import parse_id
from jitid.values.record import Record
from jitid.values.scope import Scope, intersection, uncovered
from jitid.values.text import quote
from jitid.values.times import ANOTHER, expiry_hint, format_time

UNKNOWN = "the ledger does not know this credential"
"""The refusal of a well-formed token that this ledger did not issue."""
_ENDED = "`jitid inspect` shows the reason; for another credential: jitid issue"
NOT_YET = "the credential is not valid yet"
"""The refusal of a credential that was issued after now."""


class Verified(Record):
    """A credential that is valid now, limited to the rights that the head of its line has too."""

    credential: Credential
    grounds: list[Ground]
    """The credentials that it rests on, the nearest first."""

    @property
    def lineage(self) -> list[Ancestor]:
        """The identities above it, the nearest first."""
        return ancestors(self.grounds)


def judge(snapshot: View, credential: Credential, audiences: Collection[str] | None) -> Verified:
    """Return a credential of the ledger with its lineage if it is valid now.

    Raises:
        InvalidCredentialError: the credential, its task or a credential that it rests on has ended, it is for another
            audience, or it was issued after now.

    """
    check_audience(credential, audiences)
    grounds = CredentialStore(snapshot).grounds(credential.key) if rests(credential) else []
    require_valid(credential, grounds, snapshot.now)
    if snapshot.now < credential.issued_at:
        # This happens only if the clock was set back. By that clock, expired credentials would be valid again.
        raise InvalidCredentialError(NOT_YET)
    return Verified(effective(credential, grounds), grounds)


def is_still(snapshot: View, verified: Verified) -> bool:
    """Return whether a credential that was valid in another view is valid in this view with the same rights."""
    credential = CredentialStore(snapshot).find_credential("jti", parse_id(verified.credential.jti)[1])
    try:
        return credential is not None and judge(snapshot, credential, None) == verified
    except InvalidCredentialError:
        return False


def latest_expiry(verified: Verified) -> int:
    """Return the latest expiry of a credential made from a valid one: the earliest expiry in its chain."""
    expiries = [ground.expires_at for ground in verified.grounds if ground.expires_at is not None]
    return min([verified.credential.expires_at, *expiries])


def rests(credential: Credential) -> bool:
    """Return whether a credential rests on others: on a successor, or on its delegation or attachment source."""
    return (
        credential.superseded_at is not None
        or credential.source is not None
        or credential.parent_key is not None
    )


def effective(credential: Credential, grounds: Sequence[Ground]) -> Credential:
    """Return a valid credential with its effective rights.

    After a renewal, only rights count that the head of its line has too. An empty intersection means no right: no
    default replaces it.
    """
    head = grounds[0] if grounds else None
    if head is None or head.how != "renewed" or head.expires_at is None:
        return credential
    from jitid.model.delegation import detail_texts

    head_details = set(_details(head))
    details = [detail for detail in detail_texts(credential.details) if detail in head_details]
    return credential._replace(
        scopes=intersection(credential.scopes, head.scopes),
        # A renewal copies the audiences, and writes the issuer's current name for a former one.
        may_audience=audience.intersection(credential.may_audience, head.may_audience),
        may_kind=_both(credential.may_kind, head.may_kind),
        details=f"[{','.join(details)}]" if details else None,
        expires_at=min(credential.expires_at, head.expires_at),
    )


def _both(kinds: tuple[str, ...] | None, other_kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the kinds that two grants both name; None stands for any."""
    if kinds is None or other_kinds is None:
        return other_kinds if kinds is None else kinds
    return tuple(kind for kind in kinds if kind in other_kinds)


_NEW_TASK = "to continue, open a new task: jitid issue --task NAME"


def check_audience(credential: Credential, audiences: Collection[str] | None) -> None:
    """Refuse a credential that is for none of `audiences` (None: any audience is accepted).

    Raises:
        InvalidCredentialError: the credential is for another audience.

    """
    if not is_for(credential, audiences):
        raise InvalidCredentialError("the credential is for another audience")


def is_for(credential: Credential, audiences: Collection[str] | None) -> bool:
    """Return whether a credential is for one of `audiences` (None: any audience is accepted)."""
    return audiences is None or not set(credential.audiences).isdisjoint(audiences)


def require_valid(credential: Credential, grounds: Sequence[Ground], now: int) -> None:
    """Refuse a credential of the ledger that is not valid at `now`, for any audience.

    Raises:
        InvalidCredentialError: the credential, its task or a credential that it rests on has ended, or a credential
            that it rests on has fewer rights now.

    """
    _require_active(credential, now)
    if now >= credential.task_until:
        raise InvalidCredentialError("the task has ended", expiry_hint(credential.task_until, _NEW_TASK))
    if credential.parent_key is None and credential.depth:
        raise InvalidCredentialError("its chain has no root")
    if rests(credential):
        _require_valid_grounds(credential, grounds, now)


def why_invalid(credential: Credential, grounds: Sequence[Ground], now: int) -> str | None:
    """Return why a credential of the ledger is not valid at `now`; None if it is."""
    state = credential.state_at(now)
    if state is not State.ACTIVE:
        # The first check of `require_valid`: for a million ended credentials, raising errors would take most of the
        # time.
        return _not_active(credential, state)
    try:
        require_valid(credential, grounds, now)
    except InvalidCredentialError as error:
        return error.message
    return None


def _require_active(credential: Credential, now: int) -> None:
    state = credential.state_at(now)
    if state is not State.ACTIVE:
        if state is State.EXPIRED:
            raise ExpiredError(_not_active(credential, state), ANOTHER)
        raise InvalidCredentialError(_not_active(credential, state), _ENDED)


def _not_active(credential: Credential, state: State) -> str:
    return f"the credential {_end(credential, state)}"


def root_of(credential: Credential, lineage: Sequence[Ancestor]) -> str:
    """Return the id of the root identity from which a credential descends; its own id without a parent."""
    return lineage[-1].id if lineage else credential.id


def root_proof(credential: Credential, lineage: Sequence[Ancestor]) -> str:
    """Return the proof of a credential's root delegator. For an old delegated row, the root's row has it."""
    if credential.delegator_proof != FORMER_PROOF or not lineage:
        return credential.delegator_proof
    return lineage[-1].proof


def _end(credential: Credential, state: State) -> str:
    if state is State.PENDING:
        return "is pending: its issue was never confirmed"
    if state is State.EXPIRED:
        return f"expired at {format_time(credential.expires_at)}"
    ended_at = credential.ended_at if credential.ended_at is not None else credential.superseded_at
    return f"was {state}" + ("" if ended_at is None else f" at {format_time(ended_at)}")


def find(snapshot: View, id_: str) -> Credential:
    """Return the credential with an id; for the id of an identity, its latest credential.

    Raises:
        NotFoundError: the ledger has no such credential or identity.
        UsageError: the text is not an id.

    """
    from jitid.ledger import expiry

    kind, raw = parse_id(id_)
    credential = (
        CredentialStore(snapshot).find_credential("jti", raw)
        if kind == "jti"
        else CredentialStore(snapshot).latest_of(raw)
    )
    if credential is None:
        pruned = expiry.last_pruning(snapshot)
        hint = "to list credentials: jitid list"
        if pruned is not None:
            pruned_before = format_time(pruned.before)
            hint += f"; credentials that had ended before {pruned_before} were pruned: see jitid audit log"
        raise NotFoundError(f"the ledger has no {quote(id_)}", hint)
    return credential


def _require_valid_grounds(credential: Credential, grounds: Sequence[Ground], now: int) -> None:
    if len(grounds) > MAX_GROUNDS:
        raise InvalidCredentialError(f"it depends on more than {MAX_GROUNDS} credentials")
    below: Credential | Ground = effective(credential, grounds)
    depth = credential.depth
    for ground in grounds:
        if ground.how == "renewed":
            if not ground.is_live:
                raise InvalidCredentialError("the credential was renewed, and its successor has ended")
            continue
        depth -= ground.how == "delegated"
        _require_valid_ground(ground, below, depth, now)
        below = ground
    if depth != 0:
        raise InvalidCredentialError("its chain has no root")


def _require_valid_ground(ground: Ground, below: Credential | Ground, depth: int, now: int) -> None:
    label = f"its ancestor {ground.id}"
    if ground.how == "attached":
        label = f"the credential of {ground.id} that it is attached to"
    if not ground.is_live:
        raise InvalidCredentialError(f"{label} is no longer valid")
    if ground.task_ended_at is not None or now >= ground.task_deadline:
        task_end = min(ground.task_deadline, ground.task_ended_at or ground.task_deadline)
        raise InvalidCredentialError(f"the task of {label} has ended", expiry_hint(task_end, _NEW_TASK))
    if uncovered([Scope(scope) for scope in ground.scopes], [Scope(scope) for scope in below.scopes]):
        raise InvalidCredentialError(f"it has a scope that {label} does not have")
    if below.details and not set(_details(below)) <= set(_details(ground)):
        raise InvalidCredentialError(f"it has authorization_details that {label} does not have")
    if kind := _kinds_beyond(ground, below):
        raise InvalidCredentialError(f"it is or permits a kind ({quote(kind)}) that {label} does not permit")
    if ground.depth != depth:
        raise InvalidCredentialError(f"its chain is broken at {ground.id}")


def _kinds_beyond(ground: Ground, below: Credential | Ground) -> str | None:
    """Return a kind that `below` has or permits, and that its `ground` does not permit; None if there is none."""
    if ground.may_kind is None or below.may_kind is None:
        # One of them is older than kinds in grants: it keeps its kinds.
        return None
    own_kind = below.made if isinstance(below, Ground) else named_kind(below.kind, below.template)
    kinds = below.may_kind if own_kind is None else (own_kind, *below.may_kind)
    return next((kind for kind in kinds if kind not in ground.may_kind), None)


def _details(credential: Credential | Ground) -> list[str]:
    from jitid.model.delegation import detail_texts

    lists = (credential.details,) if isinstance(credential, Credential) else credential.details
    return [text for details in lists for text in detail_texts(details)]
