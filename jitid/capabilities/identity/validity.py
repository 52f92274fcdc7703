"""Recognition and verification of a presented token: form, signature, ledger row, state, lineage."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from jitid.capabilities.identity.store import CredentialStore
from jitid.crypto import jws
from jitid.errors import ExpiredError, InvalidCredentialError, NotFoundError, UsageError
from jitid.ledger import seal
from jitid.ledger.lineage import MAX_GROUNDS as MAX_GROUNDS
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.view import View
from jitid.model.credential import (
    FORMER_PROOF,
    UNSIGNED,
    Credential,
    Kind,
    State,
    TokenUse,
    claimed_kinds,
    named_kind,
)
from jitid.model.ledger_rows import Ancestor, Ground, Names, SigningKey, ancestors
from jitid.redaction.token_format import CERTIFICATE, is_opaque, is_ssh_certificate
from jitid.values import audience, strict_json
from jitid.values.ids import parse_id
from jitid.values.names import spiffe_id
from jitid.values.scope import Scope, intersection, uncovered
from jitid.values.secret import fingerprint
from jitid.values.text import quote
from jitid.values.times import ANOTHER, expiry_hint, format_time

UNKNOWN = "the ledger does not know this credential"
"""The refusal of a well-formed token that this ledger did not issue."""
NOT_YET = "the credential is not valid yet"
"""The refusal of a credential that was issued after now."""
MISTYPED = "the opaque token is mistyped: its checksum does not fit"
SHOWN = "a certificate is no secret, and proves nothing about who sends it"
"""The refusal of a certificate where a token must grant a right."""
NO_RIGHT = "a JWT-SVID proves an identity, and carries no right"
"""The refusal of a JWT-SVID where a token must grant a right."""


class Verified(NamedTuple):
    """A credential that is valid now, limited to the rights that the head of its line has too."""

    credential: Credential
    grounds: list[Ground]
    """The credentials that it rests on, the nearest first."""

    @property
    def lineage(self) -> list[Ancestor]:
        """The identities above it, the nearest first."""
        return ancestors(self.grounds)


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
    seal.refuse_if_sealed(snapshot)
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


def judge(snapshot: View, credential: Credential, audiences: Collection[str] | None) -> Verified:
    """Return a credential of the ledger with its lineage if it is valid now.

    Raises:
        InvalidCredentialError: the credential, its task or a credential that it rests on has ended, it is for another
            audience, or it was issued after now.

    """
    check_audience(credential, audiences)
    grounds = CredentialStore(snapshot).grounds(credential.key) if rests(credential) else []
    check(credential, grounds, snapshot.now)
    if snapshot.now < credential.issued_at:
        # This happens only if the clock was set back. By that clock, expired credentials would be valid again.
        raise InvalidCredentialError(NOT_YET)
    return Verified(effective(credential, grounds), grounds)


def is_still(snapshot: View, verified: Verified) -> bool:
    """Return whether a credential that was valid in another view is valid in this view with the same rights."""
    credential = CredentialStore(snapshot).find_credential("jti", parse_id(verified.credential.jti)[1])
    try:
        return credential is not None and judge(snapshot, credential, None) == verified
    except InvalidCredentialError:
        return False


def until(verified: Verified) -> int:
    """Return the latest expiry of a credential made from a valid one: the earliest expiry in its chain."""
    expiries = [ground.expires_at for ground in verified.grounds if ground.expires_at is not None]
    return min([verified.credential.expires_at, *expiries])


def rests(credential: Credential) -> bool:
    """Return whether a credential rests on others: on a successor, or on its delegation or attachment source."""
    return (
        credential.superseded_at is not None
        or credential.source is not None
        or credential.parent_key is not None
    )


def effective(credential: Credential, grounds: Sequence[Ground]) -> Credential:
    """Return a valid credential with its effective rights.

    After a renewal, only rights count that the head of its line has too. An empty intersection means no right: no
    default replaces it.
    """
    head = grounds[0] if grounds else None
    if head is None or head.how != "renewed" or head.expires_at is None:
        return credential
    from jitid.model.delegation import detail_texts

    head_details = set(_details(head))
    details = [detail for detail in detail_texts(credential.details) if detail in head_details]
    return credential._replace(
        scopes=intersection(credential.scopes, head.scopes),
        # A renewal copies the audiences, and writes the issuer's current name for a former one.
        may_audience=audience.intersection(credential.may_audience, head.may_audience),
        may_kind=_both(credential.may_kind, head.may_kind),
        details=f"[{','.join(details)}]" if details else None,
        expires_at=min(credential.expires_at, head.expires_at),
    )


def _both(kinds: tuple[str, ...] | None, other_kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the kinds that two grants both name; None stands for any."""
    if kinds is None or other_kinds is None:
        return other_kinds if kinds is None else kinds
    return tuple(kind for kind in kinds if kind in other_kinds)


_NEW_TASK = "the work goes on as a new task: jitid issue --task NAME"


