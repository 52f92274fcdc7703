"""A token is found in a text of any size, under any encoding that hides it, and at any end of a window."""

from __future__ import annotations

import base64
import html
import json
import quopri
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitid.capabilities.scan.file_source import FileSource
from jitid.capabilities.scan.search_stream import CHUNK, StreamSearch
from jitid.capabilities.scan.workers import Search
from jitid.redaction.token_format import DIGITS as BASE62
from jitid.redaction.token_format import MAX_TOKEN, checksum
from jitid.search import hidden as hidden_module
from jitid.search.encodings import DEPTH, TO_STANDARD, from_base64, is_text
from jitid.search.find import Finds, jti_of_token
from jitid.search.hidden import AFTER, BEFORE, COSTLY, DEEP, LONGEST, HiddenSearch
from jitid.search.pasted import LONGEST as LONGEST_PASTED
from jitid.search.pasted import search_pasted
from jitid.search.strings import ALL, add, search
from jitid.values.secret import fingerprint, new_opaque
from tests.cli.test_stream import filling
from tests.search.test_find import HEADER, JID, JTI, OPAQUE, PAYLOAD, PRINT, RSA_TOKEN, TOKEN, content, signed

TOKENS = {"opaque": OPAQUE, "signed": TOKEN, "rsa": RSA_TOKEN}
Found = dict[str, Counter[Any]]


def expected(token: str, count: int = 1) -> Found:
    """Return the expected finds of a token."""
    if token.startswith("jitid_"):
        return {"opaque": Counter({fingerprint(token): count})}
    return {"signed": Counter({token: count})}


def found(text: bytes, *cuts: int) -> Found:
    """Return the finds in a text as one window, or as windows between its cuts."""
    finds, search = Finds(), HiddenSearch(ALL)
    for first, last in pairwise([0, *sorted({cut % (len(text) + 1) for cut in cuts} - {0}), len(text)]):
        start = max(0, first - BEFORE)
        window = bytearray(text[start : last + AFTER])
        add(finds, search.found(window, first - start, last - start, finds))
    assert not search.missed
    return {name: Counter(counts) for name, counts in content(finds).items() if name != "mistyped"}


def tokens(finds: Found) -> Found:
    """Return the found tokens. A part of the token that most tests hide counts as that token."""
    kept = {name: counts for name, counts in finds.items() if name in ("opaque", "signed", "cut", "foreign")}
    for token in {TOKEN, RSA_TOKEN} & kept.get("signed", Counter()).keys():
        # If the beginning of a line may belong to a token, both readings are kept: the ledger knows the right one.
        kept["signed"] = Counter({token: kept["signed"][token]}) + Counter(
            {other: count for other, count in kept["signed"].items() if jti_of_token(other) != JTI}
        )
        kept["cut"] = Counter(
            {id_: count for id_, count in kept.pop("cut", Counter()).items() if id_ not in (JTI, JID)}
        )
    return {name: counts for name, counts in kept.items() if counts}


# --- encodings that hide a token ------------------------------------------------------------------------------------


def base64_of(text: bytes) -> bytes:
    return base64.b64encode(text)


def base64url_of(text: bytes) -> bytes:
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def mime_of(text: bytes) -> bytes:
    return base64.encodebytes(text)


def little_endian(text: bytes) -> bytes:
    return text.decode("latin-1").encode("utf-16-le")


def big_endian(text: bytes) -> bytes:
    return b"\xfe\xff" + text.decode("latin-1").encode("utf-16-be")


def percent(text: bytes) -> bytes:
    return b"".join(b"%%%02X" % each for each in text)


def references(text: bytes) -> bytes:
    return b"".join(b"&#%d;" % each for each in text)


def backslashes(text: bytes) -> bytes:
    return b"".join(b"\\u%04x" % each for each in text)


def in_json(text: bytes) -> bytes:
    return json.dumps({"secret": text.decode("latin-1")}).replace("/", "\\/").encode()


def quoted_printable(text: bytes) -> bytes:
    return quopri.encodestring(text)


def in_a_mail_header(text: bytes) -> bytes:
    return b"=?utf-8?Q?" + quopri.encodestring(text, header=True) + b"?="


