"""SQL expressions: until when verifiers and targets may accept a credential, whatever the ledger says.

`c` is its row in `credential`, `o` that in `outside`; `:now` is the time. SQLite and PostgreSQL both run them.
"""

from __future__ import annotations

from jitid.model.acceptance import LEEWAY
from jitid.model.standing_secret import FOR_EVER

SIGNED = f"CASE WHEN c.claims_hash IS NOT NULL THEN c.expires_at + {LEEWAY} END"
"""Until when a verifier may accept a credential `c` that is signed, whatever the ledger says."""
AT_TARGET = f"""CASE WHEN o.settled_at <= :now AND o.settlement = 'unsupported'
                     THEN coalesce(o.honoured_until, c.expires_at) + {LEEWAY}
                     WHEN o.settled_at <= :now THEN o.settled_at END"""
"""Until when a target may accept it, by the row `o` of `outside`."""
UNSETTLED = f"""CASE WHEN o.credential IS NOT NULL AND (
                          o.settled_at IS NULL OR o.settled_at > :now
                          OR o.settlement = 'unsupported' AND coalesce(o.honoured_until, c.expires_at) >= {FOR_EVER})
                     THEN 1 ELSE 0 END"""
"""1 if a target has not confirmed its end, or can never end it: nothing bounds then until when it accepts it."""
