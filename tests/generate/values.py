"""What completes the value of an option or an argument; a newcomer's that is in no table fails a test."""

from __future__ import annotations

from typing import Literal, NamedTuple

from jitid.capabilities.scan.reports.any_report import ReportFormat
from jitid.capabilities.sweep.finding import SEVERITIES
from jitid.capabilities.sweep.rules import NAMES
from jitid.commands import (
    accessrows,
    actions,
    adoptfile,
    adoptrows,
    adoptsuggest,
    advising,
    agent,
    agentrows,
    approvalrows,
    audit,
    certificates,
    completion,
    delegatorimport,
    delegatorrows,
    doctor,
    explain,
    findings,
    found,
    inspect,
    keys,
    leakrows,
    leaktimeline,
    ledger,
    ledgerbackup,
    ledgercheck,
    ledgerissuer,
    policy,
    policydiff,
    policytrial,
    prune,
    publish,
    report,
    requesting,
    revoke,
    rosterfile,
    rows,
    run,
    scan,
    scanrows,
    scanrules,
    sweep,
    task,
    timelinerows,
    tree,
    verdicts,
)
from jitid.commands import list as listing
from jitid.commands.helper import docker, git
from jitid.config.settings import COLOURS, FORMATS, LOG_FORMATS, SETTINGS
from jitid.crypto.jws import ALGORITHMS
from jitid.keys.keyring import USES
from jitid.ledger.select import SORTS
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
    """What completes a value: words that are always the same, or sources that a shell asks; neither for free text."""

    words: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


NOTHING = Value()
IDS = Value(sources=("ids",))
TASKS = Value(sources=("tasks",))
AGENTS = Value(sources=("agents",))
RECORDS = Value(sources=("records",))
"""Agents that are registered, or were."""
DELEGATORS = Value(sources=("delegators",))
KNOWN = Value(sources=("known",))
"""Delegators who are in the directory."""
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
"""A command line of its own: all that follows is completed as if it stood alone."""
SETTING = Value(sources=("setting",))
"""The value of the setting that the word before names."""


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
    "FORM": _words(*rosterfile.FORMS),
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
"""By what stands for the value in the help; `NAME` may mean anything, and is told by the option."""

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
"""By the option, whatever the verb."""

VERBS: dict[tuple[str, str], Value] = {
    **{
        (f"agent {verb}", "NAME"): RECORDS
        for verb in ("change", "show", "review", "suspend", "resume", "unregister")
    },
    **{(f"adopt {verb}", "NAME"): ADOPTED for verb in ("add", "show", "change", "probe", "suggest", "ended")},
    **{(f"leak {verb}", "ID"): LEAKS for verb in ("show", "timeline", "close")},
    ("adopt add", "--as"): _words(*adoptfile.FORMS),
    ("adopt add", "--target"): NOTHING,
    ("adopt change", "--target"): NOTHING,
    ("adopt list", "--owner"): DELEGATORS,
    **{(f"agent {verb}", "--kind"): _words(*MADE) for verb in ("register", "change")},
    **{(f"agent {verb}", "NAME"): AGENTS for verb in ("register", "classify", "suggest")},
    ("access grant", "NAME"): DELEGATORS,
    ("access list", "--name"): DELEGATORS,
    ("agent change", "--clear"): _words(*agent.CLEARED),
    ("agent list", "--after"): RECORDS,
    ("agent list", "--state"): _words(*agent.STATES),
    ("audit export", "--format"): _words(*audit.EXPORTS),
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
    ("list", "--sort"): _words(*SORTS, *(f"-{name}" for name in SORTS)),
    ("policy show", "RULE"): NOTHING,
    ("policy test", "--policy"): FILES,
    ("keys bundle", "--format"): _words(*certificates.BUNDLES),
    ("keys crl", "--format"): _words(*certificates.LISTS),
    ("leak add", "--report-format"): _words(*(each.value for each in ReportFormat)),
    ("leak timeline", "--format"): _words(*FORMATS, *leaktimeline.FORMATS),
    ("report", "--format"): _words(*FORMATS, *report.FORMATS),
    ("scan", "--format"): _words(*FORMATS, *scan.OWN_FORMATS),
    ("scan", "--commits"): NOTHING,
    ("scan", "--only"): _words(*scan.FORMS),
    ("scan", "--rules"): _words(*scanrules.SCANNERS),
    ("scan", "--authority"): NOTHING,
    ("sweep", "--format"): _words(*FORMATS, *sweep.OWN_FORMATS),
    ("sweep", "--target"): NOTHING,
    ("helper pgpass", "--service"): NOTHING,
    ("schedule systemd", "--name"): NOTHING,
    ("serve", "--log-format"): _words(*LOG_FORMATS),
    ("serve", "--public-url"): NOTHING,
    **{(verb, "--kind"): KINDS for verb in ("issue", "run", "helper git", "helper kube", "helper docker")},
    ("helper git", "OPERATION"): _words(*git.OPERATIONS),
    ("ledger issuer", "ACTION"): _words(*ledgerissuer.ACTIONS),
    ("helper docker", "OPERATION"): _words(*docker.OPERATIONS),
    ("task list", "--after"): TASKS,
    ("task share", "--with"): DELEGATORS,
    ("agent register", "--may-use"): DELEGATORS,
    ("agent change", "--may-use"): DELEGATORS,
    ("task list", "--state"): _words(*task.STATES),
    ("tree", "--format"): _words(*FORMATS, *tree.SHAPES),
}
"""By the verb, and the option or the name of the argument."""

