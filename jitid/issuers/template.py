"""Templates of requests to a target: `{task}` and other fields in braces are replaced by values of the record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jitid.errors import ConfigurationError
from jitid.issuers.target_names import proved_agent, task_of
from jitid.model.target import TargetRecord
from jitid.values.text import quote

_PLACE = re.compile(r"\{([^{}]*)\}|([{}])")
FIELDS = ("task", "agent", "delegator", "id", "jti", "name", "ttl")
"""The fields allowed in braces: names from the ledger, ids, and the credential's lifetime in seconds."""


def fill(value: Any, record: TargetRecord, seconds: int, target: str) -> Any:  # noqa: ANN401 - what TOML may hold
    """Return a value of a template with the fields filled in all texts within it.

    `{agent}` is filled only for a registered agent, and `{task}` is `OWNER/NAME`, because others grant rights by the
    results.

    Raises ConfigurationError for a brace outside a field, and for an unknown field; UsageError for the name of an
    agent that is not registered.
    """
    if type(value) is str:
        return _fill(value, record, seconds, target)
    if isinstance(value, Mapping):
        return {name: fill(each, record, seconds, target) for name, each in value.items()}
    if type(value) is list:
        return [fill(each, record, seconds, target) for each in value]
    return value


def _fill(text: str, record: TargetRecord, seconds: int, target: str) -> str:
    values = {
        "task": task_of(record),
        "delegator": record.delegator,
        "id": record.id,
        "jti": record.jti,
        "name": record.name,
        "ttl": str(seconds),
    }

    def filled(match: re.Match[str]) -> str:
        if match[1] == "agent":
            return proved_agent(record, target)
        found = values.get(match[1] or "")
        if found is None:
            raise ConfigurationError(
                f"{quote(match[0])} in a template of the target {target} stands for nothing",
                f"it may be one of: {', '.join(f'{{{name}}}' for name in FIELDS)}",
            )
        return found

    return _PLACE.sub(filled, text)
