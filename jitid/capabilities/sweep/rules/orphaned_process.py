"""Rule `orphaned-process`: a live credential of a `run`, a session or a program whose process is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from jitid.capabilities.sweep.finding import Finding, Severity
from jitid.capabilities.sweep.rule import Rule, RuleContext, RuleGroup
from jitid.model.ledger_rows import Selection
from jitid.model.process import Liveness, Process, silent_from
from jitid.system.processes import liveness, this_process
from jitid.values.ids import identity_id
from jitid.values.text import number_of
from jitid.values.times import format_time

# The wrapper renews the kind with which the identity began. The command requested all other kinds.
_RENEWED = "(SELECT f.kind FROM credential f WHERE f.identity = i.id ORDER BY f.id LIMIT 1)"
_QUESTION = f"""
    SELECT i.uid, a.text, t.name, held.credentials, held.last, p.host, p.boot, p.namespace, p.pid, p.started,
           p.renews_until, i.depth, n.issued_at, n.expires_at,
           (SELECT s.client FROM session s WHERE s.identity = i.id)
      FROM (SELECT c.identity AS identity, count(*) AS credentials, max(coalesce(c.superseded_at, c.expires_at)) AS last
              FROM suspect CROSS JOIN credential c
             WHERE suspect.marks & :mark <> 0 AND c.id = suspect.credential GROUP BY c.identity) held
     CROSS JOIN process p CROSS JOIN identity i CROSS JOIN term a CROSS JOIN task t CROSS JOIN credential n
     WHERE n.id = (SELECT max(r.id) FROM credential r WHERE r.identity = i.id AND r.kind = {_RENEWED})
       AND p.identity = held.identity AND i.id = held.identity AND a.id = i.agent AND t.id = i.task"""


def _find(context: RuleContext) -> Iterator[Finding]:
    own_process = this_process()
    unseen: Counter[str] = Counter()
    for uid, agent, task, credentials, last_expires_at, *process_row in context.suspects(RULE, _QUESTION):
        host, boot, namespace, pid, started, renews_until, depth, issued_at, expires_at, client = process_row
        process = Process(host, boot, namespace, pid, started, kept=False, renews_until=renews_until)
        state, silent = liveness(process, own_process), False
        if state is Liveness.UNKNOWN and renews_until:
            # After `silent_from`, a live wrapper would have renewed. If the credential lasts until `renews_until`, no
            # renewal is left.
            silent = expires_at < renews_until and context.now >= silent_from(issued_at, expires_at, depth)
            state = Liveness.GONE if silent else Liveness.ALIVE
        if state is Liveness.UNKNOWN:
            unseen[host] += 1
        elif state is Liveness.GONE:
            identity = identity_id(uid)
            observation = f"has not renewed since {format_time(issued_at)}" if silent else "is gone"
            yield RULE.finding(
                identity,
                f"the {'holder' if client is None else 'session'} of {agent} on {task} (process {pid} of {host}) "
                f"{observation}, but its credentials are "
                f"valid until {format_time(last_expires_at)}",
                credentials=credentials,
                evidence={
                    "agent": agent,
                    "task": task,
                    "host": host,
                    "boot": boot,
                    "namespace": namespace,
                    "pid": pid,
                    "started": started,
                    "last_expires_at": last_expires_at,
                    **({"renewed_at": issued_at} if silent else {}),
                },
                remedy=f"jitid revoke {identity}",
                ends=Selection(ids=(identity,)),
            )
    for host, count in unseen.items():
        wrappers = number_of(count, "wrapper")
        context.missed(
            f"{wrappers} on {host} cannot be seen from here and will not renew; sweep there too, in the same "
            "container, or use --skip orphaned-process"
        )


RULE = Rule(
    name="orphaned-process",
    severity=Severity.HIGH,
    group=RuleGroup.ORPHAN,
    owasp=("NHI1",),
    title="live credentials of an ended process",
    reports="a live identity of `run`, a session or a Python program whose process is gone or does not renew",
    spares="an identity with a wrapper that runs or renewed in time, and an identity kept by --on-exit keep",
    examines="wrappers of live credentials: processes on this machine, the last renewal on others",
    find=_find,
    suspect="EXISTS (SELECT 1 FROM process p WHERE p.identity = c.identity AND p.kept = 0)",
    mended=True,
)
