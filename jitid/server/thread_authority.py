"""The authority of one thread of the service, over the shared ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING

from jitid.authority.open_local import open_local, policy_mark, watch
from jitid.errors import DamagedError, DiskError, JitidError, StorageError
from jitid.server.oauth_errors import OAuthError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.authority.read_counts import ReadTally
    from jitid.config.effective import Config


_LOOK = 0.2
"""Maximum seconds until a replaced ledger or a changed policy is noticed."""


class Seat:
    """An authority that opens at its first use, and again after the ledger or the policy has changed."""

    def __init__(
        self, config: Config, base_url: str, patience: float, tally: ReadTally, report: Callable[[str], None]
    ) -> None:
        """Store the parts that all seats share.

        `base_url` is the address of the service for clients. `patience` is the maximum seconds to wait for other
        writers. `tally` has the counts of all seats. `report` receives the reason if the ledger is unavailable.
        """
        self._tally = tally
        self._report = report
        self._config = config
        self._place = base_url
        self._patience = patience
        self._authority: LocalAuthority | None = None
        self._check: Callable[[], None] | None = None
        self._mark: object = None
        self._look_at = 0.0

    @contextmanager
    def authority(self) -> Iterator[LocalAuthority]:
        """Yield an authority over the current ledger under the current policy.

        Raises:
            StorageError: the ledger is unavailable.
            IntegrityError: the ledger is damaged, or open to others.

        """
        try:
            yield self._current()
        except JitidError as error:
            if isinstance(error, (DamagedError, DiskError)):
                self.close()
            if error.inward:
                self._report(error.message)
                raise StorageError(
                    "the authority does not reach its ledger; nothing was changed",
                    "try again; whoever runs the authority finds the reason in its log",
                ) from error
            raise
        except OAuthError:
            # An invalid request of a client does not concern the ledger.
            raise
        except BaseException:
            # After a bug the state is unknown, so the next request opens a new authority.
            self.close()
            raise

    def close(self) -> None:
        """Release the ledger."""
        authority, self._authority = self._authority, None
        if authority is not None:
            # An error from closing a broken connection does not concern any request.
            with suppress(Exception):
                authority.close()

    def _current(self) -> LocalAuthority:
        now = monotonic()
        if self._authority is not None:
            if now < self._look_at:
                return self._authority
            try:
                if self._check is not None:
                    self._check()
            except JitidError:
                # The ledger may have been replaced by an intact one; opening it reports any error.
                self.close()
        mark = policy_mark(self._config)
        if self._authority is None or mark != self._mark:
            self.close()
            self._authority = open_local(self._config, patience=self._patience)
            self._authority.tally = self._tally
            self._authority.places = (self._place,)
            self._check = watch(self._config)
            self._mark = mark
        self._look_at = now + _LOOK
        return self._authority
