"""What the man pages tell besides the help and the examples: words, forms, files, and how each verb can end."""

from __future__ import annotations

from collections.abc import Mapping

from jitid.commands import audit, config, inspect, keys, requesting, revoke, rows, task, tree
from jitid.errors import ExitStatus

WHAT_IT_IS = (
    "An AI agent starts, does one task for somebody, and is gone. jitid gives it an identity when it starts and takes "
    "it away when the task ends: a short-lived, scoped credential that says who acts, for whom, for what, with which "
    "rights and until when. A ledger remembers every credential that was ever issued, never the secret.",
    "There is nothing to set up: the first `jitid issue` makes the ledger, a signing key and a policy, and says so on "
    "standard error.",
)

WORDS: Mapping[str, str] = {
    "task": "The unit of work, named by its user. Its first issue fixes purpose, sensitivity (low, moderate, high or "
    "critical) and deadline. The name of a task that has ended is never used again.",
    "delegator": "Who asks: `user:alice`, `system:ci`, or an agent through its own credential. A bare name means "
    "`user:`. It is a claim unless it is proved.",
    "agent": "Who acts.",
    "identity": "One agent on one task for one delegator, with an id that begins with `jid_`. Identities delegate to "
    "identities, and so they form trees.",
    "credential": "What the agent holds: a token of kind `jwt` or `opaque`, with an id that begins with `jti_`, with "
    "scopes, audiences and an expiry.",
    "scope": "A right, as segments between colons. A segment may be or end in `*`. The number of segments counts: "
    "`repo:*` covers `repo:acme`, and not `repo:acme:read`.",
}

FORMS = (
    "Names have 1 to 128 ASCII letters, digits and characters of `._@:/+-`. Durations are written as `90s`, `15m`, "
    "`1h30m` or `2d`; a number alone is seconds. Times are those of RFC 3339, as `2026-11-24T12:00:00Z`; in claims and "
    "in the fields of RFC 7662 they are integers.",
    "A secret comes from a file or from standard input, never from the command line. `-` in the place of a file is "
    "standard input.",
)

OUTPUT = (
    "Data goes to standard output, talk to standard error. On a terminal there are tables; elsewhere there are "
    "tab-separated lines, not cut off and without a header. `json` is one document with a member `schema`, `jsonl` one "
    "object a line, `csv` has a header and is safe to open in a spreadsheet. With --field there is one value a line. "
    "The names of fields are a stable interface; each verb's page lists them.",
    "In tables, lines and messages, characters that act on a terminal or hide in it are shown as escapes. JSON gives "
    "every text back unchanged.",
    "An error is a sentence and perhaps a hint. With a JSON format it is one line of JSON, with the members `code`, "
    "`message`, `hint` and `retryable` inside `error`.",
)

TOKENS = (
    "A `jwt` is a compact JWS of type `at+jwt` (RFC 9068), signed with Ed25519, or with P-256 for audiences that the "
    "configuration says. Claims: `sub` is the root delegator; `act` is the agent that acts now, with earlier ones "
    "nested inside (RFC 8693); `client_id` is the agent's name; `txn` is the task; `delegator_proof` says how the "
    "delegator was proved; `jitid` holds purpose, sensitivity and depth; `authorization_details` stands where some "
    "were given (RFC 9396).",
    "An `opaque` token is `jitid_`, 32 random characters and a checksum of 6. Only the ledger can say what it is.",
)

ENVIRONMENT: Mapping[str, str] = {
    "JITID_CONFIG": "The user's configuration file, which must then exist.",
    "JITID_PROFILE": "The profile to lay over the configuration.",
    "HOME": "The home folder, where the default places are.",
    "XDG_CONFIG_HOME": "The folder of the user's configuration instead of ~/.config/.",
    "XDG_DATA_HOME": "The folder of the default ledger instead of ~/.local/share/.",
    "XDG_CONFIG_DIRS": "The folders of the system's configuration instead of /etc/xdg/.",
    "NO_COLOR": "No colours, whatever the terminal.",
    "FORCE_COLOR": "Colours, whatever the terminal; `0` means nothing.",
    "TERM": "No colours if it is `dumb`.",
    "COLUMNS": "How wide tables are drawn.",
}
"""Variables that are no setting's and no option's of a verb."""

NO_VARIABLE = (
    "What ends credentials never comes from a variable: neither a selection nor --yes, --max or --accept-clock."
)

CONFIGURATION = (
    "A value comes from the first of these that has it: the command line, the environment, the project's file, the "
    "user's file, the system's files, the default. `jitid config show` tells each value, with --origin where it came "
    "from. Files are TOML; a table `[profile.NAME]` lays over its own file. A file that others may write is refused.",
    "A project's file comes with other people's code. It may name the work and make it stricter; what it may not say "
    "makes it unheeded as a whole, with a warning.",
)

