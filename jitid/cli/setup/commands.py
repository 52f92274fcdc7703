"""Verbs declared for `cli/setup`."""

from __future__ import annotations

from collections.abc import Sequence

from jitid.errors import UsageError
from jitid.formats.columns import Columns
from jitid.model.types import TASK
from jitid.operation.base import IDEMPOTENT, READS, Verb, dry_run_flag
from jitid.values.declaration import arg, args, flag, opt, optional_arg, opts
from jitid.values.field_types import (
    AGENT,
    AUDIENCE,
    COUNT,
    DELEGATOR,
    DURATION,
    FILE,
    SCOPE,
    TEMPLATE,
    TEXT,
    URL,
    choice,
    number_within,
    texts,
)
from jitid.values.scope import Scope
from jitid.values.text import quote


def _settings() -> Sequence[str]:
    from jitid.config.settings import SETTINGS

    return tuple(SETTINGS)


SETTING = texts(str, "KEY", {}, words=_settings)
SETTING_VALUE = texts(str, "VALUE", {}, "setting")
"""A value of the setting that the word before it names."""
_SHELL = choice("bash", "zsh", "fish", metavar="SHELL", label="shell")
_SETTING = Columns("jitid.config/1", "key value", more="origin")
_WITH_ORIGIN = Columns("jitid.config/1", "key value origin")
CLIENT = choice(
    "claude-code",
    "codex",
    "opencode",
    "gemini",
    "copilot",
    "cursor",
    "vscode",
    "mcp",
    "git",
    "gh",
    "aws",
    "kube",
    metavar="CLIENT",
    label="client",
)
_CLIENTS = Columns("jitid.setup-list/1", "client state installed path")
_CHANGES = Columns("jitid.setup/1", "client path state", more="diff")
_AMBIENT = Columns("jitid.setup-check/1", "client kind name effect about")
# An unbounded number would not limit an agent.
_AGENT_LIMIT = number_within(1, 1_000)


class McpCommand(Verb):
    """Serve an agent over the Model Context Protocol (stdio).

    The agent's client starts it, within `jitid run` or in a session (`jitid setup`). Setup in most clients:
    {"mcpServers": {"jitid": {"command": "jitid", "args": ["mcp"]}}}.

    Tools of the agent: `whoami`, `what_may_i_do`, `request_identity` and
    `hand_back`. They act with the agent's own token, in FILE, and delegate within its rights. New tokens are
    written to files; the agent gets only their paths.

    At the end of standard input, or on SIGTERM, identities that were not handed back are revoked.
    """

    verb = "mcp"
    function = "setup.mcp:mcp"
    only_formats = ("json",)
    unattended = True

    token_file: str | None = opt(
        FILE,
        "--token-file",
        help="File with the agent's own token, read at each call.",
        env="JITID_PARENT_FILE",
    )
    most: int = opt(
        _AGENT_LIMIT, "--most", help="Maximum number of identities at a time (default 100).", absent=100
    )
    rate: int = opt(
        _AGENT_LIMIT,
        "--rate",
        help="Ledger writes a second (default 5); 10 times as many at once.",
        absent=5,
    )
    keep: bool = flag("--keep", help="Do not revoke identities at the end.")


class ServeCommand(Verb):
    """Serve the authority over HTTP, or on a Unix socket.

    Prints its address on standard error once it listens. SIGTERM finishes the current requests and exits with 0; a
    second SIGTERM stops at once. SIGHUP reloads the certificate.
    """

    verb = "serve"
    function = "setup.serve:serve"
    only_formats = ()

    bind: str | None = opt(
        TEXT,
        "--bind",
        help="Listen on this address (default 127.0.0.1:8477 without --socket); beyond loopback, TLS is required.",
        metavar="HOST:PORT",
    )
    socket: str | None = opt(
        FILE, "--socket", help="Listen on a Unix socket; the kernel identifies callers.", metavar="PATH"
    )
    socket_mode: str | None = opt(
        TEXT, "--socket-mode", help="Mode of the socket (default 0660).", metavar="MODE"
    )
    tls_cert: str | None = opt(FILE, "--tls-cert", help="Server certificate with its chain (PEM).")
    tls_key: str | None = opt(FILE, "--tls-key", help="Private key (PEM), readable by its owner only.")
    workers: int | None = opt(COUNT, "--workers", help="Number of server processes (default 1).")
    public_url: str | None = opt(URL, "--public-url", help="Address for clients, if it differs.")
    log_format: str | None = opt(
        choice("json", "text", "none", metavar="FMT"),
        "--log-format",
        help="Log of requests: json (default), text or none.",
    )
    bootstrap: str | None = opt(
        FILE,
        "--bootstrap",
        help="Write a bootstrap access token to a new FILE, if there is no administrator yet.",
    )
    print_unit: bool = flag("--print-unit", help="Print a hardened systemd unit for this command, and exit.")


