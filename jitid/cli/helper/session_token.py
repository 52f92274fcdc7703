"""The session above this process: its client, its place, and the file of its identity token."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.capabilities.session import clients
from jitid.capabilities.session.clients import Client, ParentProcess
from jitid.capabilities.session.session_place import SessionPlace
from jitid.cli.helper.client_sessions import UNNAMED, Sessions
from jitid.cli.helper.session_identity import ended_as, explained, is_due
from jitid.errors import InvalidCredentialError, UsageError
from jitid.system import processes
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from jitid.capabilities.issue.request_options import RequestOptions
    from jitid.cli.invocation import Invocation
    from jitid.model.process import Process


class FoundSession:
    """The place of the nearest client above this process, if it has or had sessions, or may have them."""

    def __init__(self, session_place: SessionPlace, client: Client | None) -> None:
        self.session_place = session_place
        self.client = client
        """The client, known by the name of its program; None if only its place is known."""


def ledger_of(cli: Invocation) -> str:
    """Return the ledger or the authority of the line, in one form for all paths of a folder."""
    config = cli.config()
    if config.remote is not None:
        return config.remote
    return config.ledger if "://" in config.ledger else os.path.realpath(config.ledger)


def find(cli: Invocation, *, known: bool = True) -> FoundSession | None:
    """Return the nearest process above this process with a place, or with `known` also with the name of a client.

    None without such a process.
    """
    ledger = ledger_of(cli)
    for pid, words, names in processes.ancestors():
        process = processes.process_of(pid)
        if process is None:
            return None
        session_place = SessionPlace(ledger, process)
        client = clients.client_of(ParentProcess(pid, words, names))
        if (known and client is not None) or session_place.exists():
            return FoundSession(session_place, client)
    return None


def of_client(cli: Invocation, client: Client) -> FoundSession:
    """Return the place of the client that runs this hook. Raises UsageError if its process is not known.

    Another process above this one, such as that of a terminal, would keep the session, and its login would not count.
    """
    ancestor = clients.process_of_client(client, itertools.starmap(ParentProcess, processes.ancestors()))
    process = None if ancestor is None else processes.process_of(ancestor.pid)
    if process is None:
        raise UsageError(
            f"no process above this one is known as {client.name}",
            "only the client itself runs this command, as its hook; to write the hook into its settings: "
            f"jitid setup {client.name}",
        )
    return FoundSession(SessionPlace(ledger_of(cli), process), client)


class SessionToken(Record):
    """The file of the identity token of a session or a subagent."""

    path: str
    session_place: SessionPlace
    id: str
    """The identity of the session."""

    def explained(self, cli: Invocation) -> AbstractContextManager[None]:
        """Return a block that says in a refusal why the session was revoked."""
        return explained(cli, self.id)


def session_token(
    cli: Invocation, options: RequestOptions, audience: tuple[str, ...], *, opens: bool
) -> SessionToken | None:
    """Return the file of the identity token of the session above this process, renewed if that is due.

    With `opens`, a known client gets a session if it has none. None if it never had one, and if $JITID_PARENT_FILE
    names a nearer identity.

    Raises:
        InvalidCredentialError: the identity was revoked, or its task or its parent has ended. Or the session has ended.
        UsageError: the line states another task or delegator than that of the session.
        PolicyDeniedError: the policy refuses a new session.

    """
    # A client without sessions that may open none, inside of a session of another one, has the identity of that one.
    found = find(cli, known=opens)
    if found is None:
        return None
    variable = os.environ.get(RUN_TOKEN) or None
    session_place = found.session_place
    cli.config().client_process = session_place.process
    within = os.path.dirname(variable or "") == session_place.folder
    state = session_place.read()
    first = state["request"]
    if first is not None and state["is_inner"]:
        cli.config().session_file = first["parent_file"]
    if not within and variable is not None:
        if first is None and _outer(cli, session_place.process) is None:
            return None
        if first is not None and _is_nearer(variable, session_place):
            return None
    thread = _thread(session_place.process.pid, state)
    entry = _session_of_command(cli, state, variable if within else None, thread)
    if entry is None:
        if not opens or found.client is None:
            if first is None:
                return None
            raise _not_there(state)
    elif not (is_due(entry) or is_due(_holder(entry, thread))):
        must_agree(cli, options, state, entry)
        path = variable if within and variable else session_place.path(_holder(entry, thread)["file"])
        return SessionToken(path, session_place, entry["id"])
    with session_place.locked():
        sessions = Sessions(cli, session_place, found.client, outer_token)
        entry = _session_of_command(cli, sessions.state, variable if within else None, thread)
        if entry is None:
            entry = sessions.open(UNNAMED, options, audience)
        must_agree(cli, options, sessions.state, entry)
        path = session_place.path(_refreshed(cli, sessions, entry, thread)["file"])
        return SessionToken(variable if within and variable else path, session_place, entry["id"])


def outer_token(cli: Invocation, client: Process) -> str | None:
    """Return the file of the identity token of the session in which a client runs, renewed if that is due.

    None if it runs in no session. Raises InvalidCredentialError: that session was revoked, or has ended.
    """
    session_place = _outer(cli, client)
    if session_place is None:
        return None
    variable = processes.variable_of(client.pid, RUN_TOKEN)
    within = os.path.dirname(variable) == session_place.folder
    with session_place.locked():
        sessions = Sessions(cli, session_place, None, outer_token)
        thread = _thread(session_place.process.pid, sessions.state, client.pid)
        entry = _session_of_command(cli, sessions.state, variable if within else None, thread)
        if entry is None:
            raise _not_there(sessions.state)
        path = session_place.path(_refreshed(cli, sessions, entry, thread)["file"])
        return variable if within else path


def _outer(cli: Invocation, client: Process) -> SessionPlace | None:
    """Return the place of the nearest process above a client that has or had sessions.

    None if the client's variable names a nearer identity. The name of a process between them does not count: any
    program can take that of `jitid run`.
    """
    above = itertools.dropwhile(lambda each: each[0] != client.pid, processes.ancestors())
    for pid, _, _ in itertools.islice(above, 1, None):
        process = processes.process_of(pid)
        if process is None:
            return None
        session_place = SessionPlace(ledger_of(cli), process)
        if session_place.exists():
            variable = processes.variable_of(client.pid, RUN_TOKEN)
            return None if _is_nearer(variable, session_place) else session_place
    return None


def _is_nearer(variable: str, session_place: SessionPlace) -> bool:
    """Return whether the variable of a process below a client names an identity that is nearer than its sessions.

    The client's own variable, such as that of a run around it, reaches that process, too.
    """
    if not variable or os.path.dirname(variable) == session_place.folder:
        return False
    first = session_place.read()["request"]
    own = processes.variable_of(session_place.process.pid, RUN_TOKEN)
    return variable != own and (first is None or variable != first["parent_file"])


def _refreshed(
    cli: Invocation, sessions: Sessions, entry: dict[str, Any], thread: str | None
) -> dict[str, Any]:
    """Renew a session if that is due, and return it, or its subagent if a client's variable names one."""
    is_subagent = thread in entry["subagents"]
    with explained(cli, entry["id"]):
        sessions.refresh(entry)
    if is_subagent and thread not in entry["subagents"]:
        raise _not_there(sessions.state)
    return _holder(entry, thread)


