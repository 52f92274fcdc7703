"""Comparison of certificate revocation lists (RFC 5280, section 5)."""

from __future__ import annotations

from cryptography import x509

_AGAIN = 3
"""A list is replaced after its lifetime divided by this number."""
_PEM = b"-----BEGIN"


def as_good(there: bytes, new: bytes) -> bool:
    """Return whether existing lists are equivalent to newly made ones, and recent enough to keep.

    Each is in DER, or any number of them in PEM.
    """
    try:
        old, now = _read(there), _read(new)
    except ValueError:
        return False
    return len(old) == len(now) and all(_is_as_good(one, other) for one, other in zip(old, now, strict=True))


def _read(data: bytes) -> list[x509.CertificateRevocationList]:
    if not data.startswith(_PEM):
        return [x509.load_der_x509_crl(data)] if data else []
    end = b"-----END X509 CRL-----\n"
    return [x509.load_pem_x509_crl(part + end) for part in data.split(end) if part.strip()]


def _is_as_good(there: x509.CertificateRevocationList, new: x509.CertificateRevocationList) -> bool:
    until = new.next_update_utc
    if until is None or there.next_update_utc is None:
        return False
    age = new.last_update_utc - there.last_update_utc
    lifetime = until - new.last_update_utc
    return (
        _content(there) == _content(new)
        and there.next_update_utc - there.last_update_utc == lifetime
        and 0 <= age.total_seconds() < lifetime.total_seconds() / _AGAIN
    )


def _content(one: x509.CertificateRevocationList) -> tuple[object, ...]:
    key = one.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return one.issuer, key, {revoked.serial_number for revoked in one}
