"""Adopt standing secrets that exist already, and change their recorded properties; never the secret is recorded.

An adopted secret is a credential of the ledger like any other, on its own task, so that search, reports and revocation
include it. jitid did not make it, and no presented text counts as a token for it. Its end where it is kept is recorded
here, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from jitid.capabilities.adopt.store import AdoptedChanges, AdoptedStore, adopted_digest
from jitid.capabilities.directory.roster.roster_entry import misplaced
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskChanges, TaskStore
from jitid.capabilities.issue.mint import new_ids
from jitid.capabilities.targets.store import OutsideChanges, OutsideStore
from jitid.errors import NotFoundError, UsageError
from jitid.issuers.targets import reference_of
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model import event as audit
from jitid.model.adopted import PLACE, PURPOSE, REFERENCE, TARGET, Adopted, AdoptedRow, StandingSecret
from jitid.model.credential import Credential, Kind
from jitid.model.directory import PERSON
from jitid.model.ledger_rows import CredentialRow, IdentityRow, Selection
from jitid.model.target import BY_HAND, EndOutcome, Outside, Settlement
from jitid.model.task import ADOPTED, Task
from jitid.values.field_types import AGENT, TIME
from jitid.values.ids import credential_id, identity_id
from jitid.values.record import Record
from jitid.values.secret import fingerprint
from jitid.values.text import label, operand, safe
from jitid.values.times import NO_EXPIRY, format_time

PROOF = "adopted"
"""The proof for an owner: there was no delegation, the adoption states the responsible delegator."""
SHOWN = 1_000
"""The maximum number of new secrets that an answer lists."""


class Taken(Record):
    """A secret that was adopted."""

    name: str
    id: str
    jti: str


class Adoption(Record):
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


def preview(snapshot: View, secrets: Sequence[StandingSecret]) -> Adoption:
    """Return the result that `adopt` would have. Raises the errors of `adopt`."""
    new_secrets, already = _compared(snapshot, secrets)
    return Adoption((), len(new_secrets), already, len(_unknown(snapshot, new_secrets)), None)


def adopt(
    transaction: Transaction, secrets: Sequence[StandingSecret], kinds: dict[str, str], content: str | None
) -> Adoption:
    """Record standing secrets, all or none, with one event.

    Args:
        transaction: the transaction.
        secrets: the standing secrets.
        kinds: the kind of credentials that each named target makes.
        content: SHA-256, as hex, of the file with the secrets.

    Raises:
        UsageError: a secret is invalid, or is adopted already with other properties; nothing was changed.

    """
    new_secrets, already = _compared(transaction, secrets)
    if not new_secrets:
        return Adoption((), 0, already, 0, None)
    unverified = len(_unknown(transaction, new_secrets))
    tasks = _tasks(transaction, new_secrets)
    ids = new_ids(len(new_secrets))
    identity_key, credential_key = transaction.next_keys()
    seq = transaction.next_seq()
    audiences = transaction.term("")
    identities, credentials, rows, opened_tasks = [], [], [], []
    for index, (secret, (uid, jti)) in enumerate(zip(new_secrets, ids, strict=True)):
        task = tasks.get(secret.name)
        if task is None:
            task = TaskChanges(transaction).open_task(
                ADOPTED + secret.name, secret.purpose, secret.sensitivity, NO_EXPIRY, secret.owner
            )
            opened_tasks.append(task)
        owner, agent = transaction.term(secret.owner), transaction.term(secret.agent)
        identities.append(
            IdentityRow(identity_key + index, uid, None, 0, owner, PROOF, agent, task.key, secret.sensitivity)
        )
        credentials.append(
            # jitid did not make it, so it has no scopes, no details and no signature.
            CredentialRow(
                key=credential_key + index,
                jti=jti,
                identity=identity_key + index,
                kind=Kind.ADOPTED.value,
                scopes="",
                audiences=audiences,
                details=None,
                issued_at=transaction.now,
                expires_at=secret.expires_at or NO_EXPIRY,
                fingerprint=secret.fingerprint,
                claims_hash=None,
                signed_by=None,
                event=seq,
                task=task.key,
                delegator=owner,
                public=secret.public,
            )
        )
        rows.append(row_of(secret, credential_key + index, kinds))
    transaction.add(identities, credentials)
    AdoptedChanges(transaction).add(rows)
    issued = audit.issued_digest(
        (jti, secret.fingerprint) for secret, (_, jti) in zip(new_secrets, ids, strict=True)
    )
    event = transaction.append(
        "adopt",
        {
            **_facts(new_secrets, ids),
            "content": content,
            "issued": issued,
            "certified": audit.certified_digest(secret.public for secret in new_secrets),
            "adopted": AdoptedChanges(transaction).digest(seq),
            "tasks": adopted_digest(opened_tasks) if opened_tasks else None,
        },
    )
    taken = [
        Taken(secret.name, identity_id(uid), credential_id(jti))
        for secret, (uid, jti) in zip(new_secrets, ids, strict=True)
    ]
    return Adoption(tuple(taken[:SHOWN]), len(new_secrets), already, unverified, event.seq)


def _compared(snapshot: View, secrets: Sequence[StandingSecret]) -> tuple[list[StandingSecret], int]:
    """Return the new secrets, with the owners' own names, and the number of known ones. Raises UsageError."""
    _must_differ(secrets)
    secrets = [
        secret._replace(owner=name)
        for secret, name in zip(secrets, owners_of(snapshot, secrets), strict=True)
    ]
    credentials = CredentialStore(snapshot).find_given((), {secret.fingerprint for secret in secrets})
    by_print = {credential.fingerprint: credential for credential in credentials}
    tasks = _tasks(snapshot, secrets)
    latest_keys = AdoptedStore(snapshot).on_tasks(ADOPTED + secret.name for secret in secrets)
    keys = {
        *latest_keys.values(),
        *(credential.key for credential in credentials if credential.kind == Kind.ADOPTED),
    }
    adopted_by_key = {adopted.credential.key: adopted for adopted in described(snapshot, sorted(keys))}
    new_secrets, already = [], 0
    for secret in secrets:
        if secret.expires_at is not None and secret.expires_at <= snapshot.now:
            raise wrong(secret, f"its expiry {format_time(secret.expires_at)} has passed")
        existing, task = by_print.get(secret.fingerprint), tasks.get(secret.name)
        if existing is not None:
            _must_be_alike(secret, existing, adopted_by_key)
            already += 1
            continue
        if task is not None:
            _must_be_free(secret, task, adopted_by_key.get(latest_keys.get(task.name, 0)), snapshot.now)
        new_secrets.append(secret)
    return new_secrets, already


