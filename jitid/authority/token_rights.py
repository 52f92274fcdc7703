"""How each operation uses the tokens in it: a token that a caller was merely shown gives no right at an authority."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin

from jitid.authority.wire.annotations import fields_of
from jitid.capabilities.identity import introspection
from jitid.errors import InvalidCredentialError, RefusedError, ShownError
from jitid.operation import reach
from jitid.operation.base import Operation
from jitid.values import audience
from jitid.values.secret import Secret
from jitid.values.text import label, quote

if TYPE_CHECKING:
    from jitid.capabilities.issue.token_operations import Exchange
    from jitid.ledger.contract import Look
    from jitid.model.caller import Caller
    from jitid.model.credential import Credential


class TokenRight(StrEnum):
    """How an operation uses a token."""

    RIGHT = "right"
    """As the right to what it asks for: the token must be one for the authority."""
    EXCHANGED = "exchanged"
    """As such a right, or as what its `may_act` lets the caller exchange."""
    SHOWN = "shown"
    """As what is looked at or ended: it gives the caller no right."""
    PROOF = "proof"
    """As the proof of another issuer."""


USES: Mapping[str, TokenRight] = {
    "Issue.requests.parent": TokenRight.RIGHT,
    "Issue.delegator_token": TokenRight.PROOF,
    "Renew.request.token": TokenRight.RIGHT,
    # It lets the predecessor live again: that one alone is no right to it.
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
    # Ending is no gain: what a token itself says is ended by whoever found it, where they may end it.
    "Revoke.tokens": TokenRight.SHOWN,
    "RevokeToken.token": TokenRight.SHOWN,
    "GrantApproval.approver_token": TokenRight.PROOF,
    "DenyApproval.approver_token": TokenRight.PROOF,
}
"""By operation and field. An operation with a token that does not stand here is refused."""


@lru_cache(maxsize=256)
def tokens_of(kind: type) -> tuple[str, ...]:
    """Return the fields of an operation that hold tokens, with those of the records in it: `Issue.requests.parent`."""
    return tuple(dict.fromkeys(f"{kind.__name__}.{path}" for path in _paths(kind, ())))


def check(look: Look, caller: Caller, operation: Operation[Any]) -> None:
    """Refuse an operation by the right of a token that its caller was merely shown.

    Raises:
        ShownError: a token in it is for services.
        RefusedError: nobody has said what a token in it is used for.

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
                found = introspection.recognise(snapshot, snapshot.names, text)
            except InvalidCredentialError:
                found = None
            if found is None or found.token_use is None:
                # What is wrong with it, or whose it is, the operation itself says: only a token gives a right anywhere.
                continue
            if found.names_authority(snapshot.names.accepted(snapshot.now)):
                continue
            if use is TokenRight.EXCHANGED:
                must_let(caller, found, operation)  # type: ignore[arg-type] # no other one has such a field
            else:
                raise reach.merely_shown(found)


def must_let(caller: Caller, found: Credential, operation: Exchange) -> None:
    """Refuse to exchange a token for services unless it is one for the caller, which it lets act (RFC 8693, 4.4).

    Raises:
        ShownError: it is not, or does not reach so far.

    """
    if not caller.may_exchange(found.audiences):
        raise reach.merely_shown(found)
    actor = reach.actor_of(found.may_act)
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
    """Yield the tokens that stand at a path below a value."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        for each in value:
            yield from _at(each, path)
    elif isinstance(value, Secret):
        yield value
    elif value is not None and path:
        name, *rest = path
        yield from _at(getattr(value, name), rest)


def _paths(kind: Any, above: tuple[type, ...]) -> Iterator[str]:  # noqa: ANN401 - types have no common type
    """Yield where in a record there are tokens, in the records within it too."""
    for name, hint in fields_of(kind).items():
        for each in _types(hint):
            if each is Secret:
                yield name
            elif (
                isinstance(each, type)
                and each not in above
                and (issubclass(each, Operation) or hasattr(each, "_fields"))
            ):
                yield from (f"{name}.{path}" for path in _paths(each, (*above, each)))


def _types(hint: Any) -> Iterator[Any]:  # noqa: ANN401 - types have no common type
    """Yield the types that a value can have, or what is in it."""
    if get_origin(hint) in (Union, UnionType) or get_args(hint):
        for each in get_args(hint):
            yield from _types(each)
    else:
        yield hint
