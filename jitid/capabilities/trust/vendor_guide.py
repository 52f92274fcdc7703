"""The configuration that a vendor needs to exchange tokens of this issuer, and the check of a token by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.capabilities.trust import offline
from jitid.capabilities.trust.algorithms import of_audience
from jitid.capabilities.trust.operations import ListAlgorithms, PublishBundle, PublishKeys
from jitid.crypto import jws
from jitid.errors import InvalidCredentialError, RefusedError
from jitid.model.federation import Federation
from jitid.model.signature_algorithm import FOR_SERVICES, choose
from jitid.model.subject_template import encoded, names_someone, parse_template
from jitid.model.vendor import Vendor
from jitid.policy.policy_request import PROOFS
from jitid.values import strict_json
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.config.effective import Config
    from jitid.operation.base import Authority

CLAIMS = ("delegator_proof", "jitid.sensitivity", "jitid.depth")
"""Claims besides `sub` that a caller cannot choose, so that a rule of a vendor may match them."""
PROVED = tuple(proof for proof in PROOFS if proof != "asserted")
"""The values of `delegator_proof` with which the root delegator is proved, not merely stated."""
CHOSEN = ("client_id", "txn", "scope", "jitid.purpose")
"""Claims with names that callers choose; no rule may match by them alone."""


class Guide(Record):
    """The configuration to enter at a vendor."""

    name: str
    vendor: Vendor
    issuer: str
    audience: str
    algorithm: str
    keys: Mapping[str, Any]
    """The JWKS with the keys of that algorithm alone."""
    template: str | None
    """The template of `sub`; None: the root delegator."""
    subject: str
    """The rule for `sub`: the exact text; with `*` at its end, every text with that start."""
    federation: Federation

    @property
    def required(self) -> Mapping[str, Sequence[str]]:
        """The claims that the rule must require besides `sub`, each with its values.

        The names in a template are proved; without a name from a template, the delegator may be merely stated.
        """
        proves = self.template is not None and names_someone(self.template)
        return {} if proves else {"delegator_proof": PROVED}


def guide_of(
    authority: Authority,
    config: Config,
    issuer: str,
    federation: Federation,
    audience: str,
    delegator: str | None = None,
    agent: str | None = None,
) -> Guide:
    """Return the configuration to enter at a vendor; the names that are given fill the rule for `sub`."""
    template, _ = config.subjects.get(audience, (None, 0))
    algorithm = _algorithm(authority, audience, config.algorithms)
    trust_domain = authority.perform(PublishBundle()).trust_domain
    jwks = authority.perform(PublishKeys())
    keys = of_algorithm(jwks, algorithm)
    subject = subject_rule(template, trust_domain, delegator, agent)
    return Guide(
        federation.name, federation.vendor, issuer, audience, algorithm, keys, template, subject, federation
    )


def _algorithm(authority: Authority, audience: str, configured: Mapping[str, str]) -> str:
    """Return the algorithm with which the authority signs tokens for an audience."""
    try:
        listed = authority.perform(ListAlgorithms())
    except RefusedError:
        # A caller of a remote authority may need a role to read its settings.
        return choose(FOR_SERVICES, [audience], configured)
    return of_audience(listed, audience)


def subject_rule(template: str | None, trust_domain: str, delegator: str | None, agent: str | None) -> str:
    """Return the rule for `sub`, filled with the names that are given; from the first open field on it is `*`."""
    if template is None:
        return "*" if delegator is None else delegator
    names = {"trust_domain": trust_domain, "delegator": delegator, "agent": agent}
    filled = ""
    for part in parse_template(template):
        if not part.is_field:
            filled += part.text
        elif (name := names.get(part.text)) is None:
            return f"{filled}*"
        else:
            filled += encoded(part.text, name)
    return filled


def of_algorithm(jwks: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """Return a JWKS with the keys of one algorithm: some verifiers fail at a key of another type."""
    return {"keys": [key for key in jwks.get("keys", ()) if key.get("alg") == algorithm]}


def check(guide: Guide, token: str, now: int) -> Mapping[str, Any]:
    """Return the claims of a token that the vendor would accept by this configuration.

    Raises:
        InvalidCredentialError: it would refuse the token; the message says why and never contains it. It refuses every
            token if it cannot have this configuration.

    """
    parsed = jws.parse(token)
    if parsed.alg != guide.algorithm:
        raise InvalidCredentialError(
            f"the token is signed by {parsed.alg}; {guide.vendor.title} needs {guide.algorithm}"
        )
    keys = offline.read_keys(strict_json.dumps(guide.keys).encode())
    key = keys.get(parsed.kid)
    if key is None:
        raise InvalidCredentialError("unknown `kid`: the key set to enter has no key that signed this token")
    jws.verify_signature(parsed, *key)
    jws.check_claims(parsed.claims, issuer=guide.issuer, audiences=guide.federation.audiences, now=now)
    subject = parsed.claims.get("sub")
    if not isinstance(subject, str) or not matches(guide.subject, subject):
        raise InvalidCredentialError(
            f"the token's `sub` {quote(str(subject), 300)} does not match the rule {quote(guide.subject)}",
            "--delegator and --agent fill the rule with the names of the token that is checked",
        )
    for claim, values in guide.required.items():
        if parsed.claims.get(claim) not in values:
            raise InvalidCredentialError(
                f"`{claim}` must be one of {', '.join(values)}: the token's root delegator is stated, not proved"
            )
    if len(subject) > guide.vendor.longest_subject:
        raise InvalidCredentialError(
            f"the token's `sub` has {len(subject)} characters; {guide.vendor.title} accepts "
            f"{guide.vendor.longest_subject} at most"
        )
    if impossible := _impossible(guide):
        raise InvalidCredentialError(*impossible[0])
    return parsed.claims


def _impossible(guide: Guide) -> Sequence[tuple[str, str]]:
    """Return the reasons for which the vendor cannot have a configuration, each with a hint."""
    found = []
    if not guide.issuer.startswith("https://"):
        found.append(
            (f"vendors require an https issuer, not {guide.issuer}", "jitid ledger issuer set URL"),
        )
    if guide.subject.endswith("*") and guide.vendor.compares == "exact":
        found.append(
            (
                f"{guide.vendor.title} compares `sub` exactly",
                "make one rule for each name, with --delegator and --agent, and use no {id}",
            )
        )
    return found


def matches(rule: str, subject: str) -> bool:
    """Return whether a `sub` matches a rule as a vendor compares it: a `*` at its end stands for any rest."""
    return subject.startswith(rule[:-1]) if rule.endswith("*") else subject == rule


def warnings(guide: Guide, proof: str | None = None) -> Sequence[str]:
    """Return warnings for the operator who enters it; `proof` is that of a known delegator."""
    found = [f"{reason}: {hint}" for reason, hint in _impossible(guide)]
    if one_missing := guide.federation.one_missing:
        settings = " or ".join(
            f"federate.{guide.name}.{name} ({guide.vendor.settings[name].meaning})" for name in one_missing
        )
        found.append(f"programs of {guide.vendor.title} need the setting {settings}, or state it themselves")
    if not guide.keys["keys"]:
        found.append(
            f"there is no key of the algorithm {guide.algorithm} yet: jitid keys rotate --algorithm {guide.algorithm}"
        )
    requires = guide.required and proof not in PROVED
    if requires and guide.vendor.by_subject_alone:
        found.append(
            f"{guide.vendor.title} compares `sub` alone, and a delegator in it may be merely stated: set the setting "
            "`subject` to a template, which names proved delegators only: "
            f"jitid config set federate.{guide.name}.subject jitid/{{delegator}}/"
        )
    elif requires:
        found.append(
            f"{guide.vendor.title} must require the claim `delegator_proof` as shown, since a delegator may be "
            "merely stated; or set the setting `subject` to a template, such as jitid/{delegator}/"
        )
    if guide.subject == "*" and guide.vendor.compares == "prefix":
        found.append(
            "the rule matches every delegator: name one with --delegator, or set the setting `subject`"
        )
    return found