TABLES = (
    "Besides the settings there are tables, in the user's and the system's files only: the least sensitivity of what "
    "a scope or an audience touches (see jitid-policy(7)), the algorithm for an audience, and the issuers whose ID "
    "tokens prove a delegator. `jwks` is a file or an https address, `audience` is what the issuer writes for us, "
    "`claim` names the delegator (`sub` unless set), `kind` is `user` or `system`."
)

EXAMPLE_CONFIGURATION = """[floor.scope]
"prod:*" = "high"

[floor.audience]
"https://payments.example" = "critical"

[algorithm.audience]
"https://aws.example" = "ES256"

[oidc."https://token.actions.example"]
jwks = "https://token.actions.example/.well-known/jwks"
audience = "jitid"
kind = "system"
"""

FILES: Mapping[str, str] = {
    "~/.local/share/jitid/": "Ledger, keys, policy and lock, unless --ledger says otherwise; see jitid-ledger(5).",
    "~/.config/jitid/config.toml": "The user's configuration.",
    ".jitid.toml": "A project's configuration, in the working directory or the nearest folder above it that has one, "
    "up to the home folder.",
    "/etc/xdg/jitid/config.toml": "The system's configuration.",
}

ELSEWHERE = "On systems other than Linux these are the platform's own folders."

STANDARDS = (
    "RFC 3339 (times), RFC 7515 and RFC 7519 (tokens), RFC 7517 (key sets), RFC 7662 (names of what `inspect` tells), "
    "RFC 8037 (Ed25519), RFC 8693 (actors), RFC 9068 (access tokens), RFC 9396 (authorization details), RFC 9562 (ids)."
)

STATUSES: Mapping[ExitStatus, str] = {
    ExitStatus.OK: "Done; also what was so already.",
    ExitStatus.BUG: "An internal error: a bug, never an answer.",
    ExitStatus.USAGE: "The command line, the configuration or the policy cannot be used, or the ledger has a newer "
    "schema.",
    ExitStatus.NOT_FOUND: "Not found.",
    ExitStatus.DENIED: "Denied by the policy.",
    ExitStatus.STORAGE: "Storage: no ledger, or one that is busy, full or out of reach; may be tried again.",
    ExitStatus.REFUSED: "The ledger refuses this user.",
    ExitStatus.INTEGRITY: "Integrity: a damaged ledger, audit chain or key, loose permissions, a clock that jumped.",
    ExitStatus.INVALID: "The credential is not valid.",
    ExitStatus.PARTIAL: "Partly done; the output says what is not.",
    ExitStatus.FINDINGS: "Findings.",
    ExitStatus.INCOMPLETE: "Something was not examined.",
    ExitStatus.OUTPUT: "The output could not be written; what was just made is revoked.",
}

OF_RUN: Mapping[str, str] = {
    "124": "The command was ended when its time was over.",
    "125": "The identity was refused, or could not be made; the command was not started.",
    "126": "The command cannot be executed.",
    "127": "The command was not found.",
}

_LEDGER = {5: "", 6: "", 7: ""}
_SHOWN = {74: "The output could not be written."}
_LOOKS: Mapping[int, str] = {0: "Done.", 2: "", **_LEDGER, **_SHOWN}
_SETTINGS: Mapping[int, str] = {0: "Done.", 2: "", **_SHOWN}

