"""The audit log as its readers use it: filtered, signed, verified against the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from jitid.capabilities.decisions.store import RequestStore
from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.integrity.cut_store import CutStore, Segment
from jitid.capabilities.integrity.members import Members
from jitid.capabilities.integrity.verify_cuts import CutMembers
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError
from jitid.keys.keyring import Keyring, Signer
from jitid.ledger.policies import kept
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.chain import Chain, Walk, links, marks, over
from jitid.model.event import BrokenChainError, Event, Head, Link
from jitid.model.ledger_rows import Names, SigningKey
from jitid.model.task import parse_task
from jitid.values import strict_json

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
    """The caller's name; or the id of an identity, for several agents may share a name."""
    rule: str | None = None
    sweep: str | None = None
    """The name of a sweep, which its events say."""
    since: int | None = None
    """Seconds since the epoch."""
    until: int | None = None
    after: int = 0
    """The number of the last event already seen."""
    event: int | None = None
    trace: str | None = None
    """The trace id of the request (W3C Trace Context, section 3.2.2.3), or its whole `traceparent`."""


class Verification(NamedTuple):
    """What was checked, and held."""

    events: int
    """How many there are."""
    members: int
    """Rows of the ledger that were compared with the events that issued and ended them."""
    head: Head
    cut: int | None = None
    """The number of an event that the expected head tells of and that was cut here: its segment has it."""


