"""Templates for `sub`: proved names, each in a separate segment, so that no name is a prefix of another one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from jitid.errors import IntegrityError, UsageError
from jitid.values.names import encode_segment
from jitid.values.record import Record
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.model.credential import Credential

FIELDS: Mapping[str, str] = {
    "delegator": "the root delegator, if its proof is not `asserted`",
    "agent": "the name of a registered agent, if the proved delegator or the parent may use its record",
    "id": "the id of the identity",
    "trust_domain": "the trust domain of the ledger",
}
"""The fields of a template: only names that a caller cannot choose."""

_LITERAL = re.compile(r"[A-Za-z0-9:/.@-]*", re.ASCII)
_MOST = 255
_RESERVED = ("user:", "system:", "agent:", "spiffe:")
_HINT = "such as jitid/{trust_domain}/{agent}/ (fields: " + ", ".join(FIELDS) + ")"


class TemplatePart(Record):
    """A part of a template: a fixed text, or a field."""

    text: str
    is_field: bool


class SubjectNames(Record):
    """The names that a template may use."""

    trust_domain: str
    delegator: str
    delegator_proof: str
    """How the root delegator was proved."""
    agent: str
    registered: bool
    """Whether the agent's name belongs to a registered agent, by right of its delegator or its parent."""
    id: str


@lru_cache(maxsize=64)
def parse_template(text: str) -> tuple[TemplatePart, ...]:
    """Return the parts of a template.

    A field ends at a `/`: an encoded name has none, so that no rendered name is a prefix of another one.

    Raises:
        UsageError: it is not a template.

    """
    if text.startswith(_RESERVED):
        raise UsageError(
            f"the template {quote(text)} begins like the name of a delegator or a SPIFFE id",
            "otherwise a token for another audience could have the same `sub`; such as jitid/{agent}/",
        )
    if not 1 <= len(text) <= _MOST:
        raise UsageError(f"a template for `sub` has 1 to {_MOST} characters", _HINT)
    parts: list[TemplatePart] = []
    for index, piece in enumerate(re.split(r"[{}]", text)):
        if index % 2 == 0:
            if not _LITERAL.fullmatch(piece):
                raise UsageError(
                    f"the template {quote(text)} has a character that is not allowed outside of a field",
                    "use letters, digits, and `:/.@-`",
                )
            if parts and not piece.startswith("/"):
                raise UsageError(
                    f"in the template {quote(text)}, a `/` must follow `{{{parts[-1].text}}}`",
                    "otherwise a vendor's rule for one name would match longer names",
                )
            if piece:
                parts.append(TemplatePart(piece, is_field=False))
        elif piece in FIELDS:
            if parts and not parts[-1].text.endswith(("/", ":")):
                raise UsageError(
                    f"in the template {quote(text)}, a `/` or `:` must precede `{{{piece}}}`", _HINT
                )
            parts.append(TemplatePart(piece, is_field=True))
        else:
            raise UsageError(f"the template {quote(text)} has an unknown field {quote(piece)}", _HINT)
    if re.sub(r"\{[a-z_]*\}", "", text) != "".join([part.text for part in parts if not part.is_field]):
        raise UsageError(f"the template {quote(text)} has unbalanced braces", _HINT)
    return tuple(parts)


def fields_of(template: str) -> frozenset[str]:
    """Return the fields that a template uses."""
    return frozenset({part.text for part in parse_template(template) if part.is_field})


def names_someone(template: str) -> bool:
    """Return whether a template has the name of a delegator or of an agent."""
    return not fields_of(template).isdisjoint({"delegator", "agent"})


def unproved(template: str, names: SubjectNames) -> str | None:
    """Return why a name in a template is not proved; None if all are."""
    used = fields_of(template)
    if ("delegator" in used or used <= {"trust_domain"}) and names.delegator_proof == "asserted":
        # Without a field of an identity, all identities have one `sub`, and each would have its rights.
        return f"the delegator {quote(names.delegator)} is stated, not proved"
    if "agent" in used and not names.registered:
        return (
            f"the agent {quote(names.agent)} is not registered, or neither the proved delegator nor the parent may "
            "use its record"
        )
    return None


def render(template: str, names: SubjectNames) -> str:
    """Return `sub`. The names must be proved (`unproved`); each is encoded reversibly (`encode_segment`)."""
    values = {
        "delegator": names.delegator,
        "agent": names.agent,
        "id": names.id,
        "trust_domain": names.trust_domain,
    }
    return "".join(
        [
            encoded(part.text, values[part.text]) if part.is_field else part.text
            for part in parse_template(template)
        ]
    )


def rendered(credential: Credential, trust_domain: str) -> str:
    """Return the `sub` of a credential's token, in a trust domain.

    Raises IntegrityError if the ledger's row has a text that is not a template: only an edit can have put it there.
    """
    if credential.subject is None:
        return credential.delegator
    names = SubjectNames(
        trust_domain,
        credential.delegator,
        credential.delegator_proof,
        credential.agent,
        credential.recurring is not None,
        credential.id,
    )
    try:
        return render(credential.subject, names)
    except UsageError as error:
        raise IntegrityError(f"the ledger was changed: {error.message}") from None


def encoded(field: str, value: str) -> str:
    """Return the value of a field in the form that `sub` has: reversible, and without a `/`."""
    if field in ("id", "trust_domain"):
        # They have no slash, and no characters to encode.
        return value
    kind, colon, name = value.partition(":")
    # With its kind, the name of a delegator may be longer than a name.
    return f"{kind}_3A{encode_segment(name)}" if field == "delegator" and colon else encode_segment(value)
