"""The completion of each value of an option or an argument; a test fails if a new value is in no table."""

from __future__ import annotations

from typing import Literal, NamedTuple

from jitid.capabilities.scan.reports.any_report import ReportFormat
from jitid.capabilities.sweep.finding import SEVERITIES
from jitid.capabilities.sweep.rules import NAMES
from jitid.cli import record_rows
from jitid.cli.directory import (
    access_rows,
    agent_advice,
    agent_rows,
    agent_verbs,
    delegator_import,
    delegator_rows,
    roster_file,
)
from jitid.cli.helper import docker, git
from jitid.cli.identity import explain, inspect, revoke, task_verbs, tree, verdict_rows
from jitid.cli.identity import list as listing
from jitid.cli.issue import approval_rows, request_input, run
from jitid.cli.leak import (
    adopt_file,
    adopt_rows,
    adopt_suggest,
    leak_rows,
    leak_timeline,
    scan,
    scan_rows,
    scan_rules,
    timeline_rows,
    trace_rows,
)
from jitid.cli.ledger import (
    audit_actions,
    audit_verbs,
    doctor,
    keys_verbs,
    keys_x509,
    ledger_backup,
    ledger_check,
    ledger_copy,
    ledger_issuer,
    prune,
    publish,
)
from jitid.cli.policy import policy_diff, policy_trial, policy_verbs
from jitid.cli.setup import completion
from jitid.cli.sweep import report, sweep, sweep_rows
from jitid.config.settings import COLOURS, FORMATS, LOG_FORMATS, SETTINGS
from jitid.crypto.jws import ALGORITHMS
from jitid.keys.keyring import USES
from jitid.ledger.select import SORT_KEYS
from jitid.model.caller import ROLES
from jitid.model.credential import MADE, Kind, State
from jitid.model.process import Liveness
from jitid.model.task import SENSITIVITIES
from jitid.system.installed_files import SHELLS
from tests.generate.tree import Argument, Option, Verb

Source = Literal[
    "ids",
    "tasks",
    "agents",
    "records",
    "delegators",
    "known",
    "keys",
    "approvals",
    "access",
    "adopted",
    "leaks",
    "kinds",
    "files",
    "folders",
    "command",
    "setting",
]


class Value(NamedTuple):
    """A source of candidates for a value: fixed words, or names that a shell looks up; neither for free text."""

    words: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


NOTHING = Value()
IDS = Value(sources=("ids",))
TASKS = Value(sources=("tasks",))
AGENTS = Value(sources=("agents",))
RECORDS = Value(sources=("records",))
"""Agents that are or were registered."""
DELEGATORS = Value(sources=("delegators",))
KNOWN = Value(sources=("known",))
"""Delegators in the directory."""
KEYS = Value(sources=("keys",))
ACCESS = Value(sources=("access",))
ADOPTED = Value(sources=("adopted",))
LEAKS = Value(sources=("leaks",))
APPROVALS = Value(sources=("approvals",))
KINDS = Value(sources=("kinds",))
"""Kinds of credential, with the templates of the configuration."""
FILES = Value(sources=("files",))
FOLDERS = Value(sources=("folders",))
COMMAND = Value(sources=("command",))
"""A nested command line: the rest of the line is completed like a separate command."""
SETTING = Value(sources=("setting",))
"""The value of the setting that the previous word names."""


def _words(*words: str) -> Value:
    return Value(words=words)


