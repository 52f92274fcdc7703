"""Verbs declared for `cli/setup`."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.operation.base import READS, Verb
from jitid.values.declaration import arg, args, flag, opt, optional_arg, opts
from jitid.values.field_types import COUNT, FILE, TEXT, URL, choice, number_within, texts
from jitid.values.text import quote


def _settings() -> Sequence[str]:
    from jitid.config.settings import SETTINGS

    return tuple(SETTINGS)


SETTING = texts(str, "KEY", {}, words=_settings)
SETTING_VALUE = texts(str, "VALUE", {}, "setting")
"""A value of the setting that the word before it names."""
_SHELL = choice("bash", "zsh", "fish", metavar="SHELL", label="shell that completes")
_SETTING = Columns("jitid.config/1", "key value", more="origin")
_WITH_ORIGIN = Columns("jitid.config/1", "key value origin")
# An unbounded number would not limit an agent.
_AGENT_LIMIT = number_within(1, 1_000)


class McpCommand(Verb):
    """Serve an agent on standard input and output, by the Model Context Protocol.

    The agent asks who it is (`whoami`), what it may do (`what_may_i_do`), for narrower identities for what it
    starts (`request_identity`), and hands them back (`hand_back`). It acts by the credential whose token is in
    FILE and gets no more than that one can delegate. A token never passes through the agent: it is told in
    which file it is.

    When standard input ends, or a TERM comes, what was given and not handed back is revoked, unless --keep.
    """

    verb = "mcp"
    function = "setup.mcp:mcp"
    only_formats = ("json",)

    token_file: str | None = opt(
        FILE,
        "--token-file",
        help="The token of the agent's own credential, read anew for each call.",
        env="JITID_PARENT_FILE",
    )
    most: int = opt(
        _AGENT_LIMIT, "--most", help="Give out at most N identities at a time (default 100).", absent=100
    )
    rate: int = opt(
        _AGENT_LIMIT,
        "--rate",
        help="Write to the ledger at most N times a second (default 5), and 10 N at once.",
        absent=5,
    )
    keep: bool = flag("--keep", help="At the end, leave alive what was given and not handed back.")


class ServeCommand(Verb):
    """Serve the authority over HTTP, or on a Unix socket.

    It says on standard error where it listens once it does. A TERM lets it finish what is in work and end with 0; a
    second one ends it at once. A HUP makes it read its certificate anew.
    """

    verb = "serve"
    function = "setup.serve:serve"
    only_formats = ()

    bind: str | None = opt(
        TEXT,
        "--bind",
        help="Listen there (default 127.0.0.1:8477, unless there is a socket); beyond loopback only with TLS.",
        metavar="HOST:PORT",
    )
    socket: str | None = opt(
        FILE, "--socket", help="Listen on a Unix socket; the kernel says who connects.", metavar="PATH"
    )
    socket_mode: str | None = opt(
        TEXT, "--socket-mode", help="The mode of that socket (default 0660).", metavar="MODE"
    )
    tls_cert: str | None = opt(FILE, "--tls-cert", help="The certificate, and those above it (PEM).")
    tls_key: str | None = opt(FILE, "--tls-key", help="Its private key (PEM), readable by its owner alone.")
    workers: int | None = opt(COUNT, "--workers", help="How many processes answer (default 1).")
    public_url: str | None = opt(
        URL, "--public-url", help="How clients reach it, where that is another address."
    )
    log_format: str | None = opt(
        choice("json", "text", "none", metavar="FMT"),
        "--log-format",
        help="How requests are logged: json (default), text or none.",
    )
    bootstrap: str | None = opt(
        FILE,
        "--bootstrap",
        help="Where there is no administrator yet: write into FILE, a new one, what lets the first one in.",
    )
    print_unit: bool = flag(
        "--print-unit", help="Print a hardened systemd service that runs this line, and serve nothing."
    )


class ConfigShowCommand(Verb):
    """Show the settings in force.

    Flags go before environment variables, then the project's file (.jitid.toml), the user's, and the
    system's.
    """

    verb = "config show"
    function = "setup.config_verbs:show"
    effect = READS
    view = _SETTING

    origin: bool = flag("--origin", help="Say where each value came from.")

    def shown_view(self) -> Columns:
        """Return the fields of settings, with --origin one more."""
        return _WITH_ORIGIN if self.origin else _SETTING


class ConfigGetCommand(Verb):
    """Print the value of one setting."""

    verb = "config get"
    function = "setup.config_verbs:get"
    effect = READS
    view = Columns("jitid.config/1", "key value origin", single=True)

    key: str = arg(SETTING, "KEY", help="The name of a setting.")


class ConfigSetCommand(Verb):
    """Write one setting to the user's file.

    With --profile it goes into that profile; with --config into that file. Everything else in the file, comments too,
    stays as it is, except comments within the value that is replaced. Keys of tables are written as
    floor.scope.PATTERN, floor.audience.AUD, algorithm.audience.AUD and oidc.ISSUER.FIELD.
    """

    verb = "config set"
    function = "setup.config_verbs:set_"

    key: str = arg(SETTING, "KEY", help="The name of a setting.")
    value: str = arg(SETTING_VALUE, "VALUE", help="Its new value.")


class ConfigUnsetCommand(Verb):
    """Take one setting out of the user's file.

    What another file or the default says counts from then on. With --profile it is taken out of that profile; with
    --config out of that file. An issuer of ID tokens as a whole is oidc.ISSUER. What is not set there is no error.
    """

    verb = "config unset"
    function = "setup.config_verbs:unset"

    key: str = arg(SETTING, "KEY", help="The name of a setting.")


class ConfigPathCommand(Verb):
    """Print the path of the user's file.

    It need not exist: `jitid config set` makes it.
    """

    verb = "config path"
    function = "setup.config_verbs:path"
    effect = READS
    view = Columns("jitid.config-path/1", "path", single=True)
    repairs_configuration = True


class CompletionShowCommand(Verb):
    """Print the completion script of a shell.

    For one session: eval "$(jitid completion show bash)", the same in zsh after `compinit`, and in fish
    jitid completion show fish | source. To keep it: jitid completion install.
    """

    verb = "completion show"
    function = "setup.completion:show"
    effect = READS

    shell: str = arg(_SHELL, "SHELL", help="bash, zsh or fish.")


class CompletionInstallCommand(Verb):
    """Put completions and man pages where shells and `man` look for them.

    For this user alone, in the folders of the XDG specification, and for the shells that are installed. What
    is left to do is said on standard error. Doing it again brings the files up to date.
    """

    verb = "completion install"
    function = "setup.completion:install"
    view = Columns("jitid.completion-install/1", "for path state")

    shell: tuple[str, ...] = opts(
        _SHELL,
        "--shell",
        help="bash, zsh or fish; repeatable (default: those that are installed).",
    )


class HelpCommand(Verb):
    """Show the help of a verb, or a topic.

    Topics: author, operator, responder, governor, fleet, scopes, kinds, targets, options, exit-codes, environment.
    """

    verb = "help"
    function = "setup.help:help_"
    effect = READS
    only_formats = ()
    repairs_configuration = True

    words: tuple[str, ...] = args(TEXT, "[VERB|TOPIC]...", help="A verb, or a topic.")


def _examples() -> Sequence[str]:
    from jitid.cli.help_text import EXAMPLES

    return tuple(EXAMPLES)


def _example(value: str) -> str:
    from jitid.cli.help_text import EXAMPLES

    if value not in EXAMPLES:
        raise UsageError(f"there is no example {quote(value)}", f"choose one of: {', '.join(EXAMPLES)}")
    return value


class ExampleCommand(Verb):
    """Print an example to copy: a verifier, alert rules, units.

    Without a name, list the examples.
    """

    verb = "example"
    function = "setup.example:example"
    effect = READS
    view = Columns("jitid.example/1", "example about")

    name: str | None = optional_arg(
        texts(_example, "NAME", {}, words=_examples), "[NAME]", help="The name of an example."
    )


class VersionCommand(Verb):
    """Show the version of jitid."""

    verb = "version"
    function = "setup.help:version"
    effect = READS
    view = Columns("jitid.version/1", "version python", single=True)
