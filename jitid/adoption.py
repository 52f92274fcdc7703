"""Adopting: standing secrets that exist already, recorded by their fingerprints with owner, place and purpose.

A standing secret is a credential of the ledger like any other, on a task of its own, so that what finds, reports and
ends credentials does so with it. Nobody here has made it, and nothing that is presented counts as a token for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jitid import audit, revocation
from jitid.credential import Credential, Kind
from jitid.errors import NotFoundError, UsageError
from jitid.identifier import credential_id, identity_id
from jitid.issuers.adopted import reference_of
from jitid.ledger.adopted import Adopted, AdoptedRow, Changed
from jitid.ledger.outside import Outside
from jitid.ledger.protocol import Snapshot, Transaction
from jitid.ledger.records import CredentialRow, IdentityRow, Selection
from jitid.lifetime import format_time
from jitid.minting import new_ids
from jitid.roster.place import misplaced
from jitid.secret import fingerprint
from jitid.standing import BEFORE, FOR_EVER, StandingSecret
from jitid.target import BY_HAND, Outcome, Settlement
from jitid.task import Task
from jitid.text import operand, quote, safe

PROOF = "adopted"
"""How an owner is proved: nobody has delegated anything, it was stated who answers for it."""
SHOWN = 1_000
"""So many of the new ones are told one by one."""


class Taken(NamedTuple):
    """One that was adopted."""

    name: str
    id: str
    jti: str


class Adoption(NamedTuple):
    """What adopting came to, or would come to."""

    taken: tuple[Taken, ...]
    """The first of those that are new; none in a dry run."""
    new: int
    already: int
    """So many were adopted before, just so."""
    unverified: int
    """Of so many new ones the directory does not know the owner."""
    event: int | None
    """The audit event that tells of it; None if nothing was new."""
    unseen: tuple[str, ...] = ()
    """Those of which their targets could not tell whether they work, and why."""


class AdoptedSecret(NamedTuple):
    """An adopted secret with all that the ledger has of it."""

    credential: Credential
    adopted: Adopted
    outside: Outside

    @property
    def name(self) -> str:
        """Its own name."""
        return self.credential.task.removeprefix(BEFORE)

    @property
    def confirmed(self) -> bool:
        """Whether it is known to have ended where it is kept."""
        return self.outside.settled_at is not None and self.outside.settlement == Settlement.DONE


class Finished(NamedTuple):
    """What came of saying that secrets have ended where they are kept."""

    done: int
    already: int
    """So many were known to have."""
    revoked: int
    """So many lived in the ledger until then."""
    event: int | None
    unproved: str | None = None
    """Why it could not be proved of what leaked that it is dead; none if that was done, or nothing had leaked."""


def preview(snapshot: Snapshot, stated: Sequence[StandingSecret]) -> Adoption:
    """Return what adopting would come to. Raises as `adopt`."""
    new, already = _compared(snapshot, stated)
    return Adoption((), len(new), already, len(_unknown(snapshot, new)), None)


def adopt(
    transaction: Transaction, stated: Sequence[StandingSecret], kinds: dict[str, str], content: str | None
) -> Adoption:
    """Record standing secrets, all or none; one event tells of all.

    Args:
        transaction: what it happens in.
        stated: the secrets.
        kinds: of each target that is named, which kind of credentials it makes.
        content: SHA-256, as hex, of the file that they come from.

    Raises:
        UsageError: one cannot be meant, or is adopted otherwise already; nothing was changed.

    """
    new, already = _compared(transaction, stated)
    if not new:
        return Adoption((), 0, already, 0, None)
    unverified = len(_unknown(transaction, new))
    tasks = transaction.tasks_of(BEFORE + one.name for one in new)
    raw = new_ids(len(new))
    identity_key, credential_key = transaction.next_keys()
    seq = transaction.next_seq()
    audiences = transaction.term("")
    identities, credentials, rows = [], [], []
    for at, (one, (uid, jti)) in enumerate(zip(new, raw, strict=True)):
        task = tasks.get(BEFORE + one.name) or transaction.open_task(
            BEFORE + one.name, one.purpose, one.sensitivity, FOR_EVER
        )
        owner, agent = transaction.term(one.owner), transaction.term(one.agent)
        identities.append(
            IdentityRow(identity_key + at, uid, None, 0, owner, PROOF, agent, task.key, one.sensitivity)
        )
        credentials.append(
            _credential(
                transaction, one, task, credential_key + at, identity_key + at, jti, seq, owner, audiences
            )
        )
        rows.append(_row(one, credential_key + at, kinds))
    transaction.add(identities, credentials)
    transaction.adopted.add(rows)
    issued = audit.issued_digest((jti, one.fingerprint) for one, (_, jti) in zip(new, raw, strict=True))
    event = transaction.append(
        "adopt",
        {
            **_facts(new, raw),
            "content": content,
            "issued": issued,
            "certified": audit.certified_digest(one.public for one in new),
            "adopted": transaction.adopted.digest(seq),
        },
    )
    taken = [
        Taken(one.name, identity_id(uid), credential_id(jti))
        for one, (uid, jti) in zip(new, raw, strict=True)
    ]
    return Adoption(tuple(taken[:SHOWN]), len(new), already, unverified, event.seq)


def finish(transaction: Transaction, names: Sequence[str], proof: str) -> Finished:
    """Record that somebody has seen to it that secrets work no longer where they are kept; end them here too.

    Args:
        transaction: what it happens in.
        names: which.
        proof: what was done, in words, for the audit log.

    Raises:
        NotFoundError: nothing of that name was adopted.

    """
    found = find(transaction, names)
    due = [one for one in found if not one.confirmed]
    if not due:
        return Finished(0, len(found), 0, None)
    live = [one.credential.jti for one in due if one.credential.ended_at is None]
    if live:
        revocation.revoke(transaction, Selection(ids=tuple(live)), proof, None)
    # As they are now that they have ended.
    outsides = transaction.outside.find([one.credential.jti for one in due])
    open_ = [one for one in outsides if one.settled_at is None]
    digest = transaction.outside.settle(
        [(one, Outcome(Settlement.DONE, f"said so: {safe(proof)}"[:500]), None) for one in open_]
    )
    event = transaction.append(
        "adopt-end",
        {
            "names": [one.name for one in due[:20]],
            "count": len(open_),
            "proof": proof,
            "final": len(open_),
            "settled": digest,
        },
    )
    return Finished(len(due), len(found) - len(due), len(live), event.seq)


class Amended(NamedTuple):
    """What is to be known of adopted secrets from now on; None leaves it as it is."""

    owner: str | None = None
    """By any of their names."""
    place: str | None = None
    purpose: str | None = None
    agent: str | None = None
    expires_at: int | None = None
    target: str | None = None
    reference: str | None = None


def amend(
    transaction: Transaction, names: Sequence[str], amended: Amended, kind: str | None
) -> list[AdoptedSecret]:
    """Change what is known of adopted secrets, and return them; what is so already stays, without an event.

    `kind` is that of the target, if one is named.

    Raises:
        NotFoundError: nothing of such a name was adopted.
        UsageError: one of them has ended, or something cannot be meant; nothing was changed.

    """
    found = find(transaction, names)
    for one in found:
        if one.credential.ended_as is not None or one.credential.expires_at <= transaction.now:
            raise UsageError(
                f"{quote(one.name)} has ended, and what is known of it stays as it is; nothing was changed",
                f"see: jitid adopt show {operand(one.name)}",
            )
        stated = _amended(one, amended)
        if amended.expires_at is not None and amended.expires_at <= transaction.now:
            raise wrong(stated, f"its end {format_time(amended.expires_at)} has passed")
        (owner,) = _owners(transaction, [stated])
        stated = stated._replace(owner=owner)
        kinds = {stated.target: kind or str(one.outside.facts.get("kind"))} if stated.target else {}
        changes = {
            field: told
            for field, told, was in (
                ("delegator", stated.owner, one.credential.delegator),
                ("place", stated.place, one.adopted.place),
                ("purpose", stated.purpose, one.credential.purpose),
                ("agent", stated.agent, one.credential.agent),
                ("ends", stated.expires_at or FOR_EVER, one.credential.expires_at),
                ("target", stated.target or BY_HAND, one.outside.record.target),
                ("reference", stated.reference or one.name, one.outside.record.name),
            )
            if told != was
        }
        if not changes:
            continue
        transaction.adopted.change(
            Changed(
                _row(stated, one.credential.key, kinds),
                transaction.term(stated.owner),
                transaction.term(stated.agent),
                stated.purpose,
                stated.expires_at or FOR_EVER,
            )
        )
        of = one.credential.event
        transaction.append(
            "adopt-change",
            {
                "jti": one.credential.jti,
                "task": one.credential.task,
                **changes,
                "of": of,
                "adopted": transaction.adopted.digest(of),
            },
        )
    return find(transaction, names)


def _amended(one: AdoptedSecret, amended: Amended) -> StandingSecret:
    """Return what is then stated of a secret. What it is by is no part of that, and stays."""
    credential, adopted, outside = one
    target = None if outside.record.target == BY_HAND else outside.record.target
    return StandingSecret(
        0,
        one.name,
        amended.owner or credential.delegator,
        amended.place or adopted.place,
        amended.purpose or credential.purpose or "",
        amended.agent or credential.agent,
        credential.sensitivity,
        amended.expires_at or (None if credential.expires_at == FOR_EVER else credential.expires_at),
        amended.target or target,
        amended.reference or (None if target is None else outside.record.name),
        adopted.prefix,
        adopted.length,
        credential.fingerprint or b"",
        None,
        None,
    )


def find(snapshot: Snapshot, names: Sequence[str]) -> list[AdoptedSecret]:
    """Return what was adopted under these names, the latest of each. Raises NotFoundError for one that is none's."""
    keys = snapshot.adopted.on_tasks(BEFORE + name for name in names)
    for name in names:
        if BEFORE + name not in keys:
            raise NotFoundError(f"nothing is adopted under the name {quote(name)}", "see: jitid adopt list")
    return described(snapshot, [keys[BEFORE + name] for name in dict.fromkeys(names)])


