"""The table of verbs. Each verb parses its options, performs one operation, and passes the result to a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

COMMANDS: dict[str, tuple[str, str]] = {
    "issue": ("issue.issue:issue", "Issue a task-scoped credential and print its token, alone on a line."),
    "run": ("issue.run:run", "Run a command that has an identity of its own while it runs."),
    "mcp": (
        "setup.mcp:mcp",
        "Serve an agent on standard input and output, by the Model Context Protocol.",
    ),
    "serve": ("setup.serve:serve", "Serve the authority over HTTP, or on a Unix socket."),
    "renew": ("issue.renew:renew", "Renew a credential: its successor belongs to the same identity."),
    "verify": (
        "identity.verify:verify",
        "Say whether a token is valid: silent and 0 if it is, 8 with the reason on standard error if not.",
    ),
    "authorize": (
        "identity.authorize:authorize",
        "Say whether a token may be used for an action now, and record the action.",
    ),
    "inspect": ("identity.inspect:inspect", "Tell everything about a token or an id."),
    "trace": ("leak.trace:trace", "Tell where a leaked string comes from, and end it with --revoke."),
    "scan": ("leak.scan:scan", "Find our own secrets in files, and end them with --revoke."),
    "leak add": ("leak.leak_verbs:add", "Report that tokens of ours leaked, and end them with --revoke."),
    "leak list": ("leak.leak_verbs:list_", "List what leaked, and whether it still works."),
    "leak show": ("leak.leak_verbs:show", "Tell everything about a leak."),
    "leak timeline": (
        "leak.leak_verbs:timeline",
        "Tell what became of leaks, for the report of an incident.",
    ),
    "leak close": ("leak.leak_verbs:close", "Close leaks: somebody is done with them."),
    "adopt add": (
        "leak.adopt_verbs:add",
        "Adopt a standing secret that exists already: its fingerprint, its owner, place and purpose.",
    ),
    "adopt list": ("leak.adopt_verbs:list_", "List adopted secrets, the oldest first."),
    "adopt show": ("leak.adopt_verbs:show", "Tell everything about an adopted secret."),
    "adopt change": (
        "leak.adopt_verbs:change",
        "Change what is known of adopted secrets: whose they are, where, and what ends them.",
    ),
    "adopt probe": ("leak.adopt_verbs:probe", "Ask targets whether adopted secrets work there."),
    "adopt suggest": (
        "leak.adopt_suggest:suggest",
        "Tell what can take the place of adopted secrets, and write what it needs.",
    ),
    "adopt ended": (
        "leak.adopt_verbs:ended",
        "Say that adopted secrets work no longer where they are kept: somebody has seen to it.",
    ),
    "approve list": ("issue.approve_verbs:list_", "List requests for approval."),
    "approve show": ("issue.approve_verbs:show", "Tell all that an approver has to know about a request."),
    "approve grant": ("issue.approve_verbs:grant", "Grant a request: what it asks for can be issued once."),
    "approve deny": ("issue.approve_verbs:deny", "Deny a request, granted or not, and end it."),
    "access grant": (
        "directory.access_verbs:grant",
        "Let a person or a service ask an authority, and print its bearer.",
    ),
    "access list": ("directory.access_verbs:list_", "List who may ask an authority, the newest first."),
    "access rotate": (
        "directory.access_verbs:rotate",
        "Print a new bearer in the place of one, which counts no longer.",
    ),
    "access revoke": (
        "directory.access_verbs:revoke",
        "End what lets somebody ask: by its id, or all that somebody has.",
    ),
    "access bootstrap": (
        "directory.access_verbs:bootstrap",
        "Write the credential that lets the first administrator in.",
    ),
    "list": ("identity.list:list_", "List credentials."),
    "tree": ("identity.tree:tree", "Show who delegated to whom."),
    "revoke": (
        "identity.revoke:revoke",
        "End credentials before their time, with everything that descends from them.",
    ),
    "retire": ("identity.retire:retire", "End a task, with every identity and credential of it."),
    "sweep": ("sweep.sweep:sweep", "Find what should not be alive, and end it with --fix."),
    "report": ("sweep.report:report", "Tell the state of identity sprawl."),
    "explain": (
        "identity.explain:explain",
        "Explain a decision: its inputs, its rules, and what would be decided now.",
    ),
    "policy check": (
        "policy.policy_verbs:check",
        "Check that policies are in order: their syntax, and by the schema.",
    ),
    "policy test": (
        "policy.policy_verbs:test",
        "Try a policy with cases: what is asked, and what the answer is to be.",
    ),
    "policy show": (
        "policy.policy_verbs:show",
        "Show a policy: its rules, what each one does and what it looks at, or the text of one.",
    ),
    "policy init": (
        "policy.policy_verbs:init",
        "Begin a policy of your own: write an example with its cases into a folder that is new or empty.",
    ),
    "policy diff": (
        "policy.policy_verbs:diff",
        "Replay what was decided under two policies, and tell what changes.",
    ),
    "task list": ("identity.task_verbs:list_", "List tasks, newest first."),
    "task show": ("identity.task_verbs:show", "Show one task."),
    "task share": ("identity.task_verbs:share", "Let others issue on a task, or end that."),
    "task give": ("identity.task_verbs:give", "Give a task to another owner."),
    "delegator add": ("directory.delegator_verbs:add", "Add somebody who may delegate."),
    "delegator change": (
        "directory.delegator_verbs:change",
        "Change what a delegator may hand out, and who they are.",
    ),
    "delegator disable": (
        "directory.delegator_verbs:disable",
        "Let somebody delegate no longer, and end what descends from them.",
    ),
    "delegator enable": ("directory.delegator_verbs:enable", "Let a disabled delegator delegate again."),
    "delegator show": ("directory.delegator_verbs:show", "Tell everything about a delegator."),
    "delegator list": ("directory.delegator_verbs:list_", "List delegators."),
    "delegator import": (
        "directory.delegator_import:import_",
        "Make the directory say what a list of delegators says (CSV, SCIM, JSON lines).",
    ),
    "agent register": ("directory.agent_verbs:register", "Register an agent that recurs."),
    "agent change": ("directory.agent_verbs:change", "Change what is recorded of an agent."),
    "agent show": ("directory.agent_verbs:show", "Tell everything about a registered agent."),
    "agent list": ("directory.agent_verbs:list_", "List registered agents."),
    "agent review": (
        "directory.agent_verbs:review",
        "Record that somebody has looked at an agent, and show what it holds.",
    ),
    "agent suspend": (
        "directory.agent_verbs:suspend",
        "Issue nothing to an agent until it is resumed, and end what it holds.",
    ),
    "agent resume": ("directory.agent_verbs:resume", "Let a suspended agent be issued to again."),
    "agent unregister": (
        "directory.agent_verbs:unregister",
        "End the record of an agent, and what it holds.",
    ),
    "agent classify": (
        "directory.agent_advice:classify",
        "Say for each agent's name whether it should be registered.",
    ),
    "agent suggest": (
        "directory.agent_advice:suggest",
        "Write the policy that permits an agent what it needs.",
    ),
    "audit log": ("ledger.audit_verbs:log", "Show audit events, oldest first."),
    "audit head": ("ledger.audit_verbs:head", "Print the signed last link of the audit chain."),
    "audit verify": ("ledger.audit_verbs:verify", "Check the audit chain, and the ledger's rows against it."),
    "audit export": ("ledger.audit_verbs:export", "Write the audit log as JSON lines, or for syslog."),
    "keys list": ("ledger.keys_verbs:list_", "List the signing keys that there ever were."),
    "keys rotate": ("ledger.keys_verbs:rotate", "Sign with a new key from now on."),
    "keys revoke": ("ledger.keys_verbs:revoke", "End a leaked signing key with all that it signed."),
    "keys jwks": ("ledger.keys_verbs:jwks", "Print the public keys that verifiers need (RFC 7517)."),
    "keys ssh": (
        "ledger.keys_ssh:ssh",
        "Print the keys whose certificates SSH hosts are to take (TrustedUserCAKeys).",
    ),
    "keys krl": (
        "ledger.keys_ssh:krl",
        "Write the list of SSH certificates that ended before their expiry (RevokedKeys).",
    ),
    "publish": (
        "ledger.publish:publish",
        "Write keys, status lists and what else verifiers need into DIR, for any web server to serve.",
    ),
    "keys request": (
        "ledger.keys_x509:request",
        "Ask for a certificate that makes a key an X.509 authority.",
    ),
    "keys import": (
        "ledger.keys_x509:import_",
        "Certify under a root, with the certificate that was asked for.",
    ),
    "keys bundle": ("ledger.keys_x509:bundle", "Print what verifiers of SVIDs trust."),
    "keys crl": ("ledger.keys_x509:crl", "Print which certificates are revoked."),
    "prune": ("ledger.prune:prune", "Let go of what has been over for long enough."),
    "ledger copy": (
        "ledger.ledger_copy:copy",
        "Move the ledger to another place: copy it, whole and verified, and seal the source.",
    ),
    "ledger backup": (
        "ledger.ledger_backup:backup",
        "Make a backup of the ledger as it is now, while others go on using it.",
    ),
    "ledger restore": (
        "ledger.ledger_backup:restore",
        "Put the ledger of a backup back, and end what lived in it.",
    ),
    "ledger check": (
        "ledger.ledger_check:check",
        "Check the ledger itself: its files, its database, its keys and its audit log.",
    ),
    "ledger issuer": (
        "ledger.ledger_issuer:issuer",
        "Show the issuer (`iss`) of the ledger's credentials, or change it: jitid ledger issuer set URL.",
    ),
    "ledger vacuum": (
        "ledger.ledger_check:vacuum",
        "Give the room that rows have left back to the file system.",
    ),
    "helper git": (
        "helper.git:git",
        "Give git a token for a server, as a credential helper that keeps nothing.",
    ),
    "helper kube": ("helper.kube:kube", "Give kubectl a token or a certificate, as its exec plug-in."),
    "helper ssh": ("helper.ssh:ssh", "Let the ssh-agent at $SSH_AUTH_SOCK have a key with a certificate."),
    "helper docker": (
        "helper.docker:docker",
        "Give docker, podman or skopeo a token for a registry, as a credential helper that keeps nothing.",
    ),
    "helper pgpass": (
        "helper.pgpass:pgpass",
        "Give psql, and whatever else uses libpq, a role of its own, as a password file or a service file.",
    ),
    "helper aws": (
        "helper.aws:aws",
        "Give AWS's command line and SDKs a session of a role, as their credential_process.",
    ),
    "doctor": (
        "ledger.doctor:doctor",
        "Check the installation, the ledger, its keys and the targets of the configuration.",
    ),
    "schedule systemd": (
        "sweep.schedule:systemd",
        "Print a hardened systemd service and its timer that run `jitid sweep`.",
    ),
    "schedule cron": ("sweep.schedule:cron", "Print a crontab line that runs `jitid sweep`."),
    "config show": ("setup.config_verbs:show", "Show the settings in force."),
    "config get": ("setup.config_verbs:get", "Print the value of one setting."),
    "config set": ("setup.config_verbs:set_", "Write one setting to the user's file."),
    "config unset": ("setup.config_verbs:unset", "Take one setting out of the user's file."),
    "config path": ("setup.config_verbs:path", "Print the path of the user's file."),
    "completion show": ("setup.completion:show", "Print the completion script of a shell."),
    "completion install": (
        "setup.completion:install",
        "Put completions and man pages where shells and `man` look for them.",
    ),
}
"""Verb -> module of `cli/` and function in it, and the first sentence of its help.

