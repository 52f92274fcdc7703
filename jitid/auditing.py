"""The audit log as its readers use it: filtered, signed, verified against the ledger or from an export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jitid import audit, jws, strictjson
from jitid.audit import BrokenChainError, Event, Head
from jitid.errors import IntegrityError, InvalidCredentialError, UsageError
from jitid.keyring import Signer
from jitid.ledger.members import Members
from jitid.ledger.protocol import Snapshot
from jitid.ledger.records import Names, SigningKey
from jitid.storedpolicy import kept
from jitid.text import quote

HEAD_TYPE = "jitid-audit-head+jws"


class UnreadableHeadError(IntegrityError):
    """What was kept as a signed head is none: it vouches for nothing, and accuses of nothing either."""


class LogFilter(NamedTuple):
    """Which events are shown; every given condition must hold."""

    operation: str | None = None
    task: str | None = None
    agent: str | None = None
    delegator: str | None = None
    by: str | None = None
    rule: str | None = None
    sweep: str | None = None
    """The name of a sweep, which its events say."""
    since: int | None = None
    """Seconds since the epoch."""
    until: int | None = None
    after: int = 0
    """The number of the last event already seen."""
    event: int | None = None


class Verification(NamedTuple):
    """What was checked, and held."""

    events: int
    members: int
    """Rows of the ledger that were compared with the events that issued and ended them."""
    head: Head


def log(
    snapshot: Snapshot, chosen: LogFilter, limit: int | None, *, newest_first: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield the events that match, oldest first unless told otherwise, at most `limit`."""
    count = 0
    # One person is met under all their names.
    names = () if chosen.delegator is None else snapshot.names_of(chosen.delegator)
    for event in map(Event._make, snapshot.events(chosen.after, newest_first=newest_first)):
        document = event.document()
        if _matches(document, chosen, names):
            yield document
            count += 1
            if count == limit:
                return


def _matches(document: Mapping[str, Any], chosen: LogFilter, delegators: tuple[str, ...]) -> bool:
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
    if chosen.by is not None and document["by"] != chosen.by:
        return False
    if chosen.sweep is not None and document.get("sweep") != chosen.sweep:
        return False
    for name in ("task", "agent", "delegator"):
        stated = getattr(chosen, name)
        wanted = delegators if name == "delegator" else (stated,)
        told = (document.get(name), *document.get("selection", {}).get(f"{name}s", ()))
        if stated is not None and not any(each in told for each in wanted):
            return False
    return True


def signed_head(snapshot: Snapshot, names: Names, signer: Signer) -> str:
    """Return the last link of the chain as a compact JWS: kept elsewhere, it shows a cut tail or an old copy."""
    head = snapshot.head()
    header = strictjson.dumps({"alg": signer.algorithm, "kid": signer.kid, "typ": HEAD_TYPE})
    claims = {
        "ledger": names.uuid,
        "iss": names.issuer,
        "seq": head.seq,
        "hash": head.hash.hex(),
        "iat": snapshot.now,
    }
    signed = f"{jws.b64url(header.encode())}.{jws.b64url(strictjson.dumps(claims).encode())}"
    return f"{signed}.{jws.b64url(signer.sign(signed.encode()))}"


def read_head(text: str, names: Names, keys: Iterable[SigningKey]) -> Head:
    """Return the link that a signed head tells of. Keys that were rotated or revoked since still vouch for it.

    Raises:
        UnreadableHeadError: it is no signed head, or was damaged.
        IntegrityError: it is of another ledger, or not signed by a key of this one.

    """
    if not text:
        raise UnreadableHeadError("the signed head is empty")
    try:
        parsed = jws.parse(text, types=frozenset({HEAD_TYPE}))
        key = next((key for key in keys if key.kid == parsed.kid), None)
        if key is None:
            raise IntegrityError("the signed head is signed by a key that this ledger never had")
        jws.verify_signature(parsed, key.algorithm, key.public)
    except InvalidCredentialError as error:
        raise UnreadableHeadError(f"the signed head cannot be read: {error.message}") from error
    claims = parsed.claims
    if claims.get("ledger") != names.uuid:
        raise IntegrityError("the signed head is of another ledger")
    return Head(claims["seq"], bytes.fromhex(claims["hash"]))


