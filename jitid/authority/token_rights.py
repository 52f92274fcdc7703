"""The use of each token in an operation: a token that was merely shown to its caller gives no right at an authority."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

from jitid.authority.wire.annotations import fields_of
from jitid.capabilities.identity import recognise_token
from jitid.errors import InvalidCredentialError, RefusedError, ShownError
from jitid.operation import reach
from jitid.values import audience
from jitid.values.declaration import Declared
from jitid.values.secret import Secret
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from jitid.capabilities.issue.token_operations import Exchange
    from jitid.ledger.contract import Look
    from jitid.model.access import Caller
    from jitid.model.credential import Credential
    from jitid.operation.base import Operation


class TokenRight(StrEnum):
    """The use of a token by an operation."""

    RIGHT = "right"
    """The token authorizes the request: it must be one for the authority."""
    EXCHANGED = "exchanged"
    """The token authorizes the request, or its `may_act` claim lets the caller exchange it."""
    SHOWN = "shown"
    """The token is inspected or revoked: it gives the caller no right."""
    PROOF = "proof"
    """The token is a proof from another issuer."""


USES: Mapping[str, TokenRight] = {
    "Issue.requests.parent": TokenRight.RIGHT,
    "Issue.delegator_token": TokenRight.PROOF,
    "Renew.request.token": TokenRight.RIGHT,
    # This reactivates the predecessor, so the predecessor's token alone gives no right to it.
    "AbandonRenewal.token": TokenRight.RIGHT,
    "Attach.request.token": TokenRight.RIGHT,
    "HandBack.token": TokenRight.RIGHT,
    "Exchange.request.parent": TokenRight.RIGHT,
    "Exchange.subject": TokenRight.EXCHANGED,
    "Exchange.actor": TokenRight.RIGHT,
    "Authenticate.bearer": TokenRight.RIGHT,
    "Verify.token": TokenRight.SHOWN,
    "Inspect.token": TokenRight.SHOWN,
    "Explain.token": TokenRight.SHOWN,
    "Introspect.token": TokenRight.SHOWN,
    "Authorize.asked.token": TokenRight.SHOWN,
    # Revoking gives no access: a finder of a token may revoke it with that token, if the guard allows it.
    "Revoke.tokens": TokenRight.SHOWN,
    "RevokeToken.token": TokenRight.SHOWN,
    "GrantApproval.approver_token": TokenRight.PROOF,
    "DenyApproval.approver_token": TokenRight.PROOF,
}
"""Uses by operation and field. An operation with a token that is not listed here is refused."""


@lru_cache(maxsize=256)
def tokens_of(kind: type) -> tuple[str, ...]:
    """Return the token fields of an operation, also in its nested records: `Issue.requests.parent`."""
    return tuple(dict.fromkeys(f"{kind.__name__}.{path}" for path in _paths(kind, ())))


def check(look: Look, caller: Caller, operation: Operation[Any]) -> None:
    """Refuse an operation that uses a token as a right if that token was merely shown to the caller.

    Raises:
        ShownError: a token in it is for services.
        RefusedError: `USES` does not declare the use of a token in it.

    """
    rights: list[tuple[TokenRight, Secret]] = []
    for path in tokens_of(cast("type", type(operation))):
        use = USES.get(path)
        if use is None:
            raise RefusedError(f"what the token at {path} is used for is not declared")
        if use in (TokenRight.RIGHT, TokenRight.EXCHANGED):
            rights += [(use, token) for token in _at(operation, path.split(".")[1:])]
    if not rights:
        return
    seen: set[str] = set()
    with look() as snapshot:
        for use, token in rights:
            text = token.reveal()
            if text in seen:
                continue
            seen.add(text)
            try:
                credential = recognise_token.recognise(snapshot, snapshot.names, text)
            except InvalidCredentialError:
                credential = None
            if credential is None or credential.token_use is None:
                # The operation itself reports an invalid token. A credential that is not a token gives no right.
                continue
            if credential.names_authority(snapshot.names.accepted(snapshot.now)):
                continue
            if use is TokenRight.EXCHANGED:
                must_permit_exchange(caller, credential, operation)  # type: ignore[arg-type] # no other operation has such a field
            else:
                raise reach.merely_shown(credential)


def must_permit_exchange(caller: Caller, credential: Credential, operation: Exchange) -> None:
    """Refuse to exchange a token for services unless its audience and `may_act` name the caller (RFC 8693, 4.4).

    Raises:
        ShownError: they do not name the caller, or do not allow the requested audiences.

    """
    if not caller.may_exchange(credential.audiences):
        raise reach.merely_shown(credential)
    actor = reach.actor_of(credential.may_act)
    if actor.get("sub") != caller.name:
        raise ShownError(
            f"the token does not let {label(caller.name)} exchange it; nothing was changed",
            f"its holder says so when the token is issued: --may-act {caller.name}=AUDIENCE",
        )
    beyond = audience.uncovered(actor["audience"], operation.request.audiences)
    if beyond:
        raise ShownError(
            f"the token does not let {label(caller.name)} reach {', '.join(map(quote, beyond[:5]))}; "
            "nothing was changed",
            f"it may reach {', '.join(map(quote, actor['audience'][:5]))}",
        )


def _at(value: object, path: Collection[str]) -> Iterator[Secret]:
    """Yield the tokens at a path below a value."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        for item in value:
            yield from _at(item, path)
    elif isinstance(value, Secret):
        yield value
    elif value is not None and path:
        name, *rest = path
        yield from _at(getattr(value, name), rest)


def _paths(kind: Any, above: tuple[type, ...]) -> Iterator[str]:  # noqa: ANN401 - types have no common type
    """Yield the paths of tokens in a record and in its nested records."""
    for name, field in fields_of(kind).items():
        for field_type in _types(field.kind):
            if field_type is Secret:
                yield name
            elif (
                isinstance(field_type, type)
                and field_type not in above
                and (issubclass(field_type, Declared) or hasattr(field_type, "_fields"))
            ):
                yield from (f"{name}.{path}" for path in _paths(field_type, (*above, field_type)))


def _types(hint: Any) -> Iterator[Any]:  # noqa: ANN401 - types have no common type
    """Yield the types that a value, or an item in it, can have."""
    if get_origin(hint) in (Union, UnionType) or get_args(hint):
        for argument in get_args(hint):
            yield from _types(argument)
    else:
        yield hint
