"""The ledger's rows of revoked certificates."""

from __future__ import annotations

# Certificates that ended before their expiry: hosts know the expiry only.
ENDED = """
    SELECT c.jti, c.signed_by FROM credential c
     WHERE c.kind = 'ssh-cert' AND c.expires_at > :since
       AND ((c.ended_at IS NOT NULL AND c.ended_as <> 'expired')
            OR (c.superseded_at IS NOT NULL AND c.superseded_at <= :now))
     ORDER BY c.id"""