def verify(snapshot: Snapshot, names: Names, expected: Head | None) -> Verification:
    """Check the whole chain, and that every member's row is as the event says that issued or ended it.

    Args:
        snapshot: what is checked.
        names: whose ledger it is.
        expected: a remembered head that the chain must run through.

    Raises:
        IntegrityError: an event or a row was edited, removed, inserted or moved; or the chain lacks `expected`.

    """
    members = Members(snapshot, names.issuer)
    seen = False
    head = Head(0, audit.genesis(names.uuid))
    try:
        for event in audit.check_chain(head, snapshot.events(0)):
            seq, body, hash_ = event
            members.check(seq, body)
            if expected is not None and seq == expected.seq:
                if hash_ != expected.hash:
                    raise IntegrityError(
                        f"event {seq} is not the one that the remembered head tells of: history was rewritten"
                    )
                seen = True
            head = Head(seq, hash_)
        members.must_be_done()
        for digest in snapshot.decided().policies(""):
            kept(snapshot, digest)
    except BrokenChainError as error:
        raise IntegrityError(
            f"the audit chain is broken: {error}", "compare with an export or a backup"
        ) from error
    if expected is not None and not seen and expected.seq:
        raise IntegrityError(
            f"the chain ends at event {head.seq}, and the remembered head is event {expected.seq}: its tail was cut, "
            "or the ledger is an older copy"
        )
    return Verification(head.seq, members.count, head)


def export(snapshot: Snapshot, names: Names, signer: Signer) -> Iterator[str]:
    """Yield the whole log as JSON lines: the ledger's name and keys, each event with its hash, the signed head."""
    keys = [
        {"kid": key.kid, "alg": key.algorithm, "public": key.public.hex()} for key in snapshot.signing_keys()
    ]
    yield strictjson.dumps(
        {
            "type": "ledger",
            "schema": "jitid.audit-export/1",
            "ledger": names.uuid,
            "iss": names.issuer,
            "keys": keys,
        }
    )
    for seq, body, hash_ in snapshot.events(0):
        yield strictjson.dumps({"type": "event", "seq": seq, "body": body.decode(), "hash": hash_.hex()})
    yield strictjson.dumps({"type": "head", "head": signed_head(snapshot, names, signer)})


def verify_export(lines: Iterable[str], expected: str | None) -> Verification:
    """Check an export without its ledger.

    It proves that the file is whole and as its own keys signed it; `expected`, a head that was kept elsewhere,
    proves that those are the ledger's keys.

    Raises:
        IntegrityError: it was edited or cut.
        UsageError: it is no export.

    """
    reader = _Export(iter(lines))
    names, keys = reader.opening()
    remembered = None if expected is None else read_head(expected, names, keys)
    head = Head(0, audit.genesis(names.uuid))
    seen = remembered is None or remembered.seq == 0
    try:
        for event in audit.check_chain(head, reader.events()):
            if remembered is not None and event.seq == remembered.seq:
                if event.hash != remembered.hash:
                    raise IntegrityError(
                        f"event {event.seq} is not the one that the remembered head tells of"
                    )
                seen = True
            head = Head(event.seq, event.hash)
    except BrokenChainError as error:
        raise IntegrityError(f"the audit chain is broken: {error}") from error
    if reader.head is None or read_head(reader.head, names, keys) != head:
        raise IntegrityError("the export is cut: it does not end with the signed head of its last event")
    if not seen:
        raise IntegrityError("the export ends before the remembered head")
    return Verification(head.seq, 0, head)


class _Export:
    """Reads an export line by line."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = enumerate(lines, start=1)
        self.head: str | None = None

    def _documents(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in self._lines:
            try:
                document = strictjson.loads(line.rstrip("\n"), "line")
            except strictjson.StrictJSONError as error:
                raise IntegrityError(f"line {number} of the export is damaged: {error}") from error
            if not isinstance(document, dict) or self.head is not None:
                raise IntegrityError(f"line {number} of the export does not belong there")
            yield number, document

    def opening(self) -> tuple[Names, list[SigningKey]]:
        """Return whose log it is, and the public keys that it names."""
        _, first = next(self._documents(), (0, {}))
        if first.get("schema") != "jitid.audit-export/1":
            raise UsageError("the file is no audit export", "make one: jitid audit export")
        try:
            keys = [
                SigningKey(number, key["kid"], key["alg"], bytes.fromhex(key["public"]), 0, None, None)
                for number, key in enumerate(first["keys"])
                if key["kid"] == jws.thumbprint(key["alg"], bytes.fromhex(key["public"]))
            ]
            return Names(str(first["ledger"]), str(first["iss"]), ""), keys
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError("the first line of the export is damaged") from error

    def events(self) -> Iterator[Event]:
        """Yield the events; the signed head that follows them is kept in `head`."""
        for number, document in self._documents():
            try:
                if document["type"] == "head":
                    self.head = str(document["head"])
                elif document["type"] == "event":
                    yield Event(document["seq"], document["body"].encode(), bytes.fromhex(document["hash"]))
                else:
                    raise IntegrityError(f"line {number} of the export does not belong there")
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise IntegrityError(
                    f"line {number} of the export is damaged: {quote(str(error))}"
                ) from error
