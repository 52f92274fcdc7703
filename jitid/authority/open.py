"""The choice of implementations: the only place that turns the configuration into an authority.

A remote authority needs neither the ledger nor its keys, so the modules of a local one are loaded for a local one only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from jitid.errors import RefusedError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.authority.remote import RemoteAuthority
    from jitid.capabilities.issue.operations import Issue
    from jitid.capabilities.sweep.finding import Thresholds
    from jitid.config.effective import Config
    from jitid.model.access import LoginProof
    from jitid.operation.base import Authority, Operation, Result
    from jitid.values.secret import Secret


def open_authority(config: Config, *, patience: float | None = None, accept_clock: bool = False) -> Authority:
    """Return the configured authority: a remote one, or one over an existing ledger.

    It waits for remote answers or for other writers as long as the configuration says, or at most `patience` seconds.
    With `accept_clock`, operations on a local ledger accept its clock, including the reads before a change.

    Raises:
        StorageError: there is no ledger.
        IntegrityError: the ledger is damaged, or open to others.

    """
    remote = _remote(config, patience)
    if remote is not None:
        return remote
    from jitid.authority.open_local import open_local

    return open_local(config, patience=patience, accept_clock=accept_clock)


def as_holder(config: Config, authority: Authority, token: Secret) -> Authority:
    """Return the configured authority as it serves the agent that holds a token.

    A remote authority identifies its caller itself.
    """
    if config.remote is not None:
        return authority
    from jitid.authority.local import LocalAuthority

    assert isinstance(authority, LocalAuthority)
    return HeldAuthority(authority, token)


class HeldAuthority:
    """An authority that performs operations with the rights of the agent that holds a token.

    A process beside the ledger serves the agent, such as the MCP server. The process has full access to the ledger, and
    the agent does not. So the agent's own token authorizes each request, as over HTTP.
    """

    def __init__(self, within: LocalAuthority, token: Secret) -> None:
        """`within` is the authority of the serving process, which stays open; `token` is the agent's."""
        self._within = within
        self._token = token

    def perform(self, operation: Operation[Result]) -> Result:
        """Perform an operation as the agent and return its answer; raise a `JitidError` if it fails.

        Raises, besides the errors of the operation:
            InvalidCredentialError: the agent's token is not valid.
            ShownError: the token is for services.
            RefusedError: the agent may not perform it.
        """
        within = self._within
        if getattr(operation, "accept_clock", False):
            # The serving process may accept the clock, and the agent may not.
            if getattr(operation, "dry_run", False):
                within = within.with_clock_accepted()
            else:
                within.record_accepted_clock()
            operation = operation.replace(accept_clock=False)
        caller = within.authenticate_holder(self._token, operation)
        try:
            return within.serving(caller, counted=False).perform(operation)
        except RefusedError:
            # If the token has ended meanwhile, this raises the error for that.
            within.authenticate_holder(self._token, operation)
            raise

    def close(self) -> None:
        """Do nothing: the serving process owns the authority."""


def open_if_there(config: Config, *, accept_clock: bool = False) -> Authority | None:
    """Return the configured authority; None if the configuration names none and there is no ledger.

    Raises the errors of `open_authority` if the configuration names one.
    """
    if config.remote is None and config.origin("ledger") == "default":
        from jitid.ledger.sqlite import folder

        if not folder.exists(config.ledger):
            return None
    return open_authority(config, accept_clock=accept_clock)


def open_for_issue(config: Config, operation: Issue, note: Callable[[str], None]) -> Authority:
    """Return the authority for `operation`; the first use creates its ledger and reports that to `note`.

    Raises:
        UsageError: the operation is invalid; no ledger is created for it.
        StorageError: it delegates from a credential, and there is no ledger that could have issued it.

    """
    remote = _remote(config)
    if remote is not None:
        return remote
    from jitid.authority.open_local import open_local_for_issue

    return open_local_for_issue(config, operation, note)


def open_or_create_authority(config: Config, note: Callable[[str], None]) -> Authority:
    """Return the remote authority, or the one over the ledger, which the first use creates.

    A creation is reported to `note`. Raises the errors of `open_or_create_local`.
    """
    remote = _remote(config)
    if remote is not None:
        return remote
    from jitid.authority.open_local import open_or_create_local

    return open_or_create_local(config, note)


def open_for_preview(config: Config) -> Authority:
    """Return the remote authority, or the one over the ledger; over an empty ledger in memory if there is none yet."""
    remote = _remote(config)
    if remote is not None:
        return remote
    from jitid.authority.open_local import open_local_for_preview

    return open_local_for_preview(config)


def issuer(config: Config) -> str | None:
    """Return the issuer of the ledger or the authority; None without a ledger. Raises the errors of both."""
    from jitid.capabilities.inventory.status_operations import ShowStatus

    authority = open_if_there(config)
    return None if authority is None else authority.perform(ShowStatus()).issuer


def current_login(config: Config) -> LoginProof | None:
    """Return the login of this user beside the ledger, or at the authority; None without one.

    None also in an agent's process, where it does not count, but not for the hooks and helpers of a client. Raises the
    errors of both.
    """
    if config.remote is None:
        login = _found_login(config)
        # Most users have none: then the processes above this one do not matter.
        return None if login is None or _is_of_agent(config) else login
    from jitid.authority.remote import login_credential, open_remote

    if _is_of_agent(config) or login_credential(config.remote) is None:
        return None
    authority = open_remote(config)
    try:
        return authority.whoami().login
    finally:
        authority.close()


def _is_of_agent(config: Config) -> bool:
    from jitid.capabilities.session.agent_above import agent_above

    return agent_above(config.client_process) is not None


def last_login(config: Config) -> LoginProof | None:
    """Return the last login of this user beside the ledger, even if it does not count now; None if there was none."""
    return _found_login(config, counts=False, ended=True)


def _found_login(config: Config, **which: bool) -> LoginProof | None:
    from jitid.authority.open_local import holder
    from jitid.capabilities.access.operations import FindLogin

    found = holder()
    return None if found is None else open_for_preview(config).perform(FindLogin(holder=found, **which))


def sweep_limits(config: Config) -> Thresholds:
    """Return the thresholds from which a sweep reports a finding."""
    from jitid.capabilities.sweep.finding import Thresholds

    limits = {name: config.get(f"sweep_{name}") for name in Thresholds._fields if name != "known_only"}
    return Thresholds(**limits, known_only=config.text("delegators") == "known")  # type: ignore[arg-type]  # each as its setting converts it


def shown_place(config: Config) -> str:
    """Return the configured authority or ledger for display, without passwords."""
    if config.remote is not None:
        return config.remote
    from jitid.authority.open_local import place_text

    return place_text(config.ledger)


def room(config: Config) -> int | None:
    """Return the maximum number of characters of strings in one request; None if unlimited."""
    # By default an authority accepts one mebibyte per request (serve_body).
    return None if config.remote is None else 700_000


def _remote(config: Config, patience: float | None = None) -> RemoteAuthority | None:
    """Return the remote authority, if the configuration names one."""
    if config.remote is None:
        return None
    from jitid.authority.remote import open_remote

    return open_remote(config, patience)