METAVARS: dict[str, Value] = {
    "ACCESS": ACCESS,
    "ACTION": NOTHING,
    "CALLER=AUD": NOTHING,
    "RULE": _words(*NAMES),
    "SEVERITY": _words(*SEVERITIES),
    "ALG": _words(*sorted(ALGORITHMS)),
    "USE": _words(*USES),
    "TARGET/KEY": NOTHING,
    "AUD": NOTHING,
    "CMD": COMMAND,
    "DELEGATOR": KNOWN,
    "BACKUP": FILES,
    "DIR": FOLDERS,
    "DIR|FILE": FILES,
    "DURATION": NOTHING,
    "FILE": FILES,
    "FILE|DIR": FILES,
    "FMT": _words(*FORMATS),
    "FORM": _words(*roster_file.FORMS),
    "GROUP": NOTHING,
    "TEMPLATE": NOTHING,
    "HEX": NOTHING,
    "HOST:PORT": NOTHING,
    "ID": IDS,
    "ISS": NOTHING,
    "ID|FILE": Value(sources=("ids", "files")),
    "JSON": NOTHING,
    "KEY": _words(*SETTINGS),
    "KID": KEYS,
    "KIND": _words(*Kind),
    "LEVEL": _words(*SENSITIVITIES),
    "LOGIN": NOTHING,
    "N": NOTHING,
    "MODE": NOTHING,
    "NAME=KIND": NOTHING,
    "NEW": FILES,
    "OLD": FILES,
    "OPTION": NOTHING,
    "PATH": FILES,
    "REQUEST": APPROVALS,
    "PROOF": _words(*listing.PROOFS),
    "ROLE": _words(*ROLES),
    "SCOPE": NOTHING,
    "SHAPE": _words(*tree.SHAPES),
    "SHELL": _words(*SHELLS),
    "STATE": _words(*State),
    "SUBJECT": NOTHING,
    "TASK": TASKS,
    "TEXT": NOTHING,
    "TIME": NOTHING,
    "TRACE": NOTHING,
    "URL": FOLDERS,
    "VAR": NOTHING,
    "WHAT": _words(*run.ON_EXIT),
    "WHEN": NOTHING,
    "WHOSE": ACCESS,
}
"""By the placeholder of the value in the help. `NAME` can be several things: the other tables define it by option."""

OPTIONS: dict[str, Value] = {
    "--may-act": NOTHING,
    "--agent": AGENTS,
    "--alias": NOTHING,
    "--delegator": DELEGATORS,
    "--manager": DELEGATORS,
    "--operation": NOTHING,
    "--profile": NOTHING,
    "--remove-alias": NOTHING,
    "--task": TASKS,
}
"""By the option, for all verbs."""

VERBS: dict[tuple[str, str], Value] = {
    **{
        (f"agent {verb}", "NAME"): RECORDS
        for verb in ("change", "show", "review", "suspend", "resume", "unregister")
    },
    **{(f"adopt {verb}", "NAME"): ADOPTED for verb in ("add", "show", "change", "probe", "suggest", "ended")},
    **{(f"leak {verb}", "ID"): LEAKS for verb in ("show", "timeline", "close")},
    ("adopt add", "--as"): _words(*adopt_file.FORMS),
    ("adopt add", "--target"): NOTHING,
    ("adopt change", "--target"): NOTHING,
    ("adopt list", "--owner"): DELEGATORS,
    **{(f"agent {verb}", "--kind"): _words(*MADE) for verb in ("register", "change")},
    **{(f"agent {verb}", "NAME"): AGENTS for verb in ("register", "classify", "suggest")},
    ("access grant", "NAME"): DELEGATORS,
    ("access list", "--name"): DELEGATORS,
    ("agent change", "--clear"): _words(*agent_verbs.CLEARED),
    ("agent list", "--after"): RECORDS,
    ("agent list", "--state"): _words(*agent_verbs.STATES),
    ("audit export", "--format"): _words(*audit_verbs.EXPORTS),
    ("audit log", "--rule"): NOTHING,
    ("audit log", "--sweep"): NOTHING,
    ("config set", "VALUE"): SETTING,
    ("delegator add", "NAME"): DELEGATORS,
    ("delegator change", "NAME"): KNOWN,
    ("delegator disable", "NAME"): KNOWN,
    ("delegator enable", "NAME"): KNOWN,
    ("delegator show", "NAME"): KNOWN,
    ("delegator list", "--after"): KNOWN,
    ("list", "--process"): _words(*Liveness),
    ("list", "--sort"): _words(*SORT_KEYS, *(f"-{name}" for name in SORT_KEYS)),
    ("policy show", "RULE"): NOTHING,
    ("policy test", "--policy"): FILES,
    ("keys bundle", "--format"): _words(*keys_x509.BUNDLES),
    ("keys crl", "--format"): _words(*keys_x509.LISTS),
    ("leak add", "--report-format"): _words(*(each.value for each in ReportFormat)),
    ("leak timeline", "--format"): _words(*FORMATS, *leak_timeline.FORMATS),
    ("report", "--format"): _words(*FORMATS, *report.FORMATS),
    ("scan", "--format"): _words(*FORMATS, *scan.OWN_FORMATS),
    ("scan", "--commits"): NOTHING,
    ("scan", "--only"): _words(*scan.FORMS),
    ("scan", "--rules"): _words(*scan_rules.SCANNERS),
    ("scan", "--authority"): NOTHING,
    ("sweep", "--format"): _words(*FORMATS, *sweep.OWN_FORMATS),
    ("sweep", "--target"): NOTHING,
    ("helper pgpass", "--service"): NOTHING,
    ("schedule systemd", "--name"): NOTHING,
    ("serve", "--log-format"): _words(*LOG_FORMATS),
    ("serve", "--public-url"): NOTHING,
    **{(verb, "--kind"): KINDS for verb in ("issue", "run", "helper git", "helper kube", "helper docker")},
    ("helper git", "OPERATION"): _words(*git.OPERATIONS),
    ("ledger issuer", "ACTION"): _words(*ledger_issuer.ACTIONS),
    ("helper docker", "OPERATION"): _words(*docker.OPERATIONS),
    ("task list", "--after"): TASKS,
    ("task share", "--with"): DELEGATORS,
    ("agent register", "--may-use"): DELEGATORS,
    ("agent change", "--may-use"): DELEGATORS,
    ("task list", "--state"): _words(*task_verbs.STATES),
    ("tree", "--format"): _words(*FORMATS, *tree.SHAPES),
}
"""By the verb, and the option or the argument's name."""

