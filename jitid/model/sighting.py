"""A place where a leaked string was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.redaction.token_format import MASK, MAX_TOKEN, names_token

if TYPE_CHECKING:
    import re

LONGEST_PLACE = 1_000
"""The maximum length of a place in bytes of UTF-8; a longer place keeps its end, which names the file."""
LONGEST_FINDER = 100
LONGEST_REVISION = 64
MOST_PLACES = 100
"""The maximum number of places kept for a leak; further places are only counted."""


class Sighting(NamedTuple):
    """One place where a string was seen."""

    place: str
    """A path within the searched material, or the address of a page."""
    line: int | None = None
    """Counted from 1."""
    revision: str | None = None
    """The commit that contains the string."""
    found_at: int | None = None
    """When the string was there, in seconds since the epoch: the time of the commit or of its discovery.

    None if the finder does not state it.
    """
    finder: str | None = None
    """The tool that found it, with its rule: `gitleaks jitid-token`."""


def fit_place(text: str) -> str:
    """Return a place in the form that is recorded: cut to the maximum length, without recognizable secrets.

    Paths and addresses come from others. Some contain a jitid token, some a user and a password (RFC 3986, section
    3.2.1).
    """
    # Keep the length of one more token at first: a token that is cut in two would not be recognized.
    text = text[-LONGEST_PLACE - MAX_TOKEN :].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if names_token(text):
        import re  # few places hold one

        text = re.sub(r"(?:[\w.-]|%5[fF]){16,}", _concealed, text, flags=re.ASCII)
        if names_token(text):
            # No single word matches: the token is interrupted by another character.
            text = MASK
    if "://" in text and "@" in text:
        import re

        text = re.sub(r"(://)[^/?#\s@]*@", r"\1****@", text)
    return text[-LONGEST_PLACE:]


def _concealed(found: re.Match[str]) -> str:
    return "****" if names_token(found[0]) else found[0]
