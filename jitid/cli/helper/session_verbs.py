"""`jitid helper session start` and `stop`: the hooks of a client, which report its sessions and subagents."""

from __future__ import annotations

import os
from shlex import quote as word
from typing import TYPE_CHECKING, Any

from jitid.capabilities.session import clients
from jitid.capabilities.session.hook_event import Change, HookEvent, read_event
from jitid.capabilities.session.session_place import append_lines
from jitid.cli.helper.client_sessions import UNNAMED, Sessions
from jitid.cli.helper.session_identity import explained
from jitid.cli.helper.session_token import must_agree, of_client, outer_token
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.system import read_input
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.session.clients import Client
    from jitid.cli.helper import commands

_MOST = 1 << 20
"""Maximum number of bytes of an event: a client repeats the last message of a subagent in it."""


def start(cli: Invocation, args: commands.HelperSessionStartCommand) -> None:
    """Perform `jitid helper session start`."""
    cli.expect_own_form()
    client, event = _reported(args.client)
    if event.change in (Change.SESSION_END, Change.SUBAGENT_END):
        cli.note(f"ignored: {event.name} is an event for `jitid helper session stop`")
        return
    found = of_client(cli, client)
    variables = None if client.environment_file is None else os.environ.get(client.environment_file)
    if variables and event.change is not Change.NOTHING:
        # Checked before an identity is opened, which nothing would end.
        append_lines(variables, "")
    with found.session_place.locked():
        sessions = Sessions(cli, found.session_place, client, outer_token)
        if event.change is Change.NOTHING:
            entry = sessions.find(event.session or UNNAMED) or sessions.current()
            if entry is not None:
                with explained(cli, entry["id"]):
                    sessions.refresh(entry)
            return
        name = event.session or UNNAMED
        entry = sessions.find(name) or sessions.adopt(name)
        if entry is None:
            sessions.must_repeat(args)
            sessions.end_orphans()
            entry = sessions.open(name, args)
        must_agree(cli, args, sessions.state, entry)
        with explained(cli, entry["id"]):
            sessions.refresh(entry)
            of_session = event.change is Change.SESSION_START
            sessions.describe(entry, name, event.transcript if of_session else None)
            if event.change is Change.SUBAGENT_START:
                _start_subagent(cli, sessions, entry, name, event)
                return
    if variables:
        append_lines(variables, _exports(cli, found.session_place.path(entry["file"])))


def _start_subagent(
    cli: Invocation, sessions: Sessions, entry: dict[str, Any], name: str, event: HookEvent
) -> None:
    if event.agent is None:
        raise UsageError("the event names no subagent")
    # Some clients name the transcript of the session here, and some the subagent's own.
    transcript = None if event.transcript == entry["transcript"] else event.transcript
    if sessions.start_subagent(entry, name, event.agent, event.agent_type, transcript) is None:
        cli.note(f"the subagent {quote(event.agent)} has stopped already")


def stop(cli: Invocation, args: commands.HelperSessionStopCommand) -> None:
    """Perform `jitid helper session stop`."""
    cli.expect_own_form()
    client, event = _reported(args.client)
    if event.change not in (Change.SESSION_END, Change.SUBAGENT_END):
        cli.note(f"ignored: {quote(event.name)} ends neither a session nor a subagent")
        return
    found = of_client(cli, client)
    if not found.session_place.exists():
        cli.note("the client has no session")
        return
    with found.session_place.locked():
        sessions = Sessions(cli, found.session_place, client, outer_token)
        name = event.session or UNNAMED
        entry = sessions.find(name)
        if event.change is Change.SESSION_END:
            if not sessions.stop(name):
                cli.note(f"the client has no session {quote(name)}")
        elif entry is None or event.agent is None:
            cli.note(f"the client has no session {quote(name)}")
        elif not sessions.stop_subagent(entry, name, event.agent, event.transcript):
            cli.note(f"the session has no subagent {quote(event.agent)}")


def _reported(name: str) -> tuple[Client, HookEvent]:
    """Return the client, and the event on standard input. Raises UsageError."""
    client = clients.named(name)
    data = read_input.read("-", _MOST, "the event of the client")
    if len(data) > _MOST:
        raise UsageError(f"the event of the client has more than {_MOST} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UsageError("the event of the client is not UTF-8") from None
    return client, read_event(text)


def _exports(cli: Invocation, path: str) -> str:
    """Return the lines with which a command of the session finds its identity and the same ledger."""
    variables = {
        "JITID_PARENT_FILE": path,
        "JITID_LEDGER": cli.ledger,
        "JITID_REMOTE": cli.remote,
        "JITID_CONFIG": cli.config_file and os.path.abspath(cli.config_file),
        "JITID_PROFILE": cli.profile,
    }
    return "".join(f"export {name}={word(value)}\n" for name, value in variables.items() if value is not None)
