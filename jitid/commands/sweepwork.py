"""What one sweep asks of the authority: to end what may be ended, and what is there then."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING

from jitid import revocation
from jitid.authority.operations import Fix, ForeseeFix, ProveLeaks, Sweep
from jitid.commands import reading
from jitid.commands.globals import Globals
from jitid.environment import open_authority, sweep_limits
from jitid.errors import UsageError
from jitid.formats import output

if TYPE_CHECKING:
    from jitid.authority.protocol import Authority
    from jitid.sweep.finding import Coverage, Finding, Remedied, Swept
    from jitid.sweep.remedies import Foreseen


class Work:
    """What one sweep asks of the authority."""

    def __init__(
        self, given: Globals, rules: tuple[str, ...], known: Container[Finding], since: int | None
    ) -> None:
        from uuid import UUID

        from jitid.identifier import new_uuid7

        self._given = given
        self._rules = rules
        self._known = known
        self.refused = False
        """Whether more would have ended than is permitted, so that nothing was."""
        self.since = since
        self._limits = sweep_limits(given.config())
        self._authority: Authority = open_authority(given.config())
        self.name = str(UUID(bytes=new_uuid7(time.time_ns() // 1_000_000, os.urandom(10))))

    def sweep(
        self, heads: tuple[tuple[str, str], ...], *, reread: bool
    ) -> Iterator[Finding | Coverage | Swept]:
        """Ask the rules."""
        return self._authority.perform(
            Sweep(
                rules=self._rules,
                limits=self._limits,
                heads=heads,
                reread=reread,
                accept_clock=self._given.accept_clock,
            )
        )

    def fix(self, rules: tuple[str, ...], most: int | None, *, dry_run: bool) -> Iterable[Remedied]:
        """End what these rules find, unless that is more than is permitted; or say what that would be."""
        given = self._given
        foreseen = self._authority.perform(
            ForeseeFix(
                rules=rules,
                limits=self._limits,
                since=self.since,
                known=self._known,
                accept_clock=given.accept_clock,
            )
        )
        if dry_run:
            output.say(f"jitid: --fix would end {revocation.blast(foreseen.radius)}; nothing was changed")
            return ()
        if most is not None and foreseen.radius.credentials > most:
            if given.no_input or not (os.isatty(0) and os.isatty(2)):
                self._refuse(foreseen, most)
                return ()
            most = _confirmed(foreseen)
        return self._end(foreseen.rules, most)

    def _refuse(self, foreseen: Foreseen, most: int) -> None:
        """Say that nothing is ended; what there is will be told all the same, since nobody may be there to ask."""
        try:
            revocation.guard(foreseen.radius, most)
        except UsageError as error:
            self.refused = True
            self._given.warn(f"--fix was refused: {error.message}; {error.hint}")

    def _end(self, rules: tuple[str, ...], most: int | None) -> Iterator[Remedied]:
        if rules:
            operation = Fix(
                rules=rules,
                limits=self._limits,
                sweep=self.name,
                since=self.since,
                known=self._known,
                most=most,
                accept_clock=self._given.accept_clock,
            )
            ended = 0
            try:
                for one in self._authority.perform(operation):
                    ended += one.credentials
                    yield one
            except BaseException:
                # A report that is not written now tells of none of it.
                if ended:
                    told = self._given.command("jitid audit log --operation revoke --members")
                    self._given.warn(f"--fix broke off; it had ended {ended} (sweep {self.name}): {told}")
                raise
        # Also of what ended otherwise, or was ended by a sweep that was killed.
        self._authority.perform(ProveLeaks(accept_clock=self._given.accept_clock))


def _confirmed(foreseen: Foreseen) -> int:
    """Return how many may end: as many as somebody at a terminal types. Raises UsageError."""
    count = foreseen.radius.credentials
    output.say(f"jitid: --fix would end {revocation.blast(foreseen.radius)}")
    output.say(f"jitid: type the number of credentials, {count}, to end them; anything else ends none")
    if reading.answer() != str(count):
        raise UsageError("not confirmed; nothing was changed", "with --yes nobody is asked")
    return count
