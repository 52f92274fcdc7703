"""The global options, accepted before and after every verb."""

from __future__ import annotations

from jitid.values.declaration import Declared, flag, opt
from jitid.values.field_types import FILE, FOLDER, NAME, TEXT


class GlobalOptions(Declared):
    """The options of every verb. Each is an attribute of `Invocation` with the same name."""

    config_file: str | None = opt(
        FILE, "--config", help="Use FILE as the user's configuration. [env var: JITID_CONFIG]"
    )
    profile: str | None = opt(
        NAME, "--profile", help="Let [profile.NAME] overlay the configuration. [env var: JITID_PROFILE]"
    )
    ledger: str | None = opt(
        FOLDER, "--ledger", metavar="URL", help="The folder of ledger and keys. [env var: JITID_LEDGER]"
    )
    remote: str | None = opt(
        FOLDER,
        "--remote",
        metavar="URL",
        help="Ask the authority at URL: https://HOST, unix:///PATH. [env var: JITID_REMOTE]",
    )
    credential_file: str | None = opt(
        FILE,
        "--credential-file",
        help="The credential to ask it with. [env var: JITID_REMOTE_CREDENTIAL_FILE]",
    )
    credential_fd: str | None = opt(
        TEXT, "--credential-fd", metavar="N", help="Read that credential from descriptor N."
    )
    format: str | None = opt(
        TEXT, "--format", metavar="FMT", help="table, tsv, json, jsonl or csv. [env var: JITID_FORMAT]"
    )
    field: str | None = opt(NAME, "--field", help="Print this field only, one value a line.")
    timeout: str | None = opt(
        TEXT,
        "--timeout",
        metavar="DURATION",
        help="Stop waiting after this time in all. [env var: JITID_TIMEOUT]",
    )
    no_color: bool = flag("--no-color", help="No colours, whatever the terminal.")
    quiet: bool = flag("--quiet", "-q", help="No notes on standard error.")
    verbose: bool = flag("--verbose", "-v", help="Tell more on standard error.")
    debug: bool = flag("--debug", help="Show where an internal error comes from.")
    no_input: bool = flag("--no-input", help="Never ask a question.")
    accept_clock: bool = flag("--accept-clock", help="Believe a clock that has jumped; audited.")
