"""Sightings: the places of a leak, kept with the leak, shown by its number, and covered by the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.authority.wire import codec
from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.leak.exposure import LeakDetails
from jitid.capabilities.leak.leaks import LeakReport, ReportedLeaks
from jitid.capabilities.leak.trace_result import distinct_places, kept_places, place_parts
from jitid.errors import IntegrityError, UsageError
from jitid.model.leak import LONGEST_PLACE, MOST_PLACES, LeakFilter, Sighting, is_kept
from jitid.search.find import Finds, mark
from jitid.values.secret import fingerprint
from jitid.values.strict_json import dumps
from tests.builders import NOW, World, edit

HERE = Sighting("src/app.py", 12, "0123abc", NOW - 60, "gitleaks jitid-token")
THERE = Sighting("wiki/Home")
TOKEN = "jitid_DECOY0decoy1DECOY2decoy3DECOY4de0abcde"


def add(world: World, places: Mapping[str, Sequence[Sighting]], source: str = "git") -> ReportedLeaks:
    """Report tokens, each with its sightings."""
    finds = Finds()
    seen = {}
    for token, each in places.items():
        finds.opaque[fingerprint(token)] = len(each)
        seen[mark("opaque", fingerprint(token))] = each
    ((found, told),) = place_parts(finds, seen, None)
    return world.authority.perform(
        leak_operations.AddLeaks(finds=found, report=LeakReport(source, None), sightings=told)
    )


def show(world: World, number: int) -> LeakDetails:
    """Return the details of a leak."""
    (found,) = world.authority.perform(leak_operations.ShowLeaks(numbers=(number,)))
    return found


@pytest.mark.usefixtures("kept_in")
def test_where_it_was_seen_is_told_with_the_leak(world: World) -> None:
    one, other = world.issue(kind="opaque"), world.issue(kind="opaque")
    came = add(world, {one.token: [HERE, THERE, HERE], other.token: []})
    assert (len(came.new), came.places) == (2, 2)
    event = world.events()[-1]
    assert (event["op"], event["count"], event["sightings"]) == ("leak", 2, 2)
    told = show(world, 1)
    assert [(each.sighting, each.event) for each in told.seen] == [(HERE, came.event), (THERE, came.event)]
    assert show(world, 2).seen == []
    (last, first) = world.authority.perform(leak_operations.ListLeaks(chosen=LeakFilter(), limit=9)).leaks
    assert first.places is not None
    assert (first.places.first.sighting, first.places.total, last.places) == (HERE, 2, None)
    world.check()


@pytest.mark.usefixtures("kept_in")
def test_the_same_report_again_adds_new_places_alone(world: World) -> None:
    """New places are recorded in an event. Without new places there is no event."""
    one = world.issue(kind="opaque")
    add(world, {one.token: [HERE]})
    count = len(world.events())
    again = add(world, {one.token: [HERE._replace(finder="kingfisher")]})
    assert (again.new, again.places, again.event, len(world.events())) == (set(), 0, None, count)
    more = add(world, {one.token: [HERE, THERE]})
    event = world.events()[-1]
    assert (event["op"], event["source"], event["sightings"], more.event) == (
        "leak-sighting",
        "git",
        1,
        event["seq"],
    )
    assert [each.event for each in show(world, 1).seen] == [event["seq"] - 1, event["seq"]]
    (logged,) = world.authority.perform(
        integrity_operations.ReadLog(chosen=LogFilter(event=event["seq"]), limit=1, members=True)
    )
    assert logged["members"] == [one.jti]
    world.check()


CHANGES = [
    "DELETE FROM sighting WHERE id = 2",
    "DELETE FROM sighting WHERE id = 3",
    "DELETE FROM sighting",
    "UPDATE sighting SET place = 'elsewhere' WHERE id = 1",
    "UPDATE sighting SET place = NULL WHERE id = 1",
    "UPDATE sighting SET line = 13 WHERE id = 1",
    "UPDATE sighting SET revision = NULL WHERE id = 1",
    "UPDATE sighting SET found_at = found_at - 1 WHERE id = 1",
    "UPDATE sighting SET finder = 'me' WHERE id = 1",
    "UPDATE sighting SET more = 1 WHERE id = 1",
    "UPDATE sighting SET leak = 2 WHERE id = 1",
    "UPDATE sighting SET event = event + 1 WHERE id = 1",
    "INSERT INTO sighting (id, leak, place, more, event) SELECT 4, 1, 'x', 0, max(event) FROM sighting",
    "INSERT INTO sighting (id, leak, place, more, event) VALUES (4, 1, 'x', 0, 1)",
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_sighting_that_was_changed_behind_the_ledgers_back_is_found(world: World, change: str) -> None:
    one, other = world.issue(kind="opaque"), world.issue(kind="opaque")
    add(world, {one.token: [HERE, THERE]})
    add(world, {one.token: [THERE], other.token: [THERE]})
    world.check()
    edit(world.path, change)
    with pytest.raises(IntegrityError):
        world.check()


def test_of_thousands_of_places_a_hundred_are_kept(world: World) -> None:
    one = world.issue(kind="opaque")
    came = add(world, {one.token: [Sighting(f"{number}.log") for number in range(2_000)]})
    told = show(world, 1)
    assert told.leaked.places is not None
    assert (len(told.seen), told.leaked.places.total, came.places) == (MOST_PLACES, 2_000, 2_000)
    world.check()


TEXTS = st.text(st.characters() | st.just("\0"), max_size=40)
SIGHTINGS = st.builds(
    Sighting, TEXTS, st.none() | st.integers(-2, 1 << 60), st.none() | TEXTS, st.none() | st.integers(), TEXTS
)


@given(SIGHTINGS)
def test_whatever_a_place_is_called_it_can_be_kept_sent_and_told(seen: Sighting) -> None:
    made = kept_places(seen)
    assert kept_places(made) == made
    operation = leak_operations.AddLeaks(
        finds=Finds(), report=LeakReport("git", None), sightings={"0" * 32: (made,)}
    )
    again = codec.decode_operation("AddLeaks", codec.encode_operation(operation))
    assert isinstance(again, leak_operations.AddLeaks)
    assert again.sightings == operation.sightings
    dumps(list(made))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("a\udcffb", "a\\xffb"),
        ("a\ud800", "a\\ud800"),
        ("a\0b", "a\\x00b"),
        ("", "?"),
        (f"logs/{TOKEN}.txt", "logs/****"),
        (f"https://wiki.example/?token={TOKEN}&page=2", "https://wiki.example/?token=****&page=2"),
        ("é" * LONGEST_PLACE + "/end.py", "é" * ((LONGEST_PLACE - 7) // 2) + "/end.py"),
    ],
)
def test_a_place_is_told_as_it_can_be(place: str, expected: str) -> None:
    assert kept_places(Sighting(place)).place == expected


@pytest.mark.parametrize("text", ["", "a\0", f"logs/{TOKEN}", "x" * (LONGEST_PLACE + 1), "\ud800"])
@pytest.mark.parametrize("field", ["place", "finder", "revision"])
def test_what_cannot_be_kept_is_refused_whoever_sends_it(text: str, field: str) -> None:
    assert not is_kept(text, LONGEST_PLACE)
    values = codec.encode_operation(
        leak_operations.AddLeaks(finds=Finds(), report=LeakReport("git", None), sightings={"0" * 32: (HERE,)})
    )
    values["sightings"]["0" * 32][0][field] = text
    with pytest.raises(UsageError):
        codec.decode_operation("AddLeaks", values)


@pytest.mark.parametrize("sign", ["", "0" * 31, "0" * 33, "G" * 32])
def test_a_mark_has_32_digits(sign: str) -> None:
    values = {"finds": {}, "report": {"source": "git", "reported_at": None}, "sightings": {sign: []}}
    with pytest.raises(UsageError):
        codec.decode_operation("AddLeaks", values)


def test_a_request_has_no_more_than_it_may(world: World) -> None:
    """Each string stays with its places. A request has as many as fit, and none is lost."""
    finds = Finds()
    finds.mistyped = 3
    seen = {}
    for number in range(50):
        print_ = bytes([number]) * 32
        finds.opaque[print_] = number + 1
        seen[mark("opaque", print_)] = [Sighting("\x1b" * 200 + str(each)) for each in range(number * 3)]
    whole = list(place_parts(finds, seen, 20_000))
    assert sum(len(part) for part, _ in whole) == 50
    assert sum(part.mistyped for part, _ in whole) == 3
    for part, told in whole:
        assert {mark(sort, key).hex() for sort, key, _ in part.strings()} >= told.keys()
        operation = leak_operations.AddLeaks(finds=part, report=LeakReport("git", None), sightings=told)
        assert len(part) == 1 or len(dumps(codec.encode_operation(operation))) <= 20_200
    places = {sign: len(each) for _, told in whole for sign, each in told.items()}
    assert places == {sign.hex(): min(len(each), MOST_PLACES) for sign, each in seen.items() if each}


def test_the_same_place_counts_once_whoever_names_it() -> None:
    other = HERE._replace(finder="trufflehog", found_at=None)
    assert distinct_places([HERE, THERE, other, HERE._replace(line=13)]) == [
        HERE,
        THERE,
        HERE._replace(line=13),
    ]
