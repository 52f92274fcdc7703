"""Comparison of certificate revocation lists (RFC 5280, section 5)."""

from __future__ import annotations

from cryptography import x509

_AGAIN = 3
"""A list is replaced after its lifetime divided by this number."""
_PEM = b"-----BEGIN"


def as_good(existing: bytes, new: bytes) -> bool:
    """Return whether existing lists are equivalent to newly made ones, and recent enough to keep.

    Each is in DER, or any number of them in PEM.
    """
    try:
        old_lists, new_lists = _read(existing), _read(new)
    except ValueError:
        return False
    return len(old_lists) == len(new_lists) and all(
        _is_as_good(old_list, new_list) for old_list, new_list in zip(old_lists, new_lists, strict=True)
    )


def _read(data: bytes) -> list[x509.CertificateRevocationList]:
    if not data.startswith(_PEM):
        return [x509.load_der_x509_crl(data)] if data else []
    end_line = b"-----END X509 CRL-----\n"
    return [x509.load_pem_x509_crl(part + end_line) for part in data.split(end_line) if part.strip()]


def _is_as_good(existing: x509.CertificateRevocationList, new: x509.CertificateRevocationList) -> bool:
    next_update = new.next_update_utc
    if next_update is None or existing.next_update_utc is None:
        return False
    age = new.last_update_utc - existing.last_update_utc
    lifetime = next_update - new.last_update_utc
    return (
        _content(existing) == _content(new)
        and existing.next_update_utc - existing.last_update_utc == lifetime
        and 0 <= age.total_seconds() < lifetime.total_seconds() / _AGAIN
    )


def _content(revocation_list: x509.CertificateRevocationList) -> tuple[object, ...]:
    key = revocation_list.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    return revocation_list.issuer, key, {revoked.serial_number for revoked in revocation_list}