def described(snapshot: Snapshot, keys: Sequence[int]) -> list[AdoptedSecret]:
    """Return what there is of adopted credentials, in the order of their numbers in `keys`."""
    credentials = snapshot.credentials_numbered(keys)
    adopted, outside = snapshot.adopted.of(keys), snapshot.outside.of(keys)
    return [AdoptedSecret(credentials[key], adopted[key], outside[key]) for key in keys]


def _compared(snapshot: Snapshot, stated: Sequence[StandingSecret]) -> tuple[list[StandingSecret], int]:
    """Return those that are new, with the owners' own names, and how many are there just so. Raises UsageError."""
    _must_differ(stated)
    stated = [one._replace(owner=name) for one, name in zip(stated, _owners(snapshot, stated), strict=True)]
    given = snapshot.find_given((), {one.fingerprint for one in stated})
    by_print = {one.fingerprint: one for one in given}
    tasks = snapshot.tasks_of(BEFORE + one.name for one in stated)
    latest = snapshot.adopted.on_tasks(tasks)
    keys = {*latest.values(), *(one.key for one in given if one.kind == Kind.ADOPTED)}
    there = {one.credential.key: one for one in described(snapshot, sorted(keys))}
    new, already = [], 0
    for one in stated:
        if one.expires_at is not None and one.expires_at <= snapshot.now:
            raise wrong(one, f"its end {format_time(one.expires_at)} has passed")
        same, task = by_print.get(one.fingerprint), tasks.get(BEFORE + one.name)
        if same is not None:
            _must_be_alike(one, same, there)
            already += 1
            continue
        if task is not None:
            _must_be_free(one, task, there.get(latest.get(task.name, 0)), snapshot.now)
        new.append(one)
    return new, already


