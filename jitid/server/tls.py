"""TLS of the service: its certificate, its key and its minimum version."""

from __future__ import annotations

import os
import ssl
import stat

from jitid.errors import ConfigurationError, IntegrityError
from jitid.values.text import quote


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return the TLS server context: version 1.2 or later only (RFC 9325).

    Raises:
        ConfigurationError: certificate or key cannot be used.
        IntegrityError: others can read the key.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Read certificate and key again. Raises the errors of `server_context`; then the old ones stay in use."""
    try:
        status = os.stat(key)
        # Its group may read it: certificate tools use a dedicated group.
        if status.st_mode & 0o037:
            raise IntegrityError(
                f"the TLS key {quote(key, 200)} is open to others (mode {stat.S_IMODE(status.st_mode):03o})",
                f"chmod 600 {key}",
            )
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise ConfigurationError(
            f"{quote(certificate, 200)} and {quote(key, 200)} are no certificate with its key: "
            f"{(error.reason or 'unreadable').lower().replace('_', ' ')}"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise ConfigurationError(
            f"the TLS certificate or its key cannot be read: {(reason or 'it has a password').lower()}",
            f"they are {quote(certificate, 200)} and {quote(key, 200)}",
        ) from None


def _no_password() -> str:
    # Without this, OpenSSL would prompt for the password on a terminal.
    raise ValueError("the key has a password")
