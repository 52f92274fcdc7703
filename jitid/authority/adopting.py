"""Performs the operations on adopted secrets."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never, cast

from jitid import adoption
from jitid.authority import adopt_operations as ops
from jitid.authority.inside import Inside
from jitid.authority.operations import AdoptionOperation
from jitid.authority.proving import prove
from jitid.authority.provisioning import targets_of
from jitid.errors import JitidError, UsageError
from jitid.issuers import adopted
from jitid.ledger.changing import change
from jitid.looks import PRINT, Shapes
from jitid.target import BY_HAND, Life, Probe
from jitid.text import quote, safe

if TYPE_CHECKING:
    from jitid.adoption import AdoptedSecret, Adoption, Finished
    from jitid.ledger.protocol import Transaction
    from jitid.replacing import Replacement
    from jitid.standing import StandingSecret
    from jitid.targets import Targets


def perform(inside: Inside, operation: AdoptionOperation[Any]) -> object:
    """Perform one of them."""
    one = cast("ops.AnyAdoptionOperation", operation)
    match one:
        case ops.Adopt():
            return _adopt(inside, one)
        case ops.ChangeAdopted():
            return _change(inside, one)
        case ops.EndAdopted():
            return _end(inside, one)
        case ops.ListAdopted():
            return _list(inside, one)
        case ops.ProbeAdopted(names=names):
            with inside.ledger.read() as snapshot:
                found = adoption.find(snapshot, names)
            targets = targets_of(inside)
            return [ops.Probed(each.name, _probe(targets, each)) for each in found]
        case ops.SuggestReplacements(names=names):
            return _suggest(inside, names)
        case ops.AdoptedShapes():
            with inside.ledger.read() as snapshot:
                return Shapes(tuple(snapshot.adopted.shapes()), snapshot.adopted.prints(PRINT))
        case _:
            assert_never(one)


def _adopt(inside: Inside, operation: ops.Adopt) -> Adoption:
    secrets = operation.secrets
    if not secrets:
        raise UsageError("there is nothing to adopt; nothing was changed")
    kinds = _kinds(targets_of(inside), secrets)
    if operation.dry_run:
        with inside.ledger.read() as snapshot:
            return adoption.preview(snapshot, secrets)
    return change(
        inside.ledger,
        lambda transaction: adoption.adopt(transaction, secrets, kinds, operation.content),
        accept_clock=operation.accept_clock,
    )


def _kinds(targets: Targets, secrets: Sequence[StandingSecret]) -> dict[str, str]:
    """Return of each target that is named what kind of credentials it makes. Raises UsageError."""
    kinds: dict[str, str] = {}
    for one in secrets:
        if one.target is None:
            continue
        try:
            if one.target not in kinds:
                kinds[one.target] = targets.get(one.target).kind
            adopted.reference_of(kinds[one.target], one.reference or one.access_key_id)
        except JitidError as error:
            raise adoption.wrong(one, error.message, error.hint) from error
    return kinds


def _change(inside: Inside, operation: ops.ChangeAdopted) -> ops.AdoptedPage:
    amended = operation.amended
    kind = None
    if amended.target is not None:
        kind = targets_of(inside).get(amended.target).kind
        adopted.reference_of(kind, amended.reference)
    elif amended.reference is not None:
        raise UsageError("--reference says what it is called at a target: name that with --target too")

    def amend(transaction: Transaction) -> ops.AdoptedPage:
        found = adoption.amend(transaction, operation.names, amended, kind)
        return ops.AdoptedPage(found, transaction.now)

    return change(inside.ledger, amend, accept_clock=operation.accept_clock)


def _end(inside: Inside, operation: ops.EndAdopted) -> Finished:
    done = change(
        inside.ledger,
        lambda transaction: adoption.finish(transaction, operation.names, operation.proof),
        accept_clock=operation.accept_clock,
    )
    return done if done.event is None else done._replace(unproved=prove(inside.ledger))


def _list(inside: Inside, operation: ops.ListAdopted) -> ops.AdoptedPage:
    with inside.ledger.read() as snapshot:
        if operation.names:
            return ops.AdoptedPage(adoption.find(snapshot, operation.names), snapshot.now)
        owners = () if operation.owner is None else snapshot.names_of(operation.owner)
        keys = snapshot.adopted.page(
            owners, operation.after, operation.limit, live=operation.live, open_=operation.live
        )
        return ops.AdoptedPage(adoption.described(snapshot, keys), snapshot.now)


def _suggest(inside: Inside, names: Sequence[str]) -> list[Replacement]:
    from jitid import replacing

    with inside.ledger.read() as snapshot:
        found = adoption.find(snapshot, names)
    targets, kinds = targets_of(inside), {}
    for name in targets.names():
        # One whose table cannot be meant makes nothing.
        with suppress(JitidError):
            kinds[name] = targets.get(name).kind
    return [replacing.suggest(one, kinds) for one in found]


def _probe(targets: Targets, one: AdoptedSecret) -> Probe:
    """Return what the target of a secret says of it; whatever goes wrong is an answer."""
    record = one.outside.record
    if record.target == BY_HAND:
        return Probe(Life.UNKNOWN, f"nobody can be asked at {safe(one.adopted.place)}")
    try:
        target = targets.get(record.target)
        if target.kind != one.outside.facts.get("kind"):
            return Probe(
                Life.UNKNOWN, f"target {quote(target.name)} makes credentials of the kind {target.kind} now"
            )
        issuer = targets.open(target)
        try:
            found = issuer.probe(record)
        finally:
            issuer.close()
    except JitidError as error:
        return Probe(Life.UNKNOWN, safe(error.message))
    return found