ENDS: Mapping[str, Mapping[int, str]] = {
    "issue": {
        0: "The token was handed out.",
        2: "",
        4: "The policy, the parent's grant or the end of the task refuses it.",
        **_LEDGER,
        8: "The parent's token or the ID token is not valid.",
        9: "Many were asked for, and only the first of them were issued.",
        74: "The token could not be written; the credential was revoked.",
    },
    "renew": {
        0: "The file holds the new token.",
        2: "",
        4: "The policy refuses it.",
        **_LEDGER,
        8: "The token is not valid.",
        74: "The token could not be written; the credential was revoked.",
    },
    "trace": {0: "Done.", 2: "", 3: "Nothing that this ledger issued is there.", **_LEDGER, **_SHOWN},
    "doctor": {0: "All is well.", 2: "", **_LEDGER, **_SHOWN},
    "completion install": {0: "Done.", 2: "", 74: "A file could not be written."},
    "completion show": _SETTINGS,
    "verify": {0: "The token is valid.", 2: "", **_LEDGER, 8: "The token is not valid."},
    "inspect": {
        0: "It is told, dead or alive.",
        2: "",
        3: "No such id was ever issued.",
        **_LEDGER,
        8: "The token is malformed or forged, or this ledger did not issue it.",
        **_SHOWN,
    },
    "list": {0: "Done, also if nothing matches.", 2: "", 3: "The id after --after is unknown.", **_LEDGER, **_SHOWN},
    "tree": {**_LOOKS, 3: "An id or a task is unknown."},
    "revoke": {
        0: "They have ended, now or before.",
        2: "Nothing is selected, or more than --max would end, or the command line cannot be meant; nothing was changed.",
        3: "An id is unknown, or the selection matches nothing, dead or alive.",
        **_LEDGER,
        8: "A token is malformed or forged, or this ledger did not issue it.",
        74: "They have ended, and the output could not be written.",
    },
    "retire": {
        0: "The task has ended, now or before.",
        2: "",
        3: "There never was such a task.",
        **_LEDGER,
        74: "The task has ended, and the output could not be written.",
    },
    "task list": {**_LOOKS, 3: "The task after --after is unknown."},
    "task show": {**_LOOKS, 3: "There never was such a task."},
    "audit log": _LOOKS,
    "audit head": _LOOKS,
    "audit verify": {
        0: "It holds.",
        2: "",
        **_LEDGER,
        7: "It does not hold, or the head cannot be trusted; also loose permissions.",
        **_SHOWN,
    },
    "audit export": _LOOKS,
    "keys list": _LOOKS,
    "keys rotate": {**_LOOKS, 74: "The new key signs, and the output could not be written."},
    "keys revoke": {
        0: "The key is revoked, now or before.",
        2: "More than --max would end, or the command line cannot be meant; nothing was changed.",
        3: "This ledger never had such a key; or, with --dry-run, it has signed nothing.",
        **_LEDGER,
        74: "The key is revoked, and the output could not be written.",
    },
    "keys jwks": _LOOKS,
    "config show": _SETTINGS,
    "config get": {**_SETTINGS, 3: "The setting has no value."},
    "config set": {0: "Done.", 2: "", 74: "The file could not be written, and is as it was."},
    "config path": _SETTINGS,
}
"""Verb -> how it can end, besides by a bug or a signal; without a sentence of its own it is the general one."""

FIELDS: Mapping[str, tuple[str, ...]] = {
    "issue": requesting.FIELDS,
    "inspect": inspect.FIELDS,
    "list": (*rows.CREDENTIAL, "left"),
    "tree": tree.FIELDS,
    "revoke": revoke.FIELDS,
    "retire": revoke.FIELDS,
    "task list": task.FIELDS,
    "task show": task.FIELDS,
    "audit log": audit.LOG,
    "audit verify": audit.VERIFIED,
    "keys list": keys.FIELDS,
    "keys rotate": keys.ROTATED,
    "keys revoke": keys.REVOKED,
    "config show": ("key", "value"),
    "config get": ("key", "value", "origin"),
}
"""Verb -> the fields of what it shows."""

MORE: Mapping[str, tuple[str, ...]] = {
    "issue": (
        "The first issue on a task fixes its purpose, its sensitivity and its deadline; a later one that states "
        "another value is an error. Without --scope the credential holds the identity alone. What is too long a life "
        "is shortened, with a note. One refused scope refuses all, unless --allow-narrower is given.",
        "With --parent-file, task and audiences are the parent's unless they are stated, and nothing can be more than "
        "the parent holds: scopes, audiences, details and expiry. The delegator is then the parent's: JITID_DELEGATOR "
        "is not heeded, and --delegator is an error.",
        "A line of --from-file is an object with the members `task`, `delegator`, `agent`, `kind`, `scope`, "
        "`audience`, `ttl`, `purpose`, `sensitivity`, `deadline` and `detail`; what it leaves out is as on the command "
        "line. A thousand credentials are one transaction: of the one that holds a bad line, nothing is done.",
    ),
    "verify": (
        "Without --audience it must be meant for one of those that the setting `audience` names, or for the ledger's "
        "issuer where that is not set.",
    ),
    "list": ("The field `left`, how long it still lives, is shown on a terminal, and wherever --field asks for it.",),
    "revoke": (
        "A jti or an id ends its whole identity. At a terminal, more than --max is asked about instead of refused. "
        "An empty value or an empty list is an error and never means everything. Verifiers that do not ask the ledger "
        "honour a signed token until it expires; the preview and the answer say until when that is.",
    ),
    "retire": ("There is no limit to how many end with a task: look with --dry-run first.",),
    "audit log": ("With --members there is the field `members` too.",),
    "audit verify": (
        "The chain alone cannot tell a history that was rewritten from its beginning, or from some event on: for that "
        "a head is needed that was kept where the writer of the ledger cannot reach it. jitid-promises(7) tells what "
        "is not found.",
    ),
    "keys revoke": ("With --dry-run the fields are those of jitid-revoke(1).",),
    "keys jwks": (
        "A verifier with these keys needs no ledger, and does not learn of a revocation: it honours a token until it "
        "expires.",
    ),
    "config show": ("With --origin there is the field `origin` too.",),
}
"""Verb -> paragraphs that follow those of the help."""
