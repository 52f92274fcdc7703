"""The Authorization API 1.0 (AuthZEN): decides whether a credential permits an action. Answers are recorded first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from jitid.errors import JitidError, UsageError
from jitid.server.answers import LimitedError, dumps, headers_of, status_of
from jitid.server.metrics import record_of
from jitid.values import strict_json
from jitid.values.names import check_audience
from jitid.values.record import Record
from jitid.values.secret import Secret

if TYPE_CHECKING:
    from starlette.requests import Request

    from jitid.capabilities.use.authorization import RecordedUses, UseRequest, UseVerdict
    from jitid.model.access import Caller
    from jitid.operation.base import Authority
    from jitid.server.service import Service

EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"

MOST = 1_000
"""Maximum number of evaluations in one request."""

_MOST_IN_ORDER = 100
"""The same for evaluations that are decided one after the other: each is recorded before the next."""

_PARTS = ("subject", "action", "resource", "context")
_SEMANTICS = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}
_LONGEST_ID = 255
_GENERIC = "resource"
"""The type of a resource that only its id names."""


class Evaluation(Record):
    """One evaluation of a request."""

    asked: UseRequest | None
    audiences: tuple[str, ...] = ()
    """The token must be for one of these audiences; empty: for any whose tokens the caller sees."""
    error: str | None = None
    """The reason if the evaluation is not valid in this API."""
    denial: str | None = None
    """The reason if it is well-formed, but always denied, for any content of the ledger."""


class _Questions(Record):
    """The evaluations of one request."""

    asked: list[Evaluation]
    until: bool | None = None
    """Stop after the first evaluation with this decision; None to decide all."""
    alone: bool = False
    """Whether the answer is a single decision and not a list."""


def routes(service: Service) -> list[BaseRoute]:
    """Return the routes of AuthZEN."""

    async def answered(request: Request, read: Callable[[dict[str, Any]], _Questions]) -> Response:
        from jitid.capabilities.use.operations import Authorize

        body = await request.body()

        def work(authority: Authority, _caller: Caller) -> object:
            questions = read(_object(request, body))
            answers = _decided(authority, questions)
            return answers[0] if questions.alone else {"evaluations": answers}

        try:
            return _json(request, await service.call(request, work, operation_type=Authorize))
        except UsageError as error:
            return _trouble(request, 400, error.message)
        except JitidError as error:
            return _failed(service, request, error)

    async def evaluation(request: Request) -> Response:
        return await answered(request, _one)

    async def evaluations(request: Request) -> Response:
        return await answered(request, _one_or_several)

    async def configuration(_request: Request) -> Response:
        base_url = service.base_url
        return Response(
            dumps(
                {
                    "policy_decision_point": base_url,
                    "access_evaluation_endpoint": f"{base_url}{EVALUATION}",
                    "access_evaluations_endpoint": f"{base_url}{EVALUATIONS}",
                }
            ),
            200,
            {"cache-control": "public, max-age=300"},
            "application/json",
        )

    return [
        Route(EVALUATION, evaluation, methods=["POST"]),
        Route(EVALUATIONS, evaluations, methods=["POST"]),
        Route("/.well-known/authzen-configuration", configuration),
    ]


def _decided(authority: Authority, questions: _Questions) -> list[dict[str, Any]]:
    """Return the decisions in order: all of them, or up to the first that equals `until`."""
    if questions.until is None:
        return _together(authority, questions.asked)
    decisions: list[dict[str, Any]] = []
    for evaluation in questions.asked:
        decisions += _together(authority, [evaluation])
        if decisions[-1]["decision"] is questions.until:
            break
    return decisions


def _together(authority: Authority, evaluations: list[Evaluation]) -> list[dict[str, Any]]:
    """Return the decisions; uses of tokens for the same audiences are decided and recorded together."""
    from jitid.capabilities.use.operations import Authorize

    decisions = [{} if evaluation.asked is not None else _spoilt(evaluation) for evaluation in evaluations]
    for audiences in dict.fromkeys(
        [evaluation.audiences for evaluation in evaluations if evaluation.asked is not None]
    ):
        indexes = [
            index
            for index, evaluation in enumerate(evaluations)
            if evaluation.asked is not None and evaluation.audiences == audiences
        ]
        uses = tuple([use for index in indexes if (use := evaluations[index].asked) is not None])
        recorded = authority.perform(Authorize(asked=uses, audiences=audiences))
        for index, verdict in zip(indexes, recorded.verdicts, strict=True):
            decisions[index] = _decision(verdict, recorded)
    return decisions


def _decision(verdict: UseVerdict, recorded: RecordedUses) -> dict[str, Any]:
    context: dict[str, Any] = {"event": recorded.event, "rules": list(verdict.rules)}
    if verdict.reason is not None:
        context["reason"] = verdict.reason
    if verdict.scope is not None:
        context["scope"] = verdict.scope
    if verdict.valid and verdict.credential is not None:
        credential = verdict.credential
        context |= {
            "jti": credential.jti,
            "agent": credential.agent,
            "delegator": credential.delegator,
            "task": credential.task,
        }
    return {"decision": verdict.allowed, "context": context}


def _spoilt(evaluation: Evaluation) -> dict[str, Any]:
    if evaluation.error is None:
        return {"decision": False, "context": {"reason": evaluation.denial}}
    return {"decision": False, "context": {"error": {"status": 400, "message": evaluation.error}}}


def _object(request: Request, text: bytes) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UsageError("the content type must be application/json")
    try:
        body = strict_json.loads(text, "the request")
    except strict_json.StrictJSONError as error:
        raise UsageError(str(error)) from None
    if type(body) is not dict:
        raise UsageError("the request is not a JSON object")
    return body


def _one(body: Mapping[str, Any]) -> _Questions:
    evaluation = _read(body)
    if evaluation.error is not None:
        raise UsageError(evaluation.error)
    return _Questions([evaluation], alone=True)


def _one_or_several(body: Mapping[str, Any]) -> _Questions:
    several = body.get("evaluations")
    if several is None or several == []:
        # Section 7.1: it is then a single evaluation with a single answer.
        return _one(body)
    until = _semantic(body)
    return _Questions(_several(body, several, until), until)


def _several(body: Mapping[str, Any], several: object, until: bool | None) -> list[Evaluation]:
    if type(several) is not list:
        raise UsageError("`evaluations` is not an array")
    limit = MOST if until is None else _MOST_IN_ORDER
    if len(several) > limit:
        raise UsageError(f"the request has more than {limit} evaluations")
    defaults = {name: body[name] for name in _PARTS if name in body}
    # Section 7.1.1: a member of an evaluation entirely replaces the same member of the request.
    return [
        _read({**defaults, **entry})
        if type(entry) is dict
        else Evaluation(None, error="the evaluation is not a JSON object")
        for entry in several
    ]


def _semantic(body: Mapping[str, Any]) -> bool | None:
    options = body.get("options", {})
    semantic = options.get("evaluations_semantic", "execute_all") if type(options) is dict else None
    if type(semantic) is not str or semantic not in _SEMANTICS:
        raise UsageError(f"`evaluations_semantic` must be one of: {', '.join(_SEMANTICS)}")
    return _SEMANTICS[semantic]


def _read(members: Mapping[str, Any]) -> Evaluation:
    """Return one parsed evaluation.

    The subject is a credential of the type `token`: the token is in `properties.token` or in the `id`. Its
    `properties.audience`, a text or several, may name the required audiences. The resource is TYPE:ID, or only its id
    if its type is `resource`.
    """
    # Loaded at the first evaluation, so that the service starts sooner.
    from jitid.capabilities.use.authorization import (
        EMPTY,
        UseRequest,
        check_action,
        check_context,
        check_resource,
    )

    try:
        subject, resource = _part(members, "subject"), _part(members, "resource")
        texts = [_text(subject, "subject", "type"), _text(subject, "subject", "id")]
        kind, id_ = _text(resource, "resource", "type"), _text(resource, "resource", "id")
        action = _text(_part(members, "action"), "action", "name")
        context = _part(members, "context") if "context" in members else {}
    except UsageError as error:
        return Evaluation(None, error=error.message)
    try:
        return Evaluation(
            UseRequest(
                _token(subject, *texts),
                check_action(action),
                check_resource(id_ if kind == _GENERIC else f"{kind}:{id_}"),
                check_context(context) if context else EMPTY,
            ),
            _audiences(subject),
        )
    except UsageError as error:
        return Evaluation(None, denial=error.message)


def _part(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = members.get(name)
    if type(part) is not dict:
        raise UsageError(f"the {name} is missing, or is not an object")
    return part


def _text(part: Mapping[str, Any], name: str, member: str) -> str:
    value = part.get(member)
    if type(value) is not str or not value:
        raise UsageError(f"the {member} of the {name} is missing, or is not a string")
    return value


def _token(subject: Mapping[str, Any], kind: str, id_: str) -> Secret:
    if kind != "token":
        raise UsageError("the subject must be a credential, not a name: its type must be `token`")
    properties = subject.get("properties", {})
    token = properties.get("token", id_) if type(properties) is dict else None
    if type(token) is not str or not token:
        raise UsageError("the token of the subject is not a string")
    return Secret.single(token)


def _audiences(subject: Mapping[str, Any]) -> tuple[str, ...]:
    value = subject.get("properties", {}).get("audience", [])
    audiences = [value] if type(value) is str else value
    if type(audiences) is not list or not all(type(audience) is str for audience in audiences):
        raise UsageError("the audience of the subject must be a string or an array of strings")
    return tuple([check_audience(audience) for audience in audiences])


def _headers(request: Request) -> dict[str, str]:
    """Return the headers of each answer, with the id of the request (section 10.1.3)."""
    headers = {"cache-control": "no-store"}
    id_ = request.headers.get("x-request-id")
    if id_ is not None and len(id_) <= _LONGEST_ID and id_.isascii() and id_.isprintable():
        headers["x-request-id"] = id_
    return headers


def _json(request: Request, value: object) -> Response:
    return Response(dumps(value), 200, _headers(request), "application/json")


def _trouble(
    request: Request, status: int, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error as a text (section 10.1.2)."""
    record_of(request.scope).error = "usage" if status == 400 else "refused"
    return PlainTextResponse(message, status, {**_headers(request), **(headers or {})})


def _failed(service: Service, request: Request, error: JitidError) -> Response:
    if isinstance(error, LimitedError):
        service.metrics.count("limited")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers_of(error)}
    answer = _trouble(request, status_of(error), error.message, headers)
    record_of(request.scope).error = error.code
    return answer
