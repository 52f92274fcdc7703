"""`jitid helper ssh`: add a key with a certificate to the ssh-agent (`Match exec` of ssh_config(5))."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import TYPE_CHECKING

from jitid.authority.open import open_authority
from jitid.capabilities.inventory.operations import Inspect
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.cli.invocation import Invocation
from jitid.cli.issue.obtain import hand_over, obtain
from jitid.crypto import openssh
from jitid.errors import JitidError, UsageError
from jitid.model.credential import named_kind
from jitid.system import ssh_agent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jitid.capabilities.issue.issue_result import Issued
    from jitid.cli.helper import commands
    from jitid.system.ssh_agent import AgentConnection, HeldKey

_AGENT = "SSH_AUTH_SOCK"
_PATIENCE = 10.0
_MARK = "jitid"
"""Prefix of the comments of the keys that this helper adds to an ssh-agent."""
_LEFT = 3
"""A certificate is reused while at least 1/`_LEFT` of its lifetime remains."""


def ssh(cli: Invocation, args: commands.HelperSshCommand) -> None:
    """Perform `jitid helper ssh`."""
    cli.expect_own_form()
    path = os.environ.get(_AGENT)
    if not path:
        raise UsageError(f"{_AGENT} names no ssh-agent that could have a key", "start one: eval $(ssh-agent)")
    slot = _slot(
        cli,
        (
            named_kind(*args.kind),
            args.task,
            args.delegator,
            args.agent,
            None if args.ttl is None else str(args.ttl),
            args.parent_file,
            *args.scope,
        ),
    )
    with ssh_agent.connected(path, _PATIENCE) as connection:
        held_keys = [key for key in connection.held() if key.comment.startswith(f"{_MARK} {slot} ")]
        if _is_enough(cli, connection, held_keys):
            return
        issued = obtain(cli, args, args.kind)
        hand_over(cli, issued, lambda: _add(connection, issued, slot))


def _add(connection: AgentConnection, issued: Issued, slot: str) -> None:
    (credential,) = issued.credentials
    lifetime = issued.expires_at - int(time.time())
    comment = f"{_MARK} {slot} {credential.jti}"
    connection.add(
        credential.secret.reveal("key"), credential.secret.reveal("certificate"), lifetime, comment
    )


def _is_enough(cli: Invocation, connection: AgentConnection, held_keys: Iterable[HeldKey]) -> bool:
    """Return whether the ssh-agent has a valid certificate for the request. Remove certificates that have ended."""
    enough = False
    for key in held_keys:
        if not _lasts(key) or enough:
            # This certificate expires soon, and a connection may be using it.
            continue
        if _is_active(cli, key.comment.rpartition(" ")[2]):
            enough = True
        else:
            connection.remove(key.blob)
    return enough


def _lasts(key: HeldKey) -> bool:
    try:
        kind = openssh.Reader(key.blob).text()
        certificate = openssh.parse_certificate(openssh.line(kind, key.blob))
    except ValueError:
        return False
    remaining = certificate.valid_before - int(time.time())
    return remaining * _LEFT >= certificate.valid_before - certificate.valid_after


def _is_active(cli: Invocation, jti: str) -> bool:
    """Return whether a credential is active in the ledger. If the ledger cannot say, return False."""
    try:
        return open_authority(cli.config()).perform(Inspect(id=jti)).active
    except JitidError as error:
        cli.detail(f"of the certificate in the ssh-agent nothing is known: {error.message}")
        return False


def _slot(cli: Invocation, request_words: Iterable[str | None]) -> str:
    """Return the digest of a request: an equal request finds the earlier certificate, and any other does not."""
    config = cli.config()
    ledger = config.remote or config.ledger
    defaults = (config.text(name) for name in ("task", "agent"))
    words = (ledger, os.environ.get(RUN_TOKEN), *defaults, *request_words)
    # Each word has its length as a prefix, so that different requests never have the same text.
    text = "".join("-" if word is None else f"{len(word)}:{word}" for word in words)
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
