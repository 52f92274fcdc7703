"""Remedies of `--fix` in the ledger: revoke findings in batches, and check the result."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from itertools import islice

from jitid.capabilities.identity import revocation, validity
from jitid.capabilities.identity.revocation_result import TooManyError
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep.finding import Finding, Remedied, Unfixed
from jitid.capabilities.sweep.rule import Rule, RuleContext, ends, found, reading_rows
from jitid.capabilities.sweep.store import DUE, ENDED_BY
from jitid.errors import (
    ClockError,
    IntegrityError,
    InvalidCredentialError,
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
from jitid.values.ids import credential_id
from jitid.values.record import Record

BATCH = 1_000
"""Number of findings that one transaction ends: enough to be quick, too few to make other processes wait."""
_UNNAMED = "the rows of the ledger contradict each other (run: jitid audit verify)"

ContextFor = Callable[[View], RuleContext]
FindingFilter = Callable[[Finding], bool]
Ending = tuple[Finding, Selection]


class ForeseenFix(Record):
    """The effect that `--fix` would have."""

    rules: tuple[str, ...]
    """The rules with findings."""
    radius: Radius
    """The extent of all their findings; a credential in several findings counts once."""


class _Outcome(Record):
    """The result of one transaction for the findings of a rule."""

    told: tuple[Remedied | Unfixed, ...]
    tried: frozenset[int]
    """The fingerprints of the findings that it tried to end."""
    more: bool
    """Whether the rule may have more findings."""


def foresee(context: RuleContext, rules: Sequence[Rule], is_selected: FindingFilter) -> ForeseenFix:
    """Return the effect of ending the findings of these rules for which `is_selected` returns true.

    A rule that fails has no findings here; the sweep reports its failure.
    """
    finding: list[str] = []

    def selections() -> Iterator[Selection]:
        for rule in rules:
            has_more = True
            with closing(_endable(rule, context, is_selected)) as ending:
                while has_more:
                    batch, has_more = _first(ending)
                    if batch and rule.name not in finding:
                        finding.append(rule.name)
                    yield from (selection for selection, _ in _together(batch))

    radius = CredentialStore(context.snapshot).measure_together(selections())
    return ForeseenFix(tuple(finding), radius)


def fix(
    ledger: Ledger,
    context_for: ContextFor,
    rules: Sequence[Rule],
    is_selected: FindingFilter,
    sweep: str,
    limit: int | None,
    *,
    accept_clock: bool,
) -> Iterator[Remedied | Unfixed]:
    """End the findings of these rules, and yield the results once they are durable and checked.

    Each transaction runs the rule again. So it does not end again credentials that another sweep has ended, and it
    ends the credentials that a killed sweep has left. Each finding is tried once. A finding that cannot be ended is
    reported and does not block the others.

    Args:
        ledger: the ledger.
        context_for: returns the input of the rules for a view.
        rules: the rules whose findings end.
        is_selected: returns whether a finding ends.
        sweep: the name of this sweep, for the audit log.
        limit: the maximum number of live credentials to revoke; None for any number.
        accept_clock: whether a clock that has jumped is accepted.

    Raises:
        JitidError: the ledger cannot be written, or more than `limit` credentials would end; nothing was changed.
        PartialError: the same error occurred after earlier findings had ended; these were yielded.

    """
    fixing = _Fixing(ledger, context_for, is_selected, sweep, accept_clock)
    remaining, ended = limit, 0
    for rule in rules:
        tried: set[int] = set()
        has_more = True
        while has_more:
            try:
                with reading_rows():
                    results, trying, has_more = fixing.end_batch(rule, remaining, tried)
                tried |= trying
                remedied = [result for result in results if isinstance(result, Remedied)]
                ended += sum(result.credentials for result in remedied)
                remaining = limit if limit is None else limit - ended
                yield from (result for result in results if isinstance(result, Unfixed))
                for result in remedied:
                    yield from _rechecked(ledger, result)
            except (StorageError, ClockError, TooManyError) as error:
                if not ended:
                    if type(error) is StorageError:
                        # If the outcome of a commit is unknown, only the name of the sweep leads to its credentials.
                        listing = f"jitid audit log --members --sweep {sweep}"
                        error.hint = f"to list credentials that ended nevertheless: {listing}"
                    raise
                raise PartialError(
                    f"{error.message.removesuffix('; nothing was changed')}; {ended} credentials were revoked before "
                    f"that (sweep {sweep})",
                    f"to list the revoked credentials: jitid audit log --members --sweep {sweep}",
                ) from error
            except JitidError as error:
                # The rows of one rule are invalid; the other rules must not wait.
                yield Unfixed(rule.name, 0, error.message.removesuffix("; nothing was changed"))
                break


def record_expiry(ledger: Ledger, mark: int, *, accept_clock: bool) -> None:
    """Record all expired credentials, so that a clock which is set back later does not make them valid again.

    A ledger judges by a time mark that only events raise. While no process writes, the mark does not change. A
    credential that expired meanwhile is valid again on a machine that starts with an earlier clock.

    Args:
        ledger: the ledger.
        mark: the ledger's time mark in seconds since the epoch; deadlines of tasks up to it need no new event.
        accept_clock: whether a clock that has jumped is accepted.

    Raises:
        JitidError: the ledger cannot be read or written; earlier records stay.

    """
    with ledger.read() as snapshot:
        ((credentials, others),) = snapshot.query(DUE, {"mark": mark})
    while credentials:
        # A transaction itself closes some due credentials before it begins.
        with ledger.write(accept_clock=accept_clock) as transaction:
            expiry.close_due(transaction, BATCH)
            credentials = transaction.closed
    if others:
        with ledger.write(accept_clock=accept_clock) as transaction:
            ((_, others),) = transaction.query(DUE, {"mark": mark})
            if others:
                expiry.close_approvals(transaction)
                expiry.close_access(transaction)
                transaction.append("advance-clock", {})


def close_due(ledger: Ledger, sweep: str, finding: Finding, *, accept_clock: bool) -> Iterator[Remedied]:
    """Record due credentials (expired or superseded) as ended; yield a result for each event once it is durable.

    Events that another process has recorded meanwhile are not yielded: they are not part of this sweep.
    """
    facts = {"sweep": sweep, "finding": finding.rule}
    while True:
        # A transaction itself closes some due credentials before it begins.
        with ledger.write(accept_clock=accept_clock, facts=facts) as transaction:
            expiry.close_due(transaction, BATCH, facts)
            now, closed = transaction.now, tuple(transaction.closed)
        if not closed:
            return
        for event, credentials in closed:
            ended_finding = finding._replace(credentials=credentials)
            yield Remedied(sweep, finding.rule, (ended_finding,), credentials, event, now, 0, None)


def _rechecked(ledger: Ledger, remedied: Remedied) -> Iterator[Remedied]:
    """Yield the result with the number of credentials that are still accepted.

    If the check fails, yield the result without that number, and raise the error.
    """
    try:
        with reading_rows():
            still_accepted = count_accepted(ledger, remedied)
    except JitidError:
        yield remedied
        raise
    yield remedied._replace(accepted=still_accepted)


class _Fixing(Record):
    """The arguments of `fix` that each of its transactions needs."""

    ledger: Ledger
    context_for: ContextFor
    is_selected: FindingFilter
    sweep: str
    accept_clock: bool

    def end_batch(self, rule: Rule, limit: int | None, tried: AbstractSet[int]) -> _Outcome:
        """End the first findings of a rule that were not tried before, in one transaction."""
        results: list[Remedied | Unfixed] = []
        with self.ledger.write(accept_clock=self.accept_clock) as transaction:
            context = self.context_for(transaction)
            with closing(_endable(rule, context, self.is_selected)) as ending:
                batch, has_more = _first(pair for pair in ending if _key(pair[0]) not in tried)
            nameless = sum(not any(selection) for _, selection in batch)
            if nameless:
                results.append(Unfixed(rule.name, nameless, _UNNAMED))
            for selection, findings in _together(batch):
                new_results = self._end(transaction, rule, selection, findings, limit)
                for result in new_results:
                    if isinstance(result, Remedied):
                        limit = None if limit is None else limit - result.credentials
                results += new_results
        return _Outcome(tuple(results), frozenset(_key(finding) for finding, _ in batch), has_more)

    def _end(
        self,
        transaction: Transaction,
        rule: Rule,
        selection: Selection,
        findings: Sequence[Finding],
        limit: int | None,
    ) -> list[Remedied | Unfixed]:
        facts = {"sweep": self.sweep, "finding": rule.name}
        reason = f"found by the sweep: {rule.name}"
        try:
            revoked = revocation.revoke(transaction, selection, reason, limit, facts=facts)
        except NotFoundError:
            credentials = 0
        else:
            credentials = revoked.credentials
        ended, remaining = list(findings), 0
        if credentials < sum(finding.credentials for finding in findings):
            # In an edited ledger, a finding and its selection may disagree: run the rule again.
            alive = _found_again(rule, self.context_for(transaction), findings)
            ended = [
                finding for finding in findings if alive.get(finding.fingerprint, 0) < finding.credentials
            ]
            remaining = len(findings) - len(ended)
        results: list[Remedied | Unfixed] = []
        if credentials:
            assert revoked.event is not None
            fixed, until = tuple(ended or findings), revoked.radius.offline_until
            results.append(
                Remedied(
                    self.sweep, rule.name, fixed, credentials, revoked.event, transaction.now, None, until
                )
            )
        if remaining:
            results.append(Unfixed(rule.name, remaining, _UNNAMED))
        return results


def _found_again(rule: Rule, context: RuleContext, findings: Sequence[Finding]) -> dict[str, int]:
    """Return the number of credentials of each finding that the rule still has, by its fingerprint."""
    fingerprints = {finding.fingerprint for finding in findings}
    alive: dict[str, int] = {}
    with suppress(IntegrityError), closing(found(rule, context)) as again:
        for finding in again:
            if finding.fingerprint in fingerprints:
                alive[finding.fingerprint] = finding.credentials
    return alive


def _endable(rule: Rule, context: RuleContext, is_selected: FindingFilter) -> Generator[Ending, None, None]:
    for finding in found(rule, context):
        if is_selected(finding):
            selection = ends(rule, context, finding)
            if selection is not None:
                yield finding, selection


def _first(ending: Iterable[Ending]) -> tuple[list[Ending], bool]:
    """Return the first findings to end, and whether there may be more.

    Findings before an unreadable row are kept; the sweep that follows reports that the rule failed.
    """
    batch: list[Ending] = []
    try:
        for pair in islice(ending, BATCH):
            batch.append(pair)  # noqa: PERF402 - the rows before an error are kept
    except IntegrityError:
        return batch, False
    return batch, len(batch) == BATCH


def _key(finding: Finding) -> int:
    return int(finding.fingerprint, 16)


def _together(batch: Sequence[Ending]) -> list[tuple[Selection, list[Finding]]]:
    """Return the findings joined into few selections, one for each kind of name.

    Findings with an empty selection are left out.
    """
    joined: dict[str, list[Ending]] = {}
    for finding, selection in batch:
        if any(selection):
            # Kinds of names narrow one another: a selection with two kinds could not be joined with others.
            (kind,) = [name for name, values in selection._asdict().items() if values]
            joined.setdefault(kind, []).append((finding, selection))
    return [
        (
            Selection()._replace(
                **{kind: tuple(name for _, selection in alike for name in getattr(selection, kind))}
            ),
            [finding for finding, _ in alike],
        )
        for kind, alike in joined.items()
    ]


_MOST_CHECKED = 100
"""Maximum number of credentials of one event that are checked one by one, like `verify` does."""


def count_accepted(ledger: Ledger, remedied: Remedied) -> int:
    """Return the number of credentials that an event ended and that a verifier with this ledger still accepts.

    All that the ledger does not record as ended are counted. The first credentials are also checked like `verify`
    does.
    """
    with ledger.read() as snapshot:
        rows = snapshot.query(ENDED_BY, {"event": remedied.event})
        jtis: list[str] = []
        alive = count = 0
        for jti, is_live in rows:
            count += 1
            alive += is_live
            if len(jtis) < _MOST_CHECKED:
                jtis.append(credential_id(jti))
        # Rows that no longer name the event that ended them were changed outside of jitid.
        missing = max(remedied.credentials - count, 0)
        return max(alive + missing, sum(_is_accepted(snapshot, jti) for jti in jtis))


def _is_accepted(snapshot: View, jti: str) -> bool:
    try:
        (credential,) = CredentialStore(snapshot).find_given([jti], ())
        validity.judge(snapshot, credential, None)
    except (InvalidCredentialError, IntegrityError):
        # A verifier refuses an unreadable row as well.
        return False
    return True