def must_agree(
    cli: Invocation, options: RequestOptions, state: dict[str, Any], entry: dict[str, Any]
) -> None:
    """Raise UsageError if the line states another task or delegator than that of the session."""
    for name in ("task", "delegator"):
        stated = getattr(options, name)
        if stated is None or name in cli.from_environment:
            continue
        if stated not in (entry[name], state["request"][name]):
            raise UsageError(
                f"the session has the {name} {quote(entry[name])}, not {quote(stated)}",
                f"omit --{name}: the token belongs to the session",
            )


def _session_of_command(
    cli: Invocation, state: dict[str, Any], token_file: str | None, thread: str | None
) -> dict[str, Any] | None:
    """Return the session that this command belongs to; None if its client has no session now.

    A client may have several sessions in one process. A command whose session or subagent is not there gets no token
    of another one. A command that does not name its own gets a token of the latest one, if none was revoked; ended
    sessions count too.

    Raises:
        InvalidCredentialError: the session of the command has ended. Or the command does not name its session, and one
            of them was ended in the ledger.

    """
    sessions = state["sessions"]
    current: dict[str, Any] | None = sessions.get(state["current"])
    if state["request"] is None and token_file is None:
        return None
    if token_file is not None or thread is not None:
        named = _named(sessions, os.path.basename(token_file or ""), thread if token_file is None else None)
        if named is not None:
            return named
        if token_file is not None or UNNAMED not in sessions:
            raise _not_there(state)
    endings = [state["ended"]]
    if len(sessions) > 1:
        endings += [ended_as(cli, entry["id"]) for entry in sessions.values()]
    for ending in filter(None, endings):
        raise InvalidCredentialError(
            f"a session of {state['client']} in this process was {ending}",
            "start the client again",
        )
    return current


def _not_there(state: dict[str, Any]) -> InvalidCredentialError:
    client = state["client"] or "the client"
    return InvalidCredentialError(
        f"{client} has no such session or subagent as that of this command: it ended, or was not reported",
        "start the client again",
    )


def _named(sessions: dict[str, Any], file: str, thread: str | None) -> dict[str, Any] | None:
    """Return the session with the file of a token, or of a thread: the session itself, or one of its subagents."""
    # The name of a session precedes an equal one of a subagent in another session.
    named: dict[str, Any] | None = None if thread is None else sessions.get(thread)
    for entry in sessions.values() if named is None else ():
        files = [entry["file"], *(each["file"] for each in entry["subagents"].values())]
        if file in files or thread in entry["subagents"]:
            named = entry
    return named


def _thread(pid: int, state: dict[str, Any], command: int | None = None) -> str | None:
    """Return the id of the session or the subagent that the client names in the variables of its commands.

    `command` is the process of the command, if it is not this one. A client that runs below another one has inherited a
    variable of that one, which names no session of it.
    """
    variable = next(
        (client.subagent_variable for client in clients.CLIENTS if client.name == state["client"]), None
    )
    if variable is None:
        return None
    named = os.environ.get(variable) if command is None else processes.variable_of(command, variable)
    return None if named == processes.variable_of(pid, variable) else named or None


def _holder(entry: dict[str, Any], thread: str | None) -> dict[str, Any]:
    """Return the subagent whose command this process is, if the client names it in a variable; otherwise the session.

    The choice only narrows: a subagent has no right that its session does not have.
    """
    subagent = entry["subagents"].get(thread)
    holder: dict[str, Any] = entry if subagent is None else subagent
    return holder
