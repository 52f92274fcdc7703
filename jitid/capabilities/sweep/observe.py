"""Asks targets outside what exists there, all at the same time, each within its limit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from time import monotonic
from typing import NamedTuple

from jitid.capabilities.sweep.targets_seen import Observed, SeenTarget
from jitid.capabilities.targets.store import OutsideStore
from jitid.errors import JitidError
from jitid.issuers.targets import Targets
from jitid.ledger.contract import Ledger
from jitid.system import time_limit
from jitid.values.text import safe

LIMIT = 60
"""Seconds that a target may take to tell what exists there, unless it is said."""


class _ToldByTarget(NamedTuple):
    target: str
    seen: SeenTarget | None
    why: str | None


def observe(ledger: Ledger, targets: Targets, named: Sequence[str], limit: float) -> Observed:
    """Ask targets what exists there; what one does not tell within `limit` seconds is missed, and the rest goes on.

    With `named` those alone are asked; otherwise all that the configuration has or the ledger knows something of.

    Raises:
        UsageError: the configuration has none of that name.

    """
    for name in named:
        targets.get(name)
    with ledger.read() as snapshot:
        now = snapshot.now
        wanted = tuple(dict.fromkeys(named or (*targets.names(), *OutsideStore(snapshot).targets_open())))
        open_there = {name: OutsideStore(snapshot).open_at(name) for name in wanted}
    # Read here, since what signs may be the ledger's, and a ledger belongs to one thread.
    targets.prepare(wanted)
    answers: Queue[_ToldByTarget] = Queue()
    for name in wanted:
        # A daemon: a target that hangs keeps no process from ending.
        Thread(target=_ask, args=(targets, name, open_there[name], now, answers), daemon=True).start()
    limit = time_limit.left(limit)
    waited, deadline = set(wanted), monotonic() + limit
    seen: dict[str, SeenTarget] = {}
    missed: dict[str, str] = {}
    while waited:
        try:
            told = answers.get(timeout=max(deadline - monotonic(), 0))
        except Empty:
            missed |= dict.fromkeys(waited, f"it did not answer within {limit:.3g} seconds")
            break
        waited.discard(told.target)
        if told.seen is not None:
            seen[told.target] = told.seen
        else:
            missed[told.target] = told.why or ""
    return Observed(
        tuple(seen[name] for name in wanted if name in seen),
        tuple(f"target {safe(name)}: {missed[name]}" for name in wanted if name in missed),
        frozenset(named) if named else None,
    )


def _ask(
    targets: Targets,
    name: str,
    there: Sequence[tuple[int, str, str | None]],
    now: int,
    answers: Queue[_ToldByTarget],
) -> None:
    """Ask one target; whatever goes wrong is an answer."""
    try:
        answers.put(_ToldByTarget(name, _seen(targets, name, there, now), None))
    except JitidError as error:
        answers.put(_ToldByTarget(name, None, safe(error.message)))
    except Exception as error:  # noqa: BLE001 - one kind's fault must not keep others from being examined
        answers.put(_ToldByTarget(name, None, f"internal error: {type(error).__name__}"))


def _seen(targets: Targets, name: str, there: Sequence[tuple[int, str, str | None]], now: int) -> SeenTarget:
    issuer = targets.open(targets.get(name))
    try:
        names = [(each, key) for key, name, reference in there for each in issuer.names_of(name, reference)]
        issuer.expect([each for each, _ in names])
        return SeenTarget(name, now, tuple(issuer.inventory()), names, issuer.unseen)
    finally:
        with suppress(Exception):
            issuer.close()
