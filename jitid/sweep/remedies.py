"""What `--fix` does about findings: it revokes, batch by batch, and looks whether that has worked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from jitid import introspection, revocation
from jitid.credential import Credential
from jitid.errors import InvalidCredentialError, PartialError, UsageError
from jitid.ledger.protocol import Filter, Ledger, Radius, Selection, Snapshot, Transaction
from jitid.sweep.finding import Finding, Remedied
from jitid.sweep.rule import Rule, Sight
from jitid.sweep.sweeping import found

BATCH = 1_000
"""So many findings are ended in one transaction: enough to be quick, too few to keep others waiting."""

_ASKED = 100
"""So many of what one transaction has ended are put before the judge of `verify` one by one; all are counted."""

Look = Callable[[Snapshot], Sight]
Wanted = Callable[[Finding], bool]
Batch = list[tuple[Selection, list[Finding]]]


class Foreseen(NamedTuple):
    """What `--fix` would come to."""

    rules: tuple[str, ...]
    """Those that have found something."""
    radius: Radius
    """Of all of them; what several findings have in common is counted for each, so that it is rather too much."""


def foresee(sight: Sight, rules: Sequence[Rule], wanted: Wanted) -> Foreseen:
    """Return what ending all that these rules find and that is wanted would come to."""
    finding: list[str] = []
    total = Radius(0, 0, 0, 0, 0, None)
    for rule in rules:
        with closing(_endable(rule, sight, wanted)) as ending:
            while batch := list(islice(ending, BATCH)):
                for selection, _ in _together(batch):
                    total = _sum(total, sight.snapshot.measure(selection))
                if rule.name not in finding:
                    finding.append(rule.name)
    return Foreseen(tuple(finding), total)


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
        UsageError: more than `most` would end; nothing was changed.
        PartialError: that came to be so meanwhile; what was yielded has ended.

    """
    left = most
    for rule in rules:
        more = True
        while more:
            try:
                ended, more = _end_batch(ledger, look, rule, wanted, sweep, left, accept_clock=accept_clock)
            except UsageError as error:
                if left == most:
                    raise
                raise PartialError(
                    f"{error.message.removesuffix('; nothing was changed')}; what is told above has ended",
                    error.hint,
                ) from error
            for selection, one in ended:
                left = None if left is None else left - one.credentials
                yield one._replace(accepted=_accepted(ledger, selection))


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
) -> tuple[list[tuple[Selection, Remedied]], bool]:
    """End the first findings of a rule in one transaction; return what ended, and whether there may be more."""
    ended = []
    with ledger.write(accept_clock=accept_clock) as transaction:
        with closing(_endable(rule, look(transaction), wanted)) as ending:
            batch = list(islice(ending, BATCH))
        for selection, findings in _together(batch):
            one = _end(transaction, selection, findings, sweep, most)
            if one is not None:
                most = None if most is None else most - one.credentials
                ended.append((selection, one))
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


def _endable(rule: Rule, sight: Sight, wanted: Wanted) -> Generator[Finding, None, None]:
    for finding in found(rule, sight):
        if finding.ends is not None and wanted(finding):
            yield finding


def _together(findings: Sequence[Finding]) -> Batch:
    """Return what findings end as few selections: those by one sort of name are joined."""
    joined: dict[str, list[Finding]] = {}
    batch: Batch = []
    for finding in findings:
        assert finding.ends is not None
        sorts = [name for name, values in finding.ends._asdict().items() if values]
        if len(sorts) == 1:
            joined.setdefault(sorts[0], []).append(finding)
        else:
            # Sorts narrow one another, so that two of these together would mean something else.
            batch.append((finding.ends, [finding]))
    for sort, alike in joined.items():
        names = tuple(name for finding in alike for name in getattr(finding.ends, sort))
        batch.append((Selection()._replace(**{sort: names}), alike))
    return batch


def _sum(one: Radius, other: Radius) -> Radius:
    until = max(one.offline_until or 0, other.offline_until or 0) or None
    return Radius(
        one.matched + other.matched,
        one.identities + other.identities,
        one.credentials + other.credentials,
        one.tasks + other.tasks,
        one.delegators + other.delegators,
        until,
    )


def _accepted(ledger: Ledger, selection: Selection) -> int:
    """Return how many of a selection and of what descends from it a verifier still takes that asks this ledger."""
    with ledger.read() as snapshot:
        alive = snapshot.measure(selection).credentials
        return max(alive, sum(_is_accepted(snapshot, row) for row in _some(snapshot, selection)))


def _some(snapshot: Snapshot, selection: Selection) -> list[Credential]:
    if selection.ids:
        return snapshot.find_given(selection.ids[:_ASKED], ())
    chosen = [Filter(task=name) for name in selection.tasks] or [
        Filter(delegator=name) for name in selection.delegators
    ]
    some: list[Credential] = []
    for each in chosen[:_ASKED]:
        some += snapshot.credentials(each, "issued_at", descending=True, after=None, limit=_ASKED - len(some))
        if len(some) >= _ASKED:
            break
    return some


def _is_accepted(snapshot: Snapshot, credential: Credential) -> bool:
    try:
        introspection.judge(snapshot, credential, None)
    except InvalidCredentialError:
        return False
    return True
