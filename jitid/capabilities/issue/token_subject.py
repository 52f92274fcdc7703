"""The `sub` of a service token by the template of its audience, and the lifetime of exchanged tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.errors import ConfigurationError, PolicyDeniedError, UsageError
from jitid.model.credential import Kind
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.issuers.issuer import Draft
    from jitid.operation.context import Terms

RULE = "subject-proved"
_ID = "jid_" + "0" * 26
"""An id of the length that every id has."""
_VENDORS = (
    "https://api.anthropic.com",
    "https://api.openai.com",
    "https://iam.googleapis.com/",
    "//iam.googleapis.com/",
    "api://AzureADTokenExchange",
    "sts.amazonaws.com",
)
"""The beginnings of the audiences of the known vendors: only for these is their table loaded."""


def stated(
    draft: Draft,
    kind: str,
    proof: str,
    terms: Terms,
    facts: Mapping[str, Any],
    proves_name: Callable[[], bool],
) -> Draft:
    """Return a draft with the template for its `sub`, and with the lifetime of a token exchanged for it.

    `proof` is how the root delegator was proved; `proves_name` returns whether the agent's name is proved.

    Raises:
        PolicyDeniedError: a name in the template is not proved.
        UsageError: the audiences have different templates, `sub` would be too long, or it is a JWT-SVID or an
            assertion: its `sub` follows no template.
        ConfigurationError: the template is in a file that the environment selects.

    """
    life = _exchange_life(draft.audiences, terms.exchanges)
    if life is not None:
        draft = draft._replace(exchange_life=life)
    if kind != Kind.JWT or "assertion" in draft.options:
        _must_have_no_template(draft, "a JWT-SVID" if kind == Kind.JWT_SVID else "an assertion", terms)
        return draft
    if terms.subjects.keys().isdisjoint(draft.audiences):
        if life is not None and proof == "asserted" and terms.is_served:
            # Beside the ledger, a user who can read its key may name any delegator anyway.
            reason = f"the delegator {quote(draft.delegator)} is stated, not proved"
            raise _unproved(
                f"the vendor of {quote(draft.audiences[0])} knows it by `sub`, and {reason}", facts
            )
        return draft
    template, longest = _template(draft.audiences, terms)
    from jitid.model import subject_template as subject

    named = "agent" in subject.fields_of(template) and proves_name()
    names = subject.SubjectNames(draft.trust_domain, draft.delegator, proof, draft.agent, named, _ID)
    if (why := subject.unproved(template, names)) is not None:
        raise _unproved(f"the `sub` of tokens for {quote(draft.audiences[0])} names it, and {why}", facts)
    length = len(subject.render(template, names))
    if length > longest:
        raise UsageError(
            f"`sub` would have {length} characters; {quote(draft.audiences[0])} accepts {longest} at most",
            "use shorter names, or a template with fewer fields",
        )
    return draft._replace(subject=template)


def _must_have_no_template(draft: Draft, own: str, terms: Terms) -> None:
    """Refuse a token whose `sub` is not by a template (`own` is its name) for an audience with one."""
    audience = next((name for name in draft.audiences if name in terms.subjects), None)
    if audience is not None:
        raise UsageError(
            f"the `sub` of tokens for {quote(audience)} follows the setting `subject`, and the `sub` of {own} "
            "cannot; nothing was issued",
            "remove the setting `subject` of that audience, or use another template",
        )


def _unproved(why: str, facts: Mapping[str, Any]) -> PolicyDeniedError:
    reason = f"rule `{RULE}`: {why}"
    return PolicyDeniedError(
        f"denied: {reason}",
        "prove the delegator by a login or an ID token; for an agent, its owner or a delegator in its record must be "
        "the root delegator; or change the setting `subject`",
        {**facts, "rules": [RULE], "reason": reason},
    )


def _template(audiences: Sequence[str], terms: Terms) -> tuple[str, int]:
    """Return the common template of the audiences, and the greatest length of `sub`."""
    rules = [terms.subjects.get(name) for name in audiences]
    templates = {None if rule is None else rule[0] for rule in rules}
    first = next(rule for rule in rules if rule is not None)
    if len(templates) > 1 or None in rules:
        raise UsageError(
            "the audiences have different templates for `sub`; nothing was issued",
            "request one token for each of them",
        )
    template = first[0]
    if template is None:
        raise ConfigurationError(
            f"the template of `sub` for {quote(audiences[0])} is in a file that the environment selects; it does not "
            "count, and nothing was issued",
            "name the file with --config; the file below the home folder of the password database counts, too",
        )
    return template, min(rule[1] for rule in rules if rule is not None)


def _exchange_life(audiences: Sequence[str], configured: Mapping[str, int]) -> int | None:
    """Return the longest lifetime of tokens that the vendors of these audiences exchange; None without a vendor."""
    lifetimes = [configured[name] for name in audiences if name in configured]
    for name in audiences:
        if name.startswith(_VENDORS):
            # Imported here: most audiences have no vendor.
            from jitid.model.vendor import life_of

            if name not in configured and (life := life_of(name)) is not None:
                lifetimes.append(life)
    return max(lifetimes, default=None)
