"""Several audit chains in one ledger: the numbers of their events, their beginnings, and one head over all of them.

Writers that do not wait for each other append to different chains. Event n of a chain, counted from 1, has the number
`start + (n - 1) * stride`. A writer takes the chain with the lowest next number, so that numbers stay close to the
order of time. Chains that are written in parallel belong to one epoch. A ledger that moves to another engine continues
in the next epoch: its chains begin with the ends of all earlier chains.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

from jitid.model.event import BrokenChainError, Event, Head, Link, genesis, link
from jitid.values import strict_json
from jitid.values.record import Record


class Chain(Record):
    """One chain with its current end."""

    id: int
    epoch: int
    start: int
    """The number of its first event."""
    stride: int
    """The difference between the numbers of two consecutive events of the chain: the number of chains of its epoch."""
    length: int
    hash: bytes
    """The last link; for a chain without events, the hash that its first event is chained to."""
    closed: bool

    @property
    def next(self) -> int:
        """The number of the next event."""
        return self.start + self.length * self.stride

    @property
    def end(self) -> Link:
        """The last link."""
        return Link(self.id, self.length, self.hash)

    def number(self, length: int) -> int:
        """Return the number of the last event of a chain of `length` events."""
        return self.start + (length - 1) * self.stride


def is_plain(chains: Sequence[Chain]) -> bool:
    """Return whether a ledger has always had a single chain, so that numbers count events."""
    return len(chains) == 1 and chains[0][:4] == (1, 1, 1, 1)


def opening(ledger: str, chain: Chain, earlier_ends: Iterable[Link]) -> bytes:
    """Return the hash that the first event of a chain is chained to.

    Args:
        ledger: the UUID of the ledger.
        chain: the chain; its current end does not matter.
        earlier_ends: the ends of all chains of earlier epochs.

    """
    if is_plain([chain]):
        return genesis(ledger)
    facts = [ledger, chain.id, chain.epoch, chain.start, chain.stride, _text(earlier_ends)]
    return sha256(b"jitid audit chain\0" + strict_json.dumps(facts).encode()).digest()


def _text(links: Iterable[Link]) -> list[list[object]]:
    return [[chain_id, length, hash_.hex()] for chain_id, length, hash_ in sorted(links)]


def head_hash(links: Iterable[Link]) -> bytes:
    """Return the hash of a head over several chains: SHA-256 over (chain, length, last link) of each in their order."""
    return sha256(b"jitid audit head\0" + strict_json.dumps(_text(links)).encode()).digest()


def head_of(chains: Sequence[Chain]) -> Head:
    """Return the head over all chains: the last link of a single chain, or the total number of events of several.

    The head names only the chains of the latest epoch: they began with the ends of the others.
    """
    if is_plain(chains):
        return Head(chains[0].length, chains[0].hash)
    latest = max([chain.epoch for chain in chains])
    links = tuple(sorted([chain.end for chain in chains if chain.epoch == latest]))
    return Head(sum([chain.length for chain in chains]), head_hash(links), links)


def settled(chains: Iterable[Chain]) -> int:
    """Return the number up to which all events exist and are final; later events may still be written."""
    return min([chain.next for chain in chains if not chain.closed]) - 1


def following(chains: Sequence[Chain], ledger: str, count: int) -> list[Chain]:
    """Return the `count` chains of the next epoch of a ledger whose chains were all closed."""
    start = max([max(chain.next, chain.start + 1) for chain in chains], default=1)
    highest_id = max([chain.id for chain in chains], default=0)
    epoch = max([chain.epoch for chain in chains], default=0) + 1
    earlier_ends = [chain.end for chain in chains]
    new_chains = [Chain(highest_id + 1 + n, epoch, start + n, count, 0, b"", False) for n in range(count)]
    return [chain._replace(hash=opening(ledger, chain, earlier_ends)) for chain in new_chains]


class HeldChains:
    """The chains that a transaction has locked: one of them, or all open ones."""

    def __init__(self, chains: Iterable[Chain]) -> None:
        self.chains = list(chains)
        """The chains with the appended events."""
        self._before = {chain.id: chain.length for chain in self.chains}

    def changed(self) -> list[Chain]:
        """Return the chains to which events were appended."""
        return [chain for chain in self.chains if chain.length != self._before[chain.id]]

    def next_seqs(self, count: int) -> list[int]:
        """Return the numbers of the next `count` events."""
        if len(self.chains) == 1:
            (chain,) = self.chains
            return [chain.next + n * chain.stride for n in range(count)]
        numbers: list[int] = []
        next_numbers = [(chain.next, chain.stride) for chain in self.chains]
        for _ in range(count):
            next_numbers.sort()
            number, stride = next_numbers[0]
            numbers.append(number)
            next_numbers[0] = (number + stride, stride)
        return numbers

    def append(self, body: bytes) -> Event:
        """Append an event to the chain with the lowest next number, and return it with its link."""
        index = min(range(len(self.chains)), key=lambda n: self.chains[n].next)
        chain = self.chains[index]
        event = Event(chain.next, body, link(chain.hash, body))
        self.chains[index] = chain._replace(length=chain.length + 1, hash=event.hash)
        return event


class Walk:
    """A check of the events of all chains in the order of their numbers; it keeps only the ends in memory.

    Args:
        ledger: the UUID of the ledger.
        chains: its chains. Their recorded ends are trusted only for epochs that are older than `begun`.
        begun: a head up to which everything was checked before; None begins with the first event.

    Raises:
        BrokenChainError: no ledger has such chains.

    """

    def __init__(self, ledger: str, chains: Sequence[Chain], begun: Head | None = None) -> None:
        self._ledger = ledger
        self._epochs = _epochs(chains)
        self._ends: dict[int, Link] = {}
        self.openings: dict[int, bytes] = {}
        """The hash that the first event of each chain is chained to."""
        self._begun = {end.chain: end for end in (() if begun is None else links(begun))}
        self._at = 0
        if self._begun:
            self._at = next(
                (
                    index
                    for index, epoch_chains in enumerate(self._epochs)
                    if {chain.id for chain in epoch_chains} == self._begun.keys()
                ),
                -1,
            )
            if self._at < 0:
                raise BrokenChainError("it lacks a chain of the remembered head")
            self._ends = {
                chain.id: chain.end for epoch_chains in self._epochs[: self._at] for chain in epoch_chains
            }
        self._open()

    @property
    def after(self) -> int:
        """The number after which events have to be read."""
        return min(self._expected) - self._stride

    def _open(self) -> None:
        """Continue with the chains of the next epoch."""
        chains = self._laid = self._epochs[self._at]
        earlier_ends = list(self._ends.values())
        self._first, self._stride = chains[0].start, len(chains)
        has_next = self._at + 1 < len(self._epochs)
        self._until = self._epochs[self._at + 1][0].start if has_next else None
        openings = [opening(self._ledger, chain, earlier_ends) for chain in chains]
        self.openings |= {chain.id: hash_ for chain, hash_ in zip(chains, openings, strict=True)}
        checked_ends = [self._begun.get(chain.id, Link(chain.id, 0, b"")) for chain in chains]
        self._hashes = [end.hash or hash_ for end, hash_ in zip(checked_ends, openings, strict=True)]
        self._expected = [
            chain.number(end.length + 1) for chain, end in zip(chains, checked_ends, strict=True)
        ]
        # If the chains are of different length at the remembered head, reading meets events that it covers already.
        self._known = [number - self._stride for number in self._expected] if self._begun else None
        self._begun = {}

    def _close(self) -> None:
        self._ends |= {end.chain: end for end in self._here()}
        self._at += 1

    def _here(self) -> Iterator[Link]:
        for chain, expected, hash_ in zip(self._laid, self._expected, self._hashes, strict=True):
            yield Link(chain.id, (expected - chain.start) // chain.stride, hash_)

    def check(self, events: Iterable[Event]) -> Iterator[Event]:
        """Check that each event follows from the one before it, and yield the events that were not checked before.

        Raises BrokenChainError if an event was edited, removed, inserted or moved.
        """
        for event in events:
            seq = event[0]
            while self._until is not None and seq >= self._until:
                self._close()
                self._open()
            index = (seq - self._first) % self._stride
            expected = self._expected[index]
            if seq != expected:
                if self._known is not None and seq <= self._known[index]:
                    continue
                previous = (
                    f"event {expected - self._stride}" if expected > self._laid[index].start else "nothing"
                )
                raise BrokenChainError(f"event {expected} is missing: event {seq} follows {previous}")
            try:
                hash_ = sha256(self._hashes[index] + event[1]).digest()
            except TypeError:
                # An edit with a database's own functions may leave text where bytes were.
                raise BrokenChainError(f"the bytes of event {seq} were changed") from None
            if hash_ != event[2]:
                raise BrokenChainError(
                    f"event {seq} does not follow from its predecessor: one of the two was changed"
                )
            self._hashes[index] = hash_
            self._expected[index] = seq + self._stride
            yield event

    def finish(self, chains: Sequence[Chain] | None = None) -> Head:
        """Return the head over the checked events.

        Args:
            chains: the chains with the ends that the ledger records; None skips this comparison.

        Raises:
            BrokenChainError: a chain has a different end.

        """
        while self._until is not None:
            self._close()
            self._open()
        self._close()
        for chain in chains or ():
            end = self._ends[chain.id]
            if end != chain.end:
                raise BrokenChainError(
                    f"chain {chain.id} has {end.length} events, but the ledger records {chain.length}: "
                    "its tail was cut, or an event was added"
                )
        return head_of(
            [
                chain._replace(length=self._ends[chain.id].length, hash=self._ends[chain.id].hash)
                for epoch_chains in self._epochs
                for chain in epoch_chains
            ]
        )


def links(head: Head) -> tuple[Link, ...]:
    """Return the last link of each chain of a head."""
    return head.chains or (Link(1, head.seq, head.hash),)


def marks(head: Head, chains: Sequence[Chain]) -> dict[int, bytes]:
    """Return, by event number, the hashes that a remembered head requires.

    Raises BrokenChainError if the head has a chain that the ledger lacks.
    """
    chain_by_id = {chain.id: chain for chain in chains}
    try:
        return {chain_by_id[end.chain].number(end.length): end.hash for end in links(head) if end.length}
    except KeyError as missing:
        raise BrokenChainError(f"the ledger has no chain {missing.args[0]}") from None


def _epochs(chains: Sequence[Chain]) -> list[list[Chain]]:
    """Return the chains of each epoch, in the order of their numbers. Raises BrokenChainError for an invalid layout."""
    by_epoch: dict[int, list[Chain]] = {}
    for chain in sorted(chains, key=lambda entry: (entry.epoch, entry.start)):
        by_epoch.setdefault(chain.epoch, []).append(chain)
    epochs = list(by_epoch.values())
    starts = [epoch_chains[0].start for epoch_chains in epochs]
    for epoch_chains in epochs:
        if [chain.start for chain in epoch_chains] != list(
            range(epoch_chains[0].start, epoch_chains[0].start + len(epoch_chains))
        ) or {chain.stride for chain in epoch_chains} != {len(epoch_chains)}:
            raise BrokenChainError("the layout of the ledger's audit chains is invalid")
    if not epochs or starts[0] != 1 or starts != sorted(set(starts)):
        raise BrokenChainError("the layout of the ledger's audit chains is invalid")
    return epochs