A module is imported when its verb is used, never for a list of verbs.
"""

GROUPS: dict[str, str] = {
    "task": "Look at tasks.",
    "leak": "Report what leaked, see whether it still works, and be done with it.",
    "adopt": "Record standing secrets that exist already, look at them, and see what can take their place.",
    "delegator": "Keep the directory of those who may delegate.",
    "approve": "See who asks for an approval, and grant or deny it.",
    "access": "Let people and services ask an authority, and end that.",
    "agent": "Register agents that recur, review and suspend them, and see which do.",
    "policy": "Check, try, show, begin and compare policies.",
    "audit": "Read, sign, verify and export the audit log.",
    "keys": "See, rotate, revoke and publish the signing keys, and those of the X.509 authority.",
    "ledger": "Back up, restore, check and move the ledger.",
    "helper": "Give programs credentials in the way that each asks for them.",
    "schedule": "Let systemd or cron run `jitid sweep`.",
    "config": "Read and change the settings.",
    "completion": "Complete verbs, options, ids and names in bash, zsh and fish.",
}
"""The first words of verbs with two words, each with a sentence about them."""


LOOKING: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            "verify", "inspect", "explain", "list", "tree", "report", "doctor",
            "leak list", "leak show", "leak timeline", "adopt list", "adopt show", "adopt probe", "adopt suggest",
            "approve list", "approve show",
            "access list", "task list", "task show", "delegator list", "delegator show", "agent list", "agent show",
            "agent classify", "agent suggest", "policy check", "policy test", "policy show", "policy diff",
            "audit log", "audit head", "audit verify", "audit export",
            "keys list", "keys jwks", "keys ssh", "keys krl", "keys bundle", "keys crl",
            "ledger check", "schedule cron",
            "config show", "config get", "config path", "completion show",
        ),
        (),
    ),
    "trace": ("revoke",),
    "scan": ("revoke", "report", "install_hook"),
    "schedule systemd": ("folder",),
}  # fmt: skip
"""The read-only verbs, each with the parameters that make it change data."""


def changes(verb: str, arguments: Mapping[str, object]) -> bool:
    """Return whether a line with these arguments may change data."""
    return not any(arguments.get(name) for name in ("dry_run", "list_rules")) and (
        verb not in LOOKING or any(arguments.get(name) for name in LOOKING[verb])
    )


RUNNING = frozenset({"run"})
"""Verbs whose last words are another command, passed on unchanged."""


def function_of(verb: str) -> Callable[..., None]:
    """Return the function of a verb; this imports its module."""
    module, function = COMMANDS[verb][0].split(":")
    implementation: Callable[..., None] = getattr(import_module(f"jitid.cli.{module}"), function)
    return implementation
