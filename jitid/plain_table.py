"""What can stand on a plain line; generated from the command tree by `python -m tests.generate`."""

# fmt: off

GLOBALS: dict[str, tuple[str, str, str]] = {
    "--config": ("config_file", "text", ""),
    "--profile": ("profile", "text", ""),
    "--ledger": ("ledger", "text", ""),
    "--format": ("format", "text", ""),
    "--field": ("field", "text", ""),
    "--timeout": ("timeout", "text", ""),
    "--no-color": ("no_color", "flag", ""),
    "--quiet": ("quiet", "flag", ""),
    "-q": ("quiet", "flag", ""),
    "--verbose": ("verbose", "flag", ""),
    "-v": ("verbose", "flag", ""),
    "--debug": ("debug", "flag", ""),
    "--no-input": ("no_input", "flag", ""),
    "--accept-clock": ("accept_clock", "flag", ""),
}
"""Option -> parameter, kind of its value, environment variable."""

VERBS: dict[str, tuple[dict[str, tuple[str, str, str]], tuple[tuple[str, str, bool], ...]]] = {
    "issue": ({
        "--task": ("task", "text", "JITID_TASK"),
        "--delegator": ("delegator", "text", "JITID_DELEGATOR"),
        "--delegator-token-file": ("delegator_token_file", "text", "JITID_DELEGATOR_TOKEN_FILE"),
        "--agent": ("agent", "text", "JITID_AGENT"),
        "--kind": ("kind", "text", "JITID_KIND"),
        "--scope": ("scope", "texts", "JITID_SCOPE"),
        "--audience": ("audience", "texts", "JITID_AUDIENCE"),
        "--ttl": ("ttl", "text", "JITID_TTL"),
        "--purpose": ("purpose", "text", "JITID_PURPOSE"),
        "--sensitivity": ("sensitivity", "text", "JITID_SENSITIVITY"),
        "--deadline": ("deadline", "text", "JITID_DEADLINE"),
        "--parent-file": ("parent_file", "text", "JITID_PARENT_FILE"),
        "--detail": ("detail", "texts", ""),
        "--allow-narrower": ("allow_narrower", "flag", ""),
        "--out": ("out", "text", "JITID_OUT"),
        "--count": ("count", "number", ""),
        "--from-file": ("from_file", "text", ""),
        "--dry-run": ("dry_run", "flag", ""),
    }, ()),
    "run": ({
        "--task": ("task", "text", "JITID_TASK"),
        "--delegator": ("delegator", "text", "JITID_DELEGATOR"),
        "--delegator-token-file": ("delegator_token_file", "text", "JITID_DELEGATOR_TOKEN_FILE"),
        "--agent": ("agent", "text", "JITID_AGENT"),
        "--kind": ("kind", "text", "JITID_KIND"),
        "--scope": ("scope", "texts", "JITID_SCOPE"),
        "--audience": ("audience", "texts", "JITID_AUDIENCE"),
        "--ttl": ("ttl", "text", "JITID_TTL"),
        "--purpose": ("purpose", "text", "JITID_PURPOSE"),
        "--sensitivity": ("sensitivity", "text", "JITID_SENSITIVITY"),
        "--deadline": ("deadline", "text", "JITID_DEADLINE"),
        "--parent-file": ("parent_file", "text", "JITID_PARENT_FILE"),
        "--detail": ("detail", "texts", ""),
        "--allow-narrower": ("allow_narrower", "flag", ""),
        "--env": ("env", "text", ""),
        "--file": ("file", "text", ""),
        "--on-exit": ("on_exit", "text", ""),
        "--grace": ("grace", "text", ""),
    }, (("command", "texts", True),)),
    "renew": ({
        "--token-file": ("token_file", "text", ""),
        "--ttl": ("ttl", "text", ""),
        "--allow-narrower": ("allow_narrower", "flag", ""),
        "--out": ("out", "text", ""),
    }, ()),
    "verify": ({
        "--audience": ("audience", "texts", ""),
    }, (("file", "text", False),)),
    "inspect": ({
    }, (("subject", "text", False),)),
    "trace": ({
        "--revoke": ("revoke", "flag", ""),
        "--reason": ("reason", "text", ""),
        "--dry-run": ("dry_run", "flag", ""),
        "--max": ("max_", "number", ""),
        "--yes": ("yes", "flag", ""),
    }, (("subject", "text", False),)),
    "list": ({
        "--task": ("task", "text", ""),
        "--delegator": ("delegator", "text", ""),
        "--agent": ("agent", "text", ""),
        "--kind": ("kind", "text", ""),
        "--state": ("state", "text", ""),
        "--live": ("live", "flag", ""),
        "--sensitivity": ("sensitivity", "text", ""),
        "--proof": ("proof", "text", ""),
        "--scope": ("scope", "text", ""),
        "--audience": ("audience", "text", ""),
        "--purpose": ("purpose", "text", ""),
        "--id": ("id_", "text", ""),
        "--parent": ("parent", "text", ""),
        "--depth": ("depth", "number", ""),
        "--signed-by": ("signed_by", "text", ""),
        "--process": ("process", "text", ""),
        "--since": ("since", "text", ""),
        "--until": ("until", "text", ""),
        "--expires-before": ("expires_before", "text", ""),
        "--expires-after": ("expires_after", "text", ""),
        "--sort": ("sort", "text", ""),
        "--limit": ("limit", "number", ""),
        "--after": ("after", "text", ""),
    }, ()),
    "tree": ({
        "--task": ("task", "text", ""),
        "--as": ("shape", "text", ""),
        "--limit": ("limit", "number", ""),
    }, (("ids", "texts", False),)),
    "revoke": ({
        "--task": ("task", "texts", ""),
        "--delegator": ("delegator", "texts", ""),
        "--agent": ("agent", "texts", ""),
        "--tree": ("tree", "texts", ""),
        "--token-file": ("token_file", "texts", ""),
        "--ids-file": ("ids_file", "text", ""),
        "--reason": ("reason", "text", ""),
        "--dry-run": ("dry_run", "flag", ""),
        "--max": ("max_", "number", ""),
        "--yes": ("yes", "flag", ""),
    }, (("ids", "texts", False),)),
    "retire": ({
        "--reason": ("reason", "text", ""),
        "--dry-run": ("dry_run", "flag", ""),
    }, (("task", "text", True),)),
    "task list": ({
        "--state": ("state", "text", ""),
        "--limit": ("limit", "number", ""),
        "--after": ("after", "text", ""),
    }, ()),
    "task show": ({
    }, (("task", "text", True),)),
    "audit log": ({
        "--operation": ("operation", "text", ""),
        "--task": ("task", "text", ""),
        "--agent": ("agent", "text", ""),
        "--delegator": ("delegator", "text", ""),
        "--by": ("by", "text", ""),
        "--rule": ("rule", "text", ""),
        "--since": ("since", "text", ""),
        "--until": ("until", "text", ""),
        "--event": ("event", "number", ""),
        "--after": ("after", "number", ""),
        "--members": ("members", "flag", ""),
        "--limit": ("limit", "number", ""),
        "--follow": ("follow", "flag", ""),
        "-f": ("follow", "flag", ""),
    }, ()),
    "audit head": ({
        "--out": ("out", "text", ""),
    }, ()),
    "audit verify": ({
        "--expect-head": ("expect_head", "text", ""),
        "--file": ("file", "text", ""),
    }, ()),
    "audit export": ({
        "--out": ("out", "text", ""),
    }, ()),
    "keys list": ({
    }, ()),
    "keys rotate": ({
        "--algorithm": ("algorithm", "text", ""),
    }, ()),
    "keys revoke": ({
        "--reason": ("reason", "text", ""),
        "--dry-run": ("dry_run", "flag", ""),
        "--max": ("max_", "number", ""),
        "--yes": ("yes", "flag", ""),
    }, (("kid", "text", True),)),
    "keys jwks": ({
        "--out": ("out", "text", ""),
    }, ()),
    "doctor": ({
    }, ()),
    "config show": ({
        "--origin": ("origin", "flag", ""),
    }, ()),
    "config get": ({
    }, (("key", "text", True),)),
    "config set": ({
    }, (("key", "text", True), ("value", "text", True),)),
    "config path": ({
    }, ()),
    "completion show": ({
    }, (("shell", "text", True),)),
    "completion install": ({
        "--shell": ("shell", "texts", ""),
    }, ()),
}
"""Verb -> its options, and its arguments as (parameter, kind, required)."""
