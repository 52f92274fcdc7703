"""What `--fix` does about findings: it revokes, batch by batch, and looks whether that has worked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from itertools import islice
from typing import NamedTuple

from jitid.capabilities.identity import revocation
from jitid.capabilities.identity.revocation import TooManyError
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep import fix_proof
from jitid.capabilities.sweep.finding import Finding, Remedied, Unfixed
from jitid.capabilities.sweep.rule import Rule, Sight
from jitid.capabilities.sweep.run_rules import ends, found, reading_rows
from jitid.capabilities.sweep.store import DUE
from jitid.errors import (
    ClockError,
    IntegrityError,
    JitidError,
    NotFoundError,
    PartialError,
    StorageError,
)
from jitid.ledger import expiry
from jitid.ledger.contract import Ledger
from jitid.ledger.transaction import Transaction
from jitid.ledger.view import View
from jitid.model.ledger_rows import Radius, Selection

BATCH = 1_000
"""So many findings are ended in one transaction: enough to be quick, too few to keep others waiting."""


_UNNAMED = "what the ledger says of it contradicts itself (run: jitid audit verify)"

Look = Callable[[View], Sight]
Wanted = Callable[[Finding], bool]
Ending = tuple[Finding, Selection]


class ForeseenFix(NamedTuple):
    """What `--fix` would come to."""

    rules: tuple[str, ...]
    """Those that have found something."""
    radius: Radius
    """Of all of them; what several findings have in common counts once."""


class _Outcome(NamedTuple):
    """What one transaction has done about a rule's findings."""

    told: tuple[Remedied | Unfixed, ...]
    tried: frozenset[int]
    """The fingerprints of the findings that it was about."""
    more: bool
    """Whether the rule may find others."""


def foresee(sight: Sight, rules: Sequence[Rule], wanted: Wanted) -> ForeseenFix:
    """Return what ending all that these rules find and that is wanted would come to.

    A rule that cannot be asked has nothing to end; that it could not be asked is for the sweep to tell.
    """
    finding: list[str] = []

    def selections() -> Iterator[Selection]:
        for rule in rules:
            whole = True
            with closing(_endable(rule, sight, wanted)) as ending:
                while whole:
                    batch, whole = _first(ending)
                    if batch and rule.name not in finding:
                        finding.append(rule.name)
                    yield from (selection for selection, _ in _together(batch))

    radius = CredentialStore(sight.snapshot).measure_together(selections())
    return ForeseenFix(tuple(finding), radius)


def fix(
    ledger: Ledger,
    look: Look,
    rules: Sequence[Rule],
    wanted: Wanted,
    sweep: str,
    most: int | None,
    *,
    accept_clock: bool,
) -> Iterator[Remedied | Unfixed]:
    """End what these rules find, and yield what was ended once it is durable and was looked at again.

    What is found is found inside the transaction that ends it: what another sweep has ended is not ended again, and
    what a sweep that was killed has left is. Each finding is tried once; what could not be ended keeps nothing else
    from its end, and is told.

    Args:
        ledger: where.
        look: makes what the rules see out of a view.
        rules: those whose findings end.
        wanted: which of them.
        sweep: the name of this sweep, for the audit log.
        most: how many live credentials may end; None for any number.
        accept_clock: whether a clock that has jumped is believed.

    Raises:
        JitidError: nothing can be ended, of whatever rule, or more than is permitted would; nothing was changed.
        PartialError: that came to be so meanwhile; what was yielded has ended.

    """
    left, ended = most, 0
    for rule in rules:
        tried: set[int] = set()
        more = True
        while more:
            try:
                with reading_rows():
                    told, trying, more = _end_batch(
                        ledger, look, rule, wanted, sweep, left, tried, accept_clock=accept_clock
                    )
                tried |= trying
                done = [one for one in told if isinstance(one, Remedied)]
                ended += sum(one.credentials for one in done)
                left = most if most is None else most - ended
                yield from (one for one in told if isinstance(one, Unfixed))
                for one in done:
                    yield from _looked_at_again(ledger, one)
            except (StorageError, ClockError, TooManyError) as error:
                if not ended:
                    if type(error) is StorageError:
                        # Where a commit is in doubt, what it was about is named by this alone.
                        error.hint = f"what ended nevertheless: jitid audit log --members --sweep {sweep}"
                    raise
                raise PartialError(
                    f"{error.message.removesuffix('; nothing was changed')}; {ended} had ended before "
                    f"(sweep {sweep})",
                    f"what has ended: jitid audit log --members --sweep {sweep}",
                ) from error
            except JitidError as error:
                # Something is wrong with the rows of one rule; the others are not to wait for it.
                yield Unfixed(rule.name, 0, error.message.removesuffix("; nothing was changed"))
                break


def record_expiry(ledger: Ledger, mark: int, *, accept_clock: bool) -> None:
    """Record everything that has expired, so that a clock which is set back later revives none of it.

    A ledger judges by a time mark that only events raise. While nobody writes, the mark stays where it is, and a
    credential that expired meanwhile is valid again for a machine that starts with an earlier clock.

    Args:
        ledger: where.
        mark: the ledger's time mark, in seconds since the epoch: what expired before it is recorded as expired.
        accept_clock: whether a clock that has jumped is accepted.

    Raises:
        JitidError: the ledger cannot be read or written; what was recorded stays recorded.

    """
    with ledger.read() as snapshot:
        ((credentials, others),) = snapshot.ask(DUE, {"mark": mark})
    while credentials:
        # A transaction closes some by itself, before it begins.
        with ledger.write(accept_clock=accept_clock) as transaction:
            expiry.close_due(transaction, BATCH)
            credentials = transaction.closed
    if others:
        with ledger.write(accept_clock=accept_clock) as transaction:
            ((_, others),) = transaction.ask(DUE, {"mark": mark})
            if others:
                expiry.close_approvals(transaction)
                expiry.close_access(transaction)
                transaction.append("advance-clock", {})


