"""JWT-SVIDs: tokens that contain only the acting agent, for federations that accept SPIFFE ids."""

from __future__ import annotations

from collections.abc import Callable

from jitid.crypto import jws
from jitid.issuers.issuer import Draft, Ids, KindSpec, Signing, token_options
from jitid.issuers.jwt import JwtIssuer, status_claim
from jitid.values import strict_json
from jitid.values.names import spiffe_id


class JwtSvidIssuer(JwtIssuer):
    """An issuer that signs JWT-SVIDs with one key."""

    def typ(self, draft: Draft) -> str:  # noqa: ARG002 - it is the same for all
        """Return the type of a token."""
        return jws.SVID

    def claims_writer(self, draft: Draft) -> Callable[[Ids], str]:
        """Return a function that writes the claims of one credential (JWT-SVID, section 3).

        The subject is the agent on its task. Federations ignore `act`, and they need not learn delegator, purpose and
        scopes.
        """
        placeholder = "jid_"
        agent = spiffe_id(
            draft.trust_domain, draft.agent, draft.task, placeholder, registered=draft.registered
        ).removesuffix(placeholder)
        other_claims = strict_json.dumps(
            {
                "iss": draft.issuer,
                "aud": draft.audiences[0] if len(draft.audiences) == 1 else list(draft.audiences),
                "exp": draft.expires_at,
                "iat": draft.issued_at,
            }
        )[1:]
        return lambda ids: f'{{"jti":"{ids.jti}","sub":"{agent}{ids.id}",{status_claim(ids)}{other_claims}'


KIND = KindSpec(
    signing=lambda algorithm: Signing(
        "jws", algorithm if algorithm in jws.SVID_ALGORITHMS else jws.SVID_ALGORITHMS[0]
    ),
    signed=lambda signer, _: JwtSvidIssuer(signer),
    options=token_options,
    delivery="kube_config",
    delivery_fact="kube_server",
)
