"""Verification of many tokens: signatures before any lock is taken, then the ledger's rows in set operations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jitid.capabilities.identity import recognise_token, validity
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.crypto import jws
from jitid.errors import InvalidCredentialError
from jitid.ledger import contract
from jitid.model.credential import UNSIGNED, Credential
from jitid.model.ledger_rows import Ancestor, Names, SigningKey, ancestors
from jitid.model.task import Task
from jitid.redaction.token_format import CERTIFICATE, is_opaque, is_ssh_certificate
from jitid.values.secret import fingerprint

if TYPE_CHECKING:
    from jitid.ledger.view import View


class PresentedToken(NamedTuple):
    """The result of checking a token without its row in the ledger."""

    hashed: bytes | None = None
    """The fingerprint of an opaque token."""
    jti: str | None = None
    """The id of a signed token with a valid signature."""
    parsed: jws.Parsed | None = None
    refusal: str | None = None
    """Why it cannot be a valid token of this ledger, regardless of the rows."""


class HeldToken(NamedTuple):
    """A token with its credential, and its refusal if it is not valid."""

    credential: Credential | None
    """The credential, live or ended; None for an unknown token."""
    lineage: list[Ancestor]
    task: Task | None
    refusal: str | None
    """Why the token is not valid now; None if it is."""


def keys_of(snapshot: View) -> dict[str, SigningKey]:
    """Return the keys that ever signed tokens, by their ids."""
    return recognise_token.keys_of(snapshot)


def present(names: Names, keys: Mapping[str, SigningKey], tokens: Iterable[str]) -> list[PresentedToken]:
    """Check the form, issuer and signature of tokens. For a refused token only the reason is returned."""
    return [_present(names, keys, token) for token in tokens]


def _present(names: Names, keys: Mapping[str, SigningKey], token: str) -> PresentedToken:
    if token.startswith("jitid_"):
        if not is_opaque(token):
            return PresentedToken(refusal=recognise_token.MISTYPED)
        return PresentedToken(hashed=fingerprint(token))
    if token.startswith(CERTIFICATE) or is_ssh_certificate(token):
        return PresentedToken(refusal=recognise_token.SHOWN)
    try:
        parsed = jws.parse(token, types=jws.TOKENS)
        if parsed.typ == jws.SVID:
            return PresentedToken(refusal=recognise_token.NO_RIGHT)
        return PresentedToken(jti=recognise_token.verified_jti(parsed, names, keys), parsed=parsed)
    except InvalidCredentialError as error:
        return PresentedToken(refusal=error.message)


def look_up_tokens(
    snapshot: View, presented: Sequence[PresentedToken], audiences: Collection[str] | None
) -> list[HeldToken]:
    """Return the credential of each token, and whether it is valid now by the rules of `validity.verify`."""
    contract.refuse_if_sealed(snapshot)
    keys = keys_of(snapshot)
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
        return recognise_token.as_remembered(by_jti.get(token.jti or ""), token.parsed, keys)
    credential = by_fingerprint.get(token.hashed)
    if credential is None or credential.kind not in UNSIGNED:
        raise InvalidCredentialError(validity.UNKNOWN)
    return credential
