"""The configured remote authority, and the credential for requests to it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jitid.authority.remote import DescriptorCredential, FileCredential, RemoteAuthority
from jitid.system.authority_address import parse_address

if TYPE_CHECKING:
    from jitid.authority.remote import ClientCredential
    from jitid.config.effective import Config


def open_remote(config: Config, patience: float | None = None) -> RemoteAuthority:
    """Return the configured remote authority, without a request to it.

    Raises UsageError if none is configured.
    """
    timeout = float(config.number("timeout"))
    return RemoteAuthority(
        parse_address(config.remote or ""),
        credential(config),
        timeout=timeout if patience is None else min(timeout, patience),
        authorities=config.text("remote_ca"),
    )


def is_of_run(config: Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether requests use the identity token of an agent under `jitid run`."""
    is_configured = config.credential_fd is not None or config.text("remote_credential_file") is not None
    return not is_configured and environ.get("JITID_PARENT_FILE") is not None


def credential(config: Config, environ: Mapping[str, str] = os.environ) -> ClientCredential | None:
    """Return the place of the credential for a remote authority; None if there is none.

    A configured descriptor or file takes precedence; then the identity token of the agent under `jitid run`; then the
    credential from systemd (`jitid-credential` of LoadCredential=).
    """
    if config.credential_fd is not None:
        return DescriptorCredential(config.credential_fd)
    path = config.text("remote_credential_file") or environ.get("JITID_PARENT_FILE")
    if path:
        return FileCredential(path)
    folder = environ.get("CREDENTIALS_DIRECTORY")
    systemd_path = os.path.join(folder, "jitid-credential") if folder else None
    return (
        FileCredential(systemd_path, systemd=True)
        if systemd_path is not None and os.path.lexists(systemd_path)
        else None
    )