def _tasks(snapshot: View, secrets: Sequence[StandingSecret]) -> dict[str, Task]:
    """Return the task of each secret by its name: the same as before if that name was adopted before.

    Otherwise only a task of the same owner counts, not another owner's task of that name.
    """
    latest_keys = AdoptedStore(snapshot).on_tasks(ADOPTED + secret.name for secret in secrets)
    adopted_on = TaskStore(snapshot).tasks_numbered(
        [
            credential.task_key
            for credential in CredentialStore(snapshot).credentials_numbered(latest_keys.values()).values()
        ]
    )
    tasks = {task.name.removeprefix(ADOPTED): task for task in adopted_on.values()}
    unmatched = [secret for secret in secrets if secret.name not in tasks]
    owned_tasks = TaskStore(snapshot).tasks_of(ADOPTED + secret.name for secret in unmatched)
    for secret in unmatched:
        task = owned_tasks.get((ADOPTED + secret.name, secret.owner))
        if task is not None:
            tasks[secret.name] = task
    return tasks


def _must_differ(secrets: Sequence[StandingSecret]) -> None:
    names: dict[str, int] = {}
    prints: dict[bytes, int] = {}
    for secret in secrets:
        if secret.name in names:
            raise wrong(secret, f"the name {label(secret.name)} is in line {names[secret.name]} already")
        if secret.fingerprint in prints:
            raise wrong(secret, f"the same secret is in line {prints[secret.fingerprint]} already")
        names[secret.name] = prints[secret.fingerprint] = secret.line


def owners_of(snapshot: View, secrets: Sequence[StandingSecret]) -> Iterator[str]:
    """Yield the own name of each owner. Raises UsageError for a disabled owner."""
    own_names: dict[str, str] = {}
    for secret in secrets:
        if secret.owner not in own_names:
            person = DirectoryStore(snapshot).find_delegator(secret.owner)
            if person is not None and person.disabled_at is not None:
                raise wrong(
                    secret,
                    f"the owner {person.name} was disabled at {format_time(person.disabled_at)}",
                    "name another owner",
                )
            own_names[secret.owner] = secret.owner if person is None else person.name
        yield own_names[secret.owner]


