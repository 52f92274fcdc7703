"""Adopt standing secrets that exist already: record their fingerprints with owner, place and purpose.

An adopted secret is a credential of the ledger like any other, on its own task, so that search, reports and revocation
include it. jitid did not make it, and no presented text counts as a token for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from jitid.capabilities.adopt import adopted_secrets
from jitid.capabilities.adopt.adopted_secrets import AdoptedSecret
from jitid.capabilities.adopt.store import AdoptedChanges, AdoptedStore, adopted_digest
from jitid.capabilities.directory.roster.line_error import misplaced
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskChanges, TaskStore
from jitid.capabilities.issue.mint import new_ids
from jitid.errors import UsageError
from jitid.issuers.target_kinds import reference_of
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model import event as audit
from jitid.model.adopted import FOR_EVER, AdoptedRow, StandingSecret
from jitid.model.credential import Credential, Kind
from jitid.model.ledger_rows import CredentialRow, IdentityRow
from jitid.model.target import BY_HAND
from jitid.model.task import ADOPTED, Task
from jitid.values.ids import credential_id, identity_id
from jitid.values.secret import fingerprint
from jitid.values.text import label, operand, safe
from jitid.values.times import format_time

PROOF = "adopted"
"""The proof for an owner: there was no delegation, the adoption states the responsible delegator."""
SHOWN = 1_000
"""The maximum number of new secrets that an answer lists."""


class Taken(NamedTuple):
    """A secret that was adopted."""

    name: str
    id: str
    jti: str


class Adoption(NamedTuple):
    """The result of adopting secrets, or of a dry run."""

    taken: tuple[Taken, ...]
    """The first `SHOWN` of the new secrets; empty in a dry run."""
    new: int
    already: int
    """The number of secrets that were adopted before, with the same properties."""
    unverified: int
    """The number of new secrets with an owner that the directory does not have."""
    event: int | None
    """The number of the audit event; None if no secret was new."""
    unseen: tuple[str, ...] = ()
    """Secrets whose targets could not report whether they work, each with the reason."""


def preview(snapshot: View, stated: Sequence[StandingSecret]) -> Adoption:
    """Return the result that `adopt` would have. Raises the errors of `adopt`."""
    new, already = _compared(snapshot, stated)
    return Adoption((), len(new), already, len(_unknown(snapshot, new)), None)


def adopt(
    transaction: Transaction, stated: Sequence[StandingSecret], kinds: dict[str, str], content: str | None
) -> Adoption:
    """Record standing secrets, all or none, with one event.

    Args:
        transaction: the transaction.
        stated: the secrets.
        kinds: the kind of credentials that each named target makes.
        content: SHA-256, as hex, of the file with the secrets.

    Raises:
        UsageError: a secret is invalid, or is adopted already with other properties; nothing was changed.

    """
    new, already = _compared(transaction, stated)
    if not new:
        return Adoption((), 0, already, 0, None)
    unverified = len(_unknown(transaction, new))
    tasks = _tasks(transaction, new)
    raw = new_ids(len(new))
    identity_key, credential_key = transaction.next_keys()
    seq = transaction.next_seq()
    audiences = transaction.term("")
    identities, credentials, rows, opened = [], [], [], []
    for at, (one, (uid, jti)) in enumerate(zip(new, raw, strict=True)):
        task = tasks.get(one.name)
        if task is None:
            task = TaskChanges(transaction).open_task(
                ADOPTED + one.name, one.purpose, one.sensitivity, FOR_EVER, one.owner
            )
            opened.append(task)
        owner, agent = transaction.term(one.owner), transaction.term(one.agent)
        identities.append(
            IdentityRow(identity_key + at, uid, None, 0, owner, PROOF, agent, task.key, one.sensitivity)
        )
        credentials.append(
            _credential(
                transaction, one, task, credential_key + at, identity_key + at, jti, seq, owner, audiences
            )
        )
        rows.append(row_of(one, credential_key + at, kinds))
    transaction.add(identities, credentials)
    AdoptedChanges(transaction).add(rows)
    issued = audit.issued_digest((jti, one.fingerprint) for one, (_, jti) in zip(new, raw, strict=True))
    event = transaction.append(
        "adopt",
        {
            **_facts(new, raw),
            "content": content,
            "issued": issued,
            "certified": audit.certified_digest(one.public for one in new),
            "adopted": AdoptedChanges(transaction).digest(seq),
            "tasks": adopted_digest(opened) if opened else None,
        },
    )
    taken = [
        Taken(one.name, identity_id(uid), credential_id(jti))
        for one, (uid, jti) in zip(new, raw, strict=True)
    ]
    return Adoption(tuple(taken[:SHOWN]), len(new), already, unverified, event.seq)


def _compared(snapshot: View, stated: Sequence[StandingSecret]) -> tuple[list[StandingSecret], int]:
    """Return the new secrets, with the owners' own names, and the number of known ones. Raises UsageError."""
    _must_differ(stated)
    stated = [one._replace(owner=name) for one, name in zip(stated, owners_of(snapshot, stated), strict=True)]
    given = CredentialStore(snapshot).find_given((), {one.fingerprint for one in stated})
    by_print = {one.fingerprint: one for one in given}
    tasks = _tasks(snapshot, stated)
    latest = AdoptedStore(snapshot).on_tasks(ADOPTED + one.name for one in stated)
    keys = {*latest.values(), *(one.key for one in given if one.kind == Kind.ADOPTED)}
    there = {one.credential.key: one for one in adopted_secrets.described(snapshot, sorted(keys))}
    new, already = [], 0
    for one in stated:
        if one.expires_at is not None and one.expires_at <= snapshot.now:
            raise wrong(one, f"its end {format_time(one.expires_at)} has passed")
        same, task = by_print.get(one.fingerprint), tasks.get(one.name)
        if same is not None:
            _must_be_alike(one, same, there)
            already += 1
            continue
        if task is not None:
            _must_be_free(one, task, there.get(latest.get(task.name, 0)), snapshot.now)
        new.append(one)
    return new, already


