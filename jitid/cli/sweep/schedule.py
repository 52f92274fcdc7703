"""`jitid schedule`: run `jitid sweep` from systemd or cron."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.authority.open_local import caller, place_of
from jitid.cli.invocation import Invocation
from jitid.config.settings import SETTINGS
from jitid.errors import UsageError
from jitid.formats import systemd_unit
from jitid.system import installation, output
from jitid.system.files import write_public
from jitid.values.record import Record
from jitid.values.text import quote
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.cli.invocation import GivenOption
    from jitid.cli.sweep import commands

_ABOUT = "Find credentials that should not be live"
# systemd.unit(5); an @ would make the unit a template.
_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.][A-Za-z0-9:_.-]{0,199}", re.ASCII)
_WRITTEN_ONLY_WITH = {"--baseline": "--update-baseline"}
"""Options of files that are written only with the other option."""


def systemd(cli: Invocation, args: commands.ScheduleSystemdCommand) -> None:
    """Perform `jitid schedule systemd`."""
    folder = args.folder
    cli.expect_own_form()
    name = _unit_name(args.name)
    work = _work(cli, args.option)
    installation.check_for_systemd(work.command)
    job = systemd_unit.Job(
        _ABOUT,
        work.command,
        installation.owner(work.ledger),
        work.writes,
        reaches_homes=installation.in_homes(work.needs),
        reaches_temporary=installation.in_temporary(work.needs),
        reaches_network=work.reaches_database or bool(cli.config().targets()),
    )
    files = {
        f"{name}.service": systemd_unit.service(job),
        f"{name}.timer": systemd_unit.timer(_ABOUT, name, args.every),
    }
    if folder is None:
        output.write("\n".join(f"# /etc/systemd/system/{file}\n{text}" for file, text in files.items()))
        return
    for file, text in files.items():
        write_public(os.path.join(folder, file), text.encode())
    cli.note(f"wrote {name}.service and {name}.timer into {folder}")
    if os.path.realpath(folder) != "/etc/systemd/system":
        cli.note("as root, copy them to /etc/systemd/system")
    cli.note(f"to start it, as root: systemctl daemon-reload && systemctl enable --now {name}.timer")


def cron(cli: Invocation, args: commands.ScheduleCronCommand) -> None:
    """Perform `jitid schedule cron`."""
    cli.expect_own_form()
    seconds = args.every
    if seconds not in systemd_unit.TIMES:
        raise UsageError(
            f"cron has no interval of {format_duration(seconds)}",
            f"use the nearest: --every {format_duration(systemd_unit.nearest_interval(seconds))}",
        )
    work = _work(cli, args.option)
    if len(systemd_unit.crontab_command(work.command)) > systemd_unit.MAX_COMMAND:
        raise UsageError(
            f"the command is longer than cron's limit of {systemd_unit.MAX_COMMAND} characters",
            "write the command to a script, and run the script from the crontab",
        )
    owner = installation.owner(work.ledger)
    if owner != caller():
        cli.note(f"add the line to the crontab of {owner}, the owner of the ledger")
    output.write(systemd_unit.crontab_line(seconds, work.command))


class _ScheduledWork(Record):
    """The command to schedule, and the paths that it needs."""

    command: list[str]
    ledger: str
    writes: list[str]
    needs: list[str]
    """Every path that the command needs."""
    reaches_database: bool


def _work(cli: Invocation, words: Sequence[str]) -> _ScheduledWork:
    config = cli.config()
    ledger_place = place_of(config)
    ledger = ledger_place.home
    sweep_options = _checked(cli, words)
    command, needs = installation.beginning(config.path, cli.profile)
    needs.append(ledger)
    address = config.ledger if ledger_place.in_database else ledger
    command += ["--ledger", address, "--no-input", "--quiet", "sweep", *_absolute(words, sweep_options)]
    installation.check_words(command)
    writes = [ledger, *_written(sweep_options)]
    for setting in SETTINGS:
        origin = config.origin(setting)
        if origin.startswith("environment ") and setting not in ("ledger", "format", "color"):
            cli.warn(
                f"{origin.removeprefix('environment ')} is set here, but not where the sweep runs: "
                f"jitid config set {setting} VALUE"
            )
    return _ScheduledWork(
        command,
        ledger,
        list(dict.fromkeys(writes)),
        [*needs, *writes, config.text("policy") or "/"],
        ledger_place.in_database,
    )


def _checked(cli: Invocation, words: Sequence[str]) -> Mapping[str, GivenOption]:
    """Return the options of the words for `sweep`. Raises UsageError if the scheduled run would raise it."""
    if cli.read_line is None:
        return {}
    sweep_options = cli.read_line(["sweep", *words])
    for name in ("--ledger", "--config", "--profile"):
        if name in sweep_options:
            raise UsageError(
                f"{name} is not allowed after `--`: the sweep uses the ledger of this command",
                f"jitid {name} VALUE schedule …",
            )
    if "--accept-clock" in sweep_options:
        raise UsageError(
            "--accept-clock cannot be scheduled: a clock that jumps would expire valid credentials",
            "use it by hand, once, after a sweep was refused",
        )
    _check_values({name: option.value for name, option in sweep_options.items()})
    return sweep_options


def _check_values(values: Mapping[str, Any]) -> None:
    """Raise UsageError for values that the sweep itself would refuse."""
    from jitid.capabilities.sweep.baseline import entries
    from jitid.cli.sweep import sweep
    from jitid.cli.sweep.commands import FINDINGS, SweepCommand
    from jitid.config.settings import FORMATS
    from jitid.formats.display import no_such_field

    if values.get("--list-rules"):
        raise UsageError("--list-rules runs no rule", "omit --list-rules")
    forms = (*FORMATS, *SweepCommand.formats)
    if (form := values.get("--format")) not in (None, *forms):
        raise UsageError(
            f"{quote(str(form))} is not a format of `jitid sweep`", f"choose one of: {', '.join(forms)}"
        )
    if (field := values.get("--field")) is not None and field not in FINDINGS.fields:
        raise no_such_field(field, FINDINGS.fields)
    sweep.chosen_rules(values.get("--rule", ()), values.get("--skip", ()), values.get("--head-out"))
    sweep.check_flags(
        fix=bool(values.get("--fix")),
        dry_run=bool(values.get("--dry-run")),
        max_=values.get("--max"),
        yes=bool(values.get("--yes")),
        update=bool(values.get("--update-baseline")),
        baseline=values.get("--baseline"),
    )
    if (baseline := values.get("--baseline")) is not None:
        if baseline == "-":
            raise UsageError("a scheduled sweep cannot read the baseline from standard input", "name a file")
        deque(entries(baseline, new=bool(values.get("--update-baseline"))), maxlen=0)


def _paths(sweep_options: Mapping[str, GivenOption]) -> Iterator[tuple[str, str, str]]:
    """Yield the option, the path and the metavar of each option with a path."""
    for name, option in sweep_options.items():
        if option.metavar not in ("FILE", "DIR"):
            continue
        values = option.value if isinstance(option.value, (list, tuple)) else (option.value,)
        for value in values:
            if isinstance(value, str) and value != "-":
                yield name, value, option.metavar


def _absolute(words: Sequence[str], sweep_options: Mapping[str, GivenOption]) -> Iterator[str]:
    """Yield the words with absolute paths: the sweep starts in another folder."""
    names = {name for name, _, _ in _paths(sweep_options)}
    previous = ""
    for word in words:
        name, equals, value = word.partition("=")
        if previous in names and word != "-":
            yield os.path.abspath(word)
        elif equals and name in names and value != "-":
            yield f"{name}={os.path.abspath(value)}"
        else:
            yield word
        # A value is not the name of an option.
        previous = word if previous not in names else ""


def _written(sweep_options: Mapping[str, GivenOption]) -> Iterator[str]:
    for name, path, metavar in _paths(sweep_options):
        if name in _WRITTEN_ONLY_WITH and _WRITTEN_ONLY_WITH[name] not in sweep_options:
            continue
        absolute_path = os.path.abspath(path)
        yield absolute_path if metavar == "DIR" else os.path.dirname(absolute_path)


def _unit_name(name: str) -> str:
    name = name.removesuffix(".service").removesuffix(".timer")
    if not _UNIT_NAME.fullmatch(name):
        raise UsageError(
            f"{quote(name)} is not a valid unit name", "use letters, digits and `:_.-`; do not begin with `-`"
        )
    return name
