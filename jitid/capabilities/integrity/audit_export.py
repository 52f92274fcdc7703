"""The audit log as JSON lines that can be verified without the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jitid.capabilities.audit.audit_log import read_head, signed_head
from jitid.capabilities.audit.cut_store import CutStore
from jitid.capabilities.integrity.verify_log import Remembered, Verification
from jitid.crypto import jws
from jitid.errors import IntegrityError, UsageError
from jitid.keys.keyring import Signer
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.chain import Chain, Walk, is_plain, links
from jitid.model.event import BrokenChainError, Event
from jitid.model.ledger_rows import Names, SigningKey
from jitid.values import strict_json
from jitid.values.text import quote


def export(snapshot: View, names: Names, signer: Signer) -> Iterator[str]:
    """Yield the log without its cut part, as JSON lines: names and keys of the ledger, events, signed head."""
    last_segment = CutStore(snapshot).last()
    yield from lines(
        snapshot,
        names,
        signed_head(snapshot, names, signer),
        after=None if last_segment is None else last_segment.head,
        start=0 if last_segment is None else last_segment.through,
        chains=snapshot.chains(),
        through=None,
    )


def lines(
    snapshot: View,
    names: Names,
    head: str,
    *,
    after: str | None,
    start: int,
    chains: Sequence[Chain],
    through: int | None,
) -> Iterator[str]:
    """Yield a part of the log as JSON lines.

    Args:
        snapshot: the view with the events.
        names: the names of the ledger.
        head: the signed head at the end of the part.
        after: the signed head before its first event; None for the beginning of the log.
        start: the number of the last event before the part.
        chains: the chains at the end of the part.
        through: the number of its last event; None for the last event of the log.

    """
    keys = [
        {"kid": key.kid, "alg": key.algorithm, "public": key.public.hex()}
        for key in KeyStore(snapshot).signing_keys()
        if key.use == "jws"
    ]
    yield strict_json.dumps(
        {
            "type": "ledger",
            "schema": "jitid.audit-export/1",
            "ledger": names.uuid,
            "iss": names.issuer,
            "keys": keys,
            **({} if is_plain(chains) else {"chains": [list(chain[:4]) for chain in chains]}),
            **({} if after is None else {"after": after, "ends": _ends(snapshot, names, after, chains)}),
        }
    )
    for seq, body, hash_ in snapshot.events(start):
        if through is not None and seq > through:
            break
        yield strict_json.dumps({"type": "event", "seq": seq, "body": body.decode(), "hash": hash_.hex()})
    yield strict_json.dumps({"type": "head", "head": head})


def _ends(snapshot: View, names: Names, after: str, chains: Sequence[Chain]) -> list[list[object]]:
    """Return the ends of the chains of all epochs before the epoch of a head, with which later epochs began."""
    chain_ids = {link.chain for link in links(read_head(after, names, KeyStore(snapshot).signing_keys()))}
    epoch = max([chain.epoch for chain in chains if chain.id in chain_ids], default=0)
    return [[chain.id, chain.length, chain.hash.hex()] for chain in chains if chain.epoch < epoch]


def verify_export(lines: Iterable[str], expected: str | None) -> Verification:
    """Check an export without its ledger.

    This proves that the file is complete and signed by the keys in it. `expected`, a head that was kept elsewhere,
    proves that these keys are the ledger's.

    Raises:
        IntegrityError: the export was edited or cut.
        UsageError: the file is not an export.

    """
    reader = _Export(iter(lines))
    names, keys, chains = reader.opening()
    cut_head = None if reader.after is None else read_head(reader.after, names, keys)
    remembered = Remembered(None if expected is None else read_head(expected, names, keys), chains, cut_head)
    last_seq = 0
    try:
        walk = Walk(names.uuid, chains, cut_head)
        for last_seq, _, hash_ in walk.check(reader.events()):
            remembered.meet(last_seq, hash_)
        head = walk.finish()
    except BrokenChainError as error:
        raise IntegrityError(f"the audit chain is broken: {error}") from error
    if reader.head is None or read_head(reader.head, names, keys) != head:
        raise IntegrityError(
            "the export is truncated: it does not end with the signed head of its last event"
        )
    remembered.must_be_met(walk, last_seq)
    return Verification(head.seq, 0, head, remembered.cut)


class _Export:
    """A reader of the lines of an export."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = enumerate(lines, start=1)
        self.head: str | None = None
        self.after: str | None = None
        """The signed head before its first event; None if it begins with the first event of the log."""

    def _documents(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for line_number, line in self._lines:
            try:
                document = strict_json.loads(line.rstrip("\n"), "line")
            except strict_json.StrictJSONError as error:
                raise IntegrityError(f"line {line_number} of the export is damaged: {error}") from error
            if not isinstance(document, dict) or self.head is not None:
                raise IntegrityError(f"line {line_number} of the export is out of place")
            yield line_number, document

    def opening(self) -> tuple[Names, list[SigningKey], list[Chain]]:
        """Return the names, the public keys and the chains of the ledger, from the first line."""
        _, document = next(self._documents(), (0, {}))
        if document.get("schema") != "jitid.audit-export/1":
            raise UsageError("the file is not an audit export", "to make one: jitid audit export")
        try:
            keys = [
                SigningKey(index, key["kid"], key["alg"], bytes.fromhex(key["public"]), 0, None, None)
                for index, key in enumerate(document["keys"])
                if key["kid"] == jws.thumbprint(key["alg"], bytes.fromhex(key["public"]))
            ]
            if "after" in document:
                self.after = str(document["after"])
            ends = {chain_id: (length, hash_) for chain_id, length, hash_ in document.get("ends", ())}
            chains = [
                Chain(
                    _integer(chain_id),
                    _integer(epoch),
                    _integer(start),
                    _integer(stride),
                    _integer(ends.get(chain_id, (0, ""))[0]),
                    bytes.fromhex(ends.get(chain_id, (0, ""))[1]),
                    closed=False,
                )
                for chain_id, epoch, start, stride in document.get("chains", [[1, 1, 1, 1]])
            ]
            return Names(str(document["ledger"]), str(document["iss"]), ""), keys, chains
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError("the first line of the export is damaged") from error

    def events(self) -> Iterator[Event]:
        """Yield the events; keep the signed head that follows them in `head`."""
        for line_number, document in self._documents():
            try:
                if document["type"] == "head":
                    self.head = str(document["head"])
                elif document["type"] == "event":
                    yield Event(
                        _integer(document["seq"]), document["body"].encode(), bytes.fromhex(document["hash"])
                    )
                else:
                    raise IntegrityError(f"line {line_number} of the export is out of place")
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise IntegrityError(
                    f"line {line_number} of the export is damaged: {quote(str(error))}"
                ) from error


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value
