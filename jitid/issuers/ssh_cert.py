"""SSH user certificates (OpenSSH's PROTOCOL.certkeys), signed by a key that hosts trust."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from jitid.crypto import openssh
from jitid.crypto.openssh import PublicKey, options, string, strings
from jitid.crypto.private_key import is_pem, load, public_print, ssh_print
from jitid.errors import ConfigurationError, UsageError
from jitid.issuers.issuer import Draft, Ids, KindSpec, Minted, Order, Signing
from jitid.issuers.target_issuer import KindOptions, TargetOption
from jitid.keys.keyring import Signer
from jitid.values.field_types import MAX_PUBLIC_KEY
from jitid.values.ids import parse_id
from jitid.values.secret import Secret
from jitid.values.text import with_final_newline

TEMPLATE_OPTIONS: Mapping[str, TargetOption] = {
    "principals": TargetOption(
        "texts", "the principals of the certificate: logins, or names in AuthorizedPrincipalsFile", True
    ),
    "source_address": TargetOption("texts", "the addresses and networks from which it is valid"),
    "force_command": TargetOption("text", "the only command that it may run"),
    "extensions": TargetOption("texts", "permissions such as permit-pty (default: none)"),
}

EXTENSIONS = (
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
)
"""The extensions that OpenSSH supports."""

TOLERANCE = 60
"""Seconds that a certificate is valid before its issue, since the clocks of hosts differ."""

_MAX_PRINCIPALS = 256
"""The maximum that a host reads (OpenSSH's SSHKEY_CERT_MAX_PRINCIPALS)."""
_MAX_COMMAND = 4096
_MIN_RSA = 3072
_MAX_RSA = 16384
"""Bits; OpenSSH reads no longer keys (SSHBUF_MAX_BIGNUM)."""
_PRINCIPAL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@:/+-")


class SshCertIssuer:
    """An issuer that signs certificates with the key of one authority."""

    def __init__(self, signer: Signer) -> None:
        self._sign = signer.sign
        self._authority = string(openssh.public_blob(signer.public))

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one certificate for each name of each order, and a key for it unless the caller has one.

        Raises:
            UsageError: the caller's key is invalid or too weak; `position` is the order's index.
            ConfigurationError: the template is invalid.

        """
        minted: list[Minted] = []
        for position, order in enumerate(orders):
            try:
                make = self._maker(order.draft)
            except (UsageError, ConfigurationError) as error:
                error.position = position
                raise
            minted += [make(ids) for ids in order.names]
        return minted

    def _maker(self, draft: Draft) -> Callable[[Ids], Minted]:
        """Return a function that makes one certificate; the parts common to the issue are written once."""
        principals, critical, extensions = terms(draft)
        without_template = draft.template is None
        validity = (max(draft.issued_at - TOLERANCE, 0)).to_bytes(8) + draft.expires_at.to_bytes(8)
        remaining_fields = b"".join(
            [
                validity,
                string(options(critical)),
                string(options((name, "") for name in extensions)),
                string(b""),
                self._authority,
            ]
        )
        caller_key = None if draft.public_key is None else callers_key(draft.public_key)
        key_print = None if caller_key is None else ssh_print(caller_key)

        def make(ids: Ids) -> Minted:
            # A certificate without principals would open every login, but no login equals the identity's own id.
            encoded_principals = string(strings((*principals, ids.id) if without_template else principals))
            if caller_key is not None:
                return self._certified(caller_key, ids, encoded_principals + remaining_fields, None)._replace(
                    public=key_print
                )
            seed, public = _new_pair()
            pair = PublicKey(openssh.ED25519, openssh.public_blob(public))
            private = openssh.private_file(seed, public, os.urandom(4), ids.jti)
            return self._certified(pair, ids, encoded_principals + remaining_fields, private)._replace(
                public=public_print("EdDSA", public)
            )

        return make

    def _certified(self, key: PublicKey, ids: Ids, remaining_fields: bytes, private: str | None) -> Minted:
        kind = key.certificate_type
        signed = b"".join(
            [
                string(kind),
                string(os.urandom(32)),
                key.fields,
                serial_of(ids.jti).to_bytes(8),
                openssh.USER_CERTIFICATE.to_bytes(4),
                string(ids.jti),
                remaining_fields,
            ]
        )
        blob = signed + string(strings((openssh.ED25519, self._sign(signed))))
        certificate = openssh.line(kind, blob, ids.jti)
        parts = (
            {"certificate": certificate} if private is None else {"key": private, "certificate": certificate}
        )
        return Minted(Secret(parts), sha256(blob).digest(), sha256(signed).digest())


def serial_of(jti: str) -> int:
    """Return the serial number of a credential's certificate: the last 8 bytes of its id, which are never 0."""
    return int.from_bytes(parse_id(jti)[1][8:])


def _new_pair() -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    seed = os.urandom(32)
    return seed, Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def terms(draft: Draft) -> tuple[tuple[str, ...], list[tuple[str, str]], tuple[str, ...]]:
    """Return principals, critical options and extensions of a certificate.

    Without a template the principal is `agent:NAME` for a registered agent. Other agents have names that the caller
    chose. It is never a bare name: a host accepts a principal that equals a login for this login.

    Raises ConfigurationError for an invalid template.
    """
    if draft.template is None:
        return ((f"agent:{draft.agent}",) if draft.registered else ()), [], ()
    return check_template(draft.template, draft.options)


def check_template(
    name: str, table: Mapping[str, Any]
) -> tuple[tuple[str, ...], list[tuple[str, str]], tuple[str, ...]]:
    """Return a template's principals, critical options and extensions. Raises ConfigurationError."""
    unknown = sorted(set(table) - set(TEMPLATE_OPTIONS))
    if unknown:
        raise _wrong(
            name, f"unknown option {unknown[0]!r}", f"only these options: {', '.join(TEMPLATE_OPTIONS)}"
        )
    principals = _texts(name, table, "principals")
    if not 1 <= len(principals) <= _MAX_PRINCIPALS:
        # A certificate without principals is valid for every login.
        raise _wrong(name, f"it has {len(principals)} principals", f"1 to {_MAX_PRINCIPALS} principals")
    if any(
        not 1 <= len(principal) <= 128 or not _PRINCIPAL.issuperset(principal) or principal[0] == "-"
        for principal in principals
    ):
        raise _wrong(
            name, "a principal is not a valid name", "principals of ASCII letters, digits and ._@:/+-"
        )
    critical = []
    command = table.get("force_command")
    if command is not None:
        if not isinstance(command, str) or not 1 <= len(command) <= _MAX_COMMAND:
            raise _wrong(name, "force_command must be a text", f"1 to {_MAX_COMMAND} characters")
        if not (command.isascii() and command.isprintable()):
            raise _wrong(name, "force_command must be a single line", "printable ASCII characters only")
        critical.append(("force-command", command))
    addresses = _texts(name, table, "source_address")
    if addresses:
        critical.append(("source-address", ",".join([_network(name, address) for address in addresses])))
    elif "source_address" in table:
        raise _wrong(name, "source_address is empty", "at least one address, or omit the option")
    extensions = _texts(name, table, "extensions")
    if not set(extensions) <= set(EXTENSIONS):
        raise _wrong(name, "unknown extension", f"some of: {', '.join(EXTENSIONS)}")
    return principals, critical, tuple(dict.fromkeys(extensions))


def _texts(name: str, table: Mapping[str, Any], option: str) -> tuple[str, ...]:
    values = table.get(option, ())
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise _wrong(name, f"{option} must be a list of texts", f'it as in {option} = ["…"]')
    return tuple(values)


def _network(name: str, text: str) -> str:
    from ipaddress import ip_network  # only a few templates need this import

    try:
        # A host refuses a network with host bits, and with it the certificate.
        return str(ip_network(text))
    except ValueError:
        raise _wrong(
            name, "source_address has an invalid address or network", 'it as in "192.0.2.0/24"'
        ) from None


def _wrong(name: str, problem: str, expected: str) -> ConfigurationError:
    from jitid.values.text import quote

    return ConfigurationError(
        f"the template {quote(name)} for ssh-cert cannot be used: {problem}", f"write {expected}"
    )


def callers_key(text: str) -> PublicKey:
    """Return a caller's public key, from a line in OpenSSH's format or from PEM (SubjectPublicKeyInfo).

    Raises:
        UsageError: it is not a usable key, or too weak: DSA, RSA of less than 3072 bits.

    """
    # Only callers with their own key need these imports.
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    refusal = UsageError(
        "the public key is not valid for an SSH certificate; nothing was changed",
        f"use the line of a .pub file: Ed25519, ECDSA, or RSA of at least {_MIN_RSA} bits",
    )
    if len(text) > MAX_PUBLIC_KEY or not text.isascii():
        raise refusal
    try:
        loaded = load(text)
        if is_pem(text):
            if not isinstance(
                loaded, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
            ):
                raise refusal
            text = loaded.public_bytes(
                serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
            ).decode()
        key = openssh.parse_public(text)
    except ValueError:
        raise refusal from None
    if isinstance(loaded, rsa.RSAPublicKey) and loaded.key_size > _MAX_RSA:
        raise refusal
    if isinstance(loaded, rsa.RSAPublicKey) and loaded.key_size < _MIN_RSA:
        raise UsageError(
            f"the RSA key of {loaded.key_size} bits is too weak; nothing was changed",
            f"make another key: ssh-keygen -t ed25519, or -t rsa -b {_MIN_RSA}",
        )
    return key


def _text(secret: Secret, _: int) -> str:
    return "".join(
        with_final_newline(secret.reveal(name)) for name in ("key", "certificate") if name in secret.names
    )


KIND = KindSpec(
    signing=lambda _: Signing("ssh", "EdDSA"),
    signed=lambda signer, _: SshCertIssuer(signer),
    options=lambda: KindOptions({}, TEMPLATE_OPTIONS),
    text=_text,
    separate_certificate=True,
    serial_of=serial_of,
    revocation_list="keys export krl",
    delivery="ssh_keys",
)
