"""One finding of a report: the text that a scanner found, and where it was seen."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jitid.errors import UsageError
from jitid.model.leak import LONGEST_FINDER, LONGEST_REVISION, Sighting, fit_place
from jitid.redaction.token_format import name_holds_token
from jitid.values.record import Record
from jitid.values.times import parse_time

_MOST_LINES = 1 << 31
_LONGEST_TIME = 40
"""Maximum characters of a time; with a fraction of a second and an offset it has 35."""
_REDACTED = ("REDACTED", "[REDACTED")
"""Beginnings of the text that gitleaks, betterleaks and kingfisher write instead of a secret."""
_CUT = "..."
"""Text that gitleaks and betterleaks write after the visible part of a secret, with `--redact=50`."""


class ReportedFinding(Record):
    """A finding of a scanner in one place."""

    text: bytes
    """Text that may contain the string; empty if the report shows no text."""
    sighting: Sighting
    redacted: bool = False
    """Whether the report lacks the string or a part of it, and its fingerprint."""

    def __repr__(self) -> str:
        # The text contains the secret.
        return f"ReportedFinding({self.sighting!r}, redacted={self.redacted})"


def reported(texts: tuple[object, ...], sighting: Sighting, print_: object = None) -> ReportedFinding:
    """Return a finding from the texts that may contain its string.

    `print_` is the SHA-256 of the string in hexadecimal digits, if the scanner reports it. It replaces a string that
    is left out.
    """
    parts: list[str] = []
    redacted = False
    for text in texts:
        if not isinstance(text, str) or not text:
            continue
        if _is_redacted(text):
            redacted = True
        elif not parts or text not in parts[0]:
            parts.append(text)
    if redacted and isinstance(print_, str) and print_:
        parts.append(print_)
        redacted = False
    return ReportedFinding("\n".join(parts).encode("utf-8", "replace"), sighting, redacted)


def _is_redacted(text: str) -> bool:
    return text.startswith(_REDACTED) or (text.endswith(_CUT) and not any(map(str.isspace, text)))


def sighted(
    finder: str,
    rule: object,
    location: object,
    *,
    line: object = None,
    revision: object = None,
    found_at: object = None,
) -> Sighting:
    """Return the place and time of a finding from the values of a report; invalid values are left out."""
    return Sighting(
        fit_place(location if isinstance(location, str) else ""),
        line if type(line) is int and 0 < line < _MOST_LINES else None,
        _revision(revision),
        _time(found_at) if isinstance(found_at, str) and len(found_at) <= _LONGEST_TIME else None,
        _finder(finder[:LONGEST_FINDER], rule[:LONGEST_FINDER] if isinstance(rule, str) else ""),
    )


def member(value: object, *names: str) -> Any:  # noqa: ANN401 - JSON may be anything
    """Return the nested member at the path `names` of an object; None if there is none."""
    for name in names:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _revision(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_REVISION:
        return None
    # Most revisions are git commits.
    if not value.strip("0123456789abcdef"):
        return value
    return value if value.isascii() and value.isprintable() and not name_holds_token(value) else None


# Most findings of a report repeat the same few scanners, rules and commits.
@lru_cache(maxsize=1_024)
def _finder(finder: str, rule: str) -> str:
    return fit_place(f"{finder} {rule}".rstrip())[:LONGEST_FINDER]


@lru_cache(maxsize=1_024)
def _time(text: str) -> int | None:
    # A date without a time, as kingfisher writes for a commit, is left out: it would be earlier than a credential that
    # was issued on that day. trufflehog uses Go's format: 2026-11-24 12:00:00 +0000.
    text = text.strip()
    if len(text) == 25 and text[10] == text[19] == " ":
        text = f"{text[:10]}T{text[11:19]}{text[20:23]}:{text[23:]}"
    try:
        return parse_time(text)
    except UsageError:
        return None
