"""The hash chains of a ledger: any edit, deletion, reordering or insertion is detected, for any number of chains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.model.chain import Chain, HeldChains, Walk, following, head_of, is_plain, links, marks, settled
from jitid.model.event import BrokenChainError, Event, Head, Link, genesis, link

LEDGER = "5e0c2f7e"


class Past:
    """A ledger's chains and events, by writers that locked one chain or all chains."""

    def __init__(self) -> None:
        self.chains: list[Chain] = []
        self.events: list[Event] = []

    def go_on(self, count: int) -> None:
        """Close all chains, and open `count` new ones."""
        self.chains = [chain._replace(closed=True) for chain in self.chains]
        self.chains += following(self.chains, LEDGER, count)

    def write(self, bodies: list[bytes], which: int | None) -> None:
        """Append to the given open chain, or to the lowest of all open chains."""
        open_ = [chain for chain in self.chains if not chain.closed]
        held = HeldChains(open_ if which is None else [open_[which % len(open_)]])
        numbers = held.next_seqs(len(bodies))
        made = [held.append(body) for body in bodies]
        assert [event.seq for event in made] == numbers
        done = {chain.id: chain for chain in held.changed()}
        self.chains = [done.get(chain.id, chain) for chain in self.chains]
        self.events = sorted([*self.events, *made])


@st.composite
def pasts(draw: st.DrawFn, most: int = 3) -> Past:
    """Return a ledger of one or several epochs, each with one or several chains."""
    past = Past()
    for _ in range(draw(st.integers(1, most))):
        past.go_on(draw(st.sampled_from((1, 2, 3, 16))))
        for _ in range(draw(st.integers(0, 5))):
            bodies = draw(st.lists(st.binary(max_size=8), min_size=1, max_size=3))
            past.write(bodies, draw(st.none() | st.integers(0, 15)))
    return past


def eventful(least: int) -> st.SearchStrategy[Past]:
    """Return a strategy for ledgers with at least this number of events."""
    return pasts().filter(lambda past: len(past.events) >= least)


def walked(past: Past, events: list[Event], ledger: str = LEDGER) -> Head:
    """Return the head over the events, and check each of them."""
    walk = Walk(ledger, past.chains)
    list(walk.check(events))
    return walk.finish(past.chains)


def found(past: Past, events: list[Event]) -> bool:
    """Return whether the check finds a broken chain."""
    try:
        walked(past, events)
    except BrokenChainError:
        return True
    return False


@given(pasts())
def test_whole_chains_hold_and_their_head_is_the_one_over_them(past: Past) -> None:
    assert walked(past, past.events) == head_of(past.chains)
    assert len({event.seq for event in past.events}) == len(past.events) == head_of(past.chains).seq


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8))
def test_a_single_chain_is_what_it_always_was(bodies: list[bytes]) -> None:
    past = Past()
    past.go_on(1)
    past.write(bodies, None)
    previous = genesis(LEDGER)
    for seq, (body, event) in enumerate(zip(bodies, past.events, strict=True), start=1):
        previous = link(previous, body)
        assert event == Event(seq, body, previous)
    assert head_of(past.chains) == Head(len(bodies), previous)
    assert is_plain(past.chains)


@given(eventful(1), st.data())
def test_an_edit_is_found(past: Past, data: st.DataObject) -> None:
    events = list(past.events)
    at = data.draw(st.integers(0, len(events) - 1))
    body = data.draw(st.binary(max_size=8).filter(lambda other: other != events[at].body))
    events[at] = events[at]._replace(body=body)
    assert found(past, events)


@given(eventful(1), st.data())
def test_a_deletion_is_found(past: Past, data: st.DataObject) -> None:
    events = list(past.events)
    del events[data.draw(st.integers(0, len(events) - 1))]
    assert found(past, events)


@given(eventful(2), st.data())
def test_a_reordering_is_found(past: Past, data: st.DataObject) -> None:
    numbers = [event.seq for event in past.events]
    moved = data.draw(st.permutations(past.events).filter(lambda other: other != past.events))
    assert found(past, [event._replace(seq=seq) for event, seq in zip(moved, numbers, strict=True)])


