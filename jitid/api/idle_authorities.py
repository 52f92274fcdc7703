"""Open authorities that no thread uses now: opening and closing a ledger takes longer than most operations.

One operation at a time uses an authority. It is closed if its ledger, its policy or the configuration has changed, and
before a fork.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from jitid.api import forks
from jitid.authority.open import open_authority, open_for_issue
from jitid.errors import InvalidCredentialError, JitidError, PolicyDeniedError
from jitid.values.record import Record

if TYPE_CHECKING:
    from jitid.capabilities.issue.operations import Issue
    from jitid.config.effective import Config
    from jitid.operation.base import Authority

_MOST = 4
"""Maximum number of idle authorities of one process."""


class _OpenAuthority(Record):
    authority: Authority
    config: Config
    patience: float | None
    check: Callable[[], None]
    """Raises JitidError if the ledger was replaced, or is open to others."""
    policy: object
    """The state of the policy files when they were read."""
    process: int
    """A forked process must not even close it."""


_idle: list[_OpenAuthority] = []
"""The last used one at the end."""
_lock = threading.RLock()


@contextmanager
def opened(
    config: Config,
    *,
    patience: float | None = None,
    creates_for: Issue | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[Authority]:
    """Open the configured authority for a block, in which no other thread forks.

    With `creates_for`, the first use creates the ledger and reports that to `note`. Raises the errors of
    `open_authority` and `open_for_issue`.
    """
    with forks.operation():
        held = _taken(config, patience)
        if held is None:
            authority = (
                open_authority(config, patience=patience)
                if creates_for is None
                else open_for_issue(config, creates_for, note)
            )
            held = _described(authority, config, patience)
        is_intact = False
        try:
            yield held.authority
            is_intact = True
        except (PolicyDeniedError, InvalidCredentialError):
            is_intact = True
            raise
        finally:
            if is_intact:
                _give_back(held)
            else:
                _close(held)


def _described(authority: Authority, config: Config, patience: float | None) -> _OpenAuthority:
    check: Callable[[], None] = lambda: None  # noqa: E731 - the other one is a function, too
    policy: object = None
    if config.remote is None:
        from jitid.authority.open_local import policy_mark, watch

        # Before the first operation, which reads the policy.
        check, policy = watch(config), policy_mark(config)
    return _OpenAuthority(authority, config, patience, check, policy, os.getpid())


def _taken(config: Config, patience: float | None) -> _OpenAuthority | None:
    """Return an idle authority of the same configuration that is still in order; None if there is none."""
    process = os.getpid()
    with _lock:
        position = next(
            (
                index
                for index, held in enumerate(_idle)
                if held.process == process and held.patience == patience and held.config.is_same(config)
            ),
            None,
        )
        if position is None:
            return None
        held = _idle.pop(position)
    try:
        held.check()
        if config.remote is None:
            from jitid.authority.open_local import policy_mark

            if policy_mark(config) != held.policy:
                _close(held)
                return None
    except JitidError:
        # The ledger may have been replaced by an intact one; opening it reports any error.
        _close(held)
        return None
    return held


def _give_back(held: _OpenAuthority) -> None:
    with _lock:
        _idle.append(held)
        surplus = _idle.pop(0) if len(_idle) > _MOST else None
    if surplus is not None:
        _close(surplus)


def _close(held: _OpenAuthority) -> None:
    # An error from closing a broken connection does not concern any operation.
    if held.process == os.getpid():
        with suppress(Exception):
            held.authority.close()


def close_all() -> None:
    """Close the idle authorities of this process."""
    with _lock:
        closing = [held for held in _idle if held.process == os.getpid()]
        _idle[:] = [held for held in _idle if held not in closing]
    for held in closing:
        _close(held)


def _reset() -> None:
    global _lock
    _lock = threading.RLock()


forks.before_each(close_all, in_child=_reset)
