"""Verbs declared for `cli/leak`."""

from __future__ import annotations

from jitid.capabilities.adopt.operations import ADOPTED_FIELDS
from jitid.capabilities.leak.operations import LEAK_BRIEF, LEAK_FIELDS, LEAKS
from jitid.formats.columns import Columns
from jitid.model.adopted import ACCESS_KEY_ID, ADOPTED_NAME, OWNER, PLACE, PURPOSE, REFERENCE, TARGET
from jitid.model.types import SENSITIVITY, TASK
from jitid.operation.base import READS, Verb, dry_run_flag, limit_opt, max_opt, reason_opt
from jitid.values.declaration import Declared, arg, args, flag, opt, optional_arg, opts
from jitid.values.field_types import (
    AGENT,
    FILE,
    ID_OR_FILE,
    TEXT,
    TIME,
    TIME_AHEAD,
    URL,
    choice,
)


class TraceCommand(Verb):
    """Identify a leaked string, and revoke it with --revoke.

    Search a text of any length for tokens, parts of signed tokens, private keys, ids and fingerprints. The text comes
    from a file or standard input, and no secret in it is printed. For each credential, print its owner, its state,
    verifiers that may still accept it, and the command to revoke it. --yes is required to revoke credentials that
    neither a signature nor a fingerprint proves.
    """

    verb = "trace"
    function = "leak.trace:trace"
    effect = READS
    view = Columns(
        "jitid.trace/1",
        "match=evidence.match proof=evidence.proof id jti kind task=credential.task task_state purpose agent delegator "
        "chain state active reason issued_at age expires_at ended_at ended_by ended_reason "
        "descendants=family.below live_descendants=family.live_below audiences honoured_by honoured_until "
        "occurrences=evidence.occurrences revoke",
    )
    changes_with = ("revoke",)

    subject: str | None = optional_arg(
        ID_OR_FILE,
        "[ID|FILE]",
        help="An id, a fingerprint or a file (`-`: stdin).",
        verb_refuses_tokens=True,
    )
    revoke: bool = flag("--revoke", help="Revoke found credentials and all below them.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = flag("--yes", "-y", help="Include unproved ones, without a limit.")


_SCAN_FIELDS = (
    "state severity rule subject summary remedy path line commit inside match proof jti id kind agent task "
    "delegator chain life fingerprint"
)
_SCAN = Columns("jitid.scan/1", _SCAN_FIELDS)
_SCRUB = Columns("jitid.scrub/1", "state path client places reason")
_AGENT_SCAN = Columns("jitid.scan/1", f"{_SCAN_FIELDS} client session written_at tool command")


class ScanCommand(Verb):
    """Find jitid's secrets in files and revoke them with --revoke.

    Search files, folders, gzip and zip files, standard input, or with --git the history of a repository. Find tokens,
    certificates, private keys and adopted secrets, and report the owner and the state of each. Without a ledger, only
    their form is known. Files that .gitignore names are skipped, and links are not followed. Formats and exit statuses
    are those of `sweep`: 10 means findings at or above --fail-on, 11 an incomplete search. --revoke and --report apply
    only to credentials that a fingerprint or a signature proves. --agents searches the files of this user's coding
    agents, and names session, tool and command.
    """

    verb = "scan"
    function = "leak.scan:scan"
    effect = READS
    view = _SCAN
    formats = ("sarif", "prometheus", "html")
    changes_with = ("revoke", "report", "install_hook", "scrub")

    paths: tuple[str, ...] = args(
        FILE, "[PATH...]", help="Files and folders (`-`: stdin).", verb_refuses_tokens=True
    )
    git: bool = flag("--git", help="Search the history of a git repository.")
    commits: tuple[str, ...] = opts(
        TEXT, "--commits", help="With --git: a range (main..HEAD); repeatable.", metavar="RANGE"
    )
    unreachable: bool = flag("--unreachable", help="With --git: also objects without a ref.")
    staged: bool = flag("--staged", help="Search the staged changes of a repository.")
    install_hook: bool = flag("--install-hook", help="Only install a pre-commit hook.")
    agents: bool = flag("--agents", help="Search the files of coding agents: transcripts, chats, histories.")
    scrub: bool = flag(
        "--scrub", help="With --agents: star out secrets that no verifier accepts; never in a database."
    )
    only: tuple[str, ...] = opts(
        choice(
            *("opaque", "jwt", "certificate", "private-key", "adopted"),
            metavar="FORM",
            label="form of secrets",
        ),
        "--only",
        help="Only opaque, jwt, certificate, private-key or adopted; repeatable.",
    )
    no_ignore: bool = flag("--no-ignore", help="Include ignored files and .git folders.")
    one_file_system: bool = flag("--one-file-system", help="Stay on the file system of each PATH.")
    fail_on: str | None = opt(
        choice("info", "low", "medium", "high", "critical", metavar="SEVERITY", label="severity"),
        "--fail-on",
        help="Exit 10 if a finding has at least this severity (default: high).",
    )
    report: bool = flag("--report", help="Record proved leaks and their places.")
    source: str | None = opt(TEXT, "--source", help="With --report: the source (default: paths).")
    revoke: bool = flag("--revoke", help="Revoke proved credentials and all below them.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = flag("--yes", "-y", help="Revoke any number, or scrub, without confirmation.")
    out: str | None = opt(FILE, "--out", "-o", help="Write FILE atomically (0600; prometheus: 0644).")
    rules: str | None = opt(
        choice(
            "gitleaks", "kingfisher", "betterleaks", metavar="SCANNER", label="scanner that rules are for"
        ),
        "--rules",
        help="Only print rules for gitleaks, kingfisher or betterleaks.",
    )
    authority: str | None = opt(URL, "--authority", help="With --rules: the authority to query.")

    def shown_view(self) -> Columns:
        """Return the fields of findings, with --agents also those of sessions; with --scrub those of files."""
        if self.scrub:
            return _SCRUB
        return _AGENT_SCAN if self.agents else _SCAN


class LeakAddCommand(Verb):
    """Record leaked credentials, and revoke them with --revoke.

    Search a text of any length for tokens, parts of signed tokens, private keys and fingerprints. The ledger records
    which credentials leaked, never the text. --yes is required to record credentials that neither a signature nor a
    fingerprint proves; ids are ignored. While a leak is open, the same source does not record it again. --from reads
    a scanner's report, and records the place of each finding too.
    """

    verb = "leak add"
    function = "leak.leak_add:add"
    view = Columns("jitid.leak-add/1", LEAK_FIELDS, brief=LEAK_BRIEF)

    file: str | None = optional_arg(FILE, "[FILE]", help="File with any text (default or `-`: stdin).")
    source: str | None = opt(TEXT, "--source", help="Where it was found (default: FILE, or stdin).")
    at: int | None = opt(TIME, "--at", help="Time of the report, or a duration ago (now).")
    revoke: bool = flag("--revoke", help="Revoke leaked credentials and all below them.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = flag("--yes", "-y", help="Include unproved leaks, without a limit.")
    from_: str | None = opt(FILE, "--from", help="Report of a scanner (`-`: stdin).")
    report_format: str | None = opt(
        choice(
            *("gitleaks", "kingfisher", "betterleaks", "trufflehog", "sarif"),
            metavar="FORMAT",
            label="format of reports",
        ),
        "--report-format",
        help="Format of the report (default: detected).",
    )


class LeakListCommand(Verb):
    """List leaks, and whether their credentials still work.

    The newest leaks are first. All conditions must match, and times are those of the report. `exposure` is the time
    from the report to the end of the credential, or until now. `lives_until` is the last expiry of the live credentials
    of its identity and below. Since `refused_since` the ledger refuses all of these. From `accepted_until` on no
    verifier accepts any of them.
    """

    verb = "leak list"
    function = "leak.leak_verbs:list_"
    effect = READS
    view = LEAKS

    open_: bool = flag("--open", help="Only open leaks.")
    valid: bool = flag("--valid", help="Only leaks whose credential still works.")
    source: str | None = opt(TEXT, "--source", help="Only leaks from this source.")
    task: str | None = opt(TASK, "--task", "-t", help="Only leaks of this task.")
    since: int | None = opt(TIME, "--since", help="Reported since TIME, or a duration ago.")
    until: int | None = opt(TIME, "--until", help="Reported before TIME, or a duration ago.")
    limit: int | None = limit_opt()


class AdoptedSecretOptions(Declared):
    """The stated properties of an adopted secret."""

    owner: str | None = opt(OWNER, "--owner", help="Delegator responsible for the secret.")
    place: str | None = opt(PLACE, "--place", help="Where it is kept, as 'vault kv/prod/github'.")
    purpose: str | None = opt(PURPOSE, "--purpose", help="Purpose of the secret.")
    agent: str | None = opt(AGENT, "--agent", "-a", help="Agent using it (default: the secret's name).")
    expires: int | None = opt(TIME_AHEAD, "--expires", help="Expiry: a time or a duration (default: never).")
    target: str | None = opt(TARGET, "--target", help="Configured target for its revocation.")
    reference: str | None = opt(REFERENCE, "--reference", help="Name at the target: role, key id, accessor.")


class AdoptAddCommand(AdoptedSecretOptions, Verb):
    """Adopt an existing secret: record owner, place and purpose.

    The secret comes from standard input or a file, and the ledger keeps only its SHA-256. From then on jitid finds,
    reports and revokes it like its own credentials. --from-file adopts thousands of secrets at once, or none.
    """

    verb = "adopt add"
    function = "leak.adopt_verbs:add"
    view = Columns("jitid.adopt-add/1", "name id jti new already unverified event dry_run", single=True)

    name: str | None = optional_arg(ADOPTED_NAME, "[NAME]", help="Name of the secret in jitid.")
    sensitivity: str | None = opt(
        SENSITIVITY, "--sensitivity", help="low, moderate (default), high or critical."
    )
    prefix: str | None = opt(TEXT, "--prefix", help="Public beginning of the secret, as ghp_.")
    access_key_id: str | None = opt(ACCESS_KEY_ID, "--access-key-id", help="Public id of an AWS access key.")
    file: str | None = opt(FILE, "--file", help="File with the secret (default or `-`: stdin).")
    fingerprint: str | None = opt(
        TEXT, "--fingerprint", help="SHA-256 of the secret, instead of the secret.", metavar="HEX"
    )
    public_key: str | None = opt(FILE, "--public-key", help="Public key or certificate, instead of a secret.")
    from_file: str | None = opt(FILE, "--from-file", help="Adopt all secrets in FILE (`-`: stdin).")
    as_: str | None = opt(
        choice("csv", "jsonl", metavar="FORM", label="form of a list"),
        "--as",
        help="csv or jsonl (default: by FILE's extension).",
    )
    dry_run: bool = dry_run_flag()


class AdoptShowCommand(Verb):
    """Show all facts about an adopted secret."""

    verb = "adopt show"
    function = "leak.adopt_verbs:show"
    effect = READS
    view = Columns("jitid.adopt-show/1", ADOPTED_FIELDS, single=True)

    name: str = arg(ADOPTED_NAME, "NAME", help="Name of an adopted secret.")


class AdoptChangeCommand(AdoptedSecretOptions, Verb):
    """Change the owner, place or target of adopted secrets.

    Each option replaces the recorded value. Before a person leaves, set another owner: disabling a person revokes the
    secrets of that person.
    """

    verb = "adopt change"
    function = "leak.adopt_verbs:change"
    view = Columns("jitid.adopt-change/1", ADOPTED_FIELDS)

    names: tuple[str, ...] = args(ADOPTED_NAME, "NAME...", help="Names of adopted secrets.", required=True)
