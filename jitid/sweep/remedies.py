"""What `--fix` does about findings: it revokes, batch by batch, and looks whether that has worked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from jitid import introspection, revocation
from jitid.errors import IntegrityError, InvalidCredentialError, JitidError, PartialError
from jitid.identifier import credential_id
from jitid.ledger.protocol import Ledger, Radius, Selection, Snapshot, Transaction
from jitid.sweep.finding import Finding, Remedied
from jitid.sweep.rule import Rule, Sight
from jitid.sweep.sweeping import found

BATCH = 1_000
"""So many findings are ended in one transaction: enough to be quick, too few to keep others waiting."""

_ASKED = 100
"""So many of what one event has ended are put before the judge of `verify` one by one."""

Look = Callable[[Snapshot], Sight]
Wanted = Callable[[Finding], bool]
Ending = tuple[Finding, Selection]


class Foreseen(NamedTuple):
    """What `--fix` would come to."""

    rules: tuple[str, ...]
    """Those that have found something."""
    radius: Radius
    """Of all of them; what several findings have in common counts once."""


def foresee(sight: Sight, rules: Sequence[Rule], wanted: Wanted) -> Foreseen:
    """Return what ending all that these rules find and that is wanted would come to.

    A rule that cannot be asked has nothing to end; that it could not be asked is for the sweep to tell.
    """
    finding: list[str] = []

    def selections() -> Iterator[Selection]:
        for rule in rules:
            try:
                with closing(_endable(rule, sight, wanted)) as ending:
                    while batch := list(islice(ending, BATCH)):
                        if rule.name not in finding:
                            finding.append(rule.name)
                        yield from (selection for selection, _ in _together(batch))
            except IntegrityError:
                continue

    radius = sight.snapshot.measure_together(selections())
    return Foreseen(tuple(finding), radius)


def fix(
    ledger: Ledger,
    look: Look,
    rules: Sequence[Rule],
    wanted: Wanted,
    sweep: str,
    most: int | None,
    *,
    accept_clock: bool,
) -> Iterator[Remedied]:
    """End what these rules find, and yield what was ended once it is durable and was looked at again.

    What is found is found inside the transaction that ends it: what another sweep has ended is not ended again, and
    what a sweep that was killed has left is.

    Args:
        ledger: where.
        look: makes what the rules see out of a view.
        rules: those whose findings end.
        wanted: which of them.
        sweep: the name of this sweep, for the audit log.
        most: how many live credentials may end; None for any number.
        accept_clock: whether a clock that has jumped is believed.

    Raises:
        JitidError: it cannot be done; nothing was changed.
        PartialError: that came to be so meanwhile; what was yielded has ended.

    """
    left = most
    ended = 0
    for rule in rules:
        more = True
        while more:
            try:
                done, more = _end_batch(ledger, look, rule, wanted, sweep, left, accept_clock=accept_clock)
            except JitidError as error:
                if not ended:
                    raise
                raise PartialError(
                    f"{error.message.removesuffix('; nothing was changed')}; {ended} credentials had ended before "
                    f"(sweep {sweep})",
                    "what has ended: jitid audit log --operation revoke --members",
                ) from error
            for one in done:
                ended += one.credentials
                left = None if left is None else left - one.credentials
                yield one._replace(accepted=_accepted(ledger, one))


def close_due(ledger: Ledger, sweep: str, finding: Finding, *, accept_clock: bool) -> Remedied:
    """Record the end of what has expired or was superseded, as `finding` says, and of what is due by then."""
    with ledger.read() as snapshot:
        event = snapshot.head().seq + 1
    while True:
        # A transaction closes some by itself, before it begins.
        with ledger.write(accept_clock=accept_clock) as transaction:
            at = transaction.now
            if not transaction.close_due(BATCH):
                return Remedied(sweep, finding.rule, (finding,), finding.credentials, event, at, 0, None)


def _end_batch(
    ledger: Ledger,
    look: Look,
    rule: Rule,
    wanted: Wanted,
    sweep: str,
    most: int | None,
    *,
    accept_clock: bool,
) -> tuple[list[Remedied], bool]:
    """End the first findings of a rule in one transaction; return what ended, and whether there may be more."""
    ended = []
    with ledger.write(accept_clock=accept_clock) as transaction:
        sight = look(transaction)
        try:
            with closing(_endable(rule, sight, wanted)) as ending:
                batch = list(islice(ending, BATCH))
        except IntegrityError:
            # The sweep that follows tells that this rule could not be asked; the others are not to wait for it.
            return [], False
        for selection, findings in _together(batch):
            one = _end(transaction, selection, findings, sweep, most)
            if one is not None:
                most = None if most is None else most - one.credentials
                ended.append(one)
    # Nothing was ended: another finding had it all, or the rule would find the same for ever.
    return ended, bool(ended) and len(batch) == BATCH


def _end(
    transaction: Transaction, selection: Selection, findings: list[Finding], sweep: str, most: int | None
) -> Remedied | None:
    rule = findings[0].rule
    done = revocation.revoke(
        transaction, selection, f"found by the sweep: {rule}", most, facts={"sweep": sweep, "finding": rule}
    )
    if done.event is None:
        return None
    until = done.radius.offline_until
    return Remedied(sweep, rule, tuple(findings), done.credentials, done.event, transaction.now, 0, until)


def _endable(rule: Rule, sight: Sight, wanted: Wanted) -> Generator[Ending, None, None]:
    for finding in found(rule, sight):
        if wanted(finding):
            selection = rule.ends(sight, finding)
            if selection is not None:
                yield finding, selection


def _together(batch: Sequence[Ending]) -> list[tuple[Selection, list[Finding]]]:
    """Return what findings end as few selections: those by one sort of name are joined."""
    joined: dict[str, list[Ending]] = {}
    for finding, selection in batch:
        (sort,) = [name for name, values in selection._asdict().items() if values]
        joined.setdefault(sort, []).append((finding, selection))
    return [
        (
            Selection()._replace(**{sort: tuple(name for _, each in alike for name in getattr(each, sort))}),
            [finding for finding, _ in alike],
        )
        for sort, alike in joined.items()
    ]


def _accepted(ledger: Ledger, done: Remedied) -> int:
    """Return how many of what an event has ended a verifier still takes that asks this ledger.

    All are counted that the ledger does not hold for dead, and the first of them are put before the judge of `verify`.
    """
    with ledger.read() as snapshot:
        rows = snapshot.ask(
            "SELECT jti, CASE WHEN ended_at IS NULL THEN 1 ELSE 0 END FROM credential WHERE ended_event = :event",
            {"event": done.event},
        )
        named: list[str] = []
        alive = count = 0
        for jti, lives in rows:
            count += 1
            alive += lives
            if len(named) < _ASKED:
                named.append(credential_id(jti))
        # A row that no longer says which event ended it was put back by somebody.
        missing = max(done.credentials - count, 0)
        return max(alive + missing, sum(_is_accepted(snapshot, jti) for jti in named))


def _is_accepted(snapshot: Snapshot, jti: str) -> bool:
    (credential,) = snapshot.find_given([jti], ())
    try:
        introspection.judge(snapshot, credential, None)
    except InvalidCredentialError:
        return False
    return True
