"""The two facts about a credential that ended: since when the ledger refuses it, until when a verifier may accept it.

A verifier that holds the published keys accepts a signed credential until its expiry, even if the ledger refuses it.
No ledger knows all verifiers of an audience, nor whether each of them reads the status list. So a list or a revocation
never makes the second fact earlier than the latest signed expiry.
"""

from __future__ import annotations

from typing import Protocol

from jitid.values.times import format_duration, format_time

LEEWAY = 300
"""Seconds after the expiry for which a verifier may still accept a credential, because clocks differ.

Five minutes is the largest default of a widely used library, `TokenValidationParameters.ClockSkew` of .NET; others
have 0 or 60 seconds.
"""
LEEWAY_TEXT = format_duration(LEEWAY)


def accepted_until(expires_at: int) -> int:
    """Return the time from which no verifier accepts a signed credential that expires at `expires_at`."""
    return expires_at + LEEWAY


class TwoFacts(Protocol):
    """A record that has both facts."""

    @property
    def refused_since(self) -> int | None:
        """Since when the ledger refuses all of it; None while it accepts any of it."""

    @property
    def accepted_until(self) -> int | None:
        """The time from which no verifier accepts any of it; None while nothing bounds that."""


def sentence(facts: TwoFacts, now: int, subject: str = "it") -> str:
    """Return both facts in words, for something that the ledger refuses."""
    since, until = facts.refused_since, facts.accepted_until
    if since is None:
        return "not refused by the ledger yet"
    refused = f"refused by the ledger since {format_time(since)}"
    if until is None:
        return f"{refused}; the target has not confirmed the end, and may accept {subject}"
    if until > now:
        return f"{refused}; offline verifiers accept {subject} until {format_time(until)}"
    return f"{refused}; accepted by no verifier since {format_time(until)}"