def check_audience(credential: Credential, audiences: Collection[str] | None) -> None:
    """Refuse a credential that is for none of `audiences` (None: any audience is accepted).

    Raises:
        InvalidCredentialError: the credential is for another audience.

    """
    if not is_for(credential, audiences):
        raise InvalidCredentialError("the credential is for another audience")


def is_for(credential: Credential, audiences: Collection[str] | None) -> bool:
    """Return whether a credential is for one of `audiences` (None: any audience is accepted)."""
    return audiences is None or not set(credential.audiences).isdisjoint(audiences)


def check(credential: Credential, grounds: Sequence[Ground], now: int) -> None:
    """Refuse a credential of the ledger that is not valid at `now`, for any audience.

    Raises:
        InvalidCredentialError: the credential, its task or a credential that it rests on has ended, or a credential
            that it rests on has fewer rights now.

    """
    _check_state(credential, now)
    if now >= credential.task_until:
        raise InvalidCredentialError("the task has ended", expiry_hint(credential.task_until, _NEW_TASK))
    if credential.parent_key is None and credential.depth:
        raise InvalidCredentialError("its chain has no root")
    if rests(credential):
        _check_grounds(credential, grounds, now)


def objection(credential: Credential, grounds: Sequence[Ground], now: int) -> str | None:
    """Return why a credential of the ledger is not valid at `now`; None if it is."""
    state = credential.state_at(now)
    if state is not State.ACTIVE:
        # This is the first check of `check`. For a million ended credentials, raising errors would take most of the
        # time.
        return _not_active(credential, state)
    try:
        check(credential, grounds, now)
    except InvalidCredentialError as error:
        return error.message
    return None


def _check_state(credential: Credential, now: int) -> None:
    state = credential.state_at(now)
    if state is not State.ACTIVE:
        if state is State.EXPIRED:
            raise ExpiredError(_not_active(credential, state), ANOTHER)
        raise InvalidCredentialError(_not_active(credential, state))


def _not_active(credential: Credential, state: State) -> str:
    return f"the credential {_end(credential, state)}"


def root_of(credential: Credential, lineage: Sequence[Ancestor]) -> str:
    """Return the id of the root identity from which a credential descends; its own id without a parent."""
    return lineage[-1].id if lineage else credential.id


def root_proof(credential: Credential, lineage: Sequence[Ancestor]) -> str:
    """Return the proof of a credential's root delegator. For an old delegated row, the root's row has it."""
    if credential.delegator_proof != FORMER_PROOF or not lineage:
        return credential.delegator_proof
    return lineage[-1].proof


def _end(credential: Credential, state: State) -> str:
    if state is State.PENDING:
        return "is pending: its secret was never confirmed"
    if state is State.EXPIRED:
        return f"expired at {format_time(credential.expires_at)}"
    ended_at = credential.ended_at if credential.ended_at is not None else credential.superseded_at
    return f"was {state}" + ("" if ended_at is None else f" at {format_time(ended_at)}")


def find(snapshot: View, id_: str) -> Credential:
    """Return the credential with an id; for the id of an identity, its latest credential.

    Raises:
        NotFoundError: the ledger has no such credential or identity.
        UsageError: the text is not an id.

    """
    from jitid.ledger import pruned as prunings

    kind, raw = parse_id(id_)
    credential = (
        CredentialStore(snapshot).find_credential("jti", raw)
        if kind == "jti"
        else CredentialStore(snapshot).latest_of(raw)
    )
    if credential is None:
        pruned = prunings.last(snapshot)
        hint = "list what there is: jitid list"
        if pruned is not None:
            pruned_before = format_time(pruned.before)
            hint += f"; the ledger was pruned of what had ended before {pruned_before}: see jitid audit log"
        raise NotFoundError(f"the ledger knows no {quote(id_)}", hint)
    return credential


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
            "take a credential of a kind that is a secret, such as jwt",
        )


def _recognise_ssh_certificate(snapshot: View, line: str, *, shown: bool) -> Credential:
    _must_be_shown(shown=shown)
    # Imported here because it slows the start, and certificates are rare.
    from jitid.capabilities.identity import ssh_certificate

    return ssh_certificate.recognise(snapshot, line)


def _recognise_certificate(snapshot: View, certificate: str, *, shown: bool) -> Credential:
    _must_be_shown(shown=shown)
    # Imported here because it slows the start, and certificates are rare.
    from jitid.crypto.x509 import is_signed_by, parse
    from jitid.crypto.x509_form import TOLERANCE

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
        raise InvalidCredentialError("the certificate is not the one that the ledger remembers")
    if (
        not _names(credential, presented.uri)
        or presented.not_before != credential.issued_at - TOLERANCE
        or presented.not_after != credential.expires_at - 1
    ):
        raise InvalidCredentialError("the ledger's row is not what was signed: the ledger was changed")
    _check_key(key, credential, "the certificate")
    return credential


def _check_key(key: SigningKey, credential: Credential, label: str) -> None:
    # Revoking a key also ends its credentials in the ledger. This check holds even if their rows were edited back.
    if key.revoked_at is not None and credential.ended_at is None:
        raise InvalidCredentialError(f"the key that signed {label} was revoked")


