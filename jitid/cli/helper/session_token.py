"""The session above this process: its client, its place, and the file of its identity token."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.capabilities.session import clients
from jitid.capabilities.session.clients import Client, ParentProcess
from jitid.capabilities.session.session_place import SessionPlace
from jitid.cli.helper.client_sessions import UNNAMED, Sessions
from jitid.cli.helper.session_identity import is_due
from jitid.errors import InvalidCredentialError, UsageError
from jitid.model.credential import State
from jitid.system import processes
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.capabilities.issue.request_options import RequestOptions
    from jitid.cli.invocation import Invocation


class FoundSession:
    """The place of the nearest client above this process, if it has sessions or may have them."""

    def __init__(self, session_place: SessionPlace, client: Client | None) -> None:
        self.session_place = session_place
        self.client = client
        """The client, known by the name of its program; None if only its place is known."""


def ledger_of(cli: Invocation) -> str:
    """Return the ledger or the authority of the line."""
    config = cli.config()
    return config.remote or config.ledger


def find(cli: Invocation) -> FoundSession | None:
    """Return the nearest process above the current one with sessions or with the name of a client; None without one."""
    ledger = ledger_of(cli)
    for pid, words, names in processes.ancestors():
        process = processes.process_of(pid)
        if process is None:
            return None
        session_place = SessionPlace(ledger, process)
        client = clients.client_of(ParentProcess(pid, words, names))
        if client is not None or session_place.exists():
            return FoundSession(session_place, client)
    return None


def of_client(cli: Invocation, client: Client) -> FoundSession:
    """Return the place of the client that runs this hook. Raises UsageError if its process is not known."""
    above = [ParentProcess(*each) for each in processes.ancestors()]
    ancestor = clients.process_of_client(client, above)
    process = None if ancestor is None else processes.process_of(ancestor.pid)
    if process is None:
        raise UsageError(
            f"the process of {client.name} cannot be found",
            "only the client itself runs this command, as its hook",
        )
    return FoundSession(SessionPlace(ledger_of(cli), process), client)


class SessionToken(Record):
    """The file of the identity token of a session or a subagent."""

    path: str
    session_place: SessionPlace


def session_token(
    cli: Invocation, options: RequestOptions, audience: tuple[str, ...], *, opens: bool
) -> SessionToken | None:
    """Return the file of the identity token of the session above this process, renewed if that is due.

    With `opens`, a known client gets a session if it has none yet. None without a session, and if $JITID_PARENT_FILE
    names a nearer identity.

    Raises:
        InvalidCredentialError: the identity was revoked, or its task or its parent has ended.
        UsageError: the line states another task or delegator than that of the session.
        PolicyDeniedError: the policy refuses a new session.

    """
    found = find(cli)
    if found is None:
        return None
    variable = os.environ.get(RUN_TOKEN) or None
    session_place = found.session_place
    cli.config().client_process = session_place.process
    within = os.path.dirname(variable or "") == session_place.folder
    state = session_place.read()
    entry = _session_of_command(cli, state, variable if within else None)
    if entry is None:
        if variable is not None or not opens or found.client is None:
            return None
    elif not within and variable != entry["request"]["parent_file"]:
        return None
    elif not (is_due(entry) or is_due(_holder(state, entry))):
        must_agree(options, entry, cli)
        path = variable if within and variable else session_place.path(_holder(state, entry)["file"])
        return SessionToken(path, session_place)
    with session_place.locked():
        sessions = Sessions(cli, session_place, found.client)
        entry = _session_of_command(cli, sessions.state, variable if within else None)
        if entry is None:
            entry = sessions.open(UNNAMED, options, audience)
        must_agree(options, entry, cli)
        sessions.refresh(entry)
        path = variable if within and variable else session_place.path(_holder(sessions.state, entry)["file"])
        return SessionToken(path, session_place)


def must_agree(options: RequestOptions, entry: dict[str, Any], cli: Invocation) -> None:
    """Raise UsageError if the line states another task or delegator than that of the session."""
    for name in ("task", "delegator"):
        stated = getattr(options, name)
        if stated is None or name in cli.from_environment:
            continue
        known = {entry[name], entry["request"][name]}
        if stated not in known:
            raise UsageError(
                f"the session has the {name} {quote(entry[name])}, not {quote(stated)}",
                f"omit --{name}: the token belongs to the session",
            )


def _session_of_command(
    cli: Invocation, state: dict[str, Any], token_file: str | None
) -> dict[str, Any] | None:
    """Return the session that this command belongs to; None without a session.

    A client may have several sessions in one process. A command that does not name its own gets a token only if all
    of them have the same rights and none was revoked: otherwise it could get those of another one.

    Raises:
        UsageError: the command does not name its session, and the sessions have different rights.
        InvalidCredentialError: the command does not name its session, and one of them was ended in the ledger.

    """
    sessions, file = state["sessions"], os.path.basename(token_file or "")
    current: dict[str, Any] | None = sessions.get(state["current"])
    if current is None or len(sessions) == 1:
        return current
    thread = _thread(state)
    # The name of a session precedes an equal one of a subagent in another session.
    named: dict[str, Any] | None = sessions.get(thread) if token_file is None else None
    for entry in sessions.values() if named is None else ():
        files = [entry["file"], *(each["file"] for each in entry["subagents"].values())]
        if (file in files) if token_file is not None else (thread in entry["subagents"]):
            named = entry
    if named is not None:
        return named
    if any(_rights(entry) != _rights(current) for entry in sessions.values()):
        raise UsageError(
            f"{state['client']} has {len(sessions)} sessions with different rights in one process",
            "start a separate process for each of them",
        )
    authority = open_authority(cli.config())
    for entry in sessions.values():
        ended_as = authority.perform(Inspect(id=entry["id"])).credential.ended_as
        if ended_as not in (None, State.EXPIRED):
            raise InvalidCredentialError(
                f"{state['client']} has {len(sessions)} sessions in one process, and one of them was {ended_as}",
                "start the client again",
            )
    return current


def _rights(entry: dict[str, Any]) -> list[Any]:
    """Return the rights of a session, for a comparison, without a task that jitid named."""
    stated = {name: value for name, value in entry["request"].items() if name != "audience"}
    return [stated, entry["delegator"], entry["scopes"], entry["may_audience"]]


def _thread(state: dict[str, Any]) -> str | None:
    """Return the id of the session or the subagent that the client names in the variables of its commands."""
    variable = next(
        (client.subagent_variable for client in clients.CLIENTS if client.name == state["client"]), None
    )
    return None if variable is None else os.environ.get(variable)


def _holder(state: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    """Return the subagent whose command this process is, if the client names it in a variable; otherwise the session.

    The choice only narrows: a subagent has no right that its session does not have.
    """
    subagent = entry["subagents"].get(_thread(state))
    holder: dict[str, Any] = entry if subagent is None else subagent
    return holder
