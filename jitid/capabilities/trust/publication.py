"""Documents for offline verifiers, in the order in which they must be published.

And trust data for SSH hosts: the authorities of a ledger, and the revoked certificates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jitid.capabilities.trust import rotation, status_lists
from jitid.crypto import jws, openssh
from jitid.crypto import status_list as statuslist
from jitid.crypto.openssh import RevokedCertificate
from jitid.errors import ConfigurationError, InvalidCredentialError, JitidError, PartialError
from jitid.keys.keyring import Keyring
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.ledger_rows import Names, SigningKey
from jitid.values import strict_json
from jitid.values.ids import credential_id
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.operation.context import Terms

INDEX = "jitid.json"
KEYS = "jwks.json"
KEYS_BY_ALGORITHM = {algorithm: f"jwks.{algorithm.lower()}.json" for algorithm in sorted(jws.ALGORITHMS)}
"""By algorithm: the file with its keys alone. Some verifiers fail on a set that has a key of another kind."""
RESPONSE_TYPES = ["id_token"]
"""The response types in the metadata: the list is required (RFC 8414, section 2), and clients refuse an empty one.

The issuer answers none of them. `code` is not in the list, so that a client for logins finds this out before it sends
a person there. An authority states `code`, as its clients require, and its authorization endpoint refuses it.
"""

DISCOVERY = (".well-known/openid-configuration", ".well-known/oauth-authorization-server")
"""OpenID Connect Discovery, section 4; RFC 8414, section 3."""

SSH_AUTHORITIES = "ssh/authorities.pub"
SSH_REVOKED = "ssh/revoked.krl"
"""The files for TrustedUserCAKeys and RevokedKeys in sshd_config(5)."""

SPIFFE_BUNDLE = "spiffe/bundle.json"
"""SPIFFE Trust Domain and Bundle, section 4; where federations fetch it (SPIFFE Federation, section 5.1)."""
SPIFFE_JWT_BUNDLE = "spiffe/jwt-bundle.json"
"""The same without the roots of X.509-SVIDs, for libraries that read one kind of keys."""
X509 = "x509"
CRL = ".crl"
"""The ending of a revocation list in DER (RFC 5280, section 4.2.1.13); there is one for each authority."""
_FOLDERS = frozenset({status_lists.FOLDER, X509, "spiffe", "ssh"})
_BASE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")

SCHEMA = "jitid.published/1"
MAX_INDEX = 16_384
"""The maximum length of an index, in bytes."""


class Document(Record):
    """A file to publish."""

    name: str
    """Its path, relative to the address of the publication."""
    data: bytes


class Index(Record):
    """The description of a published folder."""

    ledger: str
    issuer: str
    url: str | None
    former: Mapping[str, int] = {}
    """Former names of the issuer, each with the time when the last token under it expires."""

    def place_of(self, uri: str) -> str:
        """Return the path of a status list in the folder, from its address.

        Raises:
            InvalidCredentialError: that list is not published there.

        """
        begin = f"{self.url}/{status_lists.FOLDER}/"
        name = uri.removeprefix(begin)
        if self.url is None or not uri.startswith(begin) or number_of(name) < 0:
            raise InvalidCredentialError("the status list of the token is not published here")
        return f"{status_lists.FOLDER}/{name}"


def read_index(data: bytes) -> Index:
    """Return the content of an index. Raises ConfigurationError if it is malformed."""
    try:
        document = strict_json.loads(data, INDEX)
    except strict_json.StrictJSONError as error:
        raise ConfigurationError(str(error)) from None
    if type(document) is not dict or document.get("schema") != SCHEMA:
        raise ConfigurationError(
            f"{INDEX} does not have the schema {SCHEMA}", "to write it: jitid publish DIR"
        )
    ledger, issuer, url = document.get("ledger"), document.get("issuer"), document.get("url")
    if type(ledger) is not str or type(issuer) is not str or not (url is None or type(url) is str):
        raise ConfigurationError(f"{INDEX} does not name its ledger", "to write it again: jitid publish DIR")
    former = document.get("former_issuers", {})
    if type(former) is not dict or not all(type(until) is int for until in former.values()):
        raise ConfigurationError(
            f"{INDEX} has invalid former issuers", "to write it again: jitid publish DIR"
        )
    return Index(ledger, issuer, url, former)


def is_name(name: str) -> bool:
    """Return whether a document can have that name."""
    folder, slash, base = name.rpartition("/")
    if not slash:
        return name in (INDEX, KEYS, *KEYS_BY_ALGORITHM.values())
    return name in DISCOVERY or (folder in _FOLDERS and _BASE.fullmatch(base) is not None)


def number_of(name: str) -> int:
    """Return the number of a status list from its file name; -1 for another file."""
    digits = name.partition(".")[0]
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        return -1
    number = int(digits)
    return number if name in {statuslist.file_name(number, algorithm) for algorithm in jws.ALGORITHMS} else -1


def documents(
    snapshot: View, names: Names, keyring: Keyring, terms: Terms, kids: Collection[str]
) -> Iterator[Document]:
    """Yield the documents to publish; each must be put into its place in this order.

    Without an address where they will be served, there are no status lists. `kids` are the keys of the status lists
    that are published already. They stay published as long as these lists do.

    Raises PartialError at the end if status lists could not be signed.
    """
    url = terms.publish_url
    members = {"issuer": names.issuer, "trust_domain": names.trust_domain, **_former(names, snapshot.now)}
    yield Document(INDEX, _text({"schema": SCHEMA, "ledger": names.uuid, "url": url, **members}))
    keys = rotation.published(snapshot)
    wider_keys = {"keys": [*keys["keys"], *_named(snapshot, keys, kids)]}
    yield from _key_sets(snapshot, wider_keys)
    failures: Mapping[str, JitidError] = {}
    if url is not None:
        failures = yield from _lists(
            status_lists.signed_lists(snapshot, keyring, url, terms.publish_lifetime)
        )
    yield from _for_ssh(snapshot, names)
    yield from _for_spiffe(snapshot, names, keyring)
    base = url or names.issuer
    if is_address(names.issuer):
        metadata = _text(discovery(names.issuer, f"{base}/{KEYS}", keys))
        yield from (Document(name, metadata) for name in DISCOVERY)
    if keys != wider_keys:
        yield from _key_sets(snapshot, keys)
    if failures:
        algorithms = " and ".join(failures)
        reason = next(iter(failures.values()))
        raise PartialError(
            f"the status lists with {algorithms} were not renewed, so offline verifiers may still accept revoked "
            f"tokens; all other files were published: {reason.message}",
            reason.hint,
        )


def _lists(
    lists: Generator[tuple[str, str], None, Mapping[str, JitidError]],
) -> Generator[Document, None, Mapping[str, JitidError]]:
    """Yield each list as a document, and return the failures."""
    while True:
        try:
            name, text = next(lists)
        except StopIteration as end:
            failures: Mapping[str, JitidError] = end.value
            return failures
        yield Document(name, text.encode())


def _key_sets(snapshot: View, keys: Mapping[str, Any]) -> Iterator[Document]:
    """Yield the set of all keys, and the set of each algorithm that the ledger has or had a key for."""
    yield Document(KEYS, _text(keys))
    known = {key.algorithm for key in KeyStore(snapshot).signing_keys() if key.use == "jws"}
    for algorithm, name in KEYS_BY_ALGORITHM.items():
        if algorithm in known:
            yield Document(name, _text({"keys": [key for key in keys["keys"] if key["alg"] == algorithm]}))


def is_address(issuer: str) -> bool:
    """Return whether verifiers can look up metadata at the issuer's address (RFC 8414, section 2)."""
    return urlsplit(issuer).scheme in ("https", "http")