def log(
    snapshot: View,
    chosen: LogFilter,
    limit: int | None,
    *,
    newest_first: bool = False,
    until: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the events that match, oldest first unless told otherwise: at most `limit`, with numbers up to `until`."""
    count = 0
    # One person is met under all their names.
    names = () if chosen.delegator is None else DirectoryStore(snapshot).names_of(chosen.delegator)
    for event in map(Event._make, snapshot.events(chosen.after, newest_first=newest_first)):
        if until is not None and event.seq > until:
            if newest_first:
                continue
            return
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
    if chosen.by is not None and chosen.by not in (
        document["by"],
        document.get("by_id"),
        *document.get("by_ids", ()),
    ):
        return False
    if chosen.sweep is not None and document.get("sweep") != chosen.sweep:
        return False
    if chosen.trace is not None:
        told = document.get("trace")
        if told is None or chosen.trace not in (told, *told.split("-")[1:2]):
            return False
    for name in ("task", "agent", "delegator"):
        stated = getattr(chosen, name)
        if name == "task" and stated is not None and parse_task(stated).opener is not None:
            if not _is_on(document, stated):
                return False
            continue
        wanted = delegators if name == "delegator" else (stated,)
        told = (document.get(name), *document.get("selection", {}).get(f"{name}s", ()))
        if stated is not None and not any(each in told for each in wanted):
            return False
    return True


def _is_on(document: Mapping[str, Any], stated: str) -> bool:
    """Tell whether an event is about the task that `OWNER/NAME` names."""
    named = parse_task(stated)
    opener = document.get("opener", document.get("delegator"))
    return (document.get("task"), opener) == (named.name, named.opener) or stated in document.get(
        "selection", {}
    ).get("tasks", ())


def signed_head(snapshot: View, names: Names, signer: Signer) -> str:
    """Return the last link of the chain as a compact JWS: kept elsewhere, it shows a cut tail or an old copy."""
    return sign_head(snapshot.head(), names, signer, snapshot.now)


def sign_head(
    head: Head, names: Names, signer: Signer, now: int, facts: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return a head as a compact JWS, signed at `now`; `facts` are what it vouches for besides."""
    ends = {"chains": [[chain, length, hash_.hex()] for chain, length, hash_ in head.chains]}
    header = strict_json.dumps({"alg": signer.algorithm, "kid": signer.kid, "typ": HEAD_TYPE})
    claims = {
        "ledger": names.uuid,
        "iss": names.issuer,
        "seq": head.seq,
        "hash": head.hash.hex(),
        "iat": now,
        **facts,
        **(ends if head.chains else {}),
    }
    signed = f"{jws.b64url(header.encode())}.{jws.b64url(strict_json.dumps(claims).encode())}"
    return f"{signed}.{jws.b64url(signer.sign(signed.encode()))}"


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
    whose = "this machine" if keyring.others else "the ledger"
    raise IntegrityError(f"{whose} has no key that signs", "make one: jitid keys rotate")


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
        key = next((key for key in keys if key.kid == parsed.kid and key.use == "jws"), None)
        if key is None:
            raise IntegrityError("the signed head is signed by a key that this ledger never had")
        jws.verify_signature(parsed, key.algorithm, key.public)
    except InvalidCredentialError as error:
        raise UnreadableHeadError(f"the signed head cannot be read: {error.message}") from error
    claims = parsed.claims
    if claims.get("ledger") != names.uuid:
        raise IntegrityError("the signed head is of another ledger")
    try:
        return _head(claims)
    except (TypeError, ValueError) as error:
        raise UnreadableHeadError("the signed head does not tell what a signed head tells") from error


def _head(claims: Mapping[str, Any]) -> Head:
    ends = tuple(
        [Link(chain, length, bytes.fromhex(text)) for chain, length, text in claims.get("chains", ())]
    )
    head = Head(claims.get("seq", ""), bytes.fromhex(claims.get("hash", "")), ends)
    if not all(type(each) is int for each in (head.seq, *(n for end in ends for n in end[:2]))):
        raise TypeError(head)
    if ends and head.hash != over(ends):
        raise ValueError(head)
    return head


class ContradictedError(IntegrityError):
    """A head that was kept elsewhere tells of other events than the ledger has."""


class Remembered:
    """A head that was kept elsewhere, which the chains must run through; None remembers nothing.

    Raises:
        ContradictedError: it tells of a chain that is not there.

    """

    def __init__(self, head: Head | None, chains: Sequence[Chain], begun: Head | None = None) -> None:
        """Args: `begun` is the head at the end of what was cut; None where nothing was."""
        self._head = head
        self.cut: int | None = None
        """The number of an event that it tells of, and that cannot be met here any more."""
        try:
            self._marks = {} if head is None else marks(head, chains)
            ends = {} if begun is None else marks(begun, chains)
        except BrokenChainError as error:
            raise ContradictedError(
                f"{error} that the remembered head tells of: the ledger is an older copy"
            ) from error
        for seq, hash_ in ends.items():
            self.meet(seq, hash_)
        self._through = max(ends, default=0)

    def meet(self, seq: int, hash_: bytes) -> None:
        """Compare an event. Raises ContradictedError if the head tells of another in its place."""
        if self._marks.pop(seq, hash_) != hash_:
            raise ContradictedError(
                f"event {seq} is not the one that the remembered head tells of: history was rewritten"
            )

    def must_be_met(self, walk: Walk, last: int) -> None:
        """Raise ContradictedError unless every event that the head tells of was there; `last` is the last that was."""
        for seq in [seq for seq in self._marks if seq <= self._through]:
            del self._marks[seq]
            self.cut = seq
        if self._marks:
            raise ContradictedError(
                f"the chain ends at event {last}, and the remembered head is event {min(self._marks)}: "
                "its tail was cut, or the ledger is an older copy"
            )
        if self._head is not None and self._head.chains:
            for end in links(self._head):
                if not end.length and walk.openings[end.chain] != end.hash:
                    raise ContradictedError(
                        f"chain {end.chain} does not begin as the remembered head tells: history was rewritten"
                    )


def put_back(snapshot: View) -> int | None:
    """Return the last event that tells that the ledger was put back from a backup; None if there is none."""
    for event in snapshot.events(0, newest_first=True):
        if _PUT_BACK in event[1]:
            return event[0]
    return None


_PUT_BACK = b'"op":"ledger-restore"'
"""What stands in no other event: in a text the quotes would be escaped."""


def verify(snapshot: View, names: Names, expected: Head | None) -> Verification:
    """Check all chains, and that every member's row is as the event says that issued or ended it.

    Args:
        snapshot: what is checked.
        names: whose ledger it is.
        expected: a remembered head that the chains must run through.

    Raises:
        IntegrityError: an event or a row was edited, removed, inserted or moved; or the chains lack `expected`.

    """
    try:
        return _verify(snapshot.afresh(), names, expected)
    except (TypeError, AttributeError) as error:
        # An editor may leave a number where a text or bytes were.
        raise IntegrityError("a row of the ledger holds what no ledger writes") from error


def _verify(snapshot: View, names: Names, expected: Head | None) -> Verification:
    members = Members(snapshot, names.issuer)
    chains = snapshot.chains()
    cut = CutMembers(CutStore(snapshot))
    begun = begins_after(snapshot, names, cut.last)
    last = 0
    try:
        remembered = Remembered(expected, chains, begun)
        walk = Walk(names.uuid, chains, begun)
        for last, body, hash_ in chain(cut.kept(), walk.check(snapshot.events(cut.through))):
            members.check(last, body)
            cut.check(last, body)
            remembered.meet(last, hash_)
        cut.must_be_done()
        head = walk.finish(chains)
        members.must_be_done()
        _check_mark(snapshot, last)
        for digest in RequestStore(snapshot).policies(""):
            kept(snapshot, digest)
        remembered.must_be_met(walk, last)
    except BrokenChainError as error:
        raise IntegrityError(
            f"the audit chain is broken: {error}", "compare with an export or a backup"
        ) from error
    except ContradictedError as error:
        seq = put_back(snapshot)
        if seq is not None:
            error.hint = (
                f"event {seq} tells that the ledger was put back from a backup, which lacks what came after that: "
                "put the head away if you know of it"
            )
        raise
    return Verification(head.seq, members.count, head, remembered.cut)


def _check_mark(snapshot: View, last: int) -> None:
    """Raise IntegrityError if the time mark was lowered: what has expired would be valid again."""
    mark, event = snapshot.time_mark(), snapshot.event(last)
    if mark is not None and event is not None and mark < event.document()["at"]:
        raise IntegrityError("the ledger's time mark is earlier than its last event: it was changed")


def begins_after(snapshot: View, names: Names, segment: Segment | None) -> Head | None:
    """Return the head at the end of what was cut, after which the log begins here; None where nothing was cut.

    Raises:
        IntegrityError: it is not signed by a key of the ledger.

    """
    if segment is None:
        return None
    try:
        head = read_head(segment.head, names, KeyStore(snapshot).signing_keys())
    except UnreadableHeadError as error:
        raise IntegrityError(f"where the audit log was cut is not told: {error.message}") from error
    # Any head that was ever signed would do otherwise: before it, history could be rewritten as what had stayed.
    must_vouch(segment.head, cut_facts(segment.through, segment.digest), "where the audit log was cut")
    return head


def cut_facts(through: int, digest: str) -> dict[str, str]:
    """Return what the signed head at the end of a segment vouches for: its last event, and what stays of its events."""
    return {"cut": str(through), "kept": digest}


def must_vouch(head: str, facts: Mapping[str, str], what: str) -> None:
    """Check that a signed head, which `read_head` has read, was signed for these facts. Raises IntegrityError."""
    claims = jws.parse(head, types=frozenset({HEAD_TYPE})).claims
    if any(claims.get(name) != value for name, value in facts.items()):
        raise IntegrityError(f"{what} is not what was signed: it was changed")
