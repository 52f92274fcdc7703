"""Verbs declared for `cli/leak`."""

from __future__ import annotations

from jitid.capabilities.adopt.operations import ADOPTED_FIELDS
from jitid.capabilities.leak.operations import LEAK_BRIEF, LEAK_FIELDS, LEAKS
from jitid.formats.columns import Columns
from jitid.model.adopted import ACCESS_KEY_ID, ADOPTED_NAME, OWNER, PLACE, PURPOSE, REFERENCE, TARGET
from jitid.model.types import SENSITIVITY, TASK
from jitid.operation.base import READS, Verb, dry_run_flag, limit_opt, max_opt, reason_opt, yes_flag
from jitid.values.declaration import Declared, arg, args, flag, opt, optional_arg, opts
from jitid.values.field_types import (
    AGENT,
    FILE,
    ID_OR_FILE,
    TEXT,
    TIME,
    URL,
    choice,
)


class TraceCommand(Verb):
    """Tell where a leaked string comes from, and end it with --revoke.

    A text of any length is searched for tokens, parts of signed tokens, private keys, ids and fingerprints; it
    comes from a file or standard input, and no secret in it is shown. For each credential it says whose it is,
    whether it lives, who may still honour it, and the command that ends it. What neither a signature nor a fingerprint
    proves is revoked with --yes only.
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
        help="An id or a fingerprint, or a file with any text; `-`: standard input.",
        verb_refuses_tokens=True,
    )
    revoke: bool = flag("--revoke", help="End what was found, and all below it.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = flag("--yes", help="End also what is not proved, and however many.")


class ScanCommand(Verb):
    """Find our own secrets in files, and end them with --revoke.

    Looks through files, folders, gzip and zip files, standard input, or with --git the whole history of a repository
    for tokens, certificates, private keys and adopted secrets of the ledger, and says of each place whose that is and
    whether it lives; without a ledger it goes by their form alone. What .gitignore names is passed over, and no link is
    followed. Where only the files of a repository are searched, a note names the command for its history. The findings
    come in the formats and with the statuses of `sweep`: 10 says that something is there at or above --fail-on, 11 that
    not all was searched. What --revoke ends and --report records is what a fingerprint or a signature proves.
    """

    verb = "scan"
    function = "leak.scan:scan"
    effect = READS
    view = Columns(
        "jitid.scan/1",
        "state severity rule subject summary remedy path line commit inside match proof jti id kind agent task "
        "delegator chain life fingerprint",
    )
    formats = ("sarif", "prometheus", "html")
    changes_with = ("revoke", "report", "install_hook")

    paths: tuple[str, ...] = args(
        FILE, "[PATH...]", help="Files and folders; `-`: standard input.", verb_refuses_tokens=True
    )
    git: bool = flag("--git", help="The history of the git repository PATH, or of the one here.")
    commits: tuple[str, ...] = opts(
        TEXT, "--commits", help="With --git: what these bring, as main..HEAD; repeatable.", metavar="RANGE"
    )
    unreachable: bool = flag("--unreachable", help="With --git: also what no ref leads to any more.")
    staged: bool = flag("--staged", help="What is about to be committed there and is new in it.")
    install_hook: bool = flag("--install-hook", help="Scan nothing: let git look before each commit there.")
    only: tuple[str, ...] = opts(
        choice(
            *("opaque", "jwt", "certificate", "private-key", "adopted"),
            metavar="FORM",
            label="form of secrets",
        ),
        "--only",
        help="Look for this alone: opaque, jwt, certificate …; repeatable.",
    )
    no_ignore: bool = flag("--no-ignore", help="Also what .gitignore names, and folders of git.")
    one_file_system: bool = flag("--one-file-system", help="Enter no other file system than each PATH's.")
    fail_on: str | None = opt(
        choice("info", "low", "medium", "high", "critical", metavar="SEVERITY", label="severity"),
        "--fail-on",
        help="End with 10 if a finding is so grave or graver (default: high).",
    )
    report: bool = flag("--report", help="Record as leaks what is proved, with its places.")
    source: str | None = opt(TEXT, "--source", help="With --report: where that was (default: the paths).")
    revoke: bool = flag("--revoke", help="End what is proved to be ours, and all below it.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = yes_flag()
    out: str | None = opt(FILE, "--out", help="Write to FILE, whole or not at all (0600; prometheus: 0644).")
    rules: str | None = opt(
        choice(
            "gitleaks", "kingfisher", "betterleaks", metavar="SCANNER", label="scanner that rules are for"
        ),
        "--rules",
        help="Scan nothing: print rules for gitleaks, kingfisher or betterleaks.",
    )
    authority: str | None = opt(
        URL, "--authority", help="With --rules: where the scanner asks about what it finds, and ends it."
    )


class LeakAddCommand(Verb):
    """Report that tokens of ours leaked, and end them with --revoke.

    A text of any length is searched for tokens, parts of signed tokens, private keys and fingerprints; nothing
    of it is kept but which credentials were there. What neither a signature nor a fingerprint proves is recorded
    with --yes only, and an id proves nothing. The same from the same source again is no new leak while that one
    is open. --from reads what a scanner reported: each finding with the place where it was seen, which is kept too.
    """

    verb = "leak add"
    function = "leak.leak_add:add"
    view = Columns("jitid.leak-add/1", LEAK_FIELDS, brief=LEAK_BRIEF)

    file: str | None = optional_arg(
        FILE, "[FILE]", help="A file with any text; standard input if absent or `-`."
    )
    source: str | None = opt(
        TEXT, "--source", help="Where it was found (default: the file's name, or stdin)."
    )
    at: int | None = opt(TIME, "--at", help="When that was reported (RFC 3339; default: now).")
    revoke: bool = flag("--revoke", help="End what leaked, and all below it.")
    reason: str | None = reason_opt()
    dry_run: bool = dry_run_flag()
    max_: int | None = max_opt()
    yes: bool = flag("--yes", help="Record and end also what is not proved, and however many.")
    from_: str | None = opt(
        FILE, "--from", help="What a scanner reported (`-`: standard input), with its places."
    )
    report_format: str | None = opt(
        choice(
            *("gitleaks", "kingfisher", "betterleaks", "trufflehog", "sarif"),
            metavar="FORMAT",
            label="format of reports",
        ),
        "--report-format",
        help="Whose report that is (default: told by its content).",
    )


class LeakListCommand(Verb):
    """List what leaked, and whether it still works.

    The newest first; every condition must hold, times are those of the report. The exposure goes from the report
    to the end of the credential, or until now. Until `lives_until` it lives, or something else of its identity or
    below that. `refused_since`: the ledger refuses all of that since then. `accepted_until`: from then on no verifier
    accepts any of it.
    """

    verb = "leak list"
    function = "leak.leak_verbs:list_"
    effect = READS
    view = LEAKS

    open_: bool = flag("--open", help="Only those that nobody has closed.")
    valid: bool = flag("--valid", help="Only those that still work.")
    source: str | None = opt(TEXT, "--source", help="Found there.")
    task: str | None = opt(TASK, "--task", help="Of this task.")
    since: int | None = opt(TIME, "--since", help="From TIME on (RFC 3339).")
    until: int | None = opt(TIME, "--until", help="Before TIME (RFC 3339).")
    limit: int | None = limit_opt()


class AdoptedSecretOptions(Declared):
    """The stated properties of an adopted secret."""

    owner: str | None = opt(OWNER, "--owner", help="Who answers for it.")
    place: str | None = opt(PLACE, "--place", help="Where it is kept, as 'vault kv/prod/github'.")
    purpose: str | None = opt(PURPOSE, "--purpose", help="What it is for.")
    agent: str | None = opt(AGENT, "--agent", help="Who uses it (default: the name of the secret).")
    expires: int | None = opt(TIME, "--expires", help="When it ends by itself (RFC 3339; default: never).")
    target: str | None = opt(TARGET, "--target", help="The target of the configuration that can end it.")
    reference: str | None = opt(
        REFERENCE, "--reference", help="What it is called there: a role, a key's id, an accessor."
    )


class AdoptAddCommand(AdoptedSecretOptions, Verb):
    """Adopt a standing secret that exists already: its fingerprint, its owner, place and purpose.

    The secret comes from standard input or a file, and nothing of it is kept but SHA-256. From then on it is found,
    reported and ended like whatever jitid has issued. With --from-file thousands are adopted at once, or none.
    """

    verb = "adopt add"
    function = "leak.adopt_verbs:add"
    view = Columns("jitid.adopt-add/1", "name id jti new already unverified event dry_run", single=True)

    name: str | None = optional_arg(ADOPTED_NAME, "[NAME]", help="The name of the secret, here.")
    sensitivity: str | None = opt(
        SENSITIVITY, "--sensitivity", help="low, moderate (default), high or critical."
    )
    prefix: str | None = opt(TEXT, "--prefix", help="How it begins, as far as that is no secret, as ghp_.")
    access_key_id: str | None = opt(
        ACCESS_KEY_ID, "--access-key-id", help="Of a key of AWS: the part that is no secret."
    )
    file: str | None = opt(FILE, "--file", help="A file with the secret; standard input if absent or `-`.")
    fingerprint: str | None = opt(
        TEXT, "--fingerprint", help="SHA-256 of the secret, instead of the secret.", metavar="HEX"
    )
    public_key: str | None = opt(
        FILE, "--public-key", help="A public key or a certificate, instead of a secret."
    )
    from_file: str | None = opt(FILE, "--from-file", help="Adopt all that FILE names; `-`: standard input.")
    as_: str | None = opt(
        choice("csv", "jsonl", metavar="FORM", label="form of a list"),
        "--as",
        help="csv or jsonl (default: by how FILE's name ends).",
    )
    dry_run: bool = dry_run_flag()


class AdoptShowCommand(Verb):
    """Tell everything about an adopted secret."""

    verb = "adopt show"
    function = "leak.adopt_verbs:show"
    effect = READS
    view = Columns("jitid.adopt-show/1", ADOPTED_FIELDS, single=True)

    name: str = arg(ADOPTED_NAME, "NAME", help="The name of an adopted secret.")


class AdoptChangeCommand(AdoptedSecretOptions, Verb):
    """Change what is known of adopted secrets: whose they are, where, and what ends them.

    What is stated takes the place of what was there. Whoever leaves hands them over so: what a disabled owner has ends.
    """

    verb = "adopt change"
    function = "leak.adopt_verbs:change"
    view = Columns("jitid.adopt-change/1", ADOPTED_FIELDS)

    names: tuple[str, ...] = args(ADOPTED_NAME, "NAME...", help="Names of adopted secrets.", required=True)