def _must_differ(stated: Sequence[StandingSecret]) -> None:
    names: dict[str, int] = {}
    prints: dict[bytes, int] = {}
    for one in stated:
        if one.name in names:
            raise wrong(one, f"the name {quote(one.name)} stands in line {names[one.name]} already")
        if one.fingerprint in prints:
            raise wrong(one, f"the same secret stands in line {prints[one.fingerprint]} already")
        names[one.name] = prints[one.fingerprint] = one.line


def _owners(snapshot: Snapshot, stated: Sequence[StandingSecret]) -> Iterator[str]:
    """Yield the own name of each owner. Raises UsageError for one who is disabled."""
    known: dict[str, str] = {}
    for one in stated:
        if one.owner not in known:
            person = snapshot.find_delegator(one.owner)
            if person is not None and person.disabled_at is not None:
                raise wrong(
                    one,
                    f"{person.name} was disabled at {format_time(person.disabled_at)} and answers for nothing",
                    "name somebody else as the owner",
                )
            known[one.owner] = one.owner if person is None else person.name
        yield known[one.owner]


def _must_be_alike(one: StandingSecret, same: Credential, there: dict[int, AdoptedSecret]) -> None:
    """Check that a secret that is known is adopted just so. Raises UsageError."""
    before = there.get(same.key)
    if before is None:
        raise wrong(
            one,
            f"this is the secret of {same.jti}, which this ledger issued itself",
            f"see: jitid inspect {same.jti}",
        )
    if same.ended_as is not None:
        raise wrong(
            one,
            f"this secret was adopted as {quote(before.name)} and has ended: what has ended stays so",
            "let its place have another secret, and adopt that; see: "
            f"jitid adopt show {operand(before.name)}",
        )
    if before.name != one.name:
        raise wrong(
            one,
            f"this secret is adopted already, as {quote(before.name)}",
            f"see: jitid adopt show {operand(before.name)}",
        )
    for what, told, kept in (
        ("owner", one.owner, same.delegator),
        ("place", one.place, before.adopted.place),
        ("purpose", one.purpose, same.purpose),
        ("agent", one.agent, same.agent),
        ("sensitivity", one.sensitivity, same.sensitivity),
        ("end", one.expires_at or FOR_EVER, same.expires_at),
        ("target", one.target or BY_HAND, before.outside.record.target),
        ("prefix", one.prefix, before.adopted.prefix),
    ):
        if told != kept:
            raise wrong(
                one,
                f"{quote(one.name)} is adopted already, with another {what}",
                f"see: jitid adopt show {operand(one.name)}; if that has changed: jitid adopt change",
            )


