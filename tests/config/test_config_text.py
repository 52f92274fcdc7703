"""A change of one key in a user's file: every line that does not belong to the key stays unchanged."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.config.config_text import remove, with_value, without
from jitid.errors import ConfigurationError

Path_ = tuple[str, ...]

COMMENTS = ["# why it is so", "#", "  # indented = 1", "", "\t", '# "quoted" [not.a.table]', "# ä — 日本"]
# The lines of each key, in every form that a user may write.
TOP: dict[Path_, list[list[str]]] = {
    ("ttl",): [['ttl = "5m"  # short'], ["ttl='5m'"], ['"ttl"   =   "5m"']],
    ("max",): [["max = 1_000"], ["max = 0x10 # hex"]],
    ("agent",): [["agent = '''planner'''"], ['agent = "planner"']],
    ("audience",): [
        ['audience = ["a", "b"] # both'],
        ["audience = [", '  "a", # the first', "", "  # and", '  "b",', "]"],
    ],
    ("algorithm",): [['algorithm = { audience = { "https://x" = "ES256" } } # inline']],
    ("purpose",): [['purpose = """', "two = 1", "# no comment", '"""']],
}
DOTTED: dict[Path_, list[list[str]]] = {
    ("floor", "scope", "a:b"): [['floor.scope."a:b" = "high"']],
    ("floor", "audience", "x"): [['floor . audience . "x" = "low" # spaced']],
}
TABLES: dict[str, dict[Path_, list[list[str]]]] = {
    "[floor.scope] # floors": {("floor", "scope", "db:*"): [['"db:*" = "high" # always']]},
    '[oidc."https://id.example"]': {
        ("oidc", "https://id.example", "audience"): [['audience = "jitid"']],
        ("oidc", "https://id.example", "clients"): [['clients = { a = "system:ci", "b.c" = "user:x" }']],
    },
    "[ profile . night ]": {
        ("profile", "night", "ttl"): [['ttl = "1m"']],
        ("profile", "night", "max"): [["max = 5 # few"]],
    },
    "[profile.day]": {("profile", "day", "ttl"): [['  ttl = "2m"']]},
    "[profile.day.floor.scope]": {("profile", "day", "floor", "scope", "a"): [['a = "low"']]},
    "[target.db]": {("target", "db", "kind"): [['kind = "exec"']]},
}
NEW: dict[Path_, Any] = {
    ("ttl",): "7m",
    ("max",): 3,
    ("agent",): 'quo"te',
    ("audience",): ["https://c.example"],
    ("sensitivity",): "high",
    ("floor", "scope", "a:b"): "critical",
    ("floor", "scope", "new.one:*"): "critical",
    ("floor", "scope", "db:*"): "low",
    ("floor", "audience", "https://y"): "low",
    ("algorithm", "audience", "https://x"): "EdDSA",
    ("algorithm", "audience", "https://z"): "EdDSA",
    ("oidc", "https://id.example", "audience"): "other",
    ("oidc", "https://id.example", "names"): ["a", "b"],
    ("oidc", "https://new.example", "audience"): "x",
    ("profile", "night", "ttl"): "9m",
    ("profile", "night", "agent"): "owl",
    ("profile", "new", "ttl"): "9m",
    ("profile", "day", "floor", "scope", "b"): "high",
}


class Written:
    """A file: its lines, and the key to which each line belongs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.owner: list[Path_ | None] = []
        self.section: list[int] = []
        """The number of the table of each line; 0 is the part before all tables."""

    def put(self, lines: list[str], owner: Path_ | None = None, *, header: bool = False) -> None:
        self.lines += lines
        self.owner += [owner] * len(lines)
        self.section += [(self.section[-1] if self.section else 0) + header] * len(lines)

    def without(self, *keys: Path_, sections: Collection[int] = ()) -> list[str]:
        """Return the lines that belong to none of these keys and sections."""
        return [
            line
            for line, owner, place in zip(self.lines, self.owner, self.section, strict=True)
            if owner not in keys and place not in sections
        ]


