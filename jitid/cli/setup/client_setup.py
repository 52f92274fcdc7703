"""`jitid setup`: hook up a client, undo that, and report credentials that bypass it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from shlex import split
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jitid.capabilities.setup import change, change_record, client_file, diff
from jitid.capabilities.setup.change import FileChange, FileState
from jitid.capabilities.setup.client import Ambient, ClientSetup, SetupRequest
from jitid.capabilities.setup.client_list import CLIENTS
from jitid.cli.invocation import Invocation
from jitid.cli.setup import commands
from jitid.config.effective import here
from jitid.errors import ExitStatus, JitidError, NotFoundError, PartialError, StorageError, UsageError
from jitid.system import output
from jitid.system.installation import program
from jitid.system.program_request import origin
from jitid.values.text import quote
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_ADDRESS = re.compile(r"https?://[!-~]+", re.ASCII)
_OPTIONS = ("gateway", "audience", "mcp", "tools", "host", "template", "name", "project")
_OF_HELPERS = ("task", "delegator", "agent", "scope", "ttl", "parent_file")
_PATHS = ("--config", "--ledger", "--credential-file")
_REQUIRED = {
    "opencode": ("gateway", "mcp", "tools"),
    "git": ("host",),
    "aws": ("template",),
}
"""The options of which a client needs at least one."""
_EXAMPLES = {
    "opencode": "such as --gateway https://llm.example, or --tools for the tools of `jitid mcp` alone",
    "git": "the server that accepts the tokens: --host git.example",
    "aws": "a template of a target in the configuration, such as --template deploy: see jitid-aws(7)",
}
_GH = (
    "gh has no setting for a command that prints its token; nothing was changed",
    (
        "pass a token to one run: jitid run --task TASK --delegator NAME --audience https://github.example "
        "--env GH_TOKEN -- gh …"
    ),
)


def setup(cli: Invocation, args: commands.SetupCommand) -> None:
    """Perform `jitid setup`."""
    if args.undo and args.check:
        raise UsageError("--undo and --check exclude each other", "omit one of them")
    # Files of a project are in the working directory.
    here()
    if args.client is None:
        _without_client(cli, args)
        return
    client = CLIENTS[args.client]
    request = _request(cli, args, client)
    if args.check:
        _check(cli, args, [client], request)
    elif args.undo:
        _check_undone(_change(cli, args, client, lambda: change.plan_undo(client, request)))
    else:
        if client.name == "gh":
            raise UsageError(*_GH)
        _check_enough(args, client)
        planned = _change(cli, args, client, lambda: change.plan_setup(client, request))
        if any(each.changes or each.new_record != each.last for each in planned):
            for note in client.notes(request):
                cli.note(note)
        if request.gateway is not None and any(each.changes for each in planned):
            _note_bypasses(cli, client, request, planned)
        if request.template is not None:
            _note_template(cli, request.template)
        for each in planned:
            if each.changes and each.exists and _is_shared(request, client, each.content.path):
                cli.note(f"{each.content.path} names programs and folders of this machine: do not commit it")


def _note_template(cli: Invocation, template: str) -> None:
    """Note that no target has a template; only an authority knows its own targets."""
    from jitid.issuers.targets import Targets

    config = cli.config()
    if config.remote is not None:
        return
    try:
        Targets(config.targets(), "").choose("aws-sts", template)
    except JitidError as error:
        hint = f" ({error.hint})" if error.hint else ""
        cli.note(f"there is no template {quote(template)} yet: {error.message}{hint}")


def _note_bypasses(
    cli: Invocation, client: ClientSetup, request: SetupRequest, planned: Sequence[FileChange]
) -> None:
    """Note the credentials that the client uses instead of the new entries, or beside them."""
    configured = frozenset(
        added.entry.path[0] for each in planned if each.new_record for added in each.new_record.entries
    )
    for each in client.ambient(request, configured):
        if each.effect == "bypass":
            cli.note(f"bypass: {each.name} {each.about}")


def _is_shared(request: SetupRequest, client: ClientSetup, path: str) -> bool:
    """Return whether a project usually commits a file."""
    in_project = client.name == "mcp" or (request.project and client.name != "git")
    return in_project and not path.endswith("/.claude/settings.local.json")


def _without_client(cli: Invocation, args: commands.SetupCommand) -> None:
    stated = [name for name in (*_OPTIONS, *_OF_HELPERS, "undo", "dry_run", "yes") if getattr(args, name)]
    if stated:
        raise UsageError(
            f"--{stated[0].replace('_', '-')} requires a client", f"name one of: {', '.join(CLIENTS)}"
        )
    request = SetupRequest(tuple(_program()))
    if args.check:
        in_use = [client for client in CLIENTS.values() if _state(change.states(client, request)) != "absent"]
        _check(cli, args, in_use, request)
        return
    rows = []
    for client in CLIENTS.values():
        states = change.states(client, request)
        paths = [state.path for state in states if state.state != "absent"] or [
            state.path for state in states
        ]
        rows.append(
            {
                "client": client.name,
                "state": _state(states),
                "installed": any(shutil.which(name) for name in client.programs) if client.programs else None,
                "path": paths[0] if paths else None,
            }
        )
    cli.show_records(args.shown_view(), rows)


_STATES = ("unreadable", "edited", "in-force")
"""The states of files, the most severe first; `absent` comes last."""


def _state(states: Sequence[FileState]) -> str:
    return next((state for state in _STATES if any(each.state == state for each in states)), "absent")


def _program() -> list[str]:
    """Return the words that start this jitid, with its absolute path.

    The folder in which a client runs may replace a program that is named without a path.
    """
    words = program()
    found = shutil.which("jitid")
    if len(words) > 1 and found is not None:
        return [os.path.abspath(found)]
    return words


def _command(cli: Invocation) -> tuple[str, ...]:
    """Return the words that start this jitid from a client, with the options that select its ledger."""
    flags = split(_selecting(cli).command("jitid helper"))[1:-1]
    for index, word in enumerate(flags):
        # The client starts the helper in any folder.
        if index and flags[index - 1] in _PATHS and "://" not in word:
            flags[index] = os.path.abspath(word)
    return (*_program(), *flags)


def _selecting(cli: Invocation) -> Invocation:
    """Return the choice of a ledger or an authority as options, from wherever it comes.

    A client may pass no variables to its helpers, and the folder in which it runs may set others. Raises UsageError.
    """
    config = cli.config()
    selecting = Invocation()
    selecting.config_file = config.path if os.path.isfile(config.path) else None
    selecting.profile = cli.profile or os.environ.get("JITID_PROFILE")
    selecting.remote = config.remote
    if selecting.remote is not None:
        origin_of_credential = config.origin("remote_credential_file")
        if origin_of_credential == "flag" or origin_of_credential.startswith("environment "):
            selecting.credential_file = config.credential_file
    elif not _has_password(config.ledger):
        selecting.ledger = config.ledger
    elif not config.origin("ledger").startswith(("user ", "system ")):
        raise UsageError(
            "the address of the ledger contains a password, which would be written into the client's file; "
            "nothing was changed",
            "write the address to the configuration: jitid config set ledger URL",
        )
    return selecting


def _has_password(ledger: str) -> bool:
    return "://" in ledger and urlsplit(ledger).password is not None


def _request(cli: Invocation, args: commands.SetupCommand, client: ClientSetup) -> SetupRequest:
    taken = client.takes.split()
    for name in (*_OPTIONS, *_OF_HELPERS):
        if getattr(args, name) and name not in taken:
            raise UsageError(
                f"`--{name.replace('_', '-')}` does not apply to {client.name}; nothing was changed",
                _omission(name, client, taken),
            )
    if args.audience is not None and args.gateway is None and client.name == "codex":
        raise UsageError("--audience requires --gateway here; nothing was changed")
    if args.gateway is not None:
        _check_address(args.gateway, "--gateway")
    command = tuple(_program()) if args.undo or args.check else _command(cli)
    words = (*command, *_helper_options(args))
    unprintable = next((word for word in words if not word.isprintable()), None)
    if unprintable is not None:
        # A line break would begin another setting in some files.
        raise UsageError(f"{quote(unprintable)} has a control character; nothing was changed")
    name = args.name or "jitid"
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"invalid name {quote(name)}", "use letters, digits and `._-`, such as --name deploy"
        )
    return SetupRequest(
        command,
        tuple(_helper_options(args)),
        args.audience,
        args.gateway,
        tuple(_host(host) for host in args.host),
        tuple(_server(pair, name) for pair in args.mcp),
        args.tools,
        args.template,
        name,
        args.ttl,
        args.project,
    )


def _omission(name: str, client: ClientSetup, taken: Sequence[str]) -> str:
    if client.name == "mcp" and name == "project":
        return "omit it: `mcp` is always the file of the current folder"
    options = ", ".join("--" + each.replace("_", "-") for each in taken)
    return f"omit it; its options: {options}" if options else "omit it"


def _helper_options(args: commands.SetupCommand) -> Iterator[str]:
    values = {
        "--task": args.task,
        "--delegator": args.delegator,
        "--agent": args.agent,
        "--ttl": None if args.ttl is None else format_duration(args.ttl),
        "--parent-file": None if args.parent_file is None else os.path.abspath(args.parent_file),
    }
    for option, value in values.items():
        if value is not None:
            yield from (option, value)
    for scope in args.scope:
        yield from ("--scope", str(scope))


def _check_address(address: str, option: str) -> None:
    if not _ADDRESS.fullmatch(address) or "?" in address or "#" in address:
        raise UsageError(f"{option}: {quote(address, 200)} is not an address", "such as https://llm.example")
    origin(address)


def _host(host: str) -> str:
    address = origin(host if "://" in host else f"https://{host}")
    # A quote or a bracket would end the section's name.
    if set(address) & set('"]\\ '):
        raise UsageError(f"invalid host {quote(host)}", "such as --host git.example")
    return address


def _server(pair: str, own: str) -> tuple[str, str]:
    name, equals, url = pair.partition("=")
    if not (equals and _NAME.fullmatch(name)):
        raise UsageError(f"{quote(pair)} is not NAME=URL", "such as --mcp docs=https://mcp.example/mcp")
    if name == own:
        raise UsageError(f"{quote(name)} is the name of jitid's own entry", "choose another name")
    if not _ADDRESS.fullmatch(url):
        raise UsageError(f"--mcp: {quote(url, 200)} is not an address", "such as https://mcp.example/mcp")
    origin(url)
    return name, url


def _check_enough(args: commands.SetupCommand, client: ClientSetup) -> None:
    needs = _REQUIRED.get(client.name, ())
    if needs and not any(getattr(args, name) for name in needs):
        options = [f"--{name}" for name in needs]
        raise UsageError(
            f"{client.name} requires {' or '.join(options)}; nothing was changed", _EXAMPLES[client.name]
        )


def _change(
    cli: Invocation, args: commands.SetupCommand, client: ClientSetup, plan: Callable[[], list[FileChange]]
) -> list[FileChange]:
    """Plan changes, show them, request confirmation, and carry them out. Return them."""
    if args.dry_run:
        planned = plan()
        _show(cli, args, planned)
    elif cli.can_prompt() and not args.yes:
        planned = plan()
        change.check(planned)
        _show(cli, args, planned)
        if any(each.changes for each in planned):
            _confirm(planned)
        with client_file.locked(change_record.folder()):
            again = plan()
            if [_essence(each) for each in again] != [_essence(each) for each in planned]:
                raise StorageError(
                    "a file changed since the diff was shown; nothing was changed", "try again"
                )
            change.carry_out(again)
    else:
        with client_file.locked(change_record.folder()):
            planned = plan()
            change.check(planned)
            change.carry_out(planned)
        _show(cli, args, planned)
    for each in planned:
        if each.changes and not args.dry_run:
            cli.note(f"{'wrote' if each.exists else 'deleted'} {each.content.path}")
        for entry in each.kept:
            cli.note(f"{each.content.path}: {change.spelled(entry)} was changed since, and stays")
    if not any(each.changes for each in planned):
        cli.note(f"{client.name}: nothing to {'undo' if args.undo else 'change'}")
    return planned


def _essence(each: FileChange) -> tuple[object, ...]:
    return each.content, each.text, each.exists


def _confirm(planned: Sequence[FileChange]) -> None:
    from jitid.cli.input_lines import answer

    # The diff may be longer than the screen.
    files = [
        f"{'write' if each.exists else 'delete'} {quote(each.content.path, 200)}"
        for each in planned
        if each.changes
    ]
    output.print_message(f"jitid: {', '.join(files)}? [y/N]")
    if answer().lower() not in ("y", "yes"):
        raise UsageError("not confirmed; nothing was changed", "to skip the question: --yes")


def _show(cli: Invocation, args: commands.SetupCommand, planned: Sequence[FileChange]) -> None:
    _show_changes(cli, args, planned)
    for each in planned if not args.undo else ():
        if each.removed:
            names = ", ".join(each.removed)
            cli.note(f"removed from {each.content.path}: {names}; state all options of a client each time")


def _show_changes(cli: Invocation, args: commands.SetupCommand, planned: Sequence[FileChange]) -> None:
    diffs = {each.content.path: each.difference() for each in planned if each.changes}
    if cli.field or cli.format_name() is not None:
        rows = [
            {
                "client": each.client,
                "path": each.content.path,
                "state": each.state,
                "diff": "".join(f"{line}\n" for line in diffs.get(each.content.path, [])),
            }
            for each in planned
        ]
        cli.show_records(args.shown_view(), rows, document={"files": rows, "dry_run": args.dry_run})
        return
    for lines in diffs.values():
        shown = diff.coloured(lines) if cli.coloured() else lines
        output.write_pieces(f"{line}\n" for line in shown)


def _check_undone(undone: Sequence[FileChange]) -> None:
    """Raise PartialError if a changed entry stays that still calls jitid."""
    for each in undone:
        if each.exists and any(entry.path[0] == "users" for entry in each.kept):
            raise PartialError(
                f"{quote(each.content.path, 200)} still calls jitid: the user was changed since",
                "remove it by kubectl",
            )


def _check(
    cli: Invocation, args: commands.SetupCommand, clients: Sequence[ClientSetup], request: SetupRequest
) -> None:
    rows: list[dict[str, Any]] = []
    found: list[Ambient] = []
    absent = []
    for client in clients:
        states = change.states(client, request)
        configured = frozenset(name for state in states for name in state.configured)
        ambient = [*_condition(states, request.command[0]), *client.ambient(request, configured)]
        if states and _state(states) == "absent":
            absent.append(client.name)
        found += ambient
        rows += [{"client": client.name, **each._asdict()} for each in ambient]
    for_people = not cli.field and cli.format_name() is None
    if rows or not for_people:
        cli.show_records(args.shown_view(), rows)
    elif not absent or len(clients) > 1:
        names = ", ".join(client.name for client in clients)
        cli.note(f"{names}: nothing bypasses jitid" if names else "no client is set up")
    effects = {each.effect for each in found}
    if absent and len(clients) == 1:
        raise NotFoundError(f"{absent[0]} is not set up", f"to set it up: jitid setup {absent[0]}")
    if effects & {"bypass", "redirects"}:
        cli.status = ExitStatus.FINDINGS
    elif "unexamined" in effects:
        cli.status = ExitStatus.INCOMPLETE


_EDITED = "entries of jitid were changed or removed; set the client up again"


def _condition(states: Sequence[FileState], own: str) -> Iterator[Ambient]:
    """Yield the faults of the setup itself; `own` is the program that a new setup would write."""
    for state in states:
        if state.state == "edited":
            yield Ambient("file", state.path, "bypass", _EDITED)
        elif state.state == "unreadable":
            yield Ambient("file", state.path, "unexamined", "it cannot be read")
        for name in sorted(state.commands):
            found = shutil.which(name)
            if not os.path.isabs(name):
                about = f"PATH selects the program {quote(name, 200)}; set the client up again"
                yield Ambient("file", state.path, "redirects", about)
            elif found is None:
                yield Ambient("file", state.path, "bypass", f"the program {quote(name, 200)} is missing")
            elif os.path.realpath(found) != os.path.realpath(own):
                about = f"it calls {quote(name, 200)}, and this jitid is {quote(own, 200)}"
                yield Ambient("file", state.path, "redirects", about)
