"""The hash chain: any edit, deletion, reordering or insertion is found."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.audit import (
    BrokenChainError,
    Event,
    Head,
    check_chain,
    encode,
    ended_digest,
    genesis,
    issued_digest,
    link,
)
from tests.values.hostile import NAUGHTY

START = Head(0, genesis("5e0c2f7e"))
BODIES = st.lists(st.binary(max_size=20), min_size=2, max_size=8)


def chain(bodies: list[bytes]) -> list[Event]:
    """Return events that hang together."""
    events: list[Event] = []
    previous = START.hash
    for seq, body in enumerate(bodies, start=1):
        previous = link(previous, body)
        events.append(Event(seq, body, previous))
    return events


def found(events: list[Event]) -> bool:
    """Tell whether the chain breaks."""
    try:
        list(check_chain(START, events))
    except BrokenChainError:
        return True
    return False


@given(BODIES)
def test_a_whole_chain_holds(bodies: list[bytes]) -> None:
    assert list(check_chain(START, chain(bodies))) == chain(bodies)


@given(BODIES, st.data())
def test_an_edit_is_found(bodies: list[bytes], data: st.DataObject) -> None:
    events = chain(bodies)
    at = data.draw(st.integers(0, len(events) - 1))
    body = data.draw(st.binary(max_size=20).filter(lambda other: other != events[at].body))
    events[at] = events[at]._replace(body=body)
    assert found(events)


@given(BODIES, st.data())
def test_an_edit_with_its_hash_made_to_fit_is_found_unless_it_is_the_last(
    bodies: list[bytes], data: st.DataObject
) -> None:
    events = chain(bodies)
    at = data.draw(st.integers(0, len(events) - 2))
    body = data.draw(st.binary(max_size=20).filter(lambda other: other != events[at].body))
    before = events[at - 1].hash if at else START.hash
    events[at] = Event(at + 1, body, link(before, body))
    assert found(events)


@given(BODIES, st.data())
def test_a_deletion_is_found_unless_it_cuts_the_tail(bodies: list[bytes], data: st.DataObject) -> None:
    events = chain(bodies)
    del events[data.draw(st.integers(0, len(events) - 2))]
    assert found(events)


@given(BODIES, st.data())
def test_a_reordering_is_found(bodies: list[bytes], data: st.DataObject) -> None:
    events = chain(bodies)
    moved = data.draw(st.permutations(events).filter(lambda other: other != events))
    assert found(moved)


@given(BODIES, st.data())
def test_an_insertion_is_found(bodies: list[bytes], data: st.DataObject) -> None:
    events = chain(bodies)
    at = data.draw(st.integers(0, len(events) - 1))
    events.insert(at, Event(at + 1, b"{}", bytes(32)))
    assert found(events)


@given(BODIES)
def test_the_events_of_one_ledger_do_not_pass_for_those_of_another(bodies: list[bytes]) -> None:
    with pytest.raises(BrokenChainError):
        list(check_chain(Head(0, genesis("another")), chain(bodies)))


@given(
    st.lists(st.tuples(st.binary(min_size=16, max_size=16), st.none() | st.binary(min_size=32, max_size=32)))
)
def test_a_digest_of_members_depends_on_their_order_and_number(
    members: list[tuple[bytes, bytes | None]],
) -> None:
    for shorter in (members[1:], members[:-1]):
        assert not members or issued_digest(shorter) != issued_digest(members)
    jtis = [jti for jti, _ in members]
    for first, second in pairwise(jtis):
        if first != second:
            assert ended_digest([first, second]) != ended_digest([second, first])


@pytest.mark.parametrize("text", NAUGHTY)
def test_hostile_text_comes_out_of_an_event_as_it_went_in(text: str) -> None:
    body = encode("revoke", 1, "tester", {"reason": text, "none": None})
    assert Event(1, body, bytes(32)).document() == {
        "seq": 1,
        "op": "revoke",
        "at": 1,
        "by": "tester",
        "reason": text,
        "hash": bytes(32).hex(),
    }
