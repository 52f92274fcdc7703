"""What one thread of the service works with: an authority of its own over the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING

from jitid.authority.open import open_local, policy_mark, watch
from jitid.errors import DamagedError, DiskError, JitidError, StorageError
from jitid.server.oauth_errors import OAuthError

if TYPE_CHECKING:
    from jitid.authority.local import LocalAuthority
    from jitid.authority.read_counts import ReadTally
    from jitid.config.effective import Config


_LOOK = 0.2
"""Seconds after which another ledger, or a changed policy, is noticed at the latest."""


class Seat:
    """Opens the authority when it is first needed, and anew where the ledger or the policy became another."""

    def __init__(
        self, config: Config, place: str, patience: float, tally: ReadTally, told: Callable[[str], None]
    ) -> None:
        """Take what all seats have in common.

        `place`: the address at which clients reach it; `patience`: for how many seconds an operation waits for other
        writers; `tally`: what all seats count in; `told` is told why the ledger is out of reach.
        """
        self._tally = tally
        self._told = told
        self._config = config
        self._place = place
        self._patience = patience
        self._authority: LocalAuthority | None = None
        self._check: Callable[[], None] | None = None
        self._mark: object = None
        self._look_at = 0.0

    @contextmanager
    def authority(self) -> Iterator[LocalAuthority]:
        """Yield the authority over the ledger that is there, under the policy that is in force.

        Raises:
            StorageError: the ledger is out of reach.
            IntegrityError: it is damaged, or open to others.

        """
        try:
            yield self._current()
        except JitidError as error:
            if isinstance(error, (DamagedError, DiskError)):
                self.close()
            if error.inward:
                self._told(error.message)
                raise StorageError(
                    "the authority does not reach its ledger; nothing was changed",
                    "try again; whoever runs the authority finds the reason in its log",
                ) from error
            raise
        except OAuthError:
            # What a client asked for wrongly says nothing of the ledger.
            raise
        except BaseException:
            # Whatever a bug left behind, the next request does not meet it.
            self.close()
            raise

    def close(self) -> None:
        """Release the ledger."""
        authority, self._authority = self._authority, None
        if authority is not None:
            # What a broken connection says when it is closed is not about any request.
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
                # Another one in its place is as good as this one was; what is wrong with it, opening it will say.
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
