"""The bounds of a request by an ID-JAG: it gets no more than the identity provider permits for this one use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jitid.errors import PolicyDeniedError, UsageError
from jitid.model.credential import TOKENS
from jitid.values.scope import uncovered
from jitid.values.text import quote

if TYPE_CHECKING:
    from jitid.model.access import GrantBounds
    from jitid.model.request import IssueRequest

_HINT = "request an ID-JAG from the identity provider that permits it, or request less"


def within(request: IssueRequest, bounds: GrantBounds) -> IssueRequest:
    """Return a request for a service token within the bounds, which also replace omitted scopes and audiences.

    Raises:
        PolicyDeniedError: the request exceeds the bounds.
        UsageError: it is not a request for one token for a service.

    """
    _must_be_one_service_token(request)
    scopes, narrower = request.scopes, request.allow_narrower
    if not scopes:
        # The client requests no scope in particular, so the policy may refuse some of them.
        scopes, narrower = bounds.scopes, True
    missing = uncovered(bounds.scopes, scopes)
    if missing and narrower:
        scopes = tuple([scope for scope in scopes if scope not in missing])
    if missing and not (narrower and scopes):
        raise _exceeds("scope", missing[0])
    audiences = request.audiences or bounds.audiences
    if not audiences:
        raise PolicyDeniedError("denied: the ID-JAG names no audience (`resource`)", _HINT, about="audience")
    for audience in audiences:
        if audience not in bounds.audiences:
            raise _exceeds("audience", audience)
    for detail in request.details:
        if detail not in bounds.details:
            raise _exceeds("detail", detail)
    return request._replace(scopes=scopes, allow_narrower=narrower, audiences=audiences)


def _must_be_one_service_token(request: IssueRequest) -> None:
    """Refuse a request whose result could be used for more than one use of the assertion."""
    further = (request.identity, request.may_audience, request.may_act, request.may_kind, request.template)
    if request.copies != 1 or request.kind not in TOKENS or any(further):
        raise UsageError(
            "an ID-JAG is exchanged for one token for a service",
            "omit the other kinds, copies and rights to obtain further tokens",
        )


def _exceeds(about: str, value: str) -> PolicyDeniedError:
    return PolicyDeniedError(
        f"denied: the ID-JAG does not permit the {about} {quote(value)}", _HINT, about=about
    )
