"""Where something that leaked was seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from jitid.redaction.token_format import MASK, MAX_TOKEN, names_token

if TYPE_CHECKING:
    import re

LONGEST_PLACE = 1_000
"""How many bytes a place has at most, as UTF-8; of a longer one the end counts, which names the file."""
LONGEST_FINDER = 100
LONGEST_REVISION = 64
MOST_PLACES = 100
"""So many places of a leak are kept; of more it is counted how many there were."""


class Sighting(NamedTuple):
    """One place where a string was seen."""

    place: str
    """A path, within whatever was searched, or the address of a page."""
    line: int | None = None
    """Counted from 1."""
    revision: str | None = None
    """The commit that has it there."""
    found_at: int | None = None
    """When it stood there, in seconds since the epoch: the time of the commit, or when the finder saw it; None where
    it says nothing."""
    finder: str | None = None
    """Who found it, with the rule: `gitleaks jitid-token`."""


def fit_place(text: str) -> str:
    """Return a place as it may be kept: as much of it as there is room for, and no secret in it that can be told.

    Paths and addresses are written by others: some have a token of ours in them, some a user and a password
    (RFC 3986, section 3.2.1).
    """
    # As much more of it as a token has room in: one that is cut in two would not be known again.
    text = text[-LONGEST_PLACE - MAX_TOKEN :].encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    if names_token(text):
        import re  # few places hold one

        text = re.sub(r"(?:[\w.-]|%5[fF]){16,}", _concealed, text, flags=re.ASCII)
        if names_token(text):
            # Its words show none: something breaks it.
            text = MASK
    if "://" in text and "@" in text:
        import re

        text = re.sub(r"(://)[^/?#\s@]*@", r"\1****@", text)
    return text[-LONGEST_PLACE:]


def _concealed(found: re.Match[str]) -> str:
    return "****" if names_token(found[0]) else found[0]
