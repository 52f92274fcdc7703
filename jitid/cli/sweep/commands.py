"""Verbs declared for `cli/sweep`."""

from __future__ import annotations

from jitid.capabilities.sweep.operations import FINGERPRINT, RULE
from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.survey import Totals
from jitid.operation.base import READS, Verb, dry_run_flag, max_opt, yes_flag
from jitid.values.declaration import args, flag, opt, opts
from jitid.values.field_types import COUNT, DURATION, FILE, FOLDER, NAME, TEXT, TIME, choice, typed_as
from jitid.values.text import quote

EXPLAINED = Columns(
    "jitid.sweep-rules/1", "rule severity group owasp title reports spares examines fixed_unasked"
)
"""The view of `--list-rules`."""
FINDINGS = Columns(
    "jitid.sweep/1",
    "state severity rule subject since credentials summary remedy event ended_at ended_credentials sweep proof "
    "offline_until fingerprint evidence",
)
MAX_TIMEOUT = 3_600
"""Seconds."""


def _rule(text: str, _label: str) -> str:
    from jitid.capabilities.sweep.rules import NAMES
    from jitid.config.settings import nearest

    if text not in NAMES:
        raise UsageError(f"there is no rule {quote(text)}", nearest(text, tuple(NAMES)))
    return text


def _timeout(text: str, label: str) -> int:
    seconds = DURATION.parse(text, label)
    if seconds > MAX_TIMEOUT:
        raise UsageError("--target-timeout must be at most 1h; nothing was changed")
    return seconds


RULE_NAME = typed_as(RULE, parse=_rule)
TIMEOUT = typed_as(DURATION, parse=_timeout)


class SweepCommand(Verb):
    """Find credentials that should not be live; --fix revokes.

    A sweep records expired credentials, and retries open revocations at targets. Only --fix changes more: it
    revokes orphaned and leaked credentials, and findings that --rule or --finding names. Exit status 10: findings
    at or above --fail-on are left; 11: the sweep is incomplete. --list-rules explains the rules. --format also
    accepts sarif, prometheus and html. In a pipe, --verbose adds completed checks, and --quiet hides `info`
    findings.
    """

    verb = "sweep"
    function = "sweep.sweep:sweep"
    formats = ("sarif", "prometheus", "html")

    rule: tuple[str, ...] = opts(RULE_NAME, "--rule", help="Run only this rule; repeatable.")
    skip: tuple[str, ...] = opts(RULE_NAME, "--skip", help="Skip this rule; repeatable.")
    target: tuple[str, ...] = opts(NAME, "--target", help="Query only this target; repeatable.")
    target_timeout: int = opt(
        TIMEOUT, "--target-timeout", help="Time limit for each target (default: 60s).", absent=60
    )
    fail_on: str = opt(
        choice("info", "low", "medium", "high", "critical", metavar="SEVERITY", label="severity"),
        "--fail-on",
        help="Lowest severity that exits 10 (default: high).",
        absent="high",
    )
    since: int | None = opt(TIME, "--since", help="Only findings since TIME, or a duration ago.")
    finding: str | None = opt(FINGERPRINT, "--finding", help="Only the finding with this fingerprint.")
    baseline: str | None = opt(FILE, "--baseline", help="Do not count the known findings in FILE.")
    update_baseline: bool = flag("--update-baseline", help="Write the findings to the baseline.")
    fix: bool = flag("--fix", help="Revoke orphaned and leaked credentials.")
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = yes_flag()
    out: str | None = opt(FILE, "--out", "-o", help="Write FILE atomically (0600; prometheus: 0644).")
    head_out: str | None = opt(
        FILE, "--head-out", help="Check the audit log from the head in FILE on; renew FILE."
    )
    canary: bool = flag("--canary", help="Issue, probe and revoke test credentials.")
    list_rules: bool = flag("--list-rules", help="Explain the rules without running them.")

    def may_page(self) -> bool:
        """Return whether a terminal shows long output of this line in a pager."""
        return not self.fix


class ReportCommand(Verb):
    """Report identity sprawl.

    The report has the live credentials by kind, task, agent, delegator and sensitivity; lifetimes, also after
    the end of a task; unused identities; the exposure of leaked secrets; and the most severe findings.
    --format html makes one self-contained page. --format prometheus makes a file for the textfile collector of
    the node exporter.
    """

    verb = "report"
    function = "sweep.report:report"
    effect = READS
    view = Columns("jitid.report/1", " ".join(Totals._fields), single=True)
    formats = ("html", "prometheus")

    at: int | None = opt(TIME, "--at", help="Report on TIME, or a duration ago (now).")
    days: int | None = opt(COUNT, "--days", help="Number of days in the trend (default: 30).")
    out: str | None = opt(FILE, "--out", "-o", help="Write FILE atomically (0600; prometheus: 0644).")


class ScheduleSystemdCommand(Verb):
    """Print a systemd service and timer that run `jitid sweep`.

    Options after `--` are options of the sweep; they are checked now. The service uses the ledger and the
    configuration of this command. It is a hardened system service, and runs as the owner of the ledger. Findings
    (exit status 10) are not a failure of the service.
    """

    verb = "schedule systemd"
    function = "sweep.schedule:systemd"
    effect = READS
    changes_with = ("folder",)

    option: tuple[str, ...] = args(TEXT, "[OPTION]...", help="Options of `jitid sweep`, after `--`.")
    every: int = opt(DURATION, "--every", help="Interval (default: 10m).", absent=600)
    name: str = opt(NAME, "--name", help="Name of the units (default: jitid-sweep).", absent="jitid-sweep")
    folder: str | None = opt(FOLDER, "--out", "-o", help="Write both units to DIR instead of printing.")


class ScheduleCronCommand(Verb):
    """Print a crontab line that runs `jitid sweep`.

    Options after `--` are options of the sweep; they are checked now. The line uses the ledger and the
    configuration of this command. Add it to the crontab of the owner of the ledger. cron mails the output of the
    sweep.
    """

    verb = "schedule cron"
    function = "sweep.schedule:cron"
    effect = READS

    option: tuple[str, ...] = args(TEXT, "[OPTION]...", help="Options of `jitid sweep`, after `--`.")
    every: int = opt(DURATION, "--every", help="Interval (default: 10m).", absent=600)
