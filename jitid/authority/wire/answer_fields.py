"""The limits of fields in a remote authority's answer, where commands rely on more than the type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jitid.authority.wire.fields import RULE, SENSITIVITY, FieldForm, among, number
from jitid.capabilities.leak.trace_result import MATCHES
from jitid.errors import UsageError
from jitid.model.access import AccessState
from jitid.model.approval import ApprovalState
from jitid.model.credential import State
from jitid.model.survey import PROPERTIES
from jitid.model.task import SENSITIVITIES

if TYPE_CHECKING:
    from jitid.capabilities.report.sprawl_report import Report
    from jitid.model.survey import Survey

BY_FIELD: Mapping[str, FieldForm] = {
    "Access.ended_as": among(*AccessState),
    "Approval.ended_as": among(*ApprovalState),
    "Breakdown.live": number(0),
    "Coverage.rule": RULE,
    "Credential.ended_as": among(*State),
    "Evidence.match": among(*MATCHES),
    "Finding.rule": RULE,
    "Remedied.rule": RULE,
    "Sensitive.sensitivity": SENSITIVITY,
    "Unfixed.rule": RULE,
}
"""The forms of fields, by their record. For other fields the type is enough."""


def _survey(value: Survey) -> Survey:
    if not value.trend:
        raise UsageError("a survey is of one day at least")
    if not value.live_by.keys() >= set(PROPERTIES):
        raise UsageError(f"a survey has these properties: {', '.join(PROPERTIES)}")
    return value


def _report(value: Report) -> Report:
    if not value.limits.keys() >= set(SENSITIVITIES):
        raise UsageError("a report has the limit of each sensitivity")
    return value


WHOLE: Mapping[str, FieldForm] = {
    "sprawl_report.Report": FieldForm(_report, {}),
    "survey.Survey": FieldForm(_survey, {}),
}
"""The checks of whole records."""


def form_of(owner: type, field: str) -> FieldForm | None:
    """Return the form of a field of an answer; None if its type is enough."""
    return BY_FIELD.get(f"{owner.__name__}.{field}")
