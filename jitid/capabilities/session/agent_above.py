"""Whether this process is an agent's: the login of a person does not count in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.capabilities.run.token_place import RUN_SERVICE, STARTED_BY
from jitid.capabilities.session.clients import CLIENTS
from jitid.capabilities.session.session_place import client_with_place
from jitid.model.agent_program import AGENT_PROGRAMS
from jitid.system import processes

if TYPE_CHECKING:
    from jitid.model.process import Process

OWN_IDENTITY = (
    "use the agent's identity: $JITID_PARENT_FILE names its token, and programs can clear that variable; in a session: "
    "jitid helper token"
)
"""The hint for a request of an agent that would use the login of the person."""


def agent_above(own: Process | None = None) -> str | None:
    """Return where this process is, if an agent runs it, such as "inside `jitid run`"; None if a person runs it.

    An agent's process is below `jitid run`, or below a client that has or had sessions, of any ledger. A process that
    was detached from its parents is known by the variables of `jitid run` and of clients alone.

    `own` is the client whose hook or helper this process is: such a process opens the sessions of that client, and is
    not the agent in them.
    """
    if processes.is_below_run() or STARTED_BY in os.environ or RUN_SERVICE in os.environ:
        return "inside `jitid run`"
    found = [
        process for pid, _, _ in processes.ancestors() if (process := processes.process_of(pid)) is not None
    ]
    of_own = next(
        (number for number, each in enumerate(found) if own is not None and each.is_same(own)), None
    )
    # The helper of another client below it, in its session, has the own session renewed.
    client = client_with_place(found if of_own is None else found[of_own + 1 :])
    if client is None and (own is None or own.pid == os.getpid()):
        client = next((each.agent for each in AGENT_PROGRAMS if each.variable in os.environ), None)
    if client is None:
        return None
    return f"in a session of {client if client in {each.name for each in CLIENTS} else 'a client'}"
