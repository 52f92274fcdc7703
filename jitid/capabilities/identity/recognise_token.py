"""Recognition of a presented token as a credential of this ledger: its form, its signature, and its row.

Many tokens are verified in set operations; their signatures before any lock is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from jitid.capabilities.identity import validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.identity.validity import UNKNOWN, Verified, judge
from jitid.crypto import jws
from jitid.errors import IntegrityError, InvalidCredentialError, UsageError
from jitid.ledger import contract
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.credential import UNSIGNED, Credential, Kind, TokenUse, claimed_kinds
from jitid.model.ledger_rows import Ancestor, Names, SigningKey, ancestors
from jitid.model.task import Task
from jitid.redaction.token_format import CERTIFICATE, is_opaque, is_ssh_certificate
from jitid.values import strict_json
from jitid.values.ids import parse_id
from jitid.values.names import spiffe_id
from jitid.values.record import Record
from jitid.values.secret import fingerprint

MISTYPED = "the opaque token is mistyped: its checksum is wrong"
SHOWN = "a certificate is public: it does not authenticate the sender"
"""The refusal of a certificate where a token must grant a right."""
NO_RIGHT = "a JWT-SVID proves an identity only: it grants no right"
"""The refusal of a JWT-SVID where a token must grant a right."""


def recognise(snapshot: View, names: Names, token: str, *, shown: bool = False) -> Credential:
    """Return the credential of a token text, live or ended, if this ledger issued exactly this text.

    A certificate is not a secret. It is accepted only with `shown`, and then the caller must not derive a right from
    it.

    Raises:
        InvalidCredentialError: the text is malformed, forged, or unknown; the reason never contains it.

    """
    if token.startswith("jitid_"):
        return _recognise_opaque(snapshot, token)
    if token.startswith(CERTIFICATE):
        return _recognise_certificate(snapshot, token, shown=shown)
    if is_ssh_certificate(token):
        return _recognise_ssh_certificate(snapshot, token, shown=shown)
    return _recognise_signed(snapshot, names, jws.parse(token, types=jws.TOKENS))


def verify(
    snapshot: View,
    names: Names,
    token: str,
    audiences: Collection[str] | None,
    *,
    shown: bool = False,
) -> Verified:
    """Return the credential of a token text if it is valid now for one of `audiences` (None: for any audience).

    A certificate or a JWT-SVID proves an identity. It is accepted only with `shown`, and grants no right.

    Raises:
        IntegrityError: the ledger is sealed, and another ledger has the current state.
        InvalidCredentialError: the token is not valid; the message gives the reason and never contains the token.

    """
    contract.refuse_if_sealed(snapshot)
    if token.startswith("jitid_"):
        credential = _recognise_opaque(snapshot, token)
    elif token.startswith(CERTIFICATE):
        credential = _recognise_certificate(snapshot, token, shown=shown)
    elif is_ssh_certificate(token):
        credential = _recognise_ssh_certificate(snapshot, token, shown=shown)
    else:
        parsed = jws.parse(token, types=jws.TOKENS)
        if parsed.typ == jws.SVID and not shown:
            raise InvalidCredentialError(NO_RIGHT, "use a credential of the kind jwt or opaque")
        meant_for = parsed.claims.get("aud")
        expected = (
            audiences
            if audiences is not None
            else meant_for
            if isinstance(meant_for, list)
            else [str(meant_for)]
        )
        claimed_issuer = parsed.claims.get("iss")
        issuer = str(claimed_issuer) if claimed_issuer in names.issuers else names.issuer
        jws.check_claims(parsed.claims, issuer=issuer, audiences=expected, now=snapshot.now)
        credential = _recognise_signed(snapshot, names, parsed)
    return judge(snapshot, credential, audiences)


def _recognise_opaque(snapshot: View, token: str) -> Credential:
    if not is_opaque(token):
        raise InvalidCredentialError(MISTYPED)
    credential = CredentialStore(snapshot).find_credential("fingerprint", fingerprint(token))
    if credential is not None and credential.kind not in UNSIGNED:
        # A credential that a target made may look like a token of jitid.
        credential = None
    if credential is None:
        raise InvalidCredentialError(UNKNOWN)
    return credential


def _must_be_shown(*, shown: bool) -> None:
    if not shown:
        raise InvalidCredentialError(
            SHOWN,
            "use a credential of the kind jwt or opaque",
        )


def _recognise_ssh_certificate(snapshot: View, line: str, *, shown: bool) -> Credential:
    _must_be_shown(shown=shown)
    # Imported here because it slows the start, and certificates are rare.
    from jitid.capabilities.identity import recognise_ssh_certificate

    return recognise_ssh_certificate.recognise(snapshot, line)


def _recognise_certificate(snapshot: View, certificate: str, *, shown: bool) -> Credential:
    _must_be_shown(shown=shown)
    # Imported here because it slows the start, and certificates are rare.
    from jitid.crypto.der import TOLERANCE
    from jitid.crypto.x509 import is_signed_by, parse

    presented = parse(certificate)
    credential = CredentialStore(snapshot).find_credential("jti", parse_id(presented.jti)[1])
    if credential is None:
        raise InvalidCredentialError(UNKNOWN)
    key = next((key for key in KeyStore(snapshot).signing_keys() if key.kid == credential.signed_by), None)
    if key is None or key.use != "x509" or not is_signed_by(presented, key.public):
        raise InvalidCredentialError("the certificate is not signed by the authority of this ledger")
    if (
        credential.kind != Kind.X509_SVID
        or credential.fingerprint != presented.fingerprint
        or credential.claims_hash != sha256(presented.signed).digest()
    ):
        raise InvalidCredentialError("the certificate differs from the recorded one with its id")
    if (
        not _names(credential, presented.uri)
        or presented.not_before != credential.issued_at - TOLERANCE
        or presented.not_after != credential.expires_at - 1
    ):
        raise InvalidCredentialError(
            "the ledger's row differs from the signed claims: the ledger was changed"
        )
    _check_key(key, credential, "the certificate")
    return credential


def _check_key(key: SigningKey, credential: Credential, label: str) -> None:
    # Revoking a key also ends its credentials in the ledger. This check holds even if their rows were edited back.
    if key.revoked_at is not None and credential.ended_at is None:
        raise InvalidCredentialError(f"the key that signed {label} was revoked")


def _recognise_signed(snapshot: View, names: Names, parsed: jws.Parsed) -> Credential:
    keys = keys_of(snapshot)
    jti = verified_jti(parsed, names, keys)
    return as_remembered(CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1]), parsed, keys)


def keys_of(snapshot: View) -> dict[str, SigningKey]:
    """Return the keys that may sign tokens, by their ids; keys for certificates are not among them."""
    return {key.kid: key for key in KeyStore(snapshot).signing_keys() if key.use == "jws"}


def verified_jti(parsed: jws.Parsed, names: Names, keys: Mapping[str, SigningKey]) -> str:
    """Return the `jti` of a token that one of these keys signed for this ledger.

    Raises:
        InvalidCredentialError: the token is from another issuer, forged, or names no credential.

    """
    if parsed.claims.get("iss") not in names.issuers:
        raise InvalidCredentialError("the token is from another issuer")
    key = keys.get(parsed.kid)
    if key is None:
        raise InvalidCredentialError("the token is signed by a key that the ledger does not know")
    jws.verify_signature(parsed, key.algorithm, key.public)
    return _jti(parsed.claims)


def as_remembered(
    credential: Credential | None, parsed: jws.Parsed, keys: Mapping[str, SigningKey]
) -> Credential:
    """Return the ledger's credential with the `jti` of a signed token, if row and token match in everything.

    Raises:
        InvalidCredentialError: there is no such row, or row and token differ.

    """
    if credential is None:
        raise InvalidCredentialError(UNKNOWN)
    # A stolen key can sign other claims under a known `jti`, and every ES256 signature has a second valid form.
    same_claims = credential.claims_hash == sha256(parsed.payload).digest()
    if (
        not same_claims
        or credential.fingerprint != fingerprint(parsed.canonical)
        or credential.signed_by != parsed.kid
    ):
        raise InvalidCredentialError("the token differs from the recorded one with its jti")
    as_signed = _KINDS[parsed.typ]
    if credential.kind != as_signed.kind or not as_signed.agrees(credential, parsed.claims):
        raise InvalidCredentialError(
            "the ledger's row differs from the signed claims: the ledger was changed"
        )
    _check_key(keys[parsed.kid], credential, "the token")
    return credential


def _as_service_token(credential: Credential, claims: Mapping[str, Any]) -> bool:
    """Return whether the row matches a service token; old tokens (`UNDIVIDED`) may also name the authority."""
    if credential.token_use != TokenUse.UNDIVIDED and (
        credential.token_use != TokenUse.SERVICE or claims.get("iss") in credential.audiences
    ):
        return False
    may_act = claims.get("may_act")
    signed = None if may_act is None else strict_json.dumps(may_act)
    return signed == credential.may_act and _as_access_token(credential, claims)


def _as_identity_token(credential: Credential, claims: Mapping[str, Any]) -> bool:
    """Return whether the row matches an identity token: for the authority only, with the same `may_audience`."""
    return (
        credential.token_use == TokenUse.IDENTITY
        and claims.get("aud") == claims.get("iss")
        and claims.get("jitid", {}).get("may_audience", []) == list(credential.may_audience)
        and "may_act" not in claims
        and credential.may_act is None
        and _as_access_token(credential, claims)
    )


def _as_access_token(credential: Credential, claims: Mapping[str, Any]) -> bool:
    """Return whether the ledger's row matches the claims: an attacker who edits the row cannot sign other claims."""
    return (
        _has_subject(credential, claims)
        and claims.get("client_id") == credential.agent
        and claims.get("txn") == credential.task
        and claims.get("scope") == " ".join(credential.scopes)
        and claims.get("delegator_proof") == credential.delegator_proof
        and claims.get("jitid", {}).get("depth") == credential.depth
        and claims.get("jitid", {}).get("may_kind") == claimed_kinds(credential.may_kind)
        and _as_details(credential.details, claims.get("authorization_details"))
        and _as_any(credential, claims)
    )


