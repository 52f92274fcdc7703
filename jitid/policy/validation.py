"""A policy held against the schema, which finds before any request what would fail when a rule is evaluated."""

from __future__ import annotations

import re
from collections.abc import Sequence

import cedarpy

from jitid.errors import ConfigurationError
from jitid.policy.default import schema
from jitid.policy.source import line_of, read_rules
from jitid.text import quote, safe

# Cedar numbers the policies of a text, and says so in the message too.
_NUMBER = re.compile(r"(?:for policy )?`?policy(\d+)`?,? ?")


def validate(files: Sequence[tuple[str, str]]) -> int:
    """Return how many rules the files have, whose texts Cedar has accepted.

    Raises:
        ConfigurationError: a rule is not valid by the schema; with file, line and rule.

    """
    count = 0
    for file, text in files:
        rules = read_rules(file, text)
        for error in cedarpy.validate_policies(text, schema()).errors:
            what = safe(_NUMBER.sub("", error.error)[:200])
            found = _NUMBER.match(error.policy_id or "")
            if found is None or int(found[1]) >= len(rules):
                raise ConfigurationError(f"{quote(file)}: {what}")
            number = int(found[1])
            raise ConfigurationError(
                f"{quote(file)}, line {line_of(text, number)}: rule `{rules[number].name}`: {what}"
            )
        count += len(rules)
    return count
