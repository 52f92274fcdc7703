"""Places in status lists: each signed token names a random place that no other token has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.issue.operations import Issue, Renew
from jitid.crypto import jws
from jitid.errors import StorageError
from jitid.ledger.signing_keys import StatusStore
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import NOW, PERMIT_ALL, World, request

URL = "https://tokens.example"
pytestmark = pytest.mark.usefixtures("kept_in")
DAY = 86_400


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger that lists its tokens in published status lists."""
    with World(tmp_path / "ledger", policy=PERMIT_ALL, publish_url=URL) as world:
        yield world


def place_of(token: str) -> dict[str, Any]:
    """Return the place that a token names."""
    found: dict[str, Any] = jws.parse(token, types=jws.TOKENS).claims["status"]
    assert found.keys() == {"status_list"}
    return dict(found["status_list"])


def ended(world: World, list_: int) -> set[int]:
    """Return the places of a list for tokens that were ended."""
    with world.ledger.read() as snapshot:
        return set(StatusStore(snapshot).revoked_places(list_))


def test_a_token_names_its_place_in_the_list_of_the_day_on_which_it_expires(world: World) -> None:
    """Verifiers of another algorithm get a list that is signed with it."""
    made = world.issue(ttl=900)
    found = place_of(made.token)
    assert found["uri"] == f"{URL}/status/{(NOW + 900) // DAY}.jwt"
    assert 0 <= found["idx"] < 1 << 24
    world.terms = world.terms._replace(algorithms={"https://cloud.example": "ES256"})
    world.reopen()
    other = world.issue(ttl=2 * DAY, deadline_after=9 * DAY, task="T2", audiences=("https://cloud.example",))
    assert place_of(other.token)["uri"] == f"{URL}/status/{(NOW + 2 * DAY) // DAY}.es256.jwt"
    assert world.verify(made.token).jti == made.jti


def test_what_is_not_signed_or_not_published_has_no_place(world: World) -> None:
    """An opaque token has no claims. Without an address, no verifier could fetch the list."""
    world.issue(kind="opaque")
    world.terms = world.terms._replace(publish_url=None)
    world.reopen()
    assert "status" not in jws.parse(world.issue().token, types=jws.TOKENS).claims
    with world.ledger.read() as snapshot:
        assert list(StatusStore(snapshot).lists(0)) == []


def test_each_of_many_has_a_place_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn places repeat within a request, for another request, and in another transaction."""
    drawn = iter([bytes([0, 0, 1] * 3), bytes([0, 0, 1, 0, 0, 2]), bytes([0, 0, 2, 0, 0, 3])])
    rest = count(256)
    real = os.urandom

    def draw(size: int) -> bytes:
        if size % 3 or size > 9:
            return real(size)
        return next(drawn, None) or b"".join(next(rest).to_bytes(3) for _ in range(size // 3))

    monkeypatch.setattr(os, "urandom", draw)
    issued = world.authority.perform(
        Issue(requests=(request(copies=3), request(copies=1), request(agent="other", copies=2)))
    )
    made = [one.secret.reveal() for each in issued for one in each.credentials]
    places = [place_of(token)["idx"] for token in made]
    assert len(set(places)) == 6
    assert {1, 2, 3} <= set(places)


def test_those_who_draw_the_same_at_once_get_places_of_their_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are only a few places, so that draws collide. The later process draws again, and no request is refused."""
    real = os.urandom
    monkeypatch.setattr(
        os, "urandom", lambda size: bytes([0, 0, real(1)[0] % 48]) if size == 3 else real(size)
    )
    world.issue()

    def issue(number: int) -> list[int]:
        with World(world.path, policy=PERMIT_ALL, publish_url=URL) as mine:
            return [place_of(mine.issue(agent=f"a{number}").token)["idx"] for _ in range(8)]

    with ThreadPoolExecutor(4) as pool:
        places = [place for part in pool.map(issue, range(4)) for place in part]
    assert len(set(places)) == len(places) == 32
    world.check()


def test_a_full_list_is_said_to_be_full(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request waits forever for a place, and no token is issued without one."""
    monkeypatch.setattr(os, "urandom", lambda size: bytes(size))
    world.issue()
    with pytest.raises(StorageError, match="is full"):
        world.issue()


def test_a_successor_has_a_place_of_its_own(world: World) -> None:
    """The predecessor's place is marked when it ends, and not before."""
    made = world.issue(ttl=900)
    world.clock.now += 600
    renewed = world.authority.perform(Renew(request=RenewRequest(Secret.single(made.token))))
    successor = renewed.credentials[0].secret.reveal()
    before, after = place_of(made.token), place_of(successor)
    assert before["idx"] != after["idx"]
    list_ = (NOW + 900) // DAY
    assert ended(world, list_) == set()
    world.clock.now += world.terms.overlap
    assert ended(world, list_) == {before["idx"]}


def test_only_what_was_ended_before_its_time_is_marked(world: World) -> None:
    """Revoked tokens and their descendants are marked. Expired tokens are not: their claims show the expiry."""
    root, child = world.chain(2, ttl=900)
    other, late = world.issue(task="T2", ttl=900), world.issue(task="T3", ttl=60)
    list_ = (NOW + 900) // DAY
    world.revoke(root.id)
    world.clock.now += 61
    world.issue(task="T4")  # this write records the expired credentials
    assert ended(world, list_) == {place_of(one.token)["idx"] for one in (root, child)}
    world.retire("T2")
    assert place_of(other.token)["idx"] in ended(world, list_)
    assert place_of(late.token)["idx"] not in ended(world, list_)


def test_lists_are_told_from_a_day_on(world: World) -> None:
    """Lists of past days are not needed."""
    for day in (0, 3, 9):
        world.issue(task=f"T{day}", ttl=day * DAY + 60, deadline_after=20 * DAY)
    today = NOW // DAY
    with world.ledger.read() as snapshot:
        assert list(StatusStore(snapshot).lists(today)) == [today, today + 3, today + 9]
        assert list(StatusStore(snapshot).lists(today + 4)) == [today + 9]