def _has_subject(credential: Credential, claims: Mapping[str, Any]) -> bool:
    """Return whether `sub` is the root delegator, or the one of the row's template; the delegator is signed as well."""
    delegator = claims.get("jitid", {}).get("delegator")
    if credential.subject is None:
        return claims.get("sub") == credential.delegator and delegator is None
    # Few tokens have a template.
    from jitid.model.subject_template import rendered

    # The trust domain of the ledger may have changed since; that of the token is signed.
    domain = str(claims.get("act", {}).get("sub")).removeprefix("spiffe://").partition("/")[0]
    try:
        subject = rendered(credential, domain)
    except IntegrityError:
        return False
    return delegator == credential.delegator and claims.get("sub") == subject


def _as_details(details: str | None, claimed: Any) -> bool:  # noqa: ANN401 - any JSON value
    """Return whether the row has the signed authorization details: delegation and introspection use the row."""
    return details is None if claimed is None else details == strict_json.dumps(claimed)


def _as_svid(credential: Credential, claims: Mapping[str, Any]) -> bool:
    return _names(credential, str(claims.get("sub"))) and _as_any(credential, claims)


def _names(credential: Credential, uri: str) -> bool:
    """Return whether a SPIFFE id belongs to a credential's identity, in any trust domain.

    An old identity of an unregistered agent may still be under `/agent/`.
    """
    domain = uri.removeprefix("spiffe://").partition("/")[0]
    forms = {True} if credential.recurring is not None else {credential.under_agent, False}
    return uri in {
        spiffe_id(domain, credential.agent, credential.task, credential.id, registered=form) for form in forms
    }