def _recognise_signed(snapshot: View, names: Names, parsed: jws.Parsed) -> Credential:
    keys = keys_of(snapshot)
    jti = jti_issued_here(parsed, names, keys)
    return as_remembered(CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1]), parsed, keys)


def keys_of(snapshot: View) -> dict[str, SigningKey]:
    """Return the keys that may sign tokens, by their ids; keys for certificates are not among them."""
    return {key.kid: key for key in KeyStore(snapshot).signing_keys() if key.use == "jws"}


def jti_issued_here(parsed: jws.Parsed, names: Names, keys: Mapping[str, SigningKey]) -> str:
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
        raise InvalidCredentialError("the token is not the one that the ledger remembers under its jti")
    as_signed = _KINDS[parsed.typ]
    if credential.kind != as_signed.kind or not as_signed.agrees(credential, parsed.claims):
        raise InvalidCredentialError("the ledger's row is not what was signed: the ledger was changed")
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
        claims.get("sub") == credential.delegator
        and claims.get("client_id") == credential.agent
        and claims.get("txn") == credential.task
        and claims.get("scope") == " ".join(credential.scopes)
        and claims.get("delegator_proof") == credential.delegator_proof
        and claims.get("jitid", {}).get("depth") == credential.depth
        and claims.get("jitid", {}).get("may_kind") == claimed_kinds(credential.may_kind)
        and _as_details(credential.details, claims.get("authorization_details"))
        and _as_any(credential, claims)
    )


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


class _Signed(NamedTuple):
    """The kind of credential of a token type, and the function that compares its claims with the row."""

    kind: Kind
    agrees: Callable[[Credential, Mapping[str, Any]], bool]


_KINDS = {
    "at+jwt": _Signed(Kind.JWT, _as_service_token),
    jws.IDENTITY: _Signed(Kind.JWT, _as_identity_token),
    jws.SVID: _Signed(Kind.JWT_SVID, _as_svid),
}


def _jti(claims: Mapping[str, Any]) -> str:
    jti = str(claims.get("jti"))
    try:
        kind, _ = parse_id(jti)
    except UsageError:
        kind = "jid"
    if kind != "jti":
        raise InvalidCredentialError(UNKNOWN)
    return jti


def _check_grounds(credential: Credential, grounds: Sequence[Ground], now: int) -> None:
    if len(grounds) > MAX_GROUNDS:
        raise InvalidCredentialError(f"it rests on more than {MAX_GROUNDS} credentials")
    below: Credential | Ground = effective(credential, grounds)
    depth = credential.depth
    for ground in grounds:
        if ground.how == "renewed":
            if ground.expires_at is None:
                raise InvalidCredentialError("the credential was renewed, and its successor has ended")
            continue
        depth -= ground.how == "delegated"
        _check_ground(ground, below, depth, now)
        below = ground
    if depth != 0:
        raise InvalidCredentialError("its chain has no root")


def _check_ground(ground: Ground, below: Credential | Ground, depth: int, now: int) -> None:
    label = f"{ground.id}, which it descends from"
    if ground.how == "attached":
        label = f"the credential of {ground.id} that it was attached from"
    if ground.expires_at is None:
        raise InvalidCredentialError(f"{label}, is no longer live")
    if ground.task_ended_at is not None or now >= ground.task_deadline:
        task_end = min(ground.task_deadline, ground.task_ended_at or ground.task_deadline)
        raise InvalidCredentialError(f"the task of {label}, has ended", expiry_hint(task_end, _NEW_TASK))
    if uncovered([Scope(scope) for scope in ground.scopes], [Scope(scope) for scope in below.scopes]):
        raise InvalidCredentialError(f"it holds a scope that {label}, does not hold")
    if below.details and not set(_details(below)) <= set(_details(ground)):
        raise InvalidCredentialError(f"it holds authorization_details that {label}, does not hold")
    if kind := _kinds_beyond(ground, below):
        raise InvalidCredentialError(f"it is or permits a kind ({quote(kind)}) that {label}, does not permit")
    if ground.depth != depth:
        raise InvalidCredentialError(f"its chain is broken at {ground.id}")


def _kinds_beyond(ground: Ground, below: Credential | Ground) -> str | None:
    """Return a kind that `below` has or permits, and that its `ground` does not permit; None if there is none."""
    if ground.may_kind is None or below.may_kind is None:
        # One of them is older than kinds in grants: it keeps its kinds.
        return None
    own_kind = below.made if isinstance(below, Ground) else named_kind(below.kind, below.template)
    kinds = below.may_kind if own_kind is None else (own_kind, *below.may_kind)
    return next((kind for kind in kinds if kind not in ground.may_kind), None)


def _details(credential: Credential | Ground) -> list[str]:
    from jitid.model.delegation import detail_texts

    lists = (credential.details,) if isinstance(credential, Credential) else credential.details
    return [text for details in lists for text in detail_texts(details)]
