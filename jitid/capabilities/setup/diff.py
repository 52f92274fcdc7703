"""The difference that a change makes, for people: secrets are stars, and control characters have no effect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from jitid.capabilities.setup.splice import lines_of
from jitid.redaction.token_format import MASK, masked
from jitid.values.text import safe

_CONTEXT = 3
_LONG = 300
"""Longer lines are shown only around their change."""
_AROUND = 60
_MOST_LINES = 2_000
"""Of longer parts, all lines count as replaced: the comparison would take too long."""

_NAME = (
    r"[\w.-]*(?:key|token|secret|passw|auth|credential|bearer|cookie|private|certificate-data|pat\b)[\w.-]*"
)
_QUOTED = re.compile(rf"(?i)([\"']{_NAME}[\"']\s*[:=]\s*)(\"(?:[^\"\\]|\\.)*\"|'[^']*')")
_BARE = re.compile(rf"(?i)^(\s*-?\s*{_NAME}\s*[:=]\s*)(?=\S)(.*)$")
_KNOWN = re.compile(
    r"\b(?:sk-|sk_|gh[opsu]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA|AIza|hf_|npm_|pypi-)[A-Za-z0-9_./+-]{6,}"
)
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+([^\s\"',}]{6,})")
_URL = re.compile(r"(://[^/\s:@\"']*:)[^@/\s\"']+(@)")
_JITID = re.compile(r"(?:\S*/)?jitid .*\b(?:helper|mcp)\b.*|jitid")
_REFERENCE = re.compile(r"(?:[Bb]earer )?(?:\$\{?[\w:]+\}?|\{(?:env|file):[\w{:]*\}+)|!?[\w./-]*/[\w./-]+")
_HARMLESS = re.compile(r"[\"']?(?:true|false|null|none|[0-9]{1,7}|)[\"']?,?|[\[{|>&].?")


def redacted(line: str) -> str:
    """Return a line of a client's file with stars for every value that may be a secret."""

    def quoted(found: re.Match[str]) -> str:
        value = found[2][1:-1]
        return found[0] if _shown(value) else f"{found[1]}{found[2][0]}{MASK}{found[2][-1]}"

    def bare(found: re.Match[str]) -> str:
        return found[0] if _shown(found[2].strip()) else f"{found[1]}{MASK}"

    line = _QUOTED.sub(quoted, line)
    line = _BARE.sub(bare, line)
    line = _SCHEME.sub(lambda found: found[0] if _shown(found[2]) else f"{found[1]} {MASK}", line)
    line = _URL.sub(rf"\g<1>{MASK}\g<2>", _KNOWN.sub(MASK, line))
    return masked(line, wide=True)


def _shown(value: str) -> bool:
    """Return whether a value with a suspicious name is harmless: a command of jitid, or a reference."""
    bare = value.strip().rstrip(",").strip("\"'")
    return any(
        (
            _HARMLESS.fullmatch(value.strip()),
            _JITID.fullmatch(bare.removeprefix("!")),
            _REFERENCE.fullmatch(bare),
        )
    )


def unified(path: str, old: str | None, new: str | None) -> list[str]:
    """Return the lines of a unified diff of a file; None is a missing file."""
    before, after = (text_lines(text) if text is not None else [] for text in (old, new))
    lines = [
        f"--- {safe(path) if old is not None else '/dev/null'}",
        f"+++ {safe(path) if new is not None else '/dev/null'}",
    ]
    start, end = _ends(before, after)
    changes = list(_changes(before[start : len(before) - end], after[start : len(after) - end], start))
    for group in _groups(changes):
        lines += _hunk(group, before, after)
    if old is not None and new is not None and before == after and old != new:
        lines.append("\\ the end of a line changes")
    return lines


def _ends(before: Sequence[str], after: Sequence[str]) -> tuple[int, int]:
    most = min(len(before), len(after))
    start = next((index for index in range(most) if before[index] != after[index]), most)
    end = 0
    while end < most - start and before[-1 - end] == after[-1 - end]:
        end += 1
    return start, end


def text_lines(text: str) -> list[str]:
    """Return the lines of a text without their ends."""
    return [line.removesuffix("\n").removesuffix("\r") for line in lines_of(text)]


_Change = tuple[int, int, int, int]
"""First and last line, before and after."""


def _changes(before: Sequence[str], after: Sequence[str], offset: int) -> Iterator[_Change]:
    if not before and not after:
        return
    if len(before) + len(after) > _MOST_LINES:
        yield offset, offset + len(before), offset, offset + len(after)
        return
    for tag, first, last, new_first, new_last in SequenceMatcher(
        None, before, after, autojunk=False
    ).get_opcodes():
        if tag != "equal":
            yield first + offset, last + offset, new_first + offset, new_last + offset


def _groups(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    group: list[_Change] = []
    for change in changes:
        if group and change[0] - group[-1][1] > 2 * _CONTEXT:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _hunk(group: Sequence[_Change], before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    first = max(group[0][0] - _CONTEXT, 0)
    last = min(group[-1][1] + _CONTEXT, len(before))
    new_first = group[0][2] - (group[0][0] - first)
    new_last = group[-1][3] + (last - group[-1][1])
    yield f"@@ -{_range(first, last)} +{_range(new_first, new_last)} @@"
    position = first
    for start, end, new_start, new_end in group:
        yield from (f" {_shown_line(line)}" for line in before[position:start])
        removed, added = before[start:end], after[new_start:new_end]
        if len(removed) == len(added) == 1 and max(len(removed[0]), len(added[0])) > _LONG:
            yield from _long_pair(redacted(removed[0]), redacted(added[0]))
        else:
            yield from (f"-{_shown_line(line)}" for line in removed)
            yield from (f"+{_shown_line(line, own=True)}" for line in added)
        position = end
    yield from (f" {_shown_line(line)}" for line in before[position:last])


def _range(first: int, last: int) -> str:
    return f"{first + 1 if last > first else first},{last - first}"


def _shown_line(line: str, *, own: bool = False) -> str:
    # A tab has no effect but its width.
    text = "\t".join(map(safe, redacted(line).split("\t")))
    return text if own or len(text) <= _LONG else f"{text[:_LONG]}…"


def _long_pair(old: str, new: str) -> Iterator[str]:
    most = min(len(old), len(new))
    start = next((index for index in range(most) if old[index] != new[index]), most)
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    for mark, line in (("-", old), ("+", new)):
        left, right = max(start - _AROUND, 0), min(len(line) - end + _AROUND, len(line))
        yield f"{mark}{'…' if left else ''}{safe(line[left:right])}{'…' if right < len(line) else ''}"


_COLOURS = {"+": "32", "-": "31", "@": "36"}


def coloured(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a diff with the colours of a terminal."""
    for line in lines:
        colour = "1" if line.startswith(("+++", "---")) else _COLOURS.get(line[:1])
        yield f"\x1b[{colour}m{line}\x1b[0m" if colour else line