class SetupCommand(Verb):
    """Hook up a client: Claude Code, Codex, git, kubectl and others.

    Writes the client's own configuration, so that it gets tokens from jitid: a command for its key, hooks, MCP servers,
    a credential helper. Shows the changes as a diff; at a terminal it requests confirmation. Without CLIENT, list the
    clients and their state. --undo restores an unchanged file byte for byte; from a changed one it removes only the
    entries of jitid. No secret is written or copied.

    Such as: `jitid setup claude-code --gateway https://llm.example`. For the API of a vendor no gateway is required:
    `jitid run --task T1 --delegator NAME --for anthropic -- claude`; see `jitid federate --help`.
    """

    verb = "setup"
    function = "setup.client_setup:setup"
    effect = IDEMPOTENT
    view = _CLIENTS

    client: str | None = optional_arg(
        CLIENT,
        "[CLIENT]",
        help="Client: claude-code, codex, opencode, gemini, copilot, cursor, vscode, mcp, git, gh, aws or kube.",
    )
    dry_run: bool = dry_run_flag()
    undo: bool = flag("--undo", help="Remove the entries of jitid.")
    check: bool = flag("--check", help="Report credentials that bypass jitid; exit 10 if any.")
    yes: bool = flag("--yes", "-y", help="Write without confirmation.")
    gateway: str | None = opt(
        URL,
        "--gateway",
        help="Gateway to models that accepts the tokens. For claude-code, codex, opencode, copilot.",
    )
    audience: str | None = opt(
        AUDIENCE,
        "--audience",
        help="Audience of the tokens (default: the gateway or host). Also for git and kube.",
    )
    mcp: tuple[str, ...] = opts(
        TEXT,
        "--mcp",
        metavar="NAME=URL",
        help="MCP server that accepts tokens; repeatable. For all agents, and mcp.",
    )
    tools: bool = flag(
        "--tools",
        help="Add the tools of `jitid mcp`. For claude-code, codex, opencode; the others always get them.",
    )
    host: tuple[str, ...] = opts(TEXT, "--host", metavar="HOST", help="Server, for git; repeatable.")
    template: str | None = opt(
        TEMPLATE, "--template", help="Template of sessions, or TARGET/TEMPLATE, for aws."
    )
    name: str | None = opt(
        TEXT, "--name", metavar="NAME", help="Name of the entry, such as an AWS profile (default: jitid)."
    )
    project: bool = flag(
        "--project",
        help="Write the files of the current folder, not the user's. "
        "For claude-code, codex, opencode, gemini, copilot, cursor, vscode and git.",
    )
    task: str | None = opt(TASK, "--task", "-t", help="Task, written into the helper's line.")
    delegator: str | None = opt(DELEGATOR, "--delegator", "-d", help="Delegator, written into the line.")
    agent: str | None = opt(AGENT, "--agent", "-a", help="Agent, written into the line.")
    scope: tuple[Scope, ...] = opts(SCOPE, "--scope", "-s", help="Scope, written into the line; repeatable.")
    ttl: int | None = opt(DURATION, "--ttl", help="Lifetime of tokens, written into the line.")
    parent_file: str | None = opt(FILE, "--parent-file", help="File with the parent's token, for the line.")

    def shown_view(self) -> Columns:
        """Return the fields of the output: of clients, of changes or of credentials."""
        if self.check:
            return _AMBIENT
        return _CLIENTS if self.client is None else _CHANGES

    def may_page(self) -> bool:
        """Return whether a terminal shows a long diff in a pager; the question comes after it."""
        return True

    def may_change(self) -> bool:
        """Return whether this line may change a file."""
        return self.client is not None and not (self.check or self.dry_run)


class ConfigShowCommand(Verb):
    """Show the effective settings.

    Flags take precedence over environment variables, then the project's file (.jitid.toml), the user's file
    and the system's file.
    """

    verb = "config show"
    function = "setup.config_verbs:show"
    effect = READS
    view = _SETTING

    origin: bool = flag("--origin", help="Show the origin of each value.")

    def shown_view(self) -> Columns:
        """Return the fields of settings, with --origin one more."""
        return _WITH_ORIGIN if self.origin else _SETTING


class ConfigGetCommand(Verb):
    """Print the value of one setting."""

    verb = "config get"
    function = "setup.config_verbs:get"
    effect = READS
    view = Columns("jitid.config/1", "key value origin", single=True)

    key: str = arg(SETTING, "KEY", help="Name of a setting.")


