"""`jitid help`: the help of a verb, or a topic. And `jitid version`."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from jitid import __version__
from jitid.cli import help_text, old_names
from jitid.cli.help_text import TOPICS
from jitid.cli.invocation import GlobalOptions, Invocation
from jitid.cli.verbs import GROUPS, verbs_of
from jitid.errors import UsageError
from jitid.system import output
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.cli.setup import commands


def help_(_: Invocation, args: commands.HelpCommand) -> None:
    """Perform `jitid help`."""
    words = " ".join(args.words)
    if words in TOPICS:
        output.write(_DERIVED[words]() if words in _DERIVED else _text(words))
        return
    present = " ".join(old_names.present(args.words))
    verb = present.partition(" --")[0]
    if verb and verb not in GROUPS and verb not in verbs_of(verb.partition(" ")[0]):
        raise UsageError(f"{quote(words)} is neither a verb nor a topic", _instead(words))
    renamed = f"`jitid {words}` is now `jitid {present}`.\n\n" if present != words else ""
    output.write(renamed + help_text.of(verb))


_MEANT: Mapping[str, str] = {
    "slack": "jitid example slack.sh",
    "webhook": "jitid example webhook.sh",
    "prometheus": "jitid example prometheus-rules.yml",
    "container": "jitid example Containerfile",
    "docker": "jitid example Containerfile",
    "systemd": "jitid example systemd.sh",
    "approvals": "jitid help governor",
    "approval": "jitid help governor",
}
"""Words that are neither verbs nor topics -> the command about them."""


PAGES = frozenset(
    {
        "agent-files",
        "agents",
        "author",
        "authority",
        "aws",
        "benchmarks",
        "exec",
        "federation",
        "fleet",
        "governor",
        "login",
        "oauth",
        "openbao",
        "operator",
        "policy",
        "postgres",
        "promises",
        "python",
        "responder",
        "scanners",
        "ssh",
        "svid",
        "systems",
        "verifiers",
    }
)
"""The man pages of section 7, without `jitid-`."""


def _instead(words: str) -> str:
    """Return the hint about a word that is neither a verb nor a topic."""
    from jitid.cli.mistakes import verbs_like

    if words.lower() in PAGES:
        return f"the page about it: man jitid-{words.lower()}; to list verbs and topics: jitid help"
    meant = _MEANT.get(words.lower())
    if meant is None:
        close = [*get_close_matches(words[:100], TOPICS, n=1), *verbs_like("", words)]
        meant = f"jitid help {close[0].partition(' --')[0]}" if close else None
    return f"did you mean: {meant}? to list all: jitid help" if meant else "list both: jitid help"


def version(cli: Invocation) -> None:
    """Perform `jitid version`."""
    from jitid.cli.setup.commands import VersionCommand

    # A bug report about an invalid configuration needs the version, too.
    cli.try_config()
    cli.expect(VersionCommand.view.fields)
    python = platform.python_version()
    if cli.field or cli.format_name() is not None:
        cli.show_row(VersionCommand.view, {"version": __version__, "python": python})
    else:
        output.write(f"jitid {__version__}\n")


def _text(topic: str) -> str:
    path = os.path.join(os.path.dirname(os.path.dirname(__file__)), "topics", f"{topic}.txt")
    with open(path, encoding="utf-8") as file:
        return file.read()


def _page() -> Mapping[str, Any]:
    """Return the texts of jitid(1) besides the declarations."""
    import tomllib

    with open(os.path.join(os.path.dirname(os.path.dirname(__file__)), "pages", "jitid.toml"), "rb") as file:
        return tomllib.load(file)


def _exit_codes() -> str:
    page = _page()
    rows = [*page["statuses"].items(), ("128+n", page["signal"])]
    of_run = page["statuses_of_run"].items()
    return (
        f"{help_text.rows(rows)}\n\nOf `jitid run`, besides the status of its command:\n"
        f"{help_text.rows(of_run)}\n"
    )


def _environment() -> str:
    from textwrap import fill

    from jitid.cli.verbs import all_verbs
    from jitid.config.settings import SETTINGS

    verbs: dict[str, dict[str, None]] = {}
    flags: dict[str, str] = {}
    for verb, command in all_verbs().items():
        for field in command.fields.values():
            if field.env:
                verbs.setdefault(field.env, {})[verb.partition(" ")[0]] = None
                flags.setdefault(field.env, field.flags[0])
    options = [
        (name, f"{flags[name]} of {', '.join(f'`{verb}`' for verb in verbs[name])}.")
        for name in sorted(verbs)
    ]
    names = " ".join(f"JITID_{name.upper()}" for name, each in sorted(SETTINGS.items()) if each.environment)
    settings = fill(names, 80, initial_indent="  ", subsequent_indent="  ")
    return (
        f"Options:\n{help_text.rows(options)}\n\nSettings (`JITID_TTL` is the setting `ttl`):\n{settings}\n\n"
        f"Others:\n{help_text.rows(_page()['environment'].items())}\n"
    )


def _options() -> str:
    return help_text.option_rows(GlobalOptions.fields.values()) + "\n"


_DERIVED: Mapping[str, Callable[[], str]] = {
    "exit-codes": _exit_codes,
    "environment": _environment,
    "options": _options,
}
"""The topics whose texts come from declarations."""