FIELDS: dict[str, tuple[str, ...]] = {
    "issue": requesting.FIELDS,
    "run": (),
    "mcp": (),
    "serve": (),
    "renew": requesting.FIELDS,
    "verify": (),
    "authorize": verdicts.FIELDS,
    "inspect": inspect.FIELDS,
    "list": (*rows.CREDENTIAL, "left"),
    "tree": tree.FIELDS,
    "revoke": revoke.FIELDS,
    "retire": revoke.FIELDS,
    "trace": found.FIELDS,
    "scan": scanrows.FIELDS,
    "sweep": findings.FIELDS,
    "leak add": leakrows.FIELDS,
    "leak list": leakrows.FIELDS,
    "leak show": leakrows.DETAILS,
    "leak timeline": timelinerows.FIELDS,
    "leak close": leakrows.CLOSED,
    "access grant": accessrows.GRANTED,
    "access list": accessrows.FIELDS,
    "access rotate": accessrows.GRANTED,
    "access revoke": accessrows.REVOKED,
    "access bootstrap": (),
    "approve list": approvalrows.FIELDS,
    "approve show": approvalrows.DETAILS,
    "approve grant": approvalrows.DECIDED,
    "approve deny": approvalrows.DECIDED,
    "report": report.FIELDS,
    "explain": explain.FIELDS,
    "policy check": policy.CHECKED,
    "policy test": policytrial.FIELDS,
    "policy show": policy.TEXT,
    "policy init": (),
    "policy diff": policydiff.FIELDS,
    "task list": task.FIELDS,
    "task show": task.FIELDS,
    "task share": task.FIELDS,
    "task give": task.FIELDS,
    "adopt add": adoptrows.ADDED,
    "adopt list": adoptrows.FIELDS,
    "adopt show": adoptrows.FIELDS,
    "adopt change": adoptrows.FIELDS,
    "adopt probe": adoptrows.PROBED,
    "adopt suggest": adoptsuggest.FIELDS,
    "adopt ended": adoptrows.ENDED,
    "delegator add": delegatorrows.EDITED,
    "delegator change": delegatorrows.EDITED,
    "delegator disable": delegatorrows.DISABLED,
    "delegator enable": delegatorrows.ENABLED,
    "delegator show": delegatorrows.DETAILS,
    "delegator list": delegatorrows.FIELDS,
    "delegator import": delegatorimport.FIELDS,
    "agent register": agentrows.KEPT,
    "agent change": agentrows.KEPT,
    "agent show": agentrows.DETAILS,
    "agent list": agentrows.FIELDS,
    "agent review": (*agentrows.FIELDS, "event"),
    "agent suspend": agentrows.WITHDRAWN,
    "agent resume": agentrows.KEPT,
    "agent unregister": agentrows.WITHDRAWN,
    "agent classify": advising.CLASSIFIED,
    "agent suggest": advising.SUGGESTED,
    "audit log": tuple(dict.fromkeys((*audit.LOG, "members", *actions.FIELDS))),
    "audit head": (),
    "audit verify": audit.VERIFIED,
    "audit export": (),
    "keys list": keys.FIELDS,
    "keys rotate": keys.ROTATED,
    "keys revoke": keys.REVOKED,
    "keys jwks": (),
    "keys ssh": (),
    "keys krl": (),
    "publish": publish.FIELDS,
    "keys request": (),
    "keys import": certificates.IMPORTED,
    "keys bundle": (),
    "keys crl": (),
    "prune": prune.PRUNED,
    "ledger copy": ledger.COPIED,
    "ledger backup": ledgerbackup.BACKED_UP,
    "ledger restore": ledgerbackup.RESTORED,
    "ledger check": ledgercheck.CHECKED,
    "ledger issuer": ledgerissuer.NAMES,
    "ledger vacuum": ledgercheck.VACUUMED,
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
"""What `--field` takes: the fields of a verb's view."""


def option_value(verb: Verb, option: Option) -> Value | None:
    """Return what completes the value of an option before (the root) or behind a verb; None for a flag.

    Raises:
        LookupError: nobody has said it yet; the sentence says where.

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
    """Return what completes an argument. Raises LookupError as `option_value` does."""
    name = bare(argument.metavar)
    return VERBS.get((verb.name, name)) or _by_metavar(argument.metavar, verb, argument.metavar)


def own_options(root: Verb, verb: Verb) -> tuple[Option, ...]:
    """Return the options that are not the same everywhere.

    Those of a verb are its own and the root's that take something else behind it; those of the root stand before the
    verb alone.
    """
    if verb is root:
        return tuple(option for option in root.options if option.root_only)
    return (*verb.options, *other_options(root, verb))


def other_options(root: Verb, verb: Verb) -> tuple[Option, ...]:
    """Return the root's options that take something else behind a verb."""
    return tuple(
        option for option in root.options if option_value(verb, option) != option_value(root, option)
    )


def setting_values() -> dict[str, Value]:
    """Return what completes the value of each setting that is no free text."""
    by_kind = {
        "sensitivity": _words(*SENSITIVITIES),
        "format": _words(*FORMATS),
        "colour": _words(*COLOURS),
        "place": FOLDERS,
    }
    return {name: by_kind[setting.kind] for name, setting in SETTINGS.items() if setting.kind in by_kind}


def described(text: str) -> str:
    """Return a sentence of the help as a shell shows it beside a candidate: short, and on one line."""
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
    """Return the name of an argument without the marks that say whether and how often it stands there."""
    return metavar.replace("...", "").strip("[]{}")
