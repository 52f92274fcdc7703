"""Assertions for another authorization server, by a template of the kind `jwt`: of a client, or of a person (ID-JAG).

Services and this authority refuse tokens of these types, so an assertion gives no right there. The configuration maps
the audience to a client, the policy permits the template by its name, and each hop of a delegation needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jitid.errors import UsageError
from jitid.issuers.target_issuer import TargetOption
from jitid.values import strict_json
from jitid.values.text import quote
from jitid.values.times import format_duration

if TYPE_CHECKING:
    from jitid.issuers.issuer import Draft, Ids

TYPES: Mapping[str, str] = {"client": "client-authentication+jwt", "id-jag": "oauth-id-jag+jwt"}
"""The `typ` by the option `assertion` (drafts of the IETF: oauth-rfc7523bis, oauth-identity-assertion-authz-grant)."""

OPTIONS: Mapping[str, TargetOption] = {
    "assertion": TargetOption(
        "text",
        "`client`: the token authenticates a client at an authorization server (RFC 7523, `private_key_jwt`); "
        "`id-jag`: it proves the delegator there, for a client. Both are valid for 5 minutes at most",
    ),
    "client_id": TargetOption("text", "the client, as that server knows it"),
    "audience": TargetOption("text", "the issuer of that server: the only audience"),
    "resource": TargetOption("text", "of an ID-JAG: the service that the token of that server is for"),
}
"""Template options of an assertion."""

LONGEST = 300
"""The maximum lifetime in seconds."""


def type_of(draft: Draft) -> str | None:
    """Return the `typ` of an assertion; None for any other token."""
    form = draft.options.get("assertion")
    if form is None:
        if not draft.options.keys().isdisjoint(("client_id", "audience", "resource")):
            raise UsageError(_about(draft, "has options of an assertion, but no `assertion`"), _PAGE)
        return None
    if form not in TYPES:
        raise UsageError(
            _about(draft, f"has the assertion {quote(str(form))}"), f"one of: {', '.join(TYPES)}"
        )
    return TYPES[form]


_PAGE = "see jitid-targets(5)"


def claims_writer(draft: Draft, status: Callable[[Ids], str]) -> Callable[[Ids], str]:
    """Return a function that writes the claims of one assertion.

    Raises UsageError if the request or the template is not that of an assertion.
    """
    client = _checked(draft)
    claims: dict[str, Any] = {
        "iss": client,
        "sub": client,
        "aud": draft.audiences[0],
        "exp": draft.expires_at,
        "iat": draft.issued_at,
    }
    if draft.options["assertion"] == "id-jag":
        claims |= {"iss": draft.issuer, "sub": draft.delegator, "client_id": client}
        claims["scope"] = " ".join(draft.scopes)
        claims["resource"] = draft.options["resource"]
    other_claims = strict_json.dumps(claims)[1:]
    return lambda ids: f'{{"jti":"{ids.jti}",{status(ids)}{other_claims}'


def _checked(draft: Draft) -> str:
    """Return the client of an assertion, if its template and its request are valid."""
    form = draft.options["assertion"]
    for name in ("client_id", "audience", *(["resource"] if form == "id-jag" else [])):
        if not draft.options.get(name):
            raise UsageError(_about(draft, f"has no `{name}`"), _PAGE)
    client, audience = str(draft.options["client_id"]), str(draft.options["audience"])
    if draft.issuer in (client, audience):
        # The assertion would look like a token of this ledger, or for it.
        raise UsageError(_about(draft, "names this ledger's issuer as the client or the audience"), _PAGE)
    if draft.audiences != (audience,):
        raise UsageError(
            f"the template {quote(str(draft.template))} is for the audience {quote(audience)} alone",
            f"request it with --audience {audience}",
        )
    if draft.expires_at - draft.issued_at > LONGEST:
        raise UsageError(
            f"an assertion is valid for {format_duration(LONGEST)} at most",
            f"request it with --ttl {LONGEST}s",
        )
    if (
        draft.details is not None
        or draft.may_act is not None
        or draft.may_audience not in ((), draft.audiences)
    ):
        raise UsageError("an assertion has no details, and nothing is obtained with it")
    if form == "client" and draft.scopes:
        raise UsageError("the assertion of a client has no scopes", "omit --scope")
    if form == "id-jag":
        if not draft.scopes:
            # Without the claim, the other server would not be bound.
            raise UsageError(
                "an ID-JAG needs scopes", "state the scopes that the other server may grant: --scope"
            )
        if draft.delegator_proof == "asserted":
            raise UsageError(
                f"the delegator {quote(draft.delegator)} is stated, not proved, and an ID-JAG proves it to others",
                "prove the delegator: --delegator-token-file, or at an authority",
            )
    return client


def _about(draft: Draft, fault: str) -> str:
    return f"the template {quote(str(draft.template))} {fault}"
