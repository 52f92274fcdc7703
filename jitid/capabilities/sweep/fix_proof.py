"""Check after `--fix`: whether a verifier with this ledger still accepts any ended credential."""

from __future__ import annotations

from jitid.capabilities.identity import introspection
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.sweep.finding import Remedied
from jitid.capabilities.sweep.store import ENDED_BY
from jitid.errors import IntegrityError, InvalidCredentialError
from jitid.ledger.contract import Ledger
from jitid.ledger.view import View
from jitid.values.ids import credential_id

_MOST_CHECKED = 100
"""Maximum number of credentials of one event that are checked one by one, like `verify` does."""


def accepted(ledger: Ledger, done: Remedied) -> int:
    """Return the number of credentials that an event ended and that a verifier with this ledger still accepts.

    All that the ledger does not record as ended are counted. The first credentials are also checked like `verify`
    does.
    """
    with ledger.read() as snapshot:
        rows = snapshot.query(
            ENDED_BY,
            {"event": done.event},
        )
        named: list[str] = []
        alive = count = 0
        for jti, is_live in rows:
            count += 1
            alive += is_live
            if len(named) < _MOST_CHECKED:
                named.append(credential_id(jti))
        # Rows that no longer name the event that ended them were changed outside of jitid.
        missing = max(done.credentials - count, 0)
        return max(alive + missing, sum(_is_accepted(snapshot, jti) for jti in named))


def _is_accepted(snapshot: View, jti: str) -> bool:
    try:
        (credential,) = CredentialStore(snapshot).find_given([jti], ())
        introspection.judge(snapshot, credential, None)
    except (InvalidCredentialError, IntegrityError):
        # A verifier refuses an unreadable row as well.
        return False
    return True
