"""Query targets for the credentials that exist there, all targets in parallel, each with a time limit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from time import monotonic
from typing import NamedTuple

from jitid.capabilities.sweep.store import Observed, SeenTarget
from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import JitidError
from jitid.issuers.targets import Targets
from jitid.ledger.contract import Ledger
from jitid.system import time_limit
from jitid.values.text import safe

LIMIT = 60
"""Default number of seconds that a target has to list its credentials."""


class _TargetAnswer(NamedTuple):
    target: str
    seen: SeenTarget | None
    why: str | None


def observe(ledger: Ledger, targets: Targets, chosen: Sequence[str], limit: float) -> Observed:
    """Query targets; a target that does not answer within `limit` seconds counts as missed.

    With `chosen`, only these targets are queried. Otherwise all targets of the configuration are, and all where the
    ledger has open rows.

    Raises:
        UsageError: the configuration has no target of that name.

    """
    for name in chosen:
        targets.get(name)
    with ledger.read() as snapshot:
        now = snapshot.now
        target_names = tuple(
            dict.fromkeys(chosen or (*targets.names(), *OutsideStore(snapshot).targets_open()))
        )
        open_there = {name: OutsideStore(snapshot).open_at(name) for name in target_names}
    # Threads cannot read the ledger's signing key: a ledger belongs to one thread.
    targets.prepare(target_names)
    answers: Queue[_TargetAnswer] = Queue()
    for name in target_names:
        # A daemon thread: a target that hangs does not keep the process from ending.
        Thread(target=_query, args=(targets, name, open_there[name], now, answers), daemon=True).start()
    limit = time_limit.left(limit)
    waited, deadline = set(target_names), monotonic() + limit
    seen: dict[str, SeenTarget] = {}
    missed: dict[str, str] = {}
    while waited:
        try:
            answer = answers.get(timeout=max(deadline - monotonic(), 0))
        except Empty:
            missed |= dict.fromkeys(waited, f"it did not answer within {limit:.3g} seconds")
            break
        waited.discard(answer.target)
        if answer.seen is not None:
            seen[answer.target] = answer.seen
        else:
            missed[answer.target] = answer.why or ""
    return Observed(
        tuple(seen[name] for name in target_names if name in seen),
        tuple(f"target {safe(name)}: {missed[name]}" for name in target_names if name in missed),
        frozenset(chosen) if chosen else None,
    )


def _query(
    targets: Targets,
    name: str,
    open_rows: Sequence[tuple[int, str, str | None]],
    now: int,
    answers: Queue[_TargetAnswer],
) -> None:
    """Query one target; any error becomes its answer."""
    try:
        answers.put(_TargetAnswer(name, _seen(targets, name, open_rows, now), None))
    except JitidError as error:
        answers.put(_TargetAnswer(name, None, safe(error.message)))
    except Exception as error:  # noqa: BLE001 - one kind's fault must not keep others from being examined
        answers.put(_TargetAnswer(name, None, f"internal error: {type(error).__name__}"))


def _seen(
    targets: Targets, name: str, open_rows: Sequence[tuple[int, str, str | None]], now: int
) -> SeenTarget:
    issuer = targets.open(targets.get(name))
    try:
        names = [
            (target_name, key)
            for key, recorded_name, reference in open_rows
            for target_name in issuer.names_of(recorded_name, reference)
        ]
        issuer.expect([target_name for target_name, _ in names])
        return SeenTarget(name, now, tuple(issuer.inventory()), names, issuer.unseen)
    finally:
        with suppress(Exception):
            issuer.close()
