"""Hits: each string is found at its place, however the text is divided into pieces."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.scan import hits
from jitid.capabilities.scan.hits import CHUNK, KINDS, MOST_PLACES, Batch, Hit, Item, Searcher
from jitid.redaction.token_format import checksum
from jitid.search.find import Finds, mark
from jitid.search.hidden import AFTER, BEFORE, HiddenSearch
from jitid.search.strings import add
from jitid.values.secret import fingerprint
from tests.builders import World

ITEM = Item("a/b.txt", "c0ffee", "member")


def opaque(number: int) -> str:
    """Return an opaque token."""
    digits = f"{number:032d}"
    return f"jitid_{digits}{checksum(digits.encode())}"


def searched(text: bytes, *sizes: int, item: Item = ITEM) -> Batch:
    """Search a text that is fed in pieces of these sizes; the last size is repeated."""
    searcher = Searcher()
    searcher.begin(item)
    rest = list(sizes) or [len(text)]
    while text:
        size = max(1, rest.pop(0) if len(rest) > 1 else rest[0])
        searcher.feed(text[:size])
        text = text[size:]
    searcher.end()
    return searcher.take()


def places(batch: Batch) -> list[tuple[str, int | None, int]]:
    """Return the kind, line and offset of each hit."""
    return [(hit.sort, hit.line, hit.offset) for hit in batch.hits]


def test_a_hit_has_its_place_and_no_secret(world: World) -> None:
    made = world.issue(kind="opaque")
    batch = searched(f"one\ntwo {made.token}\n".encode())
    raw = fingerprint(made.token)
    assert batch.hits == [Hit(mark("opaque", raw), "opaque", "a/b.txt", 2, "c0ffee", 8, "member")]
    assert batch.finds.opaque == {raw: 1}
    assert (batch.tally.items, batch.tally.bytes) == (1, 4 + 4 + 44 + 1)


def test_every_sort_of_token_is_found(world: World) -> None:
    signed = world.issue().token
    header, payload, signature = signed.split(".")
    foreign = f"{header}.{'x' * 40}.{signature}"
    batch = searched(f"{opaque(1)}\n{signed}\n{payload[:100]}\n{foreign}\n".encode())
    assert [(hit.sort, hit.line) for hit in batch.hits] == [
        ("opaque", 1),
        ("signed", 2),
        ("cut", 3),
        ("foreign", 4),
    ]
    assert batch.hits[1].offset == len(opaque(1)) + 1


@given(st.integers(0, 200), st.integers(1, 300), st.integers(1, 300))
def test_pieces_make_no_difference(before: int, one: int, two: int) -> None:
    text = b"x\n" * before + opaque(before).encode() + b"\n" + opaque(one).encode()
    assert searched(text, one, two).hits == searched(text).hits


@pytest.mark.parametrize(
    "before", [BEFORE + CHUNK - 20, CHUNK - 1, CHUNK + AFTER - 3, BEFORE + CHUNK + AFTER - 40]
)
def test_a_token_on_the_edge_of_a_buffer_is_found_once(before: int) -> None:
    text = b"\n" * before + opaque(7).encode() + b"\n" * (CHUNK * 2)
    batch = searched(text, 1 << 16)
    assert places(batch) == [("opaque", before + 1, before)]
    assert set(batch.finds.opaque.values()) == {1}


def test_a_long_line_is_no_matter() -> None:
    text = b"y" * (3 * CHUNK) + b" " + opaque(3).encode() + b"\n" + opaque(4).encode()
    assert places(searched(text, 1 << 18)) == [("opaque", 1, 3 * CHUNK + 1), ("opaque", 2, 3 * CHUNK + 46)]


def test_what_stood_in_the_buffer_before_is_no_part_of_the_next_item() -> None:
    searcher = Searcher()
    for text in (b" " * 100 + opaque(5).encode(), b" " * 80 + b"jitid_"):
        searcher.begin(ITEM)
        searcher.feed(text)
        searcher.end()
    assert len(searcher.take().hits) == 1


def test_holes_count_for_offsets() -> None:
    searcher = Searcher()
    searcher.begin(ITEM)
    searcher.feed(b"\n" + opaque(1).encode())
    searcher.skip(10 << 30)
    searcher.feed(opaque(2).encode())
    searcher.end()
    assert places(searcher.take()) == [("opaque", 2, 1), ("opaque", 2, 45 + (10 << 30))]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_of_two_bytes_a_character_is_searched(encoding: str) -> None:
    text = f"name = value\ntoken = {opaque(1)}\n".encode(encoding)
    assert [(hit.sort, hit.line) for hit in searched(text).hits] == [("opaque", 2)]


def test_items_in_one_buffer_are_told_apart() -> None:
    texts = [b"nothing", b"\n\n" + opaque(1).encode(), opaque(1).encode(), b"jitid_"]
    window, starts = bytearray(1 << 16), []
    end = 0
    for text in texts:
        starts.append(end)
        window[end : end + len(text) + 1] = text + b"\0"
        end += len(text) + 1
    window[end : end + 44] = opaque(9).encode()
    searcher = Searcher()
    searcher.whole(window, end - 1, starts, "0123", Item)
    batch = searcher.take()
    assert [(hit.place, hit.line, hit.offset) for hit in batch.hits] == [("1", 3, 2), ("2", 1, 0)]
    assert batch.tally.items == 4


def test_of_one_string_some_places_are_kept_and_all_are_counted() -> None:
    text = b"\n".join([opaque(1).encode()] * (MOST_PLACES + 5))
    # In a history, most places of a string are versions of one file, and the oldest one counts.
    assert len(searched(text).hits) == MOST_PLACES + 5
    batch = searched(text, item=Item("a/b.txt"))
    assert len(batch.hits) == MOST_PLACES
    assert list(batch.finds.opaque.values()) == [MOST_PLACES + 5]


def test_what_has_a_wrong_checksum_is_counted() -> None:
    batch = searched(f"{opaque(1)[:-1]}! {opaque(2)[:-1]}_".encode())
    assert (batch.hits, batch.finds.mistyped) == ([], 2)


def test_a_batch_goes_to_another_process_and_comes_back() -> None:
    import marshal

    batch = searched(b"\n" + opaque(1).encode())
    came = Batch.unpack(marshal.loads(marshal.dumps(batch.pack())))
    assert (came.hits, came.finds.pack(), came.tally.pack()) == (
        batch.hits,
        batch.finds.pack(),
        batch.tally.pack(),
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_same_is_found_as_in_one_text(world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """The text is searched window by window, with strings across the windows' edges."""
    monkeypatch.setattr(hits, "CHUNK", 512)
    chance = random.Random(seed)
    signed = world.issue().token
    header, payload, signature = signed.split(".")
    pieces = [signed, opaque(1), opaque(2), f"{header}.{'x' * 40}.{signature}", payload, "J", "j", "jitid_"]
    pieces += ["\n" * 400, "y" * 3_000, opaque(3)[:-1], f"{payload}.{signature}", "-----BEGIN ", " ", "."]
    text = "".join(chance.choice(pieces) for _ in range(80)).encode()
    found, whole = searched(text, 100, 700), Finds()
    add(whole, HiddenSearch(KINDS).found(text, 0, len(text), whole))
    for sort in KINDS - {"secrets"}:
        assert getattr(found.finds, sort) == getattr(whole, sort), sort
    assert found.finds.mistyped == whole.mistyped
    for hit in found.hits:
        assert hit.line == text[: hit.offset].count(b"\n") + 1
        assert text[hit.offset :].startswith((b"jitid_", b"eyJ"))
