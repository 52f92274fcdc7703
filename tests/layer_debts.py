"""What does not follow the rules of `test_layers` yet. Each list only shrinks; at the end there is none."""

from __future__ import annotations

UPWARD: set[str] = {
    "keys/keyring -> issuers/openbao/transit",
    "mcp/methods -> cli/invocation",
    "mcp/session -> cli/confirm",
    "mcp/session -> cli/invocation",
    "mcp/session -> cli/issue/request_input",
    "mcp/session -> cli/read_input",
}
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

PROTOCOLS: set[str] = {
    "authority/wire/shapes:Shape",
    "backup/archive:Sink",
    "capabilities/run/token_place:TokenPlace",
    "issuers/target_issuer:OutsideIssuer",
    "ledger/copy_rows:Store",
    "ledger/copy_rows:Target",
    "model/acceptance:TwoFacts",
    "model/ledger_condition:Condition",
    "server/thread_pool:Place",
}
"""Protocols with one implementation."""
