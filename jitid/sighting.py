"""Where something that leaked was seen."""

from __future__ import annotations

from typing import NamedTuple

LONGEST_PLACE = 1_000
"""How many characters a place has at most; of a longer one the end counts, which names the file."""
LONGEST_FINDER = 100
LONGEST_REVISION = 64


class Sighting(NamedTuple):
    """One place where a string was seen."""

    place: str
    """A path, within whatever was searched, or the address of a page."""
    line: int | None = None
    """Counted from 1."""
    revision: str | None = None
    """The commit that has it there."""
    found_at: int | None = None
    """When the finder says that it saw it, in seconds since the epoch; None where it says nothing."""
    finder: str | None = None
    """Who found it, with the rule: `gitleaks jitid-token`."""
