"""Identity tokens, and access tokens for services (RFC 9068): JWTs that name delegator and actor (RFC 8693)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from json import loads
from typing import TYPE_CHECKING, Any

from jitid.crypto import jws
from jitid.errors import UsageError
from jitid.issuers.issuer import Draft, Ids, KindSpec, Minted, Order, Signing
from jitid.keys.keyring import Signer
from jitid.model.credential import claimed_kinds
from jitid.model.delegation import act_claim
from jitid.values import strict_json
from jitid.values.names import spiffe_id
from jitid.values.secret import Secret, fingerprint

if TYPE_CHECKING:
    from jitid.issuers.target_issuer import KindOptions

TYPE = "at+jwt"
"""The `typ` of a service token: an access token (RFC 9068, section 2.1)."""

_FLAT = 32
"""Number of actors above which the nesting of the claims is checked; verifiers accept more than this."""

_MANY = 64
"""Number of messages from which on signing on all cores is worth the threads."""


class JwtIssuer:
    """An issuer that signs tokens with one key."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def typ(self, draft: Draft) -> str:
        """Return the type of a token."""
        if draft.options:
            from jitid.issuers import assertion

            if (assertion_type := assertion.type_of(draft)) is not None:
                return assertion_type
        return jws.IDENTITY if draft.is_identity else TYPE

    def mint(self, orders: Sequence[Order]) -> list[Minted]:
        """Make one token for each name of each order.

        Raises:
            UsageError: a token would be longer or deeper than verifiers accept; `position` is the order's index.

        """
        payloads: list[bytes] = []
        inputs: list[str] = []
        for position, order in enumerate(orders):
            header = _header(self._signer.algorithm, self._signer.kid, self.typ(order.draft))
            try:
                order_payloads = self._payloads(order, len(header))
            except UsageError as error:
                error.position = position
                raise
            payloads += order_payloads
            inputs += [f"{header}.{strict_json.b64url(payload)}" for payload in order_payloads]
        minted = []
        for payload, signed, signature in zip(payloads, inputs, self._signatures(inputs), strict=True):
            token = f"{signed}.{strict_json.b64url(signature)}"
            minted.append(Minted(Secret.single(token), fingerprint(token), sha256(payload).digest()))
        return minted

    def _payloads(self, order: Order, header: int) -> list[bytes]:
        write = self.claims_writer(order.draft)
        payloads = [write(ids).encode() for ids in order.names]
        # All names have the same length, but some indexes in a status list have a few more digits.
        longest = max(map(len, payloads))
        input_length, signature_length = (
            -(-size * 4 // 3) for size in (longest, jws.SIGNATURE_SIZES[self._signer.algorithm])
        )
        length = header + input_length + signature_length + len("..")
        if length > jws.MAX_TOKEN:
            raise UsageError(
                f"the token would have {length} bytes; verifiers accept {jws.MAX_TOKEN} at most",
                "request fewer scopes, audiences or details, or use --kind opaque",
            )
        if order.draft.details is not None or len(order.draft.actors) > _FLAT:
            _check_nesting(payloads[0])
        return payloads

    def claims_writer(self, draft: Draft) -> Callable[[Ids], str]:
        """Return a function that writes the claims of one credential."""
        if "assertion" in draft.options:
            from jitid.issuers import assertion

            return assertion.claims_writer(draft, status_claim)
        return _claims_writer(draft)

    def _signatures(self, inputs: Sequence[str]) -> list[bytes]:
        messages = [signing_input.encode() for signing_input in inputs]
        if self._signer.sign_all is not None:
            return self._signer.sign_all(messages)
        if len(messages) < _MANY:
            return self._sign(messages)
        # The import slows the start, and a single issue does not need it.
        import os
        from concurrent.futures import ThreadPoolExecutor

        # Signing releases the interpreter's lock, so threads sign in parallel.
        cores = os.cpu_count() or 1
        parts = [
            messages[len(messages) * n // cores : len(messages) * (n + 1) // cores] for n in range(cores)
        ]
        with ThreadPoolExecutor(cores) as pool:
            return [signature for part in pool.map(self._sign, parts) for signature in part]

    def _sign(self, messages: Sequence[bytes]) -> list[bytes]:
        sign = self._signer.sign
        return [sign(message) for message in messages]


@lru_cache(maxsize=8)
def _header(algorithm: str, kid: str, typ: str) -> str:
    return strict_json.b64url(strict_json.dumps({"alg": algorithm, "kid": kid, "typ": typ}).encode())


def _check_nesting(payload: bytes) -> None:
    try:
        strict_json.loads(payload, "the token's payload")
    except strict_json.StrictJSONError as error:
        raise UsageError(
            f"{error}; verifiers would refuse it",
            "shorten the delegation chain, request flatter details, or use --kind opaque",
        ) from error


def _claims_writer(draft: Draft) -> Callable[[Ids], str]:
    """Return a function that writes the claims of one credential; the parts common to the issue are written once.

    The outermost `act` is the actor itself; `act_claim` makes the earlier actors inside it.
    """
    placeholder = "jid_"
    actor = spiffe_id(
        draft.trust_domain, draft.agent, draft.task, placeholder, registered=draft.registered
    ).removesuffix(placeholder)
    earlier = act_claim(draft.actors)
    acted_before = "" if earlier is None else f',"act":{strict_json.dumps(earlier)}'
    context: dict[str, Any] = {"depth": draft.depth, "sensitivity": draft.sensitivity}
    if draft.purpose is not None:
        context["purpose"] = draft.purpose
    if draft.is_identity and draft.may_audience:
        context["may_audience"] = list(draft.may_audience)
    if (kinds := claimed_kinds(draft.may_kind)) is not None:
        context["may_kind"] = kinds
    claims: dict[str, Any] = {
        "iss": draft.issuer,
        "sub": draft.delegator,
        "aud": draft.audiences[0] if len(draft.audiences) == 1 else list(draft.audiences),
        "exp": draft.expires_at,
        "iat": draft.issued_at,
        "nbf": draft.issued_at,
        "client_id": draft.agent,
        "scope": " ".join(draft.scopes),
        "txn": draft.task,
        "delegator_proof": draft.delegator_proof,
        "jitid": context,
    }
    if draft.details is not None:
        claims["authorization_details"] = loads(draft.details)
    if draft.may_act is not None:
        claims["may_act"] = loads(draft.may_act)
    if draft.subject is not None:
        return _with_subject(draft, draft.subject, actor, acted_before, claims)
    other_claims = strict_json.dumps(claims)[1:]
    # Ids and names in SPIFFE's characters need no escapes in JSON.
    return lambda ids: (
        f'{{"jti":"{ids.jti}","act":{{"sub":"{actor}{ids.id}"{acted_before}}},{status_claim(ids)}{other_claims}'
    )


def _with_subject(
    draft: Draft, template: str, actor: str, acted_before: str, claims: dict[str, Any]
) -> Callable[[Ids], str]:
    """Return the writer of claims whose `sub` follows a template; `jitid.delegator` then names the root delegator."""
    from jitid.model.subject_template import SubjectNames, render

    del claims["sub"]
    claims["jitid"]["delegator"] = draft.delegator
    names = SubjectNames(
        draft.trust_domain, draft.delegator, draft.delegator_proof, draft.agent, draft.registered, ""
    )
    other_claims = strict_json.dumps(claims)[1:]
    # A rendered template has no character that JSON escapes.
    return lambda ids: (
        f'{{"jti":"{ids.jti}","act":{{"sub":"{actor}{ids.id}"{acted_before}}},'
        f'"sub":"{render(template, names._replace(id=ids.id))}",{status_claim(ids)}{other_claims}'
    )


def status_claim(ids: Ids) -> str:
    """Return the member with a token's place in a status list; empty for a token that is in no list."""
    return "" if ids.listed is None else f'"status":{strict_json.dumps(ids.listed.claim())},'


def _options() -> KindOptions:
    """Return the options of templates: the Kubernetes cluster that accepts the token, or the form of an assertion."""
    from jitid.issuers.assertion import OPTIONS
    from jitid.issuers.target_issuer import CLUSTER_OPTIONS, KindOptions

    return KindOptions({}, {**CLUSTER_OPTIONS, **OPTIONS})


KIND = KindSpec(
    signing=lambda algorithm: Signing("jws", algorithm),
    signed=lambda signer, _: JwtIssuer(signer),
    options=_options,
    delivery="kube_config",
    delivery_fact="kube_server",
)