FIELDS: dict[str, tuple[str, ...]] = {
    "issue": request_input.FIELDS,
    "run": (),
    "mcp": (),
    "serve": (),
    "renew": request_input.FIELDS,
    "verify": (),
    "authorize": verdict_rows.FIELDS,
    "inspect": inspect.FIELDS,
    "list": (*record_rows.CREDENTIAL, "left"),
    "tree": tree.FIELDS,
    "revoke": revoke.FIELDS,
    "retire": revoke.FIELDS,
    "trace": trace_rows.FIELDS,
    "scan": scan_rows.FIELDS,
    "sweep": sweep_rows.FIELDS,
    "leak add": leak_rows.FIELDS,
    "leak list": leak_rows.FIELDS,
    "leak show": leak_rows.DETAILS,
    "leak timeline": timeline_rows.FIELDS,
    "leak close": leak_rows.CLOSED,
    "access grant": access_rows.GRANTED,
    "access list": access_rows.FIELDS,
    "access rotate": access_rows.GRANTED,
    "access revoke": access_rows.REVOKED,
    "access bootstrap": (),
    "approve list": approval_rows.FIELDS,
    "approve show": approval_rows.DETAILS,
    "approve grant": approval_rows.DECIDED,
    "approve deny": approval_rows.DECIDED,
    "report": report.FIELDS,
    "explain": explain.FIELDS,
    "policy check": policy_verbs.CHECKED,
    "policy test": policy_trial.FIELDS,
    "policy show": policy_verbs.TEXT,
    "policy init": (),
    "policy diff": policy_diff.FIELDS,
    "task list": task_verbs.FIELDS,
    "task show": task_verbs.FIELDS,
    "task share": task_verbs.FIELDS,
    "task give": task_verbs.FIELDS,
    "adopt add": adopt_rows.ADDED,
    "adopt list": adopt_rows.FIELDS,
    "adopt show": adopt_rows.FIELDS,
    "adopt change": adopt_rows.FIELDS,
    "adopt probe": adopt_rows.PROBED,
    "adopt suggest": adopt_suggest.FIELDS,
    "adopt ended": adopt_rows.ENDED,
    "delegator add": delegator_rows.EDITED,
    "delegator change": delegator_rows.EDITED,
    "delegator disable": delegator_rows.DISABLED,
    "delegator enable": delegator_rows.ENABLED,
    "delegator show": delegator_rows.DETAILS,
    "delegator list": delegator_rows.FIELDS,
    "delegator import": delegator_import.FIELDS,
    "agent register": agent_rows.KEPT,
    "agent change": agent_rows.KEPT,
    "agent show": agent_rows.DETAILS,
    "agent list": agent_rows.FIELDS,
    "agent review": (*agent_rows.FIELDS, "event"),
    "agent suspend": agent_rows.WITHDRAWN,
    "agent resume": agent_rows.KEPT,
    "agent unregister": agent_rows.WITHDRAWN,
    "agent classify": agent_advice.CLASSIFIED,
    "agent suggest": agent_advice.SUGGESTED,
    "audit log": tuple(dict.fromkeys((*audit_verbs.LOG, "members", *audit_actions.FIELDS))),
    "audit head": (),
    "audit verify": audit_verbs.VERIFIED,
    "audit export": (),
    "keys list": keys_verbs.FIELDS,
    "keys rotate": keys_verbs.ROTATED,
    "keys revoke": keys_verbs.REVOKED,
    "keys jwks": (),
    "keys ssh": (),
    "keys krl": (),
    "publish": publish.FIELDS,
    "keys request": (),
    "keys import": keys_x509.IMPORTED,
    "keys bundle": (),
    "keys crl": (),
    "prune": prune.PRUNED,
    "ledger copy": ledger_copy.COPIED,
    "ledger backup": ledger_backup.BACKED_UP,
    "ledger restore": ledger_backup.RESTORED,
    "ledger check": ledger_check.CHECKED,
    "ledger issuer": ledger_issuer.NAMES,
    "ledger vacuum": ledger_check.VACUUMED,
    "schedule systemd": (),
    "schedule cron": (),
    "helper git": (),
    "helper kube": (),
    "helper ssh": (),
    "helper docker": (),
    "helper pgpass": (),
    "helper aws": (),
    "config show": ("key", "value", "origin"),
    "config get": ("key", "value", "origin"),
    "config set": (),
    "config unset": (),
    "config path": (),
    "doctor": doctor.FIELDS,
    "completion show": (),
    "completion install": completion.FIELDS,
}
"""The values of `--field`: the fields of a verb's view."""


