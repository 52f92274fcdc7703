"""Rule `orphaned-delegator`: credentials are live whose delegator may no longer delegate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from shlex import quote as word

from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.ledger.select import LIVE
from jitid.model.ledger_rows import Selection
from jitid.values.times import format_time

# Search by each name: it may have become an alias after a credential was issued under it.
_DISABLED = f"""
    SELECT r.name, r.disabled_at, d.text, count(*), max(coalesce(c.superseded_at, c.expires_at))
      FROM delegator r CROSS JOIN delegator_name n CROSS JOIN term d CROSS JOIN credential c
     WHERE r.disabled_at IS NOT NULL AND n.delegator = r.id AND d.text = n.name AND c.delegator = d.id AND {LIVE}
     GROUP BY r.name, r.disabled_at, d.text ORDER BY r.name, d.text"""
# A root may have a name that the directory lacks, and a subject that the directory has by now.
_UNKNOWN = f"""
    SELECT d.text, live.credentials, live.last
      FROM (SELECT c.delegator AS delegator, count(*) AS credentials,
                   max(coalesce(c.superseded_at, c.expires_at)) AS last
              FROM credential c
             WHERE {LIVE} AND (c.proved_subject IS NULL OR NOT EXISTS (
                       SELECT 1 FROM term s CROSS JOIN delegator_name k
                        WHERE s.id = c.proved_subject AND k.name = s.text))
             GROUP BY c.delegator) live
     CROSS JOIN term d
     WHERE d.id = live.delegator AND NOT EXISTS (SELECT 1 FROM delegator_name n WHERE n.name = d.text)"""


_SUBJECTS = """
    SELECT r.name, r.disabled_at, n.name FROM delegator r CROSS JOIN delegator_name n
     WHERE r.disabled_at IS NOT NULL AND n.delegator = r.id AND n.name LIKE '% %'"""


def _disabled(context: RuleContext) -> list[tuple[str, int, str, int, int]]:
    """Return live credentials of disabled delegators, by name, and by subject that proved them under another name."""
    rows = [tuple(row) for row in context.query(_DISABLED)]
    subjects = {subject: (name, disabled_at) for name, disabled_at, subject in context.query(_SUBJECTS)}
    for subject, live in DirectoryStore(context.snapshot).live_credentials_of(subjects).items():
        rows.append((*subjects[subject], subject, *live))
    return sorted(rows)


def _find(context: RuleContext) -> Iterator[Finding]:
    for (name, disabled_at), rows in groupby(_disabled(context), itemgetter(0, 1)):
        *_, names, credentials, ends_at = zip(*rows, strict=True)
        reason = f"{name} was disabled at {format_time(disabled_at)}"
        yield _finding(name, reason, names, sum(credentials), max(ends_at), disabled_at)
    if context.limits.known_only:
        for name, credentials, last_expires_at in context.query(_UNKNOWN):
            reason = f"{name} is not in the directory, and only known delegators may delegate"
            yield _finding(name, reason, (name,), credentials, last_expires_at, None)


def _finding(
    name: str,
    reason: str,
    names: tuple[str, ...],
    credentials: int,
    last_expires_at: int,
    disabled_at: int | None,
) -> Finding:
    return RULE.finding(
        name,
        f"{reason}; their credentials are valid until {format_time(last_expires_at)}",
        since=disabled_at,
        credentials=credentials,
        evidence={
            "state": "unverified" if disabled_at is None else "disabled",
            "names": list(names),
            "disabled_at": disabled_at,
            "last_expires_at": last_expires_at,
        },
        remedy=f"jitid revoke --delegator {word(name)}",
        ends=Selection(delegators=names),
    )


RULE = Rule(
    name="orphaned-delegator",
    severity=Severity.HIGH,
    group=RuleGroup.ORPHAN,
    owasp=("NHI1",),
    title="live credentials of a disabled or unknown delegator",
    reports="a disabled delegator with live credentials; if the setting `delegators` is `known`, also an unknown "
    "delegator",
    spares="an unknown delegator if any delegator is permitted, and a disabled one without live credentials",
    examines="delegators of live credentials",
    find=_find,
    mended=True,
)
