"""`jitid login`: log a person in at an identity provider, and end that login."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from jitid.authority.open import open_if_there, open_or_create_authority
from jitid.authority.stored_login import changing_login, delete_login, must_be_persons_process, store_login
from jitid.capabilities.access import provider as oidc_provider
from jitid.capabilities.access.oidc import check_client, check_names, check_settings
from jitid.capabilities.access.operations import LogIn, RevokeAccess
from jitid.cli.identity.commands import LoginCommand
from jitid.cli.invocation import Invocation
from jitid.errors import (
    ConfigurationError,
    JitidError,
    NotFoundError,
    StorageError,
    UnauthenticatedError,
    UsageError,
)
from jitid.system import time_limit
from jitid.values.text import quote, safe
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.authority.remote import RemoteAuthority
    from jitid.capabilities.access.grant import Granted
    from jitid.capabilities.access.provider import Provider
    from jitid.config.effective import Config
    from jitid.model.access import LoginProof, OidcIssuer
    from jitid.operation.base import Authority
    from jitid.values.secret import Secret

_PATIENCE = 300.0
"""Seconds to wait for the person in the browser."""


def login(cli: Invocation, args: LoginCommand) -> None:
    """Perform `jitid login`."""
    must_be_persons_process()
    if args.ends:
        if args.issuer is not None or args.device or args.no_browser or args.fresh:
            raise UsageError("--out and the options of a new login exclude each other", "jitid login --out")
        _log_out(cli, args)
        return
    if args.device and args.fresh:
        raise UsageError("--fresh does not apply to --device", "omit one of them")
    cli.expect(args.view.fields)
    config = cli.config()
    issuer = _chosen(config, args.issuer, device=args.device)
    authority = _unauthenticated(config) or open_or_create_authority(config, cli.note)
    timeout = float(config.number("timeout"))
    address = _address(config, authority)
    cli.note(f"logging in at {safe(issuer.issuer)}")
    provider = oidc_provider.discover(issuer, timeout)
    login_request = (
        LogIn(token=_by_device(cli, args, provider, timeout), authority=address)
        if args.device
        else _by_code(cli, args, provider, address, timeout)
    )
    if config.remote is None:
        from jitid.authority.open_local import make_holder

        make_holder()
    granted = authority.perform(login_request)
    if granted.secret is not None:
        _store(config, authority, granted)
    if config.remote is not None and not _is_used(config):
        cli.warn("another credential is configured, and takes precedence over the login: see jitid doctor")
    found = granted.access.login
    assert found is not None
    row = {**_row(found), "state": "active"}
    cli.show_record(
        args.view,
        row,
        f"logged in as {found.delegator} until {format_time(found.expires_at)}\n",
    )


def _is_used(config: Config) -> bool:
    """Return whether requests use the stored login, and no configured credential."""
    from jitid.authority.remote import credential, login_credential

    used, stored = credential(config), login_credential(config.remote or "")
    return used is not None and stored is not None and used.place == stored.place


def _row(found: LoginProof) -> dict[str, Any]:
    return {
        "delegator": found.delegator,
        "issuer": found.issuer,
        "authenticated_at": format_time(found.proved_at),
        "expires_at": format_time(found.expires_at),
        "access": found.id,
    }


def _chosen(config: Config, stated: str | None, *, device: bool) -> OidcIssuer:
    """Return the issuer to log in at. Raises UsageError and ConfigurationError."""
    issuers = [issuer for issuer in config.oidc() if issuer.client_id is not None]
    names = ", ".join(quote(issuer.issuer, 200) for issuer in issuers[:10])
    if not issuers:
        raise ConfigurationError(
            "no issuer is configured for logins",
            "jitid config set oidc.https://id.example.com.client_id CLIENT; see jitid-login(7)",
        )
    found = issuers
    if stated is not None:
        found = [each for each in issuers if each.issuer == stated] or [
            each for each in issuers if urlsplit(each.issuer).hostname == stated
        ]
    if not found:
        raise UsageError(f"no issuer for logins is named {quote(stated or '', 200)}", f"configured: {names}")
    if len(found) > 1:
        raise UsageError("several issuers are configured for logins", f"choose one with --issuer: {names}")
    issuer = check_client(found[0])
    if config.remote is None:
        # This ledger verifies the ID token, so its settings are checked before the person does anything.
        check_names(check_settings(issuer), config.oidc())
    if device and not issuer.device:
        raise ConfigurationError(
            f"the device flow is not permitted for {quote(issuer.issuer, 200)}",
            "a stranger who sends you a code could log in as you; to permit it: "
            f"jitid config set oidc.{safe(issuer.issuer)}.device true",
        )
    if config.remote is None and issuer.from_environment:
        raise config.settings_refused(issuer)
    return issuer


def _address(config: Config, authority: Authority) -> str:
    """Return the address at which alone the ID token counts; beside a ledger, its issuer."""
    if config.remote is None:
        return cast("LocalAuthority", authority).names.issuer
    from jitid.system.authority_address import parse_address

    return str(parse_address(config.remote))


def _unauthenticated(config: Config) -> RemoteAuthority | None:
    """Return the remote authority without a credential: the ID token authenticates the person."""
    if config.remote is None:
        return None
    from jitid.authority.remote import RemoteAuthority
    from jitid.system.authority_address import parse_address

    return RemoteAuthority(
        parse_address(config.remote),
        None,
        timeout=float(config.number("timeout")),
        authorities=config.text("remote_ca"),
    )


def _seconds_left() -> Callable[[], float]:
    end = monotonic() + _PATIENCE
    return lambda: time_limit.left(end - monotonic())


def _by_code(cli: Invocation, args: LoginCommand, provider: Provider, address: str, timeout: float) -> LogIn:
    from jitid.system.loopback import Loopback

    with Loopback() as listener:
        attempt = oidc_provider.attempt(
            provider, listener.address, address, int(time.time()), fresh=args.fresh
        )
        url = oidc_provider.authorization_url(attempt)
        cli.note(f"to log in, open: {url}")
        if not args.no_browser:
            _open_browser(cli, url)
        ignored = 0

        def accept(query: str) -> bool:
            nonlocal ignored
            if oidc_provider.belongs(attempt, query):
                return True
            ignored += 1
            return False

        try:
            query = listener.receive(accept, _seconds_left())
        except TimeoutError:
            refused = f"; answers refused because of their `state`: {ignored}" if ignored else ""
            raise _too_late(f"no answer came from the browser in time{refused}") from None
    id_token = oidc_provider.id_token_for(attempt, oidc_provider.code_in(attempt, query), timeout)
    return LogIn(token=id_token, authority=address, seed=attempt.seed)


def _by_device(cli: Invocation, args: LoginCommand, provider: Provider, timeout: float) -> Secret:
    device = oidc_provider.request_device_code(provider, timeout)
    cli.note(f"to log in, open {safe(device.address)} and enter the code {safe(device.user_code)}")
    if device.complete_address is not None and not args.no_browser:
        _open_browser(cli, device.complete_address)
    end = monotonic() + device.expires_in
    left = _seconds_left()
    try:
        return oidc_provider.poll(
            provider, device, timeout, lambda: min(left(), end - monotonic()), time.sleep
        )
    except TimeoutError:
        raise _too_late("no person confirmed the code in time") from None


def _too_late(message: str) -> StorageError:
    return StorageError(f"{message}; nothing was changed", "repeat the command")


def _open_browser(cli: Invocation, url: str) -> None:
    """Open the address in a browser if this user has one here; the address is printed in any case."""
    import shlex
    import shutil
    import subprocess
    import sys

    stated = os.environ.get("BROWSER", "").partition(":")[0].strip()
    try:
        words = shlex.split(stated)
    except ValueError:
        words = []
    if words:
        line = [word.replace("%s", url) for word in words]
        line += [] if any("%s" in word for word in words) else [url]
    elif sys.platform == "darwin":
        line = ["open", url]
    elif os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        line = ["xdg-open", url]
    else:
        return
    program = shutil.which(line[0])
    if program is None:
        cli.note(f"no browser was opened: there is no program {quote(line[0])}")
        return
    try:
        subprocess.Popen(  # noqa: S603 - the user's own browser
            [program, *line[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        cli.note(f"no browser was opened: {(error.strerror or 'error').lower()}")


def _store(config: Config, authority: Authority, granted: Granted) -> None:
    """Store the access token. On any error, revoke it: an access token that is lost must not stay valid."""
    assert granted.secret is not None
    assert config.remote is not None
    try:
        with changing_login():
            earlier = _stored_authority(config)
            store_login(config.remote, granted.secret)
    except BaseException:
        time_limit.take_back()
        with suppress(JitidError):
            _with_token(config, granted.secret).perform(
                RevokeAccess(ids=(granted.access.id,), reason="it could not be stored")
            )
        raise
    if earlier is not None:
        # The earlier login at this authority is replaced, and no file has its token any more.
        with suppress(JitidError):
            _revoke(earlier)
    authority.close()


def _log_out(cli: Invocation, args: LoginCommand) -> None:
    """End the login of this user. Without one, nothing is changed."""
    config = cli.config()
    found = _end_at_authority(config) if config.remote is not None else _end_in_ledger(config)
    if found is None:
        cli.show_record(args.view, {"state": "none"}, "not logged in; nothing was changed\n")
        return
    cli.show_record(args.view, {**_row(found), "state": "ended"}, f"logged out: {found.delegator}\n")


def _end_in_ledger(config: Config) -> LoginProof | None:
    from jitid.authority.open_local import holder
    from jitid.capabilities.access.operations import FindLogin

    own_holder, local = holder(), open_if_there(config)
    if own_holder is None or local is None:
        return None
    # A login that does not count now, as by a change of the configuration, could count again later.
    found = local.perform(FindLogin(holder=own_holder, counts=False))
    if found is None:
        return None
    local.perform(RevokeAccess(ids=(found.id,), reason="logged out"))
    return found


def _end_at_authority(config: Config) -> LoginProof | None:
    assert config.remote is not None
    authority = _stored_authority(config)
    if authority is None:
        return None
    found = None
    # It may have ended at the authority already.
    with suppress(UnauthenticatedError, NotFoundError):
        found = _revoke(authority)
    delete_login(config.remote)
    return found


def _revoke(authority: RemoteAuthority) -> LoginProof | None:
    """Revoke the login that authenticates the requests of `authority`. Raises the errors of `RemoteAuthority`."""
    try:
        found = authority.whoami().login
        if found is not None:
            authority.perform(RevokeAccess(ids=(found.id,), reason="logged out"))
        return found
    finally:
        authority.close()


def _stored_authority(config: Config) -> RemoteAuthority | None:
    """Return the remote authority with the access token of this user's stored login; None without one."""
    from jitid.authority.remote import login_credential

    assert config.remote is not None
    stored = login_credential(config.remote)
    if stored is None:
        return None
    try:
        # The file is about to be replaced or deleted.
        token = stored.read()
    except UsageError:
        return None
    return _with_token(config, token)


def _with_token(config: Config, token: Secret) -> RemoteAuthority:
    from jitid.authority.remote import HeldCredential, RemoteAuthority
    from jitid.system.authority_address import parse_address

    return RemoteAuthority(
        parse_address(config.remote or ""),
        HeldCredential(token),
        timeout=float(config.number("timeout")),
        authorities=config.text("remote_ca"),
    )
