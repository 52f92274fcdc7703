"""Alive, and the `run` that was to take it away is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from jitid.identifier import identity_id
from jitid.ledger.records import Selection
from jitid.lifetime import format_time
from jitid.process import Liveness, Process
from jitid.processes import liveness, this_process
from jitid.sweep.finding import Finding, Severity
from jitid.sweep.rule import Group, Rule, Sight

_QUESTION = """
    SELECT i.uid, a.text, t.name, held.credentials, held.last, p.host, p.boot, p.namespace, p.pid, p.started
      FROM (SELECT c.identity AS identity, count(*) AS credentials, max(coalesce(c.superseded_at, c.expires_at)) AS last
              FROM suspect CROSS JOIN credential c
             WHERE suspect.marks & :mark <> 0 AND c.id = suspect.credential GROUP BY c.identity) held
     CROSS JOIN process p CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t
     WHERE p.identity = held.identity AND i.id = held.identity AND a.id = i.agent AND t.id = i.task"""


def _find(sight: Sight) -> Iterator[Finding]:
    here = this_process()
    unseen: Counter[str] = Counter()
    for uid, agent, task, credentials, last, host, boot, namespace, pid, started in sight.suspects(
        RULE, _QUESTION
    ):
        process = Process(host, boot, namespace, pid, started, kept=False)
        state = liveness(process, here)
        if state is Liveness.UNKNOWN:
            unseen[host] += 1
        elif state is Liveness.GONE:
            identity = identity_id(uid)
            yield RULE.finding(
                identity,
                f"the `run` of {agent} on {task} (process {pid} of {host}) is gone, and what it gave lives until "
                f"{format_time(last)}",
                credentials=credentials,
                evidence={
                    "agent": agent,
                    "task": task,
                    "host": host,
                    "boot": boot,
                    "namespace": namespace,
                    "pid": pid,
                    "started": started,
                    "last_expires_at": last,
                },
                remedy=f"jitid revoke {identity}",
                ends=Selection(ids=(identity,)),
            )
    for host, count in unseen.items():
        who = "1 wrapper" if count == 1 else f"{count} wrappers"
        sight.missed(
            f"{who} on {host} cannot be seen from here: sweep there as well, in the same container, or leave this out "
            "with --skip orphaned-process"
        )


RULE = Rule(
    name="orphaned-process",
    severity=Severity.HIGH,
    group=Group.ORPHAN,
    owasp=("NHI1",),
    title="alive after its process",
    reports="an identity that `run` made, whose wrapper is no longer there to end it",
    spares="one whose wrapper runs, or that was to outlive it (--on-exit keep)",
    examines="wrappers of live credentials, as seen from this machine",
    find=_find,
    suspect="EXISTS (SELECT 1 FROM process p WHERE p.identity = c.identity AND p.kept = 0)",
    mended=True,
)