def close_due(ledger: Ledger, sweep: str, finding: Finding, *, accept_clock: bool) -> Iterator[Remedied]:
    """Record the end of what has expired or was superseded, as `finding` says; yield each event, once it is durable.

    What another process has recorded meanwhile is not told: its events are not this sweep's.
    """
    facts = {"sweep": sweep, "finding": finding.rule}
    while True:
        # A transaction closes some by itself, before it begins.
        with ledger.write(accept_clock=accept_clock, facts=facts) as transaction:
            expiry.close_due(transaction, BATCH, facts)
            at, closed = transaction.now, tuple(transaction.closed)
        if not closed:
            return
        for event, credentials in closed:
            about = finding._replace(credentials=credentials)
            yield Remedied(sweep, finding.rule, (about,), credentials, event, at, 0, None)


def _looked_at_again(ledger: Ledger, done: Remedied) -> Iterator[Remedied]:
    """Yield what was ended with how much of it is taken all the same; what cannot be told is told first."""
    try:
        with reading_rows():
            accepted = fix_proof.accepted(ledger, done)
    except JitidError:
        yield done
        raise
    yield done._replace(accepted=accepted)


def _end_batch(
    ledger: Ledger,
    look: Look,
    rule: Rule,
    wanted: Wanted,
    sweep: str,
    most: int | None,
    tried: AbstractSet[int],
    *,
    accept_clock: bool,
) -> _Outcome:
    """End the first findings of a rule that were not tried before, in one transaction."""
    told: list[Remedied | Unfixed] = []
    with ledger.write(accept_clock=accept_clock) as transaction:
        sight = look(transaction)
        with closing(_endable(rule, sight, wanted)) as ending:
            batch, more = _first(each for each in ending if _key(each[0]) not in tried)
        nameless = sum(not any(selection) for _, selection in batch)
        if nameless:
            told.append(Unfixed(rule.name, nameless, _UNNAMED))
        for selection, findings in _together(batch):
            done = _end(transaction, look, rule, selection, findings, sweep, most)
            for one in done:
                if isinstance(one, Remedied):
                    most = None if most is None else most - one.credentials
            told += done
    return _Outcome(tuple(told), frozenset(_key(finding) for finding, _ in batch), more)


def _end(
    transaction: Transaction,
    look: Look,
    rule: Rule,
    selection: Selection,
    findings: Sequence[Finding],
    sweep: str,
    most: int | None,
) -> list[Remedied | Unfixed]:
    facts = {"sweep": sweep, "finding": rule.name}
    try:
        done = revocation.revoke(
            transaction, selection, f"found by the sweep: {rule.name}", most, facts=facts
        )
    except NotFoundError:
        credentials = 0
    else:
        credentials = done.credentials
    ended, left = list(findings), 0
    if credentials < sum(finding.credentials for finding in findings):
        # In a ledger that was edited, what a rule finds need not be what its selection names: it is asked again.
        alive = _found_again(rule, look(transaction), findings)
        ended = [each for each in findings if alive.get(each.fingerprint, 0) < each.credentials]
        left = len(findings) - len(ended)
    told: list[Remedied | Unfixed] = []
    if credentials:
        assert done.event is not None
        until = done.radius.offline_until
        one = Remedied(
            sweep, rule.name, tuple(ended or findings), credentials, done.event, transaction.now, None, until
        )
        told.append(one)
    if left:
        told.append(Unfixed(rule.name, left, _UNNAMED))
    return told


def _found_again(rule: Rule, sight: Sight, findings: Sequence[Finding]) -> dict[str, int]:
    """Return how many credentials those of the findings are about that a rule finds still, by their fingerprints."""
    asked = {finding.fingerprint for finding in findings}
    alive: dict[str, int] = {}
    with suppress(IntegrityError), closing(found(rule, sight)) as again:
        for finding in again:
            if finding.fingerprint in asked:
                alive[finding.fingerprint] = finding.credentials
    return alive


def _endable(rule: Rule, sight: Sight, wanted: Wanted) -> Generator[Ending, None, None]:
    for finding in found(rule, sight):
        if wanted(finding):
            selection = ends(rule, sight, finding)
            if selection is not None:
                yield finding, selection


def _first(ending: Iterable[Ending]) -> tuple[list[Ending], bool]:
    """Return the first findings to end, and whether there may be more.

    What was found before a row that cannot be read stands for itself; that the rule could not be asked of all is for
    the sweep that follows to tell.
    """
    batch: list[Ending] = []
    try:
        for each in islice(ending, BATCH):
            batch.append(each)  # noqa: PERF402 - what came before an error is kept
    except IntegrityError:
        return batch, False
    return batch, len(batch) == BATCH


def _key(finding: Finding) -> int:
    return int(finding.fingerprint, 16)


def _together(batch: Sequence[Ending]) -> list[tuple[Selection, list[Finding]]]:
    """Return what findings end as few selections: those by one sort of name are joined, those without one left out."""
    joined: dict[str, list[Ending]] = {}
    for finding, selection in batch:
        if any(selection):
            # Sorts narrow one another: two of them could not be joined with others.
            (sort,) = [name for name, values in selection._asdict().items() if values]
            joined.setdefault(sort, []).append((finding, selection))
    return [
        (
            Selection()._replace(**{sort: tuple(name for _, each in alike for name in getattr(each, sort))}),
            [finding for finding, _ in alike],
        )
        for sort, alike in joined.items()
    ]
