"""Verbs declared for `cli/sweep`."""

from __future__ import annotations

from jitid.capabilities.sweep.operations import RULE
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
        raise UsageError("--target-timeout is an hour at most; nothing was asked")
    return seconds


RULE_NAME = typed_as(RULE, parse=_rule)
TIMEOUT = typed_as(DURATION, parse=_timeout)


class SweepCommand(Verb):
    """Find what should not be alive, and end it with --fix.

    A sweep records what has expired. What has ended before is ended at its target too, where that is still to be
    done. Nothing else is changed without --fix, which ends orphans and what leaked; what other rules find it ends
    only if --rule names them. Exit status
    10 says that something is left at or above --fail-on, 11 that something could not be examined; the output says
    what. --list-rules explains each rule. --format takes sarif, prometheus and html as well. With --quiet, lines tell
    of nothing that was examined completely, and of no `info`.
    """

    verb = "sweep"
    function = "sweep.sweep:sweep"
    formats = ("sarif", "prometheus", "html")

    rule: tuple[str, ...] = opts(RULE_NAME, "--rule", help="Ask this rule only; repeatable.")
    skip: tuple[str, ...] = opts(RULE_NAME, "--skip", help="Leave this rule out; repeatable.")
    target: tuple[str, ...] = opts(NAME, "--target", help="Ask this target only; repeatable.")
    target_timeout: int = opt(
        TIMEOUT, "--target-timeout", help="How long each target may take (default: 60s).", absent=60
    )
    fail_on: str = opt(
        choice("info", "low", "medium", "high", "critical", metavar="SEVERITY", label="severity"),
        "--fail-on",
        help="End with 10 if a finding is so grave or graver (default: high).",
        absent="high",
    )
    since: int | None = opt(TIME, "--since", help="Only what has been so since TIME (RFC 3339) or later.")
    baseline: str | None = opt(FILE, "--baseline", help="Findings that are in FILE are known, and no news.")
    update_baseline: bool = flag("--update-baseline", help="Write what is left to the baseline.")
    fix: bool = flag("--fix", help="End orphans and what leaked; others if --rule names them.")
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = yes_flag()
    out: str | None = opt(FILE, "--out", help="Write to FILE, whole or not at all (0600; prometheus: 0644).")
    head_out: str | None = opt(
        FILE, "--head-out", help="Read on from the signed audit head in FILE (all, if it is new); renew it."
    )
    canary: bool = flag(
        "--canary", help="Make, see, revoke and see again a credential without rights of each kind."
    )
    list_rules: bool = flag("--list-rules", help="Explain the rules, and ask none.")


class ReportCommand(Verb):
    """Tell the state of identity sprawl.

    What is alive by kind, task, agent, delegator and sensitivity; how long it lives, how long it outlives its
    task, how much of it was never used; how long leaked secrets went on working; what to end first. With
    --format html it is one page that asks nothing of any network; with --format prometheus it is a file for the
    node exporter's textfile collector.
    """

    verb = "report"
    function = "sweep.report:report"
    effect = READS
    view = Columns("jitid.report/1", " ".join(Totals._fields), single=True)
    formats = ("html", "prometheus")

    at: int | None = opt(TIME, "--at", help="Report that time from what the ledger remembers (default: now).")
    days: int | None = opt(COUNT, "--days", help="For how many days to tell the trend (default 30).")
    out: str | None = opt(FILE, "--out", help="Write it to FILE: mode 0600, and 0644 what is for Prometheus.")


class ScheduleSystemdCommand(Verb):
    """Print a hardened systemd service and its timer that run `jitid sweep`.

    The options of the sweep stand after `--`, and are checked now. Ledger and configuration are those of this
    line. The service belongs to the system and runs as the owner of the ledger; findings (10) are no failure of it.
    """

    verb = "schedule systemd"
    function = "sweep.schedule:systemd"
    effect = READS
    changes_with = ("folder",)

    option: tuple[str, ...] = args(TEXT, "[OPTION]...", help="Options of `jitid sweep`, after `--`.")
    every: int = opt(DURATION, "--every", help="How often it runs (default: 10m).", absent=600)
    name: str = opt(
        NAME, "--name", help="The name of the units (default: jitid-sweep).", absent="jitid-sweep"
    )
    folder: str | None = opt(FOLDER, "--out", help="Write both units into DIR, instead of printing them.")


class ScheduleCronCommand(Verb):
    """Print a crontab line that runs `jitid sweep`.

    The options of the sweep stand after `--`, and are checked now. Ledger and configuration are those of this
    line. It is for the crontab of the ledger's owner; cron sends by mail what the sweep prints.
    """

    verb = "schedule cron"
    function = "sweep.schedule:cron"
    effect = READS

    option: tuple[str, ...] = args(TEXT, "[OPTION]...", help="Options of `jitid sweep`, after `--`.")
    every: int = opt(DURATION, "--every", help="How often it runs (default: 10m).", absent=600)
