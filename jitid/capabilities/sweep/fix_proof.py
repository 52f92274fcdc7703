"""Looks again at what `--fix` has ended: whether a verifier that asks this ledger takes any of it."""

from __future__ import annotations

from jitid.capabilities.identity import introspection
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep.finding import Remedied
from jitid.capabilities.sweep.store import ENDED_BY
from jitid.errors import IntegrityError, InvalidCredentialError
from jitid.ledger.contract import Ledger
from jitid.ledger.view import View
from jitid.values.ids import credential_id

_ASKED = 100
"""So many of what one event has ended are put before the judge of `verify` one by one."""


def accepted(ledger: Ledger, done: Remedied) -> int:
    """Return how many of what an event has ended a verifier still takes that asks this ledger.

    All are counted that the ledger does not hold for dead, and the first of them are put before the judge of `verify`.
    """
    with ledger.read() as snapshot:
        rows = snapshot.ask(
            ENDED_BY,
            {"event": done.event},
        )
        named: list[str] = []
        alive = count = 0
        for jti, lives in rows:
            count += 1
            alive += lives
            if len(named) < _ASKED:
                named.append(credential_id(jti))
        # A row that no longer says which event ended it was put back by somebody.
        missing = max(done.credentials - count, 0)
        return max(alive + missing, sum(_is_accepted(snapshot, jti) for jti in named))


def _is_accepted(snapshot: View, jti: str) -> bool:
    try:
        (credential,) = CredentialStore(snapshot).find_given([jti], ())
        introspection.judge(snapshot, credential, None)
    except (InvalidCredentialError, IntegrityError):
        # A row that nobody can read is refused as well.
        return False
    return True
