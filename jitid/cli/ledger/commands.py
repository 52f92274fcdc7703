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
    DELEGATOR,
    DURATION,
    EVENT,
    FILE,
    FOLDER,
    KEY_ID,
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
    """Show audit events, oldest first.

    JSON formats show each event whole, as it was hashed. With --members each event names the credentials
    that it issued, ended, or tells the use of. --follow shows the last ten, or those after --after or --since,
    and then new ones as they come, until it is interrupted or has shown --limit.

    With --at, --action or --resource it shows what was done with credentials, as `jitid authorize` was asked:
    who did that, for whom and for what.
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

    operation: str | None = opt(NAME, "--operation", help="Of this operation, as issue or denial.")
    task: str | None = opt(TASK, "--task", help="Of this task.")
    agent: str | None = opt(AGENT, "--agent", help="Of this agent.")
    delegator: str | None = opt(
        DELEGATOR, "--delegator", help="Of this root delegator, or delegated by agent:NAME."
    )
    by: str | None = opt(TEXT, "--by", help="Done by this login, caller or identity (jid_).", metavar="LOGIN")
    rule: str | None = opt(TEXT, "--rule", help="Decided by this policy rule.", metavar="ID")
    sweep: str | None = opt(TEXT, "--sweep", help="Done by this sweep.", metavar="ID")
    trace: str | None = opt(
        TEXT, "--trace", help="Of the request that had this trace id or traceparent.", metavar="TRACE"
    )
    since: int | None = opt(TIME, "--since", help="From TIME on (RFC 3339).")
    until: int | None = opt(TIME, "--until", help="Before TIME (RFC 3339).")
    event: int | None = opt(EVENT, "--event", help="This event only.")
    at: int | None = opt(TIME, "--at", help="Actions of around TIME (RFC 3339), instead of events.")
    within: int | None = opt(DURATION, "--within", help="So long before and after --at (default: 1m).")
    action: str | None = opt(TEXT, "--action", help="Actions of this name.", metavar="ACTION")
    resource: str | None = opt(TEXT, "--resource", help="Actions on just this resource.")
    after: int | None = opt(AFTER_EVENT, "--after", help="Go on after event N.")
    members: bool = flag("--members", help="Name the credentials each event issued and ended.")
    limit: int | None = limit_opt()
    follow: bool = flag("--follow", "-f", help="Go on with new events as they are committed.")

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
    """End a leaked signing key with all that it signed.

    What descends from that ends too. If it was the key in use, a new one signs from now on. More than --max
    (100 unless configured) needs --yes.
    """

    verb = "keys revoke"
    function = "ledger.keys_verbs:revoke"
    view = Columns("jitid.keys-revoke/1", "kid ended identities successor offline_until event", single=True)

    kid: str = arg(KEY_ID, "KID", help="The id of a key.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = yes_flag()

    def shown_view(self) -> Columns:
        """Return its fields; a dry run is shown as by `jitid revoke --dry-run`."""
        from jitid.capabilities.inventory.operations import REVOKED

        return REVOKED if self.dry_run else self.view


class PublishCommand(Verb):
    """Write keys, status lists and what else verifiers need into DIR, for any web server to serve.

    Whoever has these files can verify tokens without asking anybody, and sees what was ended until they were written:
    so it is run every few minutes, from cron. Each file is replaced whole.
    """

    verb = "publish"
    function = "ledger.keys_verbs:publish"
    view = Columns("jitid.publish/1", "file=name state bytes")

    folder: str = arg(FOLDER, "DIR", help="The folder; it is made if it is not there.")
    dry_run: bool = dry_run_flag()


class LedgerCopyCommand(Verb):
    """Move the ledger to another place: copy it, whole and verified, and seal the source.

    What was issued stays valid in the copy, which goes on with an audit chain of its own, under the same issuer or,
    with --issuer, under another. The source can be read afterwards, and refuses to change or to verify anything. If
    the copy is broken off, the same command continues it.
    """

    verb = "ledger copy"
    function = "ledger.ledger_verbs:copy"
    view = Columns("jitid.ledger-copy/1", "to events credentials rows head event resumed", single=True)

    to: str = required_opt(
        _PLACE, "--to", help="Where the copy is to be: a folder that is not there yet, or postgresql://…"
    )
    issuer: str | None = opt(
        _ISSUER,
        "--issuer",
        help="The issuer that new credentials of the copy name; those under the earlier one stay valid.",
    )
    keys: bool = flag(
        "--keys",
        help="Copy the private keys too, for a database into the folder that `home` names (mode 0600).",
    )


class LedgerBackupCommand(Verb):
    """Make a backup of the ledger as it is now, while others go on using it.

    BACKUP is a folder that is not there yet, or a file whose name ends in .tar, or `-` for a tar file on standard
    output. In a folder that is there already, the backup gets a name by the time. The private keys are not in it
    unless --keys says so.
    """

    verb = "ledger backup"
    function = "ledger.ledger_verbs:backup"
    view = Columns(
        "jitid.ledger-backup/1",
        "backup=place ledger events head made_at=manifest.at size keys verified",
        single=True,
    )

    to: str = arg(
        _BACKUP, "BACKUP", help="A new folder, a new file *.tar, a folder for many of them, or `-`."
    )
    keys: bool = flag("--keys", help="Put the private keys into it too.")
    no_verify: bool = flag("--no-verify", help="Do not examine the copy; restoring it does in any case.")


class LedgerRestoreCommand(Verb):
    """Put the ledger of a backup back, and end what lived in it.

    A backup does not know what was ended after it was made. So every open task in it is retired, with all that lives,
    access to an authority is revoked, and tokens are signed with new keys, unless the ledger that is replaced tells
    that nothing has happened since, or --keep-live says that nothing is to be ended.
    """

    verb = "ledger restore"
    function = "ledger.ledger_verbs:restore"
    view = Columns(
        "jitid.ledger-restore/1",
        "path ledger made_at=manifest.at events lost kept ended=restored.credentials tasks access revoked retired "
        "trusted replaced event",
        single=True,
    )

    from_: str = arg(_BACKUP, "BACKUP", help="The folder or the file; `-` is standard input.")
    replace: bool = flag("--replace", help="Move the ledger that is there aside, and keep it.")
    keep_live: bool = flag("--keep-live", help="End nothing: nothing was ended since the backup was made.")
    expect_head: str | None = opt(FILE, "--expect-head", help="A signed head kept earlier.")


class LedgerCheckCommand(Verb):
    """Check the ledger itself: its files, its database, its keys and its audit log.

    With BACKUP it checks a backup instead, as `ledger restore` would, and restores nothing. Nothing is changed. Each
    line is ok, warning or failure, with what repairs it. Exit status 7 says that something is damaged, was tampered
    with or is open to others; warnings do not count.
    """

    verb = "ledger check"
    function = "ledger.checks:check"
    effect = READS
    view = Columns("jitid.ledger-check/1", _CHECKS)

    backup: str | None = optional_arg(
        _BACKUP, "[BACKUP]", help="A backup instead of the ledger; `-` is standard input."
    )


_ISSUERS = Columns("jitid.ledger-issuers/1", "issuer state until")
_CHANGED_ISSUER = Columns("jitid.ledger-issuer/1", "issuer former until live event", single=True)


class LedgerIssuerCommand(Verb):
    """Show the issuer (`iss`) of the ledger's credentials, or change it: jitid ledger issuer set URL.

    New credentials name the new issuer. Credentials that name a former issuer stay valid until they expire; after the
    last of them, the former name is no longer accepted as an audience. If credentials are live, a change needs --yes.
    A name by which live credentials or a granted access mean a service is refused.
    """

    verb = "ledger issuer"
    function = "ledger.ledger_verbs:issuer"
    view = _ISSUERS

    action: str | None = optional_arg(
        choice("show", "set", label="action"), "[ACTION]", help="What to do: show (the default) or set."
    )
    url: str | None = optional_arg(_ISSUER, "[URL]", help="With set: the new issuer, an https address.")
    yes: bool = flag("--yes", help="Change the issuer without asking, though credentials are live.")

    def shown_view(self) -> Columns:
        """Return the fields of the names, or of a change."""
        return _CHANGED_ISSUER if self.action == "set" else _ISSUERS


class LedgerVacuumCommand(Verb):
    """Give the room that rows have left back to the file system.

    The database is written anew, in one transaction: writers wait for their turn, readers go on. It takes twice the
    room of what the ledger holds beside it. In PostgreSQL the tables are vacuumed, and nobody waits.
    """

    verb = "ledger vacuum"
    function = "ledger.ledger_verbs:vacuum"
    view = Columns("jitid.ledger-vacuum/1", "before after saved log=log_left", single=True)


class DoctorCommand(Verb):
    """Check the installation, the ledger, its keys and the targets of the configuration.

    With --remote it checks the way to the authority: whether it answers and proves who it is, whom it takes its
    caller for and in which roles, its clock and its version.

    Nothing is changed. Each line is ok, warning or failure, with the command that repairs it. Exit status 7
    says that something is damaged, was tampered with or is open to others, 2 that configuration or policy
    cannot be used; warnings do not count.
    """

    verb = "doctor"
    function = "ledger.checks:doctor"
    effect = READS
    view = Columns("jitid.doctor/1", _CHECKS)
    repairs_configuration = True