def _must_be_free(one: StandingSecret, task: Task, before: AdoptedSecret | None, now: int) -> None:
    """Check that a name can be used for another secret. Raises UsageError."""
    if not task.is_open_at(now):
        raise wrong(
            one,
            f"the task {quote(task.name)} has ended, and its name is never used again",
            "choose another name",
        )
    if before is None:
        raise wrong(
            one, f"there is a task {quote(task.name)} already, of something else", "choose another name"
        )
    if before.credential.ended_as is None:
        raise wrong(
            one,
            f"{quote(one.name)} is adopted already, with another secret that is not known to have ended",
            f"if this one has taken its place: jitid adopt ended {operand(one.name)} --proof TEXT",
        )
    if (one.purpose, one.sensitivity) != (task.purpose, task.sensitivity):
        raise wrong(
            one,
            f"{quote(one.name)} was adopted before for another purpose, or as another sensitivity",
            "choose another name",
        )


def wrong(one: StandingSecret, message: str, hint: str | None = None) -> UsageError:
    """Return the error for a secret that cannot be adopted, with the line of the file that states it."""
    if one.line:
        return misplaced(f"line {one.line}", message, hint)
    return UsageError(f"{message}; nothing was changed", hint)


def _unknown(snapshot: Snapshot, new: Iterable[StandingSecret]) -> list[StandingSecret]:
    known: dict[str, bool] = {}
    for one in new:
        if one.owner not in known:
            known[one.owner] = snapshot.is_delegator(one.owner)
    return [one for one in new if not known[one.owner]]


def _credential(
    transaction: Transaction,
    one: StandingSecret,
    task: Task,
    key: int,
    identity: int,
    jti: bytes,
    seq: int,
    owner: int,
    audiences: int,
) -> CredentialRow:
    return CredentialRow(
        key,
        jti,
        identity,
        Kind.ADOPTED.value,
        "",
        audiences,
        None,
        transaction.now,
        one.expires_at or FOR_EVER,
        one.fingerprint,
        None,
        None,
        seq,
        task.key,
        owner,
        public=one.public,
    )


def _row(one: StandingSecret, key: int, kinds: dict[str, str]) -> AdoptedRow:
    parts = {} if one.access_key_id is None else {"access_key_id": fingerprint(one.access_key_id)}
    if one.target is None:
        ended = (
            f"somebody has to end it at {safe(one.place)}, and say so: jitid adopt ended {operand(one.name)}"
        )
        return AdoptedRow(
            key,
            one.place,
            one.prefix,
            one.length,
            BY_HAND,
            one.name,
            None,
            {},
            parts,
            ended[:500],
        )
    reference = one.reference or one.access_key_id
    assert reference is not None
    facts = {"kind": kinds[one.target]}
    return AdoptedRow(
        key,
        one.place,
        one.prefix,
        one.length,
        one.target,
        reference,
        reference_of(kinds[one.target], reference),
        facts,
        parts,
        None,
    )


def _facts(new: Sequence[StandingSecret], raw: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
    if len(new) > 1:
        return {"kind": Kind.ADOPTED.value, "count": len(new)}
    (one,), ((_, jti),) = new, raw
    return {
        "jti": credential_id(jti),
        "kind": Kind.ADOPTED.value,
        "task": BEFORE + one.name,
        "agent": one.agent,
        "delegator": one.owner,
        "purpose": one.purpose,
        "sensitivity": one.sensitivity,
        "place": one.place,
        "ends": one.expires_at,
        "target": one.target,
        "reference": one.reference,
    }
