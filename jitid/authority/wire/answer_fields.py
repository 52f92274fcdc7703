"""The limits of fields in a remote authority's answer, where commands rely on more than the type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jitid.capabilities.leak.trace_result import MATCHES
from jitid.capabilities.sweep.operations import RULE
from jitid.model.access import AccessState
from jitid.model.approval import ApprovalState
from jitid.model.credential import State
from jitid.model.types import SENSITIVITY
from jitid.values.declaration import FieldType
from jitid.values.field_types import choice, number

BY_FIELD: Mapping[str, FieldType[Any]] = {
    "Access.ended_as": choice(*AccessState),
    "Approval.ended_as": choice(*ApprovalState),
    "Breakdown.live": number(0),
    "Coverage.rule": RULE,
    "Credential.ended_as": choice(*State),
    "Evidence.match": choice(*MATCHES),
    "Finding.rule": RULE,
    "Remedied.rule": RULE,
    "Sensitive.sensitivity": SENSITIVITY,
    "Unfixed.rule": RULE,
}
"""The types of fields, by their record. For other fields the type is enough."""
