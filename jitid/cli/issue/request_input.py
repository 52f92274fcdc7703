"""Shared parts of the verbs that issue: from options to a request, and from an issued credential to a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jitid.capabilities.issue.parse_request import request_from
from jitid.cli import read_input
from jitid.cli.invocation import Invocation
from jitid.errors import UsageError
from jitid.model.credential import PARTS, TOKENS, Kind, parse_kind
from jitid.model.request import IssueRequest
from jitid.values.times import format_time

if TYPE_CHECKING:
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.values.secret import Secret

FIELDS = (
    "token",
    "id",
    "jti",
    "task",
    "agent",
    "delegator",
    "delegator_proof",
    "parent",
    "depth",
    "kind",
    "sensitivity",
    "scopes",
    "audiences",
    "issued_at",
    "expires_at",
    "delegator_state",
    "template",
    "secret",
    "may_audience",
    "may_act",
)


CERTIFIED = ("x509-svid", "ssh-cert")
"""The kinds that are certificates. The requester may supply the public key."""


def expect(cli: Invocation, kind: str | None) -> None:
    """Check format and field against the fields of a credential of a kind, and the parts of its secret.

    Raises UsageError and ConfigurationError.
    """
    kind_name = "" if kind is None else kind.partition(":")[0]
    if kind_name in ("openbao-lease", "exec"):
        cli.expect(FIELDS if cli.field is None else (*FIELDS, cli.field))
    else:
        cli.expect((*FIELDS, *PARTS.get(kind_name, ())))


def stated_request(
    cli: Invocation, options: dict[str, Any], *, usual_agent: str | None = None, identity: bool = False
) -> tuple[IssueRequest, Secret | None]:
    """Return a request from the stated options, and the ID token that proves its delegator, if any.

    Without a stated or configured agent, use `usual_agent`, or the setting's default. With `identity`, request an
    identity token, even if audiences are stated.

    Raises:
        UsageError: a value is invalid.
        ConfigurationError: a setting is wrong.

    """
    config = cli.config()
    parent_file, token_file = options.pop("parent_file"), options.pop("delegator_token_file")
    if "may_audience" in cli.from_environment and not _obtains(options, identity=identity):
        # The variable applies to identity tokens only.
        options["may_audience"] = None
    allow_narrower, key_file = options.pop("allow_narrower"), options.pop("public_key", None)
    if parent_file is not None and "delegator" in cli.from_environment:
        options["delegator"] = None
    # With a parent, the task is the parent's unless it is stated.
    options["task"] = options["task"] or (None if parent_file else config.text("task"))
    if options["agent"] is None:
        default_agent = usual_agent if config.origin("agent") == "default" else None
        options["agent"] = default_agent or config.text("agent") or "agent"
    parent = None if parent_file is None else read_input.token(parent_file, "the parent's token")
    proof = None if token_file is None else read_input.token(token_file, "the delegator's ID token")
    key = None if key_file is None else read_input.public_key(key_file)
    request = request_from(options, parent)._replace(
        allow_narrower=allow_narrower, public_key=key, identity=identity
    )
    if key is not None and request.kind not in CERTIFIED:
        raise UsageError(
            f"a public key is of no use to a credential of kind {request.kind}",
            f"it goes with --kind {' or '.join(CERTIFIED)}",
        )
    if config.remote is not None and not request.audiences and (identity or not request.may_audience):
        # A remote authority does not know the client's settings: without an audience it makes an identity token.
        request = request._replace(audiences=config.many("audience"))
    return request, proof


def _obtains(options: dict[str, Any], *, identity: bool) -> bool:
    """Return whether the request is for an identity token, with which other tokens can be obtained."""
    return (identity or not options["audience"]) and parse_kind(
        options["kind"] or Kind.JWT.value
    ).kind in TOKENS


def row_of(issued: Issued, secret: Secret | None, id_: str | None, jti: str | None) -> dict[str, Any]:
    """Return an issued credential as a row with the fields of `FIELDS`. A secret of one part is in `token`."""
    parts = {} if secret is None else {name: secret.reveal(name) for name in secret.names}
    return {
        "token": parts.pop("token", None) if len(parts) == 1 else None,
        "id": id_,
        "jti": jti,
        "task": issued.task,
        "agent": issued.agent,
        "delegator": issued.delegator,
        "delegator_proof": issued.delegator_proof,
        "parent": issued.parent,
        "depth": issued.depth,
        "kind": issued.kind,
        "sensitivity": issued.sensitivity,
        "scopes": issued.scopes,
        "audiences": issued.audiences,
        "issued_at": format_time(issued.issued_at),
        "expires_at": format_time(issued.expires_at),
        "delegator_state": issued.delegator_state,
        "template": issued.template,
        "secret": parts or None,
        "may_audience": issued.may_audience,
        "may_act": issued.may_act,
    }
