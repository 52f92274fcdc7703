"""Verbs declared for `cli/ledger`."""

from __future__ import annotations

from jitid.formats.columns import Columns
from jitid.model.types import TASK
from jitid.operation.base import (
    READS,
    Verb,
    dry_run_flag,
    limit_opt,
    max_opt,
    reason_opt,
    yes_flag,
)
from jitid.values.declaration import arg, flag, opt, optional_arg, required_opt
from jitid.values.field_types import (
    AFTER_EVENT,
    AGENT,
    ALGORITHM,
    DELEGATOR,
    DURATION,
    EVENT,
    FILE,
    FOLDER,
    KEY_ID,
    LIMIT,
    NAME,
    TEXT,
    TIME,
    choice,
    text,
    texts,
)
from jitid.values.names import check_issuer

_BACKUP = text(4_096, "the path of the backup", "FILE", "files")
_PLACE = text(1_024, "the place of the copy", "URL", "folders")
_ISSUER = texts(check_issuer, "URL", {}, "folders")

_EVENT = "seq at op by task agent delegator count rules reason hash"
_EVENT_BRIEF = "seq at op by task agent count"
# The id of the caller's identity, if the caller is an agent; no other caller has one.
EVENTS = Columns("jitid.audit-log/1", _EVENT, brief=_EVENT_BRIEF, more="by_id")
EVENTS_WITH_MEMBERS = Columns(
    "jitid.audit-log/1", f"{_EVENT} members", brief=f"{_EVENT_BRIEF} members", more="by_id"
)
ACTIONS = Columns(
    "jitid.actions/1",
    "at decision agent delegator chain task purpose action resource scope rules reason id jti event",
    brief="at decision agent delegator action resource",
)
_CHECKS = "check=name status detail repair"


class AuditLogCommand(Verb):
    """Show audit events.

    A terminal shows the newest first; a pipe gets all, oldest first. JSON formats show each whole event, in its hashed
    form. --members adds the credentials that an event issued, ended or used. --follow shows the last ten events, or
    those after --after or --since, then new ones. It stops when it is interrupted, or after --limit events.

    A filter by task, agent or delegator also finds each event that revoked such a credential by its id.

    With --at, --action or --resource it shows actions instead, as `jitid authorize` decided them. Each action
    has its agent, delegator and purpose.
    """

    verb = "audit log"
    function = "ledger.audit_verbs:log"
    effect = READS
    view = Columns(
        "jitid.audit-log/1",
        _EVENT,
        brief=_EVENT_BRIEF,
        more="members decision chain purpose action resource scope id jti event",
    )

    operation: str | None = opt(NAME, "--operation", help="Filter by operation, such as denial.")
    task: str | None = opt(TASK, "--task", "-t", help="Filter by task.")
    agent: str | None = opt(AGENT, "--agent", "-a", help="Filter by agent.")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", "-d", help="Filter by root delegator, or agent:NAME."
    )
    by: str | None = opt(TEXT, "--by", help="Filter by login, caller or identity (jid_).", metavar="LOGIN")
    rule: str | None = opt(TEXT, "--rule", help="Filter by policy rule.", metavar="ID")
    sweep: str | None = opt(TEXT, "--sweep", help="Filter by sweep.", metavar="ID")
    trace: str | None = opt(TEXT, "--trace", help="Filter by trace id or traceparent.", metavar="TRACE")
    since: int | None = opt(TIME, "--since", help="Start at TIME, or a duration ago.")
    until: int | None = opt(TIME, "--until", help="End before TIME, or a duration ago.")
    event: int | None = opt(EVENT, "--event", help="Show only this event.")
    at: int | None = opt(TIME, "--at", help="Actions near TIME, or a duration ago.")
    within: int | None = opt(DURATION, "--within", help="Maximum distance from --at (default: 1m).")
    action: str | None = opt(TEXT, "--action", help="Filter actions by name; '*': all.", metavar="ACTION")
    resource: str | None = opt(TEXT, "--resource", help="Filter actions by exact resource.")
    after: int | None = opt(AFTER_EVENT, "--after", help="Start after event N.")
    members: bool = flag("--members", help="Add the credentials of each event.")
    limit: int | None = limit_opt()
    tail: int | None = opt(LIMIT, "--tail", help="Show only the newest N events.")
    follow: bool = flag("--follow", "-f", help="Continue with new events.")

    @property
    def shows_actions(self) -> bool:
        """Whether it shows actions instead of events."""
        return any(each is not None for each in (self.at, self.within, self.action, self.resource))

    def may_page(self) -> bool:
        """Return whether the output ends."""
        return not self.follow

    def shown_view(self) -> Columns:
        """Return the fields of actions, or of events."""
        return ACTIONS if self.shows_actions else EVENTS_WITH_MEMBERS if self.members else EVENTS