CODES: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64_of,
    "base64url": base64url_of,
    "mime": mime_of,
    "utf-16-le": little_endian,
    "utf-16-be": big_endian,
    "json": in_json,
}
OUTER: dict[str, Callable[[bytes], bytes]] = {
    "percent": percent,
    "references": references,
    "backslashes": backslashes,
    "json": in_json,
    "quoted-printable": quoted_printable,
    "quoted-printable throughout": lambda text: b"".join(b"=%02X" % each for each in text),
    "padded references": lambda text: b"".join(b"&#x%04x;" % each for each in text),
    "bytes of a program": lambda text: b"".join(b"\\x%02x" % each for each in text),
    "html": lambda text: html.escape(text.decode("latin-1")).encode(),
}
PREFIXES = [
    b"",
    b"> ",
    b"> > ",
    b"    ",
    b"\t",
    b"# ",
    b"// ",
    b"+ ",
    b"- ",
    b"* ",
    b"| ",
    b"+",
    b"-",
    b"12:",
    b"12-",
]
ENDINGS = [b"\n", b"\r\n", b"\\\n", b"=\r\n", b" |\n", b"\r", b"<br>\n", b"<br />\r\n"]


def wrapped(text: bytes, width: int, prefix: bytes, ending: bytes) -> bytes:
    """Return a text in lines of a width, as mails, terminals and editors break it."""
    lines = [text[at : at + width] for at in range(0, len(text), width)]
    return prefix + (ending + prefix).join(lines)


wrappings = st.builds(
    lambda width, prefix, ending: lambda text: wrapped(text, width, prefix, ending),
    st.integers(16, 120) | st.sampled_from([64, 72, 76, 998]),
    st.sampled_from(PREFIXES),
    st.sampled_from(ENDINGS),
)
WIDE = ("utf-16-le", "utf-16-be")


def chains(least: int) -> st.SearchStrategy[list[str]]:
    """Return a strategy for lists of encodings.

    UTF-16 is in no escaped form, because no software writes that: only as a file, in base64, or percent-encoded.
    """
    return st.lists(st.sampled_from(sorted(CODES)), min_size=least, max_size=2).filter(
        lambda chain: not any(one in WIDE and after in (*WIDE, "json") for one, after in pairwise(chain))
    )


fillers = st.sampled_from(
    [
        b"2026-11-24T12:00:00Z info job fetch trace_id=0123456789abcdef0123456789abcdef done\n",
        b'    """Return WARNINGS, from the queue."""\n    for each in self.QUEUE:\n        yield each\n',
        b'{"level": "info", "path": "/usr/lib/python3/dist-packages/x_y_z", "sum": "sha256-", "n": 1}\n',
        b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA" * 3 + b"\n",
        b"jitid_ledger jti_list eyJ JJJ jjj &amp; 100% \\d+ X W\n",
        b"\0\1\2\xff\xfe\x80" * 20 + b"\n",
        b" ",
        b"\n",
    ]
)
around = st.tuples(fillers, st.integers(0, 40), fillers, st.integers(0, 40))


