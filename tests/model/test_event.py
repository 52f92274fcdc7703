"""The encoding of events, and the digests of the data that belongs to them."""

from __future__ import annotations

from functools import reduce
from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.model.event import Event, encode, ended_digest, genesis, issued_digest, link
from tests.values.hostile import NAUGHTY


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


@given(
    st.lists(st.binary(max_size=4), max_size=6),
    st.lists(st.binary(max_size=4), max_size=6),
    st.sampled_from("ab"),
)
def test_the_last_link_is_over_all_that_came_before(
    bodies: list[bytes], others: list[bytes], ledger: str
) -> None:
    """Omitting, adding, exchanging or changing an event results in another head, and so does another ledger."""

    def head(ledger: str, bodies: list[bytes]) -> bytes:
        return reduce(link, bodies, genesis(ledger))

    assert (head("a", bodies) == head(ledger, others)) == (ledger == "a" and bodies == others)
    assert head("a", [*bodies, b"x"]) == sha256(head("a", bodies) + b"x").digest()


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
