"""Checks of a remote authority from this machine: its answer, its view of this user, its clock, its version."""

from __future__ import annotations

import time
from collections.abc import Iterator

from jitid import __version__
from jitid.authority import open_remote
from jitid.authority.remote import RemoteAuthority
from jitid.capabilities.access.authenticate import WhoAmI
from jitid.capabilities.integrity.examination import TOLERANCE
from jitid.config.effective import Config
from jitid.errors import JitidError
from jitid.model.ledger_condition import Check, Named, failure, ok, unexamined, warning
from jitid.system.authority_address import parse_address


def _credential(config: Config) -> Iterator[Check]:
    credential = open_remote.credential(config)
    if credential is not None:
        credential.read()
        yield ok("credential", f"there is one in {credential.place}")
    elif parse_address(config.remote or "").is_socket:
        yield ok("credential", "none is needed: over a Unix socket the kernel tells who asks")
    else:
        yield warning(
            "credential",
            "there is none, and nobody is served without one",
            "name its file: --credential-file FILE, or the setting remote_credential_file",
        )


def _authority(config: Config) -> Iterator[Check]:
    authority = open_remote.open_remote(config)
    sent_at = time.time()
    try:
        whoami = authority.whoami()
    except JitidError as error:
        if error.hint is not None:
            # The hint is redundant here: this is jitid doctor.
            error.hint = error.hint.removesuffix(" see: jitid doctor")
        yield failure("remote", error)
        for name in ("caller", "clock there", "version there"):
            yield unexamined(name, "the authority does not answer")
        return
    yield ok("remote", f"{authority.place} answers for {whoami.issuer}, {_secured(authority)}")
    authority.close()
    yield _caller(whoami)
    yield _clock(whoami.now, sent_at, time.time())
    yield _version(whoami.version)


def _secured(authority: RemoteAuthority) -> str:
    if authority.secured_by is not None:
        return f"over {authority.secured_by}, with a certificate that is vouched for"
    return "on this machine"


def _caller(whoami: WhoAmI) -> Check:
    description = whoami.caller
    if whoami.delegator is not None:
        description += f", who delegates as {whoami.delegator} ({whoami.proof})"
    roles = (
        f"in the roles {', '.join(whoami.roles)}" if whoami.roles else "in no role: only what is their own"
    )
    return ok("caller", f"{description}, {roles}")


def _clock(remote_now: int, sent_at: float, received_at: float) -> Check:
    # The authority sent its time in whole seconds, at an unknown moment between `sent_at` and `received_at`.
    ahead = remote_now - received_at if remote_now > received_at else min(remote_now + 1 - sent_at, 0)
    if abs(ahead) <= TOLERANCE:
        return ok("clock there", "the authority's clock and this one agree")
    side = "ahead of" if ahead > 0 else "behind"
    return warning(
        "clock there",
        f"the authority's clock is {abs(ahead):.0f} s {side} this one, and credentials are judged by the authority's",
        "set both machines' clocks by the same time service",
    )


def _version(remote_version: str) -> Check:
    if remote_version.split(".")[:2] == __version__.split(".")[:2]:
        return ok("version there", f"jitid {remote_version}")
    return warning(
        "version there",
        f"the authority is jitid {remote_version}, and this one is {__version__}: one may not know what the other asks",
        "use the same version on both sides",
    )


CHECKS: Named[Config] = (("credential", _credential), ("remote", _authority))
