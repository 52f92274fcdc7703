"""Templates of what is asked of a target: `{task}` and its like stand for what the record says, nothing else does."""

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
"""What may stand in braces: names of the ledger's, ids, and the seconds for which the credential is to live."""


def fill(value: Any, record: TargetRecord, seconds: int, target: str) -> Any:  # noqa: ANN401 - what TOML may hold
    """Return a value of a template with its places filled, in all texts within it.

    `{agent}` is that of a registered agent alone, and `{task}` is `OWNER/NAME`: by what is made, others permit things.

    Raises ConfigurationError for a brace that is no place, and for a place that there is not; UsageError for the name
    of an agent that is not registered.
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
