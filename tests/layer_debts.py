"""What does not follow the rules of `test_layers` yet. Each list only shrinks; at the end there is none."""

from __future__ import annotations

UPWARD: set[str] = set()
"""Imports of a folder above."""

CIRCLES: set[str] = set()
"""Files that import each other."""

SQL: set[str] = {
    "backup/revive",
    "capabilities/integrity/issue_runs",
    "capabilities/sweep/fix_proof",
    "capabilities/sweep/refusals",
    "capabilities/sweep/remedies",
    "capabilities/sweep/rule",
    "capabilities/sweep/target_tables",
    "capabilities/trust/ssh_trust",
    "capabilities/use/reported_audiences",
    "cli/complete",
}
"""Files with SQL outside the ledger and the stores."""

TALK: set[str] = {
    "capabilities/identity/verify_many",
    "formats/show",
    "formats/table",
}
"""Files that write to standard output or error."""

PROTOCOLS: set[str] = set()
"""Protocols with one implementation."""