@given(pasts(), st.data())
def test_an_insertion_is_found(past: Past, data: st.DataObject) -> None:
    seq = data.draw(st.integers(-3, max([event.seq for event in past.events], default=0) + 40))
    assert found(past, sorted([*past.events, Event(seq, b"{}", bytes(32))]))


@given(eventful(1))
def test_the_events_of_one_ledger_do_not_pass_for_those_of_another(past: Past) -> None:
    with pytest.raises(BrokenChainError):
        walked(past, past.events, "another")


@given(pasts(2), st.sampled_from((1, 3)), st.integers(0, 15))
def test_a_later_chain_vouches_for_the_ends_of_the_earlier_ones(past: Past, count: int, which: int) -> None:
    """An attacker who extends an earlier epoch, with its rows, cannot also match the first event of the next epoch."""
    events, chains = list(past.events), list(past.chains)
    past.write([b"inserted"], which)
    longer, closed = past.events, past.chains
    past.events, past.chains = events, chains
    first = max(event.seq for event in longer) + 1
    past.go_on(count)
    laid = [chain._replace(start=first + n) for n, chain in enumerate(past.chains[-count:])]
    past.chains[-count:] = laid
    past.write([b"moved"], None)
    (moved,) = past.events[len(events) :]
    past.chains[:-count] = [chain._replace(closed=True) for chain in closed]
    assert found(past, sorted([*longer, moved]))


@given(pasts(), st.data())
def test_a_remembered_head_is_read_on_from(past: Past, data: st.DataObject) -> None:
    head = head_of(past.chains)
    if data.draw(st.booleans()):
        past.go_on(data.draw(st.sampled_from((1, 3))))
    for _ in range(data.draw(st.integers(0, 4))):
        past.write([b"more"], data.draw(st.none() | st.integers(0, 15)))
    walk = Walk(LEDGER, past.chains, head)
    fresh = list(walk.check([event for event in past.events if event.seq > walk.after]))
    assert len(fresh) == len(past.events) - head.seq
    assert walk.finish(past.chains) == head_of(past.chains)
    at = {event.seq: event.hash for event in past.events}
    assert all(at[seq] == hash_ for seq, hash_ in marks(head, past.chains).items())


@given(pasts())
def test_no_later_event_comes_before_what_is_settled(past: Past) -> None:
    before = settled(past.chains)
    there = {event.seq for event in past.events}
    for which in range(16):
        past.write([b"later"], which)
    assert all(event.seq > before for event in past.events if event.seq not in there)


@given(pasts())
def test_what_is_written_with_all_chains_in_hand_is_settled(past: Past) -> None:
    past.write([b"with all"], None)
    (seq,) = [event.seq for event in past.events if event.body == b"with all"]
    assert seq <= settled(past.chains)


def test_a_head_over_several_chains_tells_where_each_ends() -> None:
    past = Past()
    past.go_on(2)
    past.write([b"a", b"b", b"c"], None)
    head = head_of(past.chains)
    assert [(end.chain, end.length) for end in links(head)] == [(1, 2), (2, 1)]
    assert links(Head(3, b"x")) == (Link(1, 3, b"x"),)


LAID = {
    "no chain": [],
    "a first number that is not 1": [(1, 1, 2, 1)],
    "a gap between chains": [(1, 1, 1, 2), (2, 1, 3, 2)],
    "another stride": [(1, 1, 1, 2), (2, 1, 2, 3)],
    "two epochs that begin together": [(1, 1, 1, 1), (2, 2, 1, 1)],
}


@pytest.mark.parametrize("why", LAID)
def test_chains_that_no_ledger_has_are_refused(why: str) -> None:
    with pytest.raises(BrokenChainError):
        Walk(LEDGER, [Chain(*row, 0, b"", closed=False) for row in LAID[why]])


def test_a_head_of_a_chain_that_is_not_there_is_refused() -> None:
    past = Past()
    past.go_on(1)
    strange = Head(1, bytes(32), (Link(2, 1, bytes(32)),))
    with pytest.raises(BrokenChainError):
        marks(strange, past.chains)
    with pytest.raises(BrokenChainError):
        Walk(LEDGER, past.chains, strange)
