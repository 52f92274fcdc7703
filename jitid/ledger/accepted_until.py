"""SQL expressions for the time until which verifiers and targets may accept a credential that the ledger refuses.

`c` is its row in `credential`, `o` its row in `outside`; `:now` is the time. SQLite and PostgreSQL both run them.
"""

from __future__ import annotations

from jitid.model.credential import LEEWAY
from jitid.values.times import NO_EXPIRY

SIGNED = f"CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at + {LEEWAY} END"
"""The time until which a verifier may accept a signed credential `c`, even if the ledger refuses it."""
AT_TARGET = f"""CASE WHEN o.settled_at <= :now AND o.settlement = 'unsupported'
                     THEN coalesce(o.honoured_until, c.expires_at) + {LEEWAY}
                     WHEN o.settled_at <= :now THEN o.settled_at END"""
"""The time until which a target may accept the credential, by its row `o` of `outside`."""
UNSETTLED = f"""CASE WHEN o.credential IS NOT NULL AND (
                          o.settled_at IS NULL OR o.settled_at > :now
                          OR o.settlement = 'unsupported' AND coalesce(o.honoured_until, c.expires_at) >= {NO_EXPIRY})
                     THEN 1 ELSE 0 END"""
"""1 if the target has not confirmed the end, or can never end the credential: the acceptance has no known limit."""