@st.composite
def files(draw: st.DrawFn) -> Written:
    """Return a file as users write them, with comments at any place."""
    written = Written()

    def comments() -> None:
        written.put(draw(st.lists(st.sampled_from(COMMENTS), max_size=2)))

    comments()
    top = {**TOP, **DOTTED} if draw(st.booleans()) else TOP
    for key in draw(st.lists(st.sampled_from(sorted(top)), unique=True, max_size=5)):
        written.put(draw(st.sampled_from(top[key])), key)
        comments()
    dotted = any(owner and owner[0] == "floor" for owner in written.owner)
    headers = [each for each in TABLES if not (dotted and "[floor" in each)]
    for header in draw(st.lists(st.sampled_from(headers), unique=True, max_size=4)):
        written.put([header], header=True)
        comments()
        for key, forms in TABLES[header].items():
            if draw(st.booleans()):
                written.put(draw(st.sampled_from(forms)), key)
                comments()
    return written


ends = st.sampled_from(["\n", "\r\n"])


def _text(written: Written, end: str, *, ended: bool) -> str:
    text = end.join(written.lines)
    return text + end if ended and text else text


def _is_subsequence(kept: list[str], lines: list[str]) -> bool:
    left = iter(lines)
    return all(any(one == other for other in left) for one in kept)


@given(written=files(), key=st.sampled_from(sorted(NEW)), end=ends, ended=st.booleans())
def test_set_changes_one_key_and_no_other_line(
    written: Written, key: Path_, end: str, *, ended: bool
) -> None:
    text = _text(written, end, ended=ended)
    old = tomllib.loads(text)
    expected: Any = copy.deepcopy(old)
    table = expected
    for name in key[:-1]:
        table = table.setdefault(name, {})
    table[key[-1]] = NEW[key]
    new = with_value(text, key, NEW[key])
    assert tomllib.loads(new) == expected
    if not text.strip():
        return
    # A member of an inline table has no separate line.
    kept = written.without(key, *([key[:1]] if key[0] == "algorithm" else []))
    # Keep the line ends of the file, if it has any.
    end = end if end in text else "\n"
    lines = new.split(end)
    assert _is_subsequence(kept, lines), (text, new)
    assert len(lines) - len(kept) <= 1 + 3
    if "\n" in new:
        assert (
            new.count("\r\n") == (new.count("\n") if end == "\r\n" and end in text else 0) or end not in text
        )


@given(written=files(), data=st.data(), end=ends, ended=st.booleans())
def test_unset_takes_out_one_key_and_no_other_line(
    written: Written, data: st.DataObject, end: str, *, ended: bool
) -> None:
    keys = sorted({owner for owner in written.owner if owner})
    if not keys:
        return
    key = data.draw(st.sampled_from(keys))
    text = _text(written, end, ended=ended)
    expected = tomllib.loads(text)
    stays = 2 if key[0] == "profile" else 0
    remove(expected, key, stays)
    new = without(text, key, stays)
    assert tomllib.loads(new) == expected
    holding = {
        place for owner, place in zip(written.owner, written.section, strict=True) if owner not in (key, None)
    }
    # A table may be removed with its last key, and its comments too.
    gone = set(written.section) - holding - {0}
    assert _is_subsequence(written.without(key, sections=gone), new.split(end)), (text, new)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[[x]]\na = 1\n[[x]]\na = 2 # two\n", ("ttl",)),
        ("[a]\nx = 1\n[b]\n[a.c]\ny = 1\n", ("a", "c", "z")),
        ("[profile.x]\n[floor.scope]\n[profile.y]\n", ("profile", "x", "ttl")),
        ("a.b.c = 1\n", ("a", "b", "d")),
    ],
)
def test_odd_orders_are_changed_right_or_not_at_all(text: str, path: Path_) -> None:
    try:
        new = with_value(text, path, "v")
    except ConfigurationError as error:
        assert "nothing was changed" in error.message
        return
    expected: Any = tomllib.loads(text)
    table = expected
    for name in path[:-1]:
        table = table.setdefault(name, {})
    table[path[-1]] = "v"
    assert tomllib.loads(new) == expected
    assert _is_subsequence(text.splitlines(), new.splitlines())


def test_a_comment_stays_with_the_table_below_it() -> None:
    text = '# mine\nttl = "5m"\n\n# for the night\n[profile.night]\nmax = 1\n'
    assert with_value(text, ("agent",), "x") == text.replace('"5m"\n', '"5m"\nagent = "x"\n')
    only = "# for the night\n[profile.night]\nmax = 1\n"
    assert with_value(only, ("agent",), "x") == f'agent = "x"\n\n{only}'