def option_value(verb: Verb, option: Option) -> Value | None:
    """Return the completion of an option's value, before the verb (for the root) or after it; None for a flag.

    Raises:
        LookupError: no table has the option; the message names the tables.

    """
    if option.metavar is None:
        return None
    for name in option.names:
        if (verb.name, name) in VERBS:
            return VERBS[verb.name, name]
    if "--field" in option.names:
        return Value(words=_fields(verb))
    for name in option.names:
        if name in OPTIONS:
            return OPTIONS[name]
    return _by_metavar(f"{option.names[0]} {option.metavar}", verb, option.metavar)


def argument_value(verb: Verb, argument: Argument) -> Value:
    """Return the completion of an argument. Raises LookupError as `option_value` does."""
    name = bare(argument.metavar)
    return VERBS.get((verb.name, name)) or _by_metavar(argument.metavar, verb, argument.metavar)


def own_options(root: Verb, verb: Verb) -> tuple[Option, ...]:
    """Return the options that are not the same for all verbs.

    For a verb: its own options, and the root's options whose value differs after this verb. For the root: the options
    that are valid only before the verb.
    """
    if verb is root:
        return tuple(option for option in root.options if option.root_only)
    return (*verb.options, *other_options(root, verb))


def other_options(root: Verb, verb: Verb) -> tuple[Option, ...]:
    """Return the root's options that accept a different value after a verb."""
    return tuple(
        option for option in root.options if option_value(verb, option) != option_value(root, option)
    )


def setting_values() -> dict[str, Value]:
    """Return the completion of each setting's value that is not free text."""
    by_kind = {
        "sensitivity": _words(*SENSITIVITIES),
        "format": _words(*FORMATS),
        "colour": _words(*COLOURS),
        "place": FOLDERS,
    }
    return {name: by_kind[setting.kind] for name, setting in SETTINGS.items() if setting.kind in by_kind}


def described(text: str) -> str:
    """Return a help sentence as a shell shows it beside a candidate: short, and on one line."""
    return " ".join(text.partition(" [env var:")[0].split()).rstrip(".")


def _fields(verb: Verb) -> tuple[str, ...]:
    if not verb.name or verb.verbs:
        return ()
    if verb.name not in FIELDS:
        raise LookupError(
            f"nothing says which fields `jitid {verb.name}` shows: add it to FIELDS in tests/generate/values.py, "
            "with () if it shows no view"
        )
    return FIELDS[verb.name]


def _by_metavar(what: str, verb: Verb, metavar: str) -> Value:
    if bare(metavar) not in METAVARS:
        raise LookupError(
            f"nothing says what completes `{what}` of `jitid {verb.name}`: add it to tests/generate/values.py, to "
            "METAVARS, OPTIONS or VERBS, as NOTHING if it is free text"
        )
    return METAVARS[bare(metavar)]


def bare(metavar: str) -> str:
    """Return the name of an argument without the marks for optional and repeated arguments."""
    return metavar.replace("...", "").strip("[]{}")
