"""Read the audit log: filter it, sign its head, verify a head against the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any

from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.identity.store import CredentialStore
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError
from jitid.keys.keyring import Keyring, Signer
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.chain import head_hash
from jitid.model.event import Event, Head, Link
from jitid.model.ledger_rows import Names, SigningKey
from jitid.model.task import parse_task
from jitid.values import strict_json
from jitid.values.field_types import COUNT, FILTER, POSITIVE, TASK_FILTER, TIME
from jitid.values.record import Record

HEAD_TYPE = "jitid-audit-head+jws"


class UnreadableHeadError(IntegrityError):
    """A recorded head that cannot be parsed: it proves neither that the log is complete nor that it was changed."""


class LogFilter(Record):
    """A filter for events; every given condition must hold."""

    operation: Annotated[str | None, FILTER] = None
    task: Annotated[str | None, TASK_FILTER] = None
    """The event names the task, or ended a credential of the task; likewise for agent and delegator."""
    agent: Annotated[str | None, FILTER] = None
    delegator: Annotated[str | None, FILTER] = None
    by: Annotated[str | None, FILTER] = None
    """The caller's name; or the id of an identity, since several agents may share a name."""
    rule: Annotated[str | None, FILTER] = None
    sweep: Annotated[str | None, FILTER] = None
    """The name of a sweep, as in its events."""
    since: Annotated[int | None, TIME] = None
    """Seconds since the epoch."""
    until: Annotated[int | None, TIME] = None
    after: Annotated[int, COUNT] = 0
    """The number of the last event already seen."""
    event: Annotated[int | None, POSITIVE] = None
    trace: Annotated[str | None, FILTER] = None
    """The trace id of the request (W3C Trace Context, section 3.2.2.3), or its whole `traceparent`."""


