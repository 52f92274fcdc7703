"""Checks of the stated facts about a standing secret, from a command line or a file."""

from __future__ import annotations

from collections.abc import Mapping

from jitid.capabilities.adopt.amend import Amended
from jitid.capabilities.adopt.read_secret import KeptSecret
from jitid.capabilities.directory.roster.roster_entry import check_sensitivity
from jitid.errors import UsageError
from jitid.issuers.aws_sts import ACCESS_KEY
from jitid.model.adopted import LONGEST_PLACE, LONGEST_REFERENCE, StandingSecret, check_own_name
from jitid.model.directory import check_person
from jitid.model.task import MAX_PURPOSE
from jitid.redaction.token_format import bare
from jitid.values.names import check_name
from jitid.values.text import check_text
from jitid.values.times import parse_time


def check_elsewhere(facts: Mapping[str, str | None], secret: str) -> None:
    """Raise UsageError if a field that is stored and shown contains the secret. The error does not repeat it."""
    secret = bare(secret)
    for field, text in facts.items():
        if text is not None and secret and secret in text:
            raise UsageError(
                f"the secret stands in the {field.replace('_', ' ')}, which is kept and shown",
                "leave it out there; on a command line it is in your shell's history now",
            )


def standing_secret(line: int, facts: Mapping[str, str | None], secret: KeptSecret) -> StandingSecret:
    """Return one secret with its stated facts. Raises UsageError for an invalid value."""
    name = check_own_name(facts["name"] or "")
    access_key_id, reference, target = (
        facts.get("access_key_id"),
        facts.get("reference"),
        facts.get("target"),
    )
    if access_key_id is not None and ACCESS_KEY.fullmatch(access_key_id) is None:
        raise UsageError("this is no id of an access key of AWS", "it begins with AKIA")
    if reference is not None and target is None:
        raise UsageError("--reference says what it is called at a target", "name that with --target")
    return StandingSecret(
        line,
        name,
        check_person(facts["owner"] or ""),
        _checked_text(facts, "place", LONGEST_PLACE),
        _checked_text(facts, "purpose", MAX_PURPOSE),
        check_name(facts.get("agent") or name, "agent"),
        check_sensitivity(facts.get("sensitivity") or "moderate"),
        None if not facts.get("expires") else parse_time(str(facts["expires"])),
        target,
        None if reference is None else _checked_text(facts, "reference", LONGEST_REFERENCE),
        secret.prefix,
        secret.length,
        secret.fingerprint,
        secret.public,
        access_key_id,
    )


def amended_by(facts: Mapping[str, str | None]) -> Amended:
    """Return the changes of an adopted secret. Raises UsageError for an invalid value, or if nothing changes."""

    def optional_text(field: str, max_length: int) -> str | None:
        return None if facts[field] is None else _checked_text(facts, field, max_length)

    if not any(value is not None for value in facts.values()):
        raise UsageError("nothing is stated that should change; nothing was changed", "see: jitid adopt show")
    owner, agent, expires, target = (facts[field] for field in ("owner", "agent", "expires", "target"))
    return Amended(
        None if owner is None else check_person(owner),
        optional_text("place", LONGEST_PLACE),
        optional_text("purpose", MAX_PURPOSE),
        None if agent is None else check_name(agent, "agent"),
        None if expires is None else parse_time(expires),
        target,
        optional_text("reference", LONGEST_REFERENCE),
    )


def _checked_text(facts: Mapping[str, str | None], field: str, max_length: int) -> str:
    text = facts.get(field) or ""
    if not text.strip():
        raise UsageError(f"the {field} is blank")
    if len(text) > max_length:
        raise UsageError(f"the {field} is longer than {max_length:,} characters")
    return check_text(text, f"the {field}")