@st.composite
def hidden(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a token, and a text that hides it under encodings."""
    token = draw(st.sampled_from(sorted(TOKENS.values())))
    lead = draw(st.sampled_from(["", "x", "ab", "user:", "token: ", "x-access-token:"]))
    text = f"{lead}{token}".encode()
    chain = draw(chains(0))
    for code in chain:
        text = CODES[code](text)
    outer = draw(st.sampled_from(["", *sorted(OUTER)]))
    if outer and (not chain or chain[-1] not in WIDE or outer == "percent"):
        text = OUTER[outer](text)
    # Lines that end within an escape, or within the two bytes of a character, can be read in several ways.
    escaped = outer.startswith("bytes of") or outer.endswith(("throughout", "references"))
    escaped = (
        escaped or outer in ("percent", "backslashes") or ("mime" in chain and "json" in (*chain, outer))
    )
    plain = not escaped and not (chain and chain[-1] in WIDE)
    if plain and draw(st.booleans()):
        text = draw(wrappings)(text)
    return token, text


@pytest.mark.parametrize("ending", ENDINGS)
def test_base64_in_the_narrowest_lines_is_found(ending: bytes) -> None:
    """It is found with any alignment, and with several characters between lines, which shorten the runs of digits."""
    for token in TOKENS.values():
        # In narrower lines, some alignments have too few digits.
        narrowest = 5 if token == OPAQUE else 16
        for lead, width, prefix in product(("", "x", "ab"), range(narrowest, 20), PREFIXES):
            text = wrapped(CODES["base64"](f"{lead}{token}".encode()), width, prefix, ending)
            assert tokens(found(b"\n" + text + b"\n")) == expected(token), text


@pytest.mark.parametrize("ending", [*ENDINGS, b"=<br>\n\n", b"<br>"])
@pytest.mark.parametrize("token", TOKENS.values(), ids=list(TOKENS))
def test_a_last_line_of_a_few_letters_before_a_quotation_mark_is_found(token: str, ending: bytes) -> None:
    """One or two letters before a quotation mark may be a mark of a string literal, or the end of a token."""
    for width, last in product(range(16, 40), range(1, 5)):
        body, rest = token[:-last].encode(), token[-last:].encode()
        text = b'\n{"secret": "' + wrapped(body, width, b"", ending) + ending + rest + b'"}\n'
        assert tokens(found(text)) == expected(token), text


@pytest.mark.deep
@given(hidden(), around, st.data())
@settings(max_examples=400)
def test_a_token_is_found_whatever_hides_it_and_wherever_a_window_ends(
    case: tuple[str, bytes], filler: tuple[bytes, int, bytes, int], data: st.DataObject
) -> None:
    """The token is found once, and no other string is found."""
    token, text = case
    before, many, after, more = filler
    whole = before * many + b"\n" + text + b"\n" + after * more
    begins = len(before) * many + 1
    assert tokens(found(whole)) == expected(token)
    cuts = data.draw(
        st.lists(
            st.sampled_from([begins, begins + len(text), begins + len(text) // 2]).flatmap(
                lambda at: st.integers(max(0, at - 3), at + 3)
            )
            | st.integers(0, len(whole)),
            min_size=1,
            max_size=6,
        )
    )
    assert tokens(found(whole, *cuts)) == expected(token)


@given(hidden(), around)
@settings(max_examples=150)
def test_a_short_text_and_a_long_one_give_the_same(
    case: tuple[str, bytes], filler: tuple[bytes, int, bytes, int]
) -> None:
    token, text = case
    before, many, after, more = filler
    finds = search_pasted(before * many + b"\n" + text + b"\n" + after * more)
    short = {name: Counter(counts) for name, counts in content(finds).items() if isinstance(counts, dict)}
    assert tokens(short) == expected(token)


@given(st.binary(min_size=32, max_size=32), chains(1), st.integers(0, 5))
@settings(max_examples=400)
def test_any_opaque_token_is_found_in_base64_of_base64(seed: bytes, chain: list[str], lead: int) -> None:
    """Some of its letters show it, with any alignment of its groups and with any characters."""
    digits = "".join(BASE62[each % 62] for each in seed)
    token = f"jitid_{digits}{checksum(digits.encode())}"
    text = b"x" * lead + token.encode()
    for code in chain:
        text = CODES[code](text)
    assert tokens(found(b"a text, and\n" + text + b"\nmore of it\n")) == expected(token)


QUOTES = [
    (b"12: ", b"\n"),
    (b'"', b'" \\\n'),
    (b"  12\t", b"\n"),
    (b"'", b"'\n"),
    (b'  "', b'" +\n'),
    (b"  '", b"'+\r\n"),
    (b'    + "', b'"\n'),
    (b"    b'", b"'\n"),
    (b'+    b"', b'"\n'),
    (b'  "', b'",\n'),
    (b"-", b"\n"),
    (b"+", b"\n"),
    (b"-    ", b"\n"),
    (b'-  "', b'" +\n'),
    (b"12:", b"\n"),
    (b'12:  "', b'" +\n'),
    (b"", b"<br>\n"),
    (b"    ", b"<br />\r\n"),
]


@pytest.mark.parametrize(("prefix", "ending"), QUOTES)
@pytest.mark.parametrize("name", sorted(TOKENS))
def test_what_programs_put_around_lines_hides_nothing(name: str, prefix: bytes, ending: bytes) -> None:
    token = TOKENS[name]
    for code in (bytes, base64_of, base64url_of):
        for lead in (b"", b"x", b"user:"):
            text = wrapped(code(lead + token.encode()), 24, prefix, ending)
            text = b"a text\n" + text + ending + b"and more\n"
            assert tokens(found(text)) == expected(token)
            short = content(search_pasted(text))
            assert tokens(
                {key: Counter(counts) for key, counts in short.items() if key != "mistyped"}
            ) == expected(token)


def broken_in_escapes() -> Iterator[tuple[str, bytes]]:
    """Yield tokens, and texts that escape the whole token and end lines within escapes."""
    for token, code, width, prefix, ending in product(
        TOKENS.values(),
        (percent, backslashes),
        (16, 60, 64, 72, 76, 78, 80),
        (b"", b"> ", b"    // ", b"+", b"-", b"12:", b'    "'),
        (b"\n", b"\r\n", b"\\\n", b'" +\n'),
    ):
        yield token, b"a text\n" + wrapped(code(b"x" + token.encode()), width, prefix, ending) + ending


@pytest.mark.deep
def test_a_line_may_end_within_an_escape() -> None:
    """In a long text, escapes are found by a sample, which may miss one in twenty short runs of escapes."""
    missed, number = 0, 0
    for token, text in broken_in_escapes():
        short = content(search_pasted(text))
        assert tokens(
            {key: Counter(counts) for key, counts in short.items() if key != "mistyped"}
        ) == expected(token)
        number += 1
        missed += tokens(found(text)) != expected(token)
    assert missed * 20 < number


def layered(times: int) -> bytes:
    """Return a token under this number of layers of base64."""
    text = TOKEN.encode()
    for _ in range(times):
        text = base64_of(text)
    return b"some text, and " + text + b" more of it\n"


@pytest.mark.parametrize("closely", [True, False])
def test_more_layers_than_are_taken_off_are_said(closely: bool) -> None:
    for times in range(1, DEPTH + 2):
        search, finds = HiddenSearch(ALL, closely=closely), Finds()
        text = layered(times)
        add(finds, search.found(text, 0, len(text), finds))
        deep = times > DEPTH
        assert (bool(finds.signed), {reason for reason, _ in search.missed}) == (
            not deep,
            {DEEP} if deep else set(),
        )


def test_a_text_that_costs_too_much_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden_module, "_MOST", 1_000)
    text = layered(2)
    search = HiddenSearch(ALL)
    search.found(text, 0, len(text), Finds())
    assert [reason for reason, _ in search.missed] == [COSTLY]


def test_the_longest_token_is_found_in_the_longest_form() -> None:
    """A window is long enough for it."""
    spare = MAX_TOKEN - len(signed(purpose=""))
    token = signed(purpose="p" * (spare * 3 // 4 - 2))
    assert MAX_TOKEN - 8 < len(token) <= MAX_TOKEN
    text = wrapped(base64_of(base64_of(little_endian(token.encode()))), 64, b"> > ", b"\r\n")
    assert len(text) < LONGEST
    whole = b"text\n" * 50 + text + b"\ntext\n" * 50
    for cut in (250, 251, 253, len(whole) - 300):
        assert found(whole, cut) == {"signed": Counter([token])}


@pytest.mark.parametrize("padding", [0, 4_000])
def test_a_hyphen_of_a_signature_that_begins_a_line_makes_no_second_token(padding: int) -> None:
    """The hyphen may be a diff mark, but then a digit after the token would have to end its signature."""
    body, _, signature = TOKEN.rpartition(".")
    # A line begins within the signature.
    at = 30 - (len(body) + 1) % 30
    token = f"{body}.{signature[:at]}-{signature[at + 1 : -1]}g"
    lines = "\n> ".join(token[place : place + 30] for place in range(0, len(token), 30))
    text = f"{'some text ' * padding}\n> {lines}\n192.0.2.1 {'some text ' * padding}"
    assert found(text.encode()) == expected(token)


def test_what_is_plain_is_counted_once_and_found_as_without_layers() -> None:
    text = f"{TOKEN}\n{OPAQUE} {JTI} {PRINT}\n{PAYLOAD[:60]} {HEADER}\n".encode() * 3
    finds = Finds()
    search(text, 0, len(text), finds)
    assert found(text) == {name: Counter(counts) for name, counts in content(finds).items()}


def test_a_token_that_stands_there_twice_counts_twice() -> None:
    text = (
        f"{OPAQUE}\n".encode()
        + base64_of(OPAQUE.encode())
        + wrapped(f"\n{OPAQUE}\n".encode(), 20, b"> ", b"\n")
    )
    assert found(text) == expected(OPAQUE, 3)


def test_a_token_in_two_lines_is_not_mistyped_too() -> None:
    finds, text = Finds(), f"{OPAQUE[:30]}\n> {OPAQUE[30:]}\n".encode()
    add(finds, HiddenSearch(ALL).found(text, 0, len(text), finds))
    assert (len(finds.opaque), finds.mistyped) == (1, 0)


_TEXTS = st.lists(st.sampled_from([*range(32, 127), 0, 9, 10, 13]), max_size=60).map(bytes)


@given(st.binary(max_size=40), _TEXTS, st.binary(max_size=40), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=2_000)
def test_a_run_counts_if_it_decodes_to_text_at_any_alignment(
    before: bytes, text: bytes, after: bytes, start: int, end: int
) -> None:
    run = base64.urlsafe_b64encode(before + text + after).rstrip(b"=")
    run = run[start : len(run) - end]
    digits = run.translate(TO_STANDARD)
    expected = any(is_text(from_base64(b"A" * lost + digits)) for lost in range(4))
    assert hidden_module._is_worth(run) is expected


@given(st.binary(max_size=400))
def test_no_bytes_are_too_strange(raw: bytes) -> None:
    for text in (raw, base64_of(raw) * 3, b"eyJ" + raw + b"jitid_" + raw, percent(raw)):
        HiddenSearch(ALL).found(text, 0, len(text), Finds())


@pytest.mark.parametrize("name", sorted(TOKENS))
def test_two_texts_in_one_buffer_make_no_token(name: str) -> None:
    """The end of one file and the beginning of the next one never form a token."""
    token = TOKENS[name].encode()
    window = token[:30] + b"\0" + token[30:]
    for borders, there in (((0,), True), ((0, 31), False)):
        finds = Finds()
        add(finds, HiddenSearch(ALL).found(window, 0, len(window), finds, borders=borders))
        assert bool(finds.opaque or finds.signed) == there


# --- files, pipes and scans -------------------------------------------------------------------------------------------

LINE = (
    b'{"level":"info","job":"fetch","trace_id":"0123456789abcdef0123456789abcdef","msg":"nothing of ours"}\n'
)
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda text: text,
    "base64": base64_of,
    "twice": lambda text: base64_of(base64_of(text)),
    "utf-16": little_endian,
    "utf-16 in base64": lambda text: base64_of(little_endian(text)),
    "wrapped": lambda text: wrapped(text, 30, b"> ", b"\n"),
    "wrapped base64": lambda text: wrapped(base64_of(text), 64, b"    ", b"\n"),
    "quoted-printable": lambda text: quoted_printable(b"a mail, and in it " + text),
    "percent": percent,
}
SHIFTS = (-40, -1, BEFORE - 20, -70, 0, 1, BEFORE - 1, -120, -3)
SIZES = (50_000, 700_000, 20_000_000)


def planted(size: int) -> tuple[bytes, Counter[bytes]]:
    """Return a text with tokens in each form, some at the end of a window, and their fingerprints."""
    chance = random.Random(size)
    text = bytearray(LINE * (size // len(LINE)))
    wanted: Counter[bytes] = Counter()
    edges = [edge + shift for edge, shift in zip(range(CHUNK, size, CHUNK), SHIFTS, strict=False)]
    for number, hide in enumerate(FORMS.values()):
        token = new_opaque(chance.randbytes)
        piece = b"\n" + hide(token.encode()) + b"\n"
        at = edges[number] if number < len(edges) else size * (number + 1) // (len(FORMS) + 2)
        text[at : at + len(piece)] = piece
        wanted[fingerprint(token)] += 1
    return bytes(text), wanted


@pytest.mark.parametrize("size", SIZES)
def test_a_file_a_pipe_and_a_scan_find_the_same(size: int, tmp_path: Path) -> None:
    text, wanted = planted(size)
    path = tmp_path / "log"
    path.write_bytes(text)
    for processes in (1, 2):
        with StreamSearch(str(path), "the text", processes) as stream:
            streamed = Finds()
            for batch in stream.finds():
                streamed.add(batch)
        assert (Counter(streamed.opaque), streamed.mistyped, stream.missed) == (wanted, 0, Counter())
    pipe = tmp_path / "pipe"
    with filling(pipe, path), StreamSearch(str(pipe), "the text", 2) as stream:
        piped = Finds()
        for batch in stream.finds():
            piped.add(batch)
    assert Counter(piped.opaque) == wanted
    scanned, lines = Finds(), set[bytes]()
    with Search(FileSource([str(tmp_path)]), processes=1) as scan:
        for found_ in scan.batches():
            scanned.add(found_.finds)
            lines |= {text[hit.offset : hit.offset + 1] for hit in found_.hits}
            assert not found_.tally.missed
    assert Counter(scanned.opaque) == wanted
    assert b"\n" not in lines


@given(hidden(), st.integers(0, 3), st.integers(1, 3_000))
@settings(max_examples=60, deadline=None)
def test_any_window_of_a_stream_finds_it(case: tuple[str, bytes], many: int, chunk: int) -> None:
    """The text exceeds the size that is searched closely, and the windows are small."""
    token, text = case
    with tempfile.NamedTemporaryFile() as file:
        file.write(LINE * (700 + many) + b"\n" + text + b"\n" + LINE * 3)
        file.flush()
        with StreamSearch(file.name, "the text", 1, chunk=LONGEST_PASTED // 8 + chunk) as search_:
            finds = Finds()
            for batch in search_.finds():
                finds.add(batch)
    kept = {name: Counter(counts) for name, counts in content(finds).items() if isinstance(counts, dict)}
    assert tokens(kept) == expected(token)