def _must_be_alike(
    secret: StandingSecret, existing: Credential, adopted_by_key: dict[int, AdoptedSecret]
) -> None:
    """Check that a known secret is adopted with the same properties. Raises UsageError."""
    previous = adopted_by_key.get(existing.key)
    if previous is None:
        raise wrong(
            secret,
            f"this is the secret of {existing.jti}, which this ledger issued",
            f"see: jitid inspect {existing.jti}",
        )
    if existing.ended_as is not None:
        raise wrong(
            secret,
            f"this secret was adopted as {label(previous.name)} and has ended: it cannot be adopted again",
            f"replace the secret, and adopt the new one; see: jitid adopt show {operand(previous.name)}",
        )
    if previous.name != secret.name:
        raise wrong(
            secret,
            f"this secret is adopted already, as {label(previous.name)}",
            f"see: jitid adopt show {operand(previous.name)}",
        )
    for attribute, value, recorded in (
        ("owner", secret.owner, existing.delegator),
        ("place", secret.place, previous.adopted.place),
        ("purpose", secret.purpose, existing.purpose),
        ("agent", secret.agent, existing.agent),
        ("sensitivity", secret.sensitivity, existing.sensitivity),
        ("expiry", secret.expires_at or NO_EXPIRY, existing.expires_at),
        ("target", secret.target or BY_HAND, previous.outside.record.target),
        ("prefix", secret.prefix, previous.adopted.prefix),
    ):
        if value != recorded:
            raise wrong(
                secret,
                f"{label(secret.name)} is adopted already, with another {attribute}",
                f"see: jitid adopt show {operand(secret.name)}; to change it: jitid adopt change",
            )


def _must_be_free(secret: StandingSecret, task: Task, previous: AdoptedSecret | None, now: int) -> None:
    """Check that a name can be used for another secret. Raises UsageError."""
    if not task.is_open_at(now):
        raise wrong(
            secret,
            f"the task {label(task.name)} has ended, and its name cannot be used again",
            "choose another name",
        )
    if previous is None:
        raise wrong(
            secret,
            f"there is a task {label(task.name)} already, without an adopted secret",
            "choose another name",
        )
    if previous.credential.ended_as is None:
        raise wrong(
            secret,
            f"{label(secret.name)} is adopted already, with another secret that has not ended",
            f"if the new secret has replaced it: jitid adopt end {operand(secret.name)} --proof TEXT",
        )
    if (secret.purpose, secret.sensitivity) != (task.purpose, task.sensitivity):
        raise wrong(
            secret,
            f"{label(secret.name)} was adopted before with another purpose or sensitivity",
            "choose another name",
        )


def wrong(secret: StandingSecret, message: str, hint: str | None = None) -> UsageError:
    """Return the error for a secret that cannot be adopted, with the line of the file that states it."""
    if secret.line:
        return misplaced(f"line {secret.line}", message, hint)
    return UsageError(f"{message}; nothing was changed", hint)


def _unknown(snapshot: View, secrets: Iterable[StandingSecret]) -> list[StandingSecret]:
    known_owners: dict[str, bool] = {}
    for secret in secrets:
        if secret.owner not in known_owners:
            known_owners[secret.owner] = DirectoryStore(snapshot).is_delegator(secret.owner)
    return [secret for secret in secrets if not known_owners[secret.owner]]


def row_of(secret: StandingSecret, key: int, kinds: dict[str, str]) -> AdoptedRow:
    """Return the row of a secret that belongs to the credential with the number `key`."""
    parts = {} if secret.access_key_id is None else {"access_key_id": fingerprint(secret.access_key_id)}
    kept = (key, secret.place, secret.prefix, secret.length)
    if secret.target is None:
        command = f"jitid adopt end --proof TEXT {operand(secret.name)}"
        notice = f"an operator must end it at {safe(secret.place)}, then run: {command}"
        return AdoptedRow(*kept, BY_HAND, secret.name, None, {}, parts, notice[:500])
    kind, name = kinds[secret.target], secret.reference or secret.access_key_id
    assert name is not None
    return AdoptedRow(*kept, secret.target, name, reference_of(kind, name), {"kind": kind}, parts, None)