class KeysRevokeCommand(Verb):
    """Revoke a leaked signing key and all that it signed.

    The descendants of its credentials are revoked too. If the key was in use, a new key replaces it.
    More than --max credentials (default: 100) need --yes.
    """

    verb = "keys revoke"
    function = "ledger.keys_verbs:revoke"
    view = Columns("jitid.keys-revoke/1", "kid ended identities successor offline_until event", single=True)

    kid: str = arg(KEY_ID, "KID", help="The key id.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = yes_flag()

    def shown_view(self) -> Columns:
        """Return its fields; a dry run is shown as by `jitid revoke --dry-run`."""
        from jitid.capabilities.inventory.operations import REVOKED

        return REVOKED if self.dry_run else self.view


_ALGORITHMS = Columns("jitid.keys-algorithms/1", "audience algorithm origin reason")
_CHANGED_ALGORITHM = Columns("jitid.keys-algorithm/1", "algorithm was event", single=True)


class KeysAlgorithmCommand(Verb):
    """Show the signature algorithms by audience, or set that of service tokens.

    A new ledger signs identity tokens with EdDSA and service tokens with ES256. A ledger of an earlier version signs
    both with EdDSA until an algorithm is set here. Audiences whose verifiers refuse an algorithm get another one.
    The setting algorithm.audience.AUD takes precedence. Tokens that were issued before stay valid.
    """

    verb = "keys algorithm"
    function = "ledger.keys_verbs:algorithm"
    effect = READS
    changes_with = ("algorithm",)
    view = _ALGORITHMS

    algorithm: str | None = optional_arg(
        ALGORITHM, "[ALG]", help="ES256 (the default of new ledgers), RS256 or EdDSA."
    )

    def shown_view(self) -> Columns:
        """Return the fields of the algorithms, or of a change."""
        return _ALGORITHMS if self.algorithm is None else _CHANGED_ALGORITHM


class PublishCommand(Verb):
    """Write keys and status lists for offline verifiers into DIR.

    With these files, from any web server, a verifier checks tokens without the ledger. It sees the revocations
    up to the time of the files: run this every few minutes, from cron. Each file is replaced atomically.
    """

    verb = "publish"
    function = "ledger.keys_verbs:publish"
    view = Columns("jitid.publish/1", "file=name state bytes")

    folder: str = arg(FOLDER, "DIR", help="The folder; created if it does not exist.")
    dry_run: bool = dry_run_flag()


class LedgerCopyCommand(Verb):
    """Move the ledger: make a verified copy and seal the source.

    Issued credentials stay valid in the copy. The copy has a new audit chain, and the same issuer unless --issuer
    names another. The sealed source can be read; it refuses changes and verifications. To continue an
    interrupted copy, repeat the command.
    """

    verb = "ledger copy"
    function = "ledger.ledger_verbs:copy"
    view = Columns("jitid.ledger-copy/1", "to events credentials rows head event resumed", single=True)

    to: str = required_opt(_PLACE, "--to", help="Place of the copy: a new folder, or postgresql://…")
    issuer: str | None = opt(
        _ISSUER,
        "--issuer",
        help="Issuer of new credentials of the copy (default: unchanged).",
    )
    keys: bool = flag(
        "--keys",
        help="Copy the private keys too (mode 0600).",
    )


class LedgerBackupCommand(Verb):
    """Back up the ledger while it is in use.

    BACKUP is a new folder, a new file *.tar, or `-` for a tar file on standard output. In an existing folder,
    the backup gets the time as its name. It has no private keys unless --keys adds them.
    """

    verb = "ledger backup"
    function = "ledger.ledger_verbs:backup"
    view = Columns(
        "jitid.ledger-backup/1",
        "backup=place ledger events head made_at=manifest.at size keys verified",
        single=True,
    )

    to: str = arg(_BACKUP, "BACKUP", help="A new folder, a new file *.tar, a folder of backups, or `-`.")
    keys: bool = flag("--keys", help="Include the private keys.")
    no_verify: bool = flag("--no-verify", help="Skip the verification; `ledger restore` verifies.")


class LedgerRestoreCommand(Verb):
    """Restore a ledger from a backup, and revoke its credentials.

    A backup does not contain later revocations. Therefore every open task in it is retired, with its credentials.
    Access to an authority is revoked, and new keys sign tokens. This does not happen if the replaced ledger proves
    that nothing has changed since, or with --keep-live.
    """

    verb = "ledger restore"
    function = "ledger.ledger_verbs:restore"
    view = Columns(
        "jitid.ledger-restore/1",
        "path ledger made_at=manifest.at events lost kept ended=restored.credentials tasks access revoked retired "
        "trusted replaced event",
        single=True,
    )

    from_: str = arg(_BACKUP, "BACKUP", help="The folder or the file; `-`: standard input.")
    replace: bool = flag("--replace", help="Move the existing ledger aside, and keep it.")
    keep_live: bool = flag("--keep-live", help="Assert no later revocations; revoke nothing.")
    expect_head: str | None = opt(FILE, "--expect-head", help="File with a signed head from earlier.")


class LedgerCheckCommand(Verb):
    """Check the ledger's files, database, keys and audit log.

    With BACKUP it checks a backup instead, as `ledger restore` would. Nothing is changed or restored. Each line
    is ok, warning or failure, with the command for the repair. Exit status 7: damage, tampering, or permissions
    that are too open; warnings do not count.
    """

    verb = "ledger check"
    function = "ledger.checks:check"
    effect = READS
    view = Columns("jitid.ledger-check/1", _CHECKS)

    backup: str | None = optional_arg(
        _BACKUP, "[BACKUP]", help="Check this backup instead; `-`: standard input."
    )


_ISSUERS = Columns("jitid.ledger-issuers/1", "issuer state until")
_CHANGED_ISSUER = Columns("jitid.ledger-issuer/1", "issuer former until live event", single=True)


class LedgerIssuerCommand(Verb):
    """Show or change the issuer (`iss`) of the ledger.

    To change it: jitid ledger issuer set URL. New credentials name the new issuer; older ones stay valid until they
    expire. The former name is accepted as an audience until the last of them expires. With live credentials,
    a change needs --yes. A name that live credentials or granted access use for a service is refused.
    """

    verb = "ledger issuer"
    function = "ledger.ledger_verbs:issuer"
    view = _ISSUERS

    action: str | None = optional_arg(
        choice("show", "set", label="action"), "[ACTION]", help="Action: show (the default) or set."
    )
    url: str | None = optional_arg(_ISSUER, "[URL]", help="With set: the new issuer, an https URL.")
    yes: bool = flag("--yes", "-y", help="Change it despite live credentials.")

    def shown_view(self) -> Columns:
        """Return the fields of the names, or of a change."""
        return _CHANGED_ISSUER if self.action == "set" else _ISSUERS


class LedgerVacuumCommand(Verb):
    """Return the room of deleted rows to the file system.

    SQLite rewrites the database in one transaction: writers wait, readers continue. This needs extra room for
    twice the ledger's data. In PostgreSQL the tables are vacuumed; no writer waits.
    """

    verb = "ledger vacuum"
    function = "ledger.ledger_verbs:vacuum"
    view = Columns("jitid.ledger-vacuum/1", "before after saved log=log_left", single=True)


class DoctorCommand(Verb):
    """Check the installation, the ledger, its keys and targets.

    Nothing is changed. Each line is ok, warning or failure, with the command for the repair. Exit status 7: damage,
    tampering, or permissions that are too open. Exit status 2: an invalid configuration or policy. Warnings do
    not count. With --remote it checks the connection to the authority.
    """

    verb = "doctor"
    function = "ledger.checks:doctor"
    effect = READS
    view = Columns("jitid.doctor/1", _CHECKS)
    repairs_configuration = True
