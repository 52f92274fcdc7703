"""The completion of each value of an option or an argument; a test fails if a new value is in no table."""

from __future__ import annotations

from typing import NamedTuple

from jitid.cli import record_rows
from jitid.cli.directory import (
    access_rows,
    agent_advice,
    agent_rows,
    delegator_import,
    delegator_rows,
)
from jitid.cli.identity import explain, inspect, revoke, tree, verdict_rows
from jitid.cli.issue import approval_rows, request_input
from jitid.cli.leak import (
    adopt_rows,
    adopt_suggest,
    leak_rows,
    leak_timeline,
    scan,
    scan_rows,
    timeline_rows,
    trace_rows,
)
from jitid.cli.sweep import report, sweep, sweep_rows
from jitid.cli.verbs import all_verbs
from jitid.config.settings import COLOURS, FORMATS, SETTINGS
from jitid.model.task import SENSITIVITIES
from jitid.values.declaration import Source
from tests.generate.tree import Argument, Option, Verb


class Value(NamedTuple):
    """A source of candidates for a value: fixed words, or names that a shell looks up; neither for free text."""

    words: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


FOLDERS = Value(sources=("folders",))


def _words(*words: str) -> Value:
    return Value(words=words)


FORMATS_OF: dict[str, tuple[str, ...]] = {
    **{name: (*FORMATS, *verb.formats) for name, verb in all_verbs().items() if verb.formats},
    **{name: verb.only_formats for name, verb in all_verbs().items() if verb.only_formats},
    "leak timeline": (*FORMATS, *leak_timeline.FORMATS),
    "report": (*FORMATS, *report.FORMATS),
    "scan": (*FORMATS, *scan.OWN_FORMATS),
    "sweep": (*FORMATS, *sweep.OWN_FORMATS),
    "tree": (*FORMATS, *tree.SHAPES),
}
"""The values of `--format` by the verb, where they differ from the usual ones."""

FIELDS: dict[str, tuple[str, ...]] = {
    **{name: verb.view.named for name, verb in all_verbs().items() if verb.view is not None},
    **{name: () for name, verb in all_verbs().items() if verb.only_formats is not None},
    "issue": request_input.FIELDS,
    "run": (),
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
    "schedule systemd": (),
    "schedule cron": (),
    "helper git": (),
    "helper kube": (),
    "helper ssh": (),
    "helper docker": (),
    "helper pgpass": (),
    "helper aws": (),
    "config set": (),
    "config unset": (),
    "completion show": (),
}
"""The values of `--field`: the fields of a verb's view."""


def option_value(verb: Verb, option: Option) -> Value | None:
    """Return the completion of an option's value, before the verb (for the root) or after it; None for a flag.

    Raises:
        LookupError: nothing states the fields that the verb shows.

    """
    if option.metavar is None:
        return None
    if "--field" in option.names:
        return Value(words=_fields(verb))
    if "--format" in option.names:
        return Value(words=FORMATS_OF.get(verb.name, FORMATS))
    return Value(option.words, option.sources)


def argument_value(argument: Argument) -> Value:
    """Return the completion of an argument."""
    return Value(argument.words, argument.sources)


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


def bare(metavar: str) -> str:
    """Return the name of an argument without the marks for optional and repeated arguments."""
    return metavar.replace("...", "").strip("[]{}")