def _as_any(credential: Credential, claims: Mapping[str, Any]) -> bool:
    aud_claim = claims.get("aud")
    return claims.get("exp") == credential.expires_at and (
        aud_claim if isinstance(aud_claim, list) else [aud_claim]
    ) == list(credential.audiences)


class _Signed(Record):
    """The kind of credential of a token type, and the function that compares its claims with the row."""

    kind: Kind
    agrees: Callable[[Credential, Mapping[str, Any]], bool]


def _jti(claims: Mapping[str, Any]) -> str:
    jti = str(claims.get("jti"))
    try:
        kind, _ = parse_id(jti)
    except UsageError:
        kind = "jid"
    if kind != "jti":
        raise InvalidCredentialError(UNKNOWN)
    return jti


_KINDS = {
    "at+jwt": _Signed(Kind.JWT, _as_service_token),
    jws.IDENTITY: _Signed(Kind.JWT, _as_identity_token),
    jws.SVID: _Signed(Kind.JWT_SVID, _as_svid),
}


class PresentedToken(Record):
    """The result of checking a token without its row in the ledger."""

    hashed: bytes | None = None
    """The fingerprint of an opaque token."""
    jti: str | None = None
    """The id of a signed token with a valid signature."""
    parsed: jws.Parsed | None = None
    refusal: str | None = None
    """Why it cannot be a valid token of this ledger, regardless of the rows."""