def _tasks(snapshot: View, stated: Sequence[StandingSecret]) -> dict[str, Task]:
    """Return the task of each secret by its name: the same as before if that name was adopted before.

    Otherwise only a task of the same owner counts, not another owner's task of that name.
    """
    latest = AdoptedStore(snapshot).on_tasks(ADOPTED + one.name for one in stated)
    adopted_on = TaskStore(snapshot).tasks_numbered(
        [one.task_key for one in CredentialStore(snapshot).credentials_numbered(latest.values()).values()]
    )
    found = {task.name.removeprefix(ADOPTED): task for task in adopted_on.values()}
    others = [one for one in stated if one.name not in found]
    called = TaskStore(snapshot).tasks_of(ADOPTED + one.name for one in others)
    for one in others:
        task = called.get((ADOPTED + one.name, one.owner))
        if task is not None:
            found[one.name] = task
    return found


def _must_differ(stated: Sequence[StandingSecret]) -> None:
    names: dict[str, int] = {}
    prints: dict[bytes, int] = {}
    for one in stated:
        if one.name in names:
            raise wrong(one, f"the name {label(one.name)} stands in line {names[one.name]} already")
        if one.fingerprint in prints:
            raise wrong(one, f"the same secret stands in line {prints[one.fingerprint]} already")
        names[one.name] = prints[one.fingerprint] = one.line


def owners_of(snapshot: View, stated: Sequence[StandingSecret]) -> Iterator[str]:
    """Yield the own name of each owner. Raises UsageError for a disabled owner."""
    known: dict[str, str] = {}
    for one in stated:
        if one.owner not in known:
            person = DirectoryStore(snapshot).find_delegator(one.owner)
            if person is not None and person.disabled_at is not None:
                raise wrong(
                    one,
                    f"{person.name} was disabled at {format_time(person.disabled_at)} and answers for nothing",
                    "name somebody else as the owner",
                )
            known[one.owner] = one.owner if person is None else person.name
        yield known[one.owner]


def _must_be_alike(one: StandingSecret, same: Credential, there: dict[int, AdoptedSecret]) -> None:
    """Check that a known secret is adopted with the same properties. Raises UsageError."""
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
            f"this secret was adopted as {label(before.name)} and has ended: what has ended stays so",
            "let its place have another secret, and adopt that; see: "
            f"jitid adopt show {operand(before.name)}",
        )
    if before.name != one.name:
        raise wrong(
            one,
            f"this secret is adopted already, as {label(before.name)}",
            f"see: jitid adopt show {operand(before.name)}",
        )
    for attribute, value, recorded in (
        ("owner", one.owner, same.delegator),
        ("place", one.place, before.adopted.place),
        ("purpose", one.purpose, same.purpose),
        ("agent", one.agent, same.agent),
        ("sensitivity", one.sensitivity, same.sensitivity),
        ("end", one.expires_at or FOR_EVER, same.expires_at),
        ("target", one.target or BY_HAND, before.outside.record.target),
        ("prefix", one.prefix, before.adopted.prefix),
    ):
        if value != recorded:
            raise wrong(
                one,
                f"{label(one.name)} is adopted already, with another {attribute}",
                f"see: jitid adopt show {operand(one.name)}; if that has changed: jitid adopt change",
            )


def _must_be_free(one: StandingSecret, task: Task, before: AdoptedSecret | None, now: int) -> None:
    """Check that a name can be used for another secret. Raises UsageError."""
    if not task.is_open_at(now):
        raise wrong(
            one,
            f"the task {label(task.name)} has ended, and its name is never used again",
            "choose another name",
        )
    if before is None:
        raise wrong(
            one, f"there is a task {label(task.name)} already, of something else", "choose another name"
        )
    if before.credential.ended_as is None:
        raise wrong(
            one,
            f"{label(one.name)} is adopted already, with another secret that is not known to have ended",
            f"if this one has taken its place: jitid adopt ended {operand(one.name)} --proof TEXT",
        )
    if (one.purpose, one.sensitivity) != (task.purpose, task.sensitivity):
        raise wrong(
            one,
            f"{label(one.name)} was adopted before for another purpose, or as another sensitivity",
            "choose another name",
        )


def wrong(one: StandingSecret, message: str, hint: str | None = None) -> UsageError:
    """Return the error for a secret that cannot be adopted, with the line of the file that states it."""
    if one.line:
        return misplaced(f"line {one.line}", message, hint)
    return UsageError(f"{message}; nothing was changed", hint)


def _unknown(snapshot: View, new: Iterable[StandingSecret]) -> list[StandingSecret]:
    known: dict[str, bool] = {}
    for one in new:
        if one.owner not in known:
            known[one.owner] = DirectoryStore(snapshot).is_delegator(one.owner)
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


def row_of(one: StandingSecret, key: int, kinds: dict[str, str]) -> AdoptedRow:
    """Return the row of a secret that belongs to the credential with the number `key`."""
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
        "task": ADOPTED + one.name,
        "agent": one.agent,
        "delegator": one.owner,
        "purpose": one.purpose,
        "sensitivity": one.sensitivity,
        "place": one.place,
        "ends": one.expires_at,
        "target": one.target,
        "reference": one.reference,
    }