def _facts(secrets: Sequence[StandingSecret], ids: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
    if len(secrets) > 1:
        return {"kind": Kind.ADOPTED.value, "count": len(secrets)}
    (secret,), ((_, jti),) = secrets, ids
    return {
        "jti": credential_id(jti),
        "kind": Kind.ADOPTED.value,
        "task": ADOPTED + secret.name,
        "agent": secret.agent,
        "delegator": secret.owner,
        "purpose": secret.purpose,
        "sensitivity": secret.sensitivity,
        "place": secret.place,
        "ends": secret.expires_at,
        "target": secret.target,
        "reference": secret.reference,
    }


class Amended(Record):
    """New properties of adopted secrets; None leaves a property unchanged."""

    owner: Annotated[str | None, PERSON] = None
    """The owner, by any of their names."""
    place: Annotated[str | None, PLACE] = None
    purpose: Annotated[str | None, PURPOSE] = None
    agent: Annotated[str | None, AGENT] = None
    expires_at: Annotated[int | None, TIME] = None
    target: Annotated[str | None, TARGET] = None
    reference: Annotated[str | None, REFERENCE] = None


def amend(
    transaction: Transaction, names: Sequence[str], amended: Amended, kind: str | None
) -> list[AdoptedSecret]:
    """Change the properties of adopted secrets, and return them; without a difference there is no event.

    `kind` is the kind of the target, if one is named.

    Raises:
        NotFoundError: no secret of that name was adopted.
        UsageError: a secret has ended, or a value is invalid; nothing was changed.

    """
    secrets = find(transaction, names)
    for secret in secrets:
        if secret.credential.ended_as is not None or secret.credential.expires_at <= transaction.now:
            raise UsageError(
                f"{label(secret.name)} has ended, and its record cannot change; nothing was changed",
                f"see: jitid adopt show {operand(secret.name)}",
            )
        standing = _amended(secret, amended)
        if amended.expires_at is not None and amended.expires_at <= transaction.now:
            raise wrong(standing, f"its expiry {format_time(amended.expires_at)} has passed")
        (owner,) = owners_of(transaction, [standing])
        standing = standing._replace(owner=owner)
        kinds = {standing.target: kind or str(secret.outside.facts.get("kind"))} if standing.target else {}
        changes = {
            field: new
            for field, new, old in (
                ("delegator", standing.owner, secret.credential.delegator),
                ("place", standing.place, secret.adopted.place),
                ("purpose", standing.purpose, secret.credential.purpose),
                ("agent", standing.agent, secret.credential.agent),
                ("ends", standing.expires_at or NO_EXPIRY, secret.credential.expires_at),
                ("target", standing.target or BY_HAND, secret.outside.record.target),
                ("reference", standing.reference or secret.name, secret.outside.record.name),
            )
            if new != old
        }
        if not changes:
            continue
        AdoptedChanges(transaction).change(
            row_of(standing, secret.credential.key, kinds),
            owner=transaction.term(standing.owner),
            agent=transaction.term(standing.agent),
            purpose=standing.purpose,
            expires_at=standing.expires_at or NO_EXPIRY,
        )
        event = secret.credential.event
        transaction.append(
            "adopt-change",
            {
                "jti": secret.credential.jti,
                "task": secret.credential.task,
                **changes,
                "of": event,
                "adopted": AdoptedChanges(transaction).digest(event),
            },
        )
    return find(transaction, names)


def _amended(secret: AdoptedSecret, amended: Amended) -> StandingSecret:
    """Return the properties of a secret after the change. The secret itself stays the same."""
    credential, adopted = secret.credential, secret.adopted
    return StandingSecret(
        0,
        secret.name,
        amended.owner or credential.delegator,
        amended.place or adopted.place,
        amended.purpose or credential.purpose or "",
        amended.agent or credential.agent,
        credential.sensitivity,
        amended.expires_at or secret.expires_at,
        amended.target or secret.target,
        amended.reference or secret.reference,
        adopted.prefix,
        adopted.length,
        credential.fingerprint or b"",
        None,
        None,
    )


class AdoptedSecret(Record):
    """An adopted secret with all its records in the ledger."""

    credential: Credential
    adopted: Adopted
    outside: Outside

    @property
    def name(self) -> str:
        """The name of the secret: the name of its task without the prefix."""
        return self.credential.task.removeprefix(ADOPTED)

    @property
    def confirmed(self) -> bool:
        """Whether it is known to have ended where it is kept."""
        return self.outside.settled_at is not None and self.outside.settlement == Settlement.DONE

    def state_at(self, now: int) -> str:
        """Return the state of the secret.

        `standing`; `ended` if the end is confirmed at its place; `unconfirmed` if it has ended only in the ledger.
        """
        if self.credential.ended_as is None and self.credential.expires_at > now:
            return "standing"
        return "ended" if self.confirmed else "unconfirmed"

    @property
    def target(self) -> str | None:
        """The target that can end it; None if a person has to end it."""
        return None if self.outside.record.target == BY_HAND else self.outside.record.target

    @property
    def reference(self) -> str | None:
        """Its name at the target."""
        return None if self.target is None else self.outside.record.name

    @property
    def expires_at(self) -> int | None:
        """When it expires; None if it does not."""
        return None if self.credential.expires_at == NO_EXPIRY else self.credential.expires_at

    @property
    def confirmed_at(self) -> int | None:
        """When its end where it is kept was confirmed."""
        return self.outside.settled_at if self.confirmed else None

    @property
    def proof(self) -> str | None:
        """The proof of its end where it is kept."""
        return self.outside.proof if self.confirmed else None


class Finished(Record):
    """The result of recording that secrets have ended where they are kept."""

    done: int
    already: int
    """The number of secrets that were known to have ended there."""
    revoked: int
    """The number of secrets that were live in the ledger until then."""
    event: int | None
    unproved: str | None = None
    """Why leaked secrets could not be proved revoked; None if they were, or if none had leaked."""


def find(snapshot: View, names: Sequence[str]) -> list[AdoptedSecret]:
    """Return the adopted secrets of these names, the latest of each. Raises NotFoundError for an unknown name."""
    keys = AdoptedStore(snapshot).on_tasks(ADOPTED + name for name in names)
    for name in names:
        if ADOPTED + name not in keys:
            raise NotFoundError(f"there is no adopted secret {label(name)}", "see: jitid adopt list")
    return described(snapshot, [keys[ADOPTED + name] for name in dict.fromkeys(names)])


def described(snapshot: View, keys: Sequence[int]) -> list[AdoptedSecret]:
    """Return adopted credentials with their details, in the order of their numbers in `keys`."""
    credentials = CredentialStore(snapshot).credentials_numbered(keys)
    adopted, outside = AdoptedStore(snapshot).of(keys), OutsideStore(snapshot).of(keys)
    return [AdoptedSecret(credentials[key], adopted[key], outside[key]) for key in keys]


def finish(transaction: Transaction, names: Sequence[str], proof: str) -> Finished:
    """Record that an operator has ended secrets where they are kept, and end them here too.

    Args:
        transaction: the transaction.
        names: the names of the secrets.
        proof: the action of the operator, in words, for the audit log.

    Raises:
        NotFoundError: no secret of that name was adopted.

    """
    secrets = find(transaction, names)
    unconfirmed = [secret for secret in secrets if not secret.confirmed]
    if not unconfirmed:
        return Finished(0, len(secrets), 0, None)
    live_jtis = [secret.credential.jti for secret in unconfirmed if secret.credential.ended_at is None]
    if live_jtis:
        revocation.revoke(transaction, Selection(ids=tuple(live_jtis)), proof, None)
    # Read again: they have ended now.
    outsides = OutsideChanges(transaction).find([secret.credential.jti for secret in unconfirmed])
    open_ = [outside for outside in outsides if outside.settled_at is None]
    digest = OutsideChanges(transaction).settle(
        [(outside, EndOutcome(Settlement.DONE, f"said so: {safe(proof)}"[:500]), None) for outside in open_]
    )
    event = transaction.append(
        "adopt-end",
        {
            "names": [secret.name for secret in unconfirmed[:20]],
            "count": len(open_),
            "proof": proof,
            "final": len(open_),
            **digest._asdict(),
        },
    )
    return Finished(len(unconfirmed), len(secrets) - len(unconfirmed), len(live_jtis), event.seq)
