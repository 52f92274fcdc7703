"""Strings that break programs: the Big List of Naughty Strings, and what belongs to this domain."""

from __future__ import annotations

import json
from pathlib import Path

_BLNS = Path(__file__).parent.parent / "vectors" / "blns" / "blns.json"

NAUGHTY: list[str] = json.loads(_BLNS.read_text(encoding="utf-8"))

# What must not pass for a letter, a digit, a separator or nothing at all, in any field.
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
    "\u2215",  # a slash to the eye
    "\u3164",
    "\ua789",  # a colon to the eye
    "\ufeff",
    "\uff11",  # a full-width digit one
    "\ud800",
    "\U000e0041",
    "\U0001d7cf",  # a bold digit one
]