class HeldToken(Record):
    """A token with its credential, and its refusal if it is not valid."""

    credential: Credential | None
    """The credential, live or ended; None for an unknown token."""
    lineage: list[Ancestor]
    task: Task | None
    refusal: str | None
    """Why the token is not valid now; None if it is."""


def signing_keys_of(snapshot: View) -> dict[str, SigningKey]:
    """Return the keys that ever signed tokens, by their ids."""
    return keys_of(snapshot)


def present(names: Names, keys: Mapping[str, SigningKey], tokens: Iterable[str]) -> list[PresentedToken]:
    """Check the form, issuer and signature of tokens. For a refused token only the reason is returned."""
    return [_present(names, keys, token) for token in tokens]


def _present(names: Names, keys: Mapping[str, SigningKey], token: str) -> PresentedToken:
    if token.startswith("jitid_"):
        if not is_opaque(token):
            return PresentedToken(refusal=MISTYPED)
        return PresentedToken(hashed=fingerprint(token))
    if token.startswith(CERTIFICATE) or is_ssh_certificate(token):
        return PresentedToken(refusal=SHOWN)
    try:
        parsed = jws.parse(token, types=jws.TOKENS)
        if parsed.typ == jws.SVID:
            return PresentedToken(refusal=NO_RIGHT)
        return PresentedToken(jti=verified_jti(parsed, names, keys), parsed=parsed)
    except InvalidCredentialError as error:
        return PresentedToken(refusal=error.message)


def look_up_tokens(
    snapshot: View, presented: Sequence[PresentedToken], audiences: Collection[str] | None
) -> list[HeldToken]:
    """Return the credential of each token, and whether it is valid now by the rules of `validity.verify`."""
    contract.refuse_if_sealed(snapshot)
    keys = signing_keys_of(snapshot)
    stored_credentials = CredentialStore(snapshot).find_given(
        {token.jti for token in presented if token.jti is not None},
        {token.hashed for token in presented if token.hashed is not None},
    )
    by_jti = {credential.jti: credential for credential in stored_credentials}
    by_fingerprint = {credential.fingerprint: credential for credential in stored_credentials}
    recognised: list[tuple[Credential | None, str | None]] = []
    for token in presented:
        try:
            recognised.append((_recognise(token, by_jti, by_fingerprint, keys), None))
        except InvalidCredentialError as error:
            recognised.append((None, error.message))
    credentials = [credential for credential, _ in recognised if credential is not None]
    grounds_of = CredentialStore(snapshot).grounds_of(
        credential.key for credential in credentials if validity.rests(credential)
    )
    tasks = TaskStore(snapshot).tasks_numbered({credential.task_key for credential in credentials})
    held_tokens = []
    for credential, refusal in recognised:
        if credential is None:
            held_tokens.append(HeldToken(None, [], None, refusal))
            continue
        grounds, task = grounds_of.get(credential.key, []), tasks.get(credential.task_key)
        try:
            validity.check_audience(credential, audiences)
            validity.require_valid(credential, grounds, snapshot.now)
            # The hash shows that row and claims match, so of the checks of `jws.check_claims` only this one is left.
            if snapshot.now < credential.issued_at:
                raise InvalidCredentialError(validity.NOT_YET)
        except InvalidCredentialError as error:
            refusal = error.message
        held_tokens.append(
            HeldToken(validity.effective(credential, grounds), ancestors(grounds), task, refusal)
        )
    return held_tokens


def _recognise(
    token: PresentedToken,
    by_jti: Mapping[str, Credential],
    by_fingerprint: Mapping[bytes | None, Credential],
    keys: Mapping[str, SigningKey],
) -> Credential:
    if token.refusal is not None:
        raise InvalidCredentialError(token.refusal)
    if token.parsed is not None:
        return as_remembered(by_jti.get(token.jti or ""), token.parsed, keys)
    credential = by_fingerprint.get(token.hashed)
    if credential is None or credential.kind not in UNSIGNED:
        raise InvalidCredentialError(validity.UNKNOWN)
    return credential
