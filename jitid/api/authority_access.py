"""The configured authority, as a program in Python uses it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jitid.api import forks, idle_authorities
from jitid.capabilities.run.token_place import RUN_TOKEN
from jitid.config.effective import check_environment, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from jitid.authority.worker import WorkerAuthority
    from jitid.capabilities.issue.issue_result import Issued
    from jitid.capabilities.issue.operations import Issue
    from jitid.operation.base import Authority

DELEGATOR, DELEGATOR_TOKEN = "JITID_DELEGATOR", "JITID_DELEGATOR_TOKEN_FILE"
"""Variables of the command line that describe the delegator of an identity without a parent."""


class AuthorityChoice:
    """Which authority or ledger to use: the values of the global options of the command line; None is not stated."""

    def __init__(
        self,
        *,
        config: str | None = None,
        profile: str | None = None,
        ledger: str | None = None,
        remote: str | None = None,
        credential_file: str | None = None,
        timeout: str | None = None,
    ) -> None:
        self.file = config
        self.profile = profile
        self.flags = {
            "ledger": ledger,
            "remote": remote,
            "remote_credential_file": credential_file,
            "timeout": timeout,
        }


class AuthorityAccess:
    """Opens the configured authority for each operation, since the ledger may be replaced between two of them.

    Inside `jitid run` beside a local ledger, another process performs the operations, with the rights of the run's
    identity: this process loads neither the ledger nor its keys.
    """

    def __init__(self, choice: AuthorityChoice) -> None:
        """Read the configuration. Raises ConfigurationError and UsageError."""
        self._choice = choice
        self.config = load(file=choice.file, profile=choice.profile, flags=choice.flags)
        check_environment(os.environ, frozenset({RUN_TOKEN, DELEGATOR, DELEGATOR_TOKEN}))
        self.within_run = RUN_TOKEN in os.environ
        self._worker: WorkerAuthority | None = None
        self._lock = threading.RLock()

    @contextmanager
    def opened(self, *, patience: float | None = None) -> Iterator[Authority]:
        """Open the authority for a block. Raises the errors of `open_authority`."""
        if self.within_run and self.config.remote is None:
            with forks.operation():
                yield self._of_run()
            return
        with idle_authorities.opened(self.config, patience=patience) as authority:
            yield authority

    def issue(self, operation: Issue, note: Callable[[str], None]) -> list[Issued]:
        """Perform `operation`; the first use creates a ledger and reports that to `note`.

        Raises the errors of `open_for_issue` and of the operation.
        """
        if self.within_run and self.config.remote is None:
            with forks.operation():
                return self._of_run().perform(operation)
        with idle_authorities.opened(self.config, creates_for=operation, note=note) as authority:
            return authority.perform(operation)

    def close(self) -> None:
        """End the other process, if there is one."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def forget(self) -> None:
        """Close the inherited pipes in a forked process, which starts its own process at the next use."""
        self._lock = threading.RLock()
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.leave()

    def _of_run(self) -> WorkerAuthority:
        from jitid.authority.worker import WorkerAuthority

        with self._lock:
            if self._worker is None:
                choice = self._choice
                self._worker = WorkerAuthority(choice.file, choice.profile, choice.flags)
            return self._worker