class ConfigSetCommand(Verb):
    """Write one setting to the user's file.

    --profile writes to that profile, --config to that file. The rest of the file stays unchanged, comments included,
    except comments within the replaced value. Keys of tables: floor.scope.PATTERN, floor.audience.AUD,
    algorithm.audience.AUD, oidc.ISSUER.FIELD and federate.NAME.FIELD.
    """

    verb = "config set"
    function = "setup.config_verbs:set_"

    key: str = arg(SETTING, "KEY", help="Name of a setting.")
    value: str = arg(SETTING_VALUE, "VALUE", help="New value.")


class ConfigUnsetCommand(Verb):
    """Remove one setting from the user's file.

    Then the value of another file, or the default, is effective. --profile removes it from that profile, --config from
    that file. To remove an issuer of ID tokens: oidc.ISSUER. A missing setting is not an error.
    """

    verb = "config unset"
    function = "setup.config_verbs:unset"

    key: str = arg(SETTING, "KEY", help="Name of a setting.")


class ConfigPathCommand(Verb):
    """Print the path of the user's file.

    The file need not exist: `jitid config set` creates it.
    """

    verb = "config path"
    function = "setup.config_verbs:path"
    effect = READS
    view = Columns("jitid.config-path/1", "path", single=True)
    repairs_configuration = True


class CompletionShowCommand(Verb):
    """Print the completion script of a shell.

    For one session in bash, and in zsh after `compinit`: eval "$(jitid completion show bash)". In fish:
    jitid completion show fish | source. For all sessions: jitid completion install.
    """

    verb = "completion show"
    function = "setup.completion:show"
    effect = READS

    shell: str = arg(_SHELL, "SHELL", help="bash, zsh or fish.")


class CompletionInstallCommand(Verb):
    """Install completions and man pages for this user.

    Writes to the folders of the XDG specification, for the installed shells. Remaining steps are printed on
    standard error. Repeat the command to update the files.
    """

    verb = "completion install"
    function = "setup.completion:install"
    view = Columns("jitid.completion-install/1", "for path state")

    shell: tuple[str, ...] = opts(
        _SHELL,
        "--shell",
        help="bash, zsh or fish; repeatable (default: installed shells).",
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
    """Print an example to copy: a verifier, CI jobs, alert rules, units.

    Without a name, list the examples.
    """

    verb = "example"
    function = "setup.example:example"
    effect = READS
    view = Columns("jitid.example/1", "example about")

    name: str | None = optional_arg(
        texts(_example, "NAME", {}, words=_examples), "[NAME]", help="The name of an example."
    )


def _federations() -> Sequence[str]:
    from jitid.model.vendor import VENDORS

    return tuple(VENDORS)


class FederateCommand(Verb):
    """Show the configuration for a vendor that exchanges jitid's tokens.

    NAME is a vendor, or a table [federate.NAME] of the configuration: anthropic and openai (rule, organization,
    service_account, ...), google (provider), azure (tenant, client), aws (role). Without NAME, list them. The output
    has the issuer, its keys, the audience, the rule for `sub`, and the lifetime of exchanged tokens. `run --for NAME`
    gives a command the tokens. --check verifies a token as the vendor would; exit status 8: the vendor refuses it.
    """

    verb = "federate"
    function = "setup.federate:federate"
    effect = READS
    view = Columns(
        "jitid.federate/1",
        "name vendor issuer audience algorithm jwks_uri subject template claims required token_lifetime "
        "exchanged_lifetime missing settings variables hidden warnings jwks",
        single=True,
    )
    listed = Columns(
        "jitid.federations/1",
        "name vendor audience lifetime configured missing subject",
        brief="name vendor audience configured missing",
    )

    name: str | None = optional_arg(
        texts(str, "NAME", {}, words=_federations), "[NAME]", help="A vendor, or a table [federate.NAME]."
    )
    check: str | None = opt(FILE, "--check", help="Verify this token as the vendor would (`-`: stdin).")
    delegator: str | None = opt(DELEGATOR, "--delegator", "-d", help="The delegator in the rule for `sub`.")
    agent: str | None = opt(AGENT, "--agent", "-a", help="The agent in the rule for `sub`.")

    def shown_view(self) -> Columns:
        """Return the fields of one vendor, or of the list."""
        return self.listed if self.name is None else self.view


class VersionCommand(Verb):
    """Show the version of jitid."""

    verb = "version"
    function = "setup.help:version"
    effect = READS
    repairs_configuration = True
    view = Columns("jitid.version/1", "version python", single=True)