def log(
    snapshot: View,
    chosen: LogFilter,
    limit: int | None,
    *,
    newest_first: bool = False,
    until: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the matching events, oldest first by default: at most `limit`, with numbers up to `until`."""
    count = 0
    # Events may name a person by any of their names.
    names = () if chosen.delegator is None else DirectoryStore(snapshot).names_of(chosen.delegator)
    ended = _Ended(snapshot, chosen)
    for event in map(Event._make, snapshot.events(chosen.after, newest_first=newest_first)):
        if until is not None and event.seq > until:
            if newest_first:
                continue
            return
        document = event.document()
        if _matches(document, chosen, names, ended):
            yield document
            count += 1
            if count == limit:
                return


class _Ended:
    """The events that ended credentials of a task, an agent or a delegator that the request need not have named."""

    def __init__(self, snapshot: View, chosen: LogFilter) -> None:
        self._snapshot, self._chosen = snapshot, chosen
        self._events: dict[str, frozenset[int]] = {}

    def has(self, document: Mapping[str, Any], name: str, value: str) -> bool:
        """Return whether an event ended a credential with that value of `task`, `agent` or `delegator`."""
        if "ended" not in document:
            return False
        if name not in self._events:
            # Read once, and only for such an event: a follower of the log reads it again and again.
            store = CredentialStore(self._snapshot)
            chosen = Filter()._replace(**{name: value})
            self._events[name] = store.ending_events(chosen, self._chosen.after)
        return document["seq"] in self._events[name]


def _matches(
    document: Mapping[str, Any], chosen: LogFilter, delegators: tuple[str, ...], ended: _Ended
) -> bool:
    if chosen.event is not None and document["seq"] != chosen.event:
        return False
    if chosen.since is not None and document["at"] < chosen.since:
        return False
    if chosen.until is not None and document["at"] >= chosen.until:
        return False
    if chosen.rule is not None and chosen.rule not in document.get("rules", ()):
        return False
    if chosen.operation is not None and document["op"] != chosen.operation:
        return False
    if chosen.by is not None and chosen.by not in (
        document["by"],
        document.get("by_id"),
        *document.get("by_ids", ()),
    ):
        return False
    if chosen.sweep is not None and document.get("sweep") != chosen.sweep:
        return False
    if chosen.trace is not None:
        trace = document.get("trace")
        if trace is None or chosen.trace not in (trace, *trace.split("-")[1:2]):
            return False
    for name in ("task", "agent", "delegator"):
        filter_value = getattr(chosen, name)
        if filter_value is None:
            continue
        if name == "task" and parse_task(filter_value).opener is not None:
            named = _is_on(document, filter_value)
        else:
            expected = delegators if name == "delegator" else (filter_value,)
            recorded = (document.get(name), *document.get("selection", {}).get(f"{name}s", ()))
            named = any(expected_name in recorded for expected_name in expected)
        if not named and not ended.has(document, name, filter_value):
            return False
    return True


def _is_on(document: Mapping[str, Any], qualified_name: str) -> bool:
    """Return whether an event is about the task that `OWNER/NAME` names."""
    task = parse_task(qualified_name)
    opener = document.get("opener", document.get("delegator"))
    return (document.get("task"), opener) == (task.name, task.opener) or qualified_name in document.get(
        "selection", {}
    ).get("tasks", ())


def signed_head(snapshot: View, names: Names, signer: Signer) -> str:
    """Return the signed last link of the chain as a compact JWS: a copy elsewhere reveals a cut or old ledger."""
    return sign_head(snapshot.head(), names, signer, snapshot.now)


def sign_head(
    head: Head, names: Names, signer: Signer, now: int, facts: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return a head as a compact JWS, signed at `now`, with `facts` as its other claims."""
    chains = {"chains": [[chain, length, hash_.hex()] for chain, length, hash_ in head.chains]}
    header = strict_json.dumps({"alg": signer.algorithm, "kid": signer.kid, "typ": HEAD_TYPE})
    claims = {
        "ledger": names.uuid,
        "iss": names.issuer,
        "seq": head.seq,
        "hash": head.hash.hex(),
        "iat": now,
        **facts,
        **(chains if head.chains else {}),
    }
    signed = f"{strict_json.b64url(header.encode())}.{strict_json.b64url(strict_json.dumps(claims).encode())}"
    return f"{signed}.{strict_json.b64url(signer.sign(signed.encode()))}"


def signer_of(snapshot: View, keyring: Keyring) -> Signer:
    """Return the key that signs heads on this machine. Raises IntegrityError if there is none."""
    for key in reversed(KeyStore(snapshot).signing_keys()):
        if (
            key.use == "jws"
            and key.algorithm == "EdDSA"
            and key.retired_at is None
            and keyring.holds(key.kid)
        ):
            return keyring.load(key.kid, key.algorithm, key.public)
    owner = "this machine" if keyring.others else "the ledger"
    raise IntegrityError(f"{owner} has no active signing key", "to make one: jitid keys rotate")


def read_head(text: str, names: Names, keys: Iterable[SigningKey]) -> Head:
    """Return the link that a signed head contains. Rotated and revoked keys still verify it.

    Raises:
        UnreadableHeadError: it is not a signed head, or it is damaged.
        IntegrityError: it belongs to another ledger, or no key of this ledger signed it.

    """
    if not text:
        raise UnreadableHeadError("the signed head is empty")
    try:
        parsed = jws.parse(text, types=frozenset({HEAD_TYPE}))
        key = next((key for key in keys if key.kid == parsed.kid and key.use == "jws"), None)
        if key is None:
            raise IntegrityError("the signed head has a signature of a key that this ledger never had")
        jws.verify_signature(parsed, key.algorithm, key.public)
    except InvalidCredentialError as error:
        raise UnreadableHeadError(f"the signed head is damaged: {error.message}") from error
    claims = parsed.claims
    if claims.get("ledger") != names.uuid:
        raise IntegrityError("the signed head belongs to another ledger")
    try:
        return _head(claims)
    except (TypeError, ValueError) as error:
        raise UnreadableHeadError("the signed head has missing or invalid claims") from error


def _head(claims: Mapping[str, Any]) -> Head:
    links = tuple(
        [Link(chain, length, bytes.fromhex(digest)) for chain, length, digest in claims.get("chains", ())]
    )
    head = Head(claims.get("seq", ""), bytes.fromhex(claims.get("hash", "")), links)
    if not all(type(number) is int for number in (head.seq, *(n for link in links for n in link[:2]))):
        raise TypeError(head)
    if links and head.hash != head_hash(links):
        raise ValueError(head)
    return head
