"""Strings that break programs: the Big List of Naughty Strings, and additions for this domain."""

from __future__ import annotations

import json
from pathlib import Path

_BLNS = Path(__file__).parent.parent / "vectors" / "blns" / "blns.json"

NAUGHTY: list[str] = json.loads(_BLNS.read_text(encoding="utf-8"))

# Characters that must never count as a letter, a digit, a separator or nothing, in any field.
INTRUDERS = [
    "\x00",
    "\n",
    "\r",
    "\t",
    "\x1b[31m",
    "\x7f",
    "\x9b",
    "\xa0",
    "\xad",
    "\u0430",  # a Cyrillic letter that looks like a Latin one
    "\u0661",  # an Arabic digit one
    "\u200b",
    "\u202e",
    "\u2028",
    "\u2215",  # Looks like a slash.
    "\u3164",
    "\ua789",  # Looks like a colon.
    "\ufeff",
    "\uff11",  # a full-width digit one
    "\ud800",
    "\U000e0041",
    "\U0001d7cf",  # a bold digit one
]
