"""Rule `exchanged-valid`: vendors may still accept tokens that they exchanged for credentials that have ended."""

from __future__ import annotations

from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import DEATH, EXCHANGED
from jitid.model.credential import LEEWAY, LEEWAY_TEXT
from jitid.values.text import number_of
from jitid.values.times import format_time

# One row an audience: a fleet ends thousands of them an hour. A live identity may obtain further tokens anyway.
_QUESTION = f"""
    SELECT au.text, count(*), min({DEATH}), max({EXCHANGED})
      FROM credential c CROSS JOIN term au
     WHERE c.exchange_life IS NOT NULL AND c.expires_at + c.exchange_life > :now - {LEEWAY}
       AND c.claims_hash IS NOT NULL AND au.id = c.audiences
       AND NOT EXISTS (SELECT 1 FROM credential l WHERE l.identity = c.identity AND l.ended_at IS NULL
                          AND l.expires_at > :now AND (l.superseded_at IS NULL OR l.superseded_at > :now))
     GROUP BY au.text ORDER BY au.text"""


def _find(context: RuleContext) -> Iterator[Finding]:
    for audience, credentials, ended_at, until in context.query(_QUESTION):
        tokens = number_of(credentials, "ended token")
        yield RULE.finding(
            audience,
            f"{tokens} for {audience}, the first since {format_time(ended_at)}: the vendor may accept "
            f"exchanged tokens until {format_time(until)}, which cannot be recalled",
            since=ended_at,
            credentials=credentials,
            evidence={"audience": audience, "ended_at": ended_at, "exchanged_until": until},
        )


RULE = Rule(
    name="exchanged-valid",
    severity=Severity.INFO,
    group=RuleGroup.VALID,
    owasp=("NHI1",),
    title="ended, but exchanged before",
    reports="tokens of ended identities for a vendor that exchanges them: it may still accept the exchanged tokens",
    spares="tokens of an identity that is live, tokens for services without a vendor, and opaque tokens",
    examines="tokens for vendors, until the longest lifetime of exchanged tokens has passed, and "
    f"{LEEWAY_TEXT} more",
    find=_find,
)