def discovery(issuer: str, jwks_uri: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metadata of an issuer that answers no requests: its name, and the address of its keys.

    It has the members that OpenID Connect Discovery (section 3) requires of an issuer without an authorization
    endpoint. AWS and Kubernetes read these.
    """
    return {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": RESPONSE_TYPES,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key["alg"] for key in keys["keys"]}),
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "act", "client_id", "scope"],
    }


def _former(names: Names, now: int) -> dict[str, Any]:
    former = {name: until for name, until in names.lasting() if now < until}
    return {"former_issuers": former} if former else {}


def _for_ssh(snapshot: View, names: Names) -> Iterator[Document]:
    """Yield the documents for SSH hosts; none if the ledger never had a key for SSH."""
    if any(key.use == "ssh" for key in KeyStore(snapshot).signing_keys()):
        yield Document(SSH_REVOKED, revocations(snapshot, names).krl)
        lines = [f"{authority.line}\n" for authority in authorities(snapshot, names)]
        yield Document(SSH_AUTHORITIES, "".join(lines).encode())


def _for_spiffe(snapshot: View, names: Names, keyring: Keyring) -> Iterator[Document]:
    """Yield the trust bundles and revocation lists for verifiers of SVIDs; none if there never was a key for SVIDs."""
    keys = KeyStore(snapshot).signing_keys()
    has_authority = any(key.use == "x509" for key in keys)
    signs_tokens = any(key.use == "jws" and key.algorithm in jws.SVID_ALGORITHMS for key in keys)
    if not has_authority and not signs_tokens:
        return
    # This import slows the start, and few ledgers have an authority.
    from jitid.capabilities.trust import x509_authority
    from jitid.crypto.der import to_pem

    if has_authority:
        lists = x509_authority.revocation_lists(snapshot, keyring)
        for crl in lists:
            yield Document(f"{X509}/{crl.kid}{CRL}", crl.der)
        yield Document(f"{X509}/crl.pem", "".join(to_pem(crl.der, "X509 CRL") for crl in lists).encode())
    bundle = x509_authority.bundle(snapshot, names)
    yield Document(SPIFFE_BUNDLE, _text(bundle.document))
    if signs_tokens:
        yield Document(SPIFFE_JWT_BUNDLE, _text(bundle.for_tokens))
    if has_authority:
        yield Document(f"{X509}/roots.pem", "".join(map(to_pem, bundle.roots)).encode())


def _text(value: object) -> bytes:
    return f"{json.dumps(value, indent=2)}\n".encode()


def _named(snapshot: View, keys: Mapping[str, Any], kids: Collection[str]) -> list[dict[str, str]]:
    """Return the ledger's keys with these ids that are not in `keys`."""
    published_kids = {key["kid"] for key in keys["keys"]}
    return [
        jws.public_jwk(key.algorithm, key.public, key.kid)
        for key in KeyStore(snapshot).signing_keys()
        if key.use == "jws" and key.kid in kids and key.kid not in published_kids
    ]


SLACK = 3600
"""Seconds that a certificate stays on the list after its expiry: a host's clock may be that late."""


class SshAuthority(Record):
    """A key whose certificates hosts accept."""

    kid: str
    line: str
    """Its line in the file for TrustedUserCAKeys."""
    signs: bool
    """False for a key that signs no more, while a certificate that it signed may be live."""


class SshRevocations(Record):
    """The certificates and keys that hosts must refuse."""

    krl: bytes
    """The content of the file for RevokedKeys."""
    certificates: int
    keys: int
    """The number of revoked keys of authorities, each with all certificates that it signed."""


def authorities(snapshot: View, names: Names) -> list[SshAuthority]:
    """Return the keys that hosts need: each key that may have signed a live certificate, without revoked keys."""
    return [
        SshAuthority(
            key.kid,
            openssh.line(openssh.ED25519, openssh.public_blob(key.public), f"{names.issuer} {key.kid}"),
            key.retired_at is None,
        )
        for key in _keys(snapshot)
        if KeyStore(snapshot).is_needed(key)
    ]


def revocations(snapshot: View, names: Names) -> SshRevocations:
    """Return the list of certificates that ended before their expiry, and of authorities whose key was revoked."""
    keys = {key.key: key for key in _keys(snapshot)}
    revoked = [openssh.public_blob(key.public) for key in keys.values() if key.revoked_at is not None]
    by_authority: dict[bytes, list[RevokedCertificate]] = {
        openssh.public_blob(key.public): [] for key in keys.values()
    }
    count = 0
    # If no key ever signed certificates, the query over all credentials is not needed.
    ended = KeyStore(snapshot).ended_ssh_certificates(snapshot.now - SLACK) if keys else ()
    for jti, signed_by in ended:
        key = keys.get(signed_by)
        raw = bytes(jti)
        # A row without a known signer is damaged: its certificate is refused for every authority.
        authority = openssh.ANY if key is None else openssh.public_blob(key.public)
        by_authority.setdefault(authority, []).append(
            RevokedCertificate(int.from_bytes(raw[8:]), credential_id(raw))
        )
        count += 1
    return SshRevocations(
        openssh.encode_krl(by_authority, revoked, snapshot.now, names.issuer), count, len(revoked)
    )


def _keys(snapshot: View) -> Sequence[SigningKey]:
    return [key for key in KeyStore(snapshot).signing_keys() if key.use == "ssh"]
