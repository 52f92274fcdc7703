"""The global options, and their effect on every verb: configuration, messages on standard error, and output."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jitid.errors import ConfigurationError, UsageError
from jitid.system import output, time_limit
from jitid.values.declaration import Declared, flag, opt, opts
from jitid.values.field_types import FILE, FOLDER, NAME, TEXT
from jitid.values.text import quote, safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from jitid.config.effective import Config
    from jitid.formats.columns import Columns
    from jitid.formats.display import Display


_PIPE = " | "
_WITHOUT_LEDGER = (
    "help",
    "version",
    "completion",
    "example",
    "access grant",
    "approve grant",
    "approve deny",
)
"""Words of verbs that read no ledger, or that another person uses."""


class GivenOption:
    """An option that a command line gives."""

    def __init__(self, metavar: str | None, value: object) -> None:
        self.metavar = metavar
        """Placeholder of the value in the help; None for a flag."""
        self.value = value


class Invocation:
    """The global options of one command line, given before or after the verb; the last one given counts."""

    def __init__(self) -> None:
        self.config_file: str | None = None
        self.profile: str | None = None
        self.ledger: str | None = None
        self.remote: str | None = None
        self.credential_file: str | None = None
        self.credential_fd: str | None = None
        self.format: str | None = None
        self.field: tuple[str, ...] = ()
        """The only fields to show; empty for all."""
        self.json = False
        """Whether `--json` requests the format json."""
        self.timeout: str | None = None
        self.no_pager = False
        self.no_color = False
        self.quiet = False
        self.verbose = False
        self.debug = False
        self.no_input = False
        """Never prompt: a question without an answer is a usage error."""
        self.accept_clock = False
        """Whether the ledger's time mark may be lowered to the clock."""
        self.from_environment: frozenset[str] = frozenset()
        """Names of the verb's parameters that came from environment variables."""
        self.stated: frozenset[str] = frozenset()
        """Names of the verb's parameters that the line or an environment variable states."""
        self.status = 0
        """Exit status if no error was raised: the status of a command that was run, or of a verdict."""
        self.changes = False
        """Whether the parsed line may change data. If so, a broken output pipe is always reported."""
        self.runs_command = False
        """Whether the verb runs a command. Errors before the command starts then have status 125 or more."""
        self.is_hook = False
        """Whether the verb is a hook, which never has the status 2."""
        self.unattended = False
        """Whether another program runs the verb, in a folder or with variables that the user may not know."""
        self.read_line: Callable[[Sequence[str]], Mapping[str, GivenOption]] | None = None
        """Parser of another line of jitid, which runs nothing: set by `main.run`."""
        self.special_format: str | None = None
        """The format of the verb's own that `--format` requests, if any; `format` is then None."""
        self._config: Config | None = None

    def config(self) -> Config:
        """Return the configuration in force, read once. Raises ConfigurationError."""
        if self._config is None:
            from jitid.config.effective import load

            self._config = load(
                file=self.config_file,
                profile=self.profile,
                flags=self._flags(),
                unattended=self.unattended,
            )
            self._config.credential_fd = self._descriptor()
            if self.unattended:
                self._refuse_foreign_authority(self._config)
            if self.credential_file is not None and self._config.remote is None:
                raise UsageError("--credential-file requires a remote", "add --remote URL, or omit it")
            self._config.warn = self.warn
            for warning in self._config.warnings:
                self.warn(warning)
            self.bind_time()
        return self._config

    def _refuse_foreign_authority(self, config: Config) -> None:
        """Raise UsageError if a project's variable chose the authority to which a hook or helper sends secrets."""
        if config.remote is None or config.is_trusted("remote"):
            return
        from jitid.capabilities.session.foreign_identity import is_foreign_authority

        authority, origin = quote(config.remote, 200), config.origin("remote")
        variable = origin.removeprefix("environment ") if origin.startswith("environment ") else None
        if is_foreign_authority(config.remote, variable, os.environ):
            raise UsageError(
                f"the authority {authority} ({safe(origin)}) gets nothing from hooks, helpers and `jitid mcp`: the "
                "client did not start with that value; nothing was sent",
                "name the authority on the line: --remote ADDRESS",
            )

    def config_with(self, settings: Mapping[str, str]) -> Config:
        """Return the configuration with other values of settings. Raises ConfigurationError."""
        from jitid.config.effective import load

        return load(
            file=self.config_file,
            profile=self.profile,
            flags={**self._flags(), **settings},
            unattended=self.unattended,
        )

    def bind_time(self) -> None:
        """Bound all waiting of the command, from now on, by the timeout if one is stated.

        Without a timeout, each wait has its default limit.
        """
        config = self.config()
        if config.origin("timeout") != "default":
            time_limit.bound(config.number("timeout"))

    def try_config(self) -> ConfigurationError | None:
        """Read the configuration. If it is invalid, go on without its files and return the error.

        Raises UsageError for an invalid flag.
        """
        try:
            self.config().check_guard_rails()
        except ConfigurationError as error:
            from jitid.config.effective import without_files

            self._config = without_files(self._flags())
            return error
        return None

    def _descriptor(self) -> int | None:
        text = self.credential_fd
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 6):
            raise UsageError(
                "--credential-fd is the number of a descriptor", "such as --credential-fd 3 3<FILE"
            )
        if self.credential_file is not None:
            raise UsageError("--credential-fd and --credential-file are two credentials", "give one of them")
        return int(text)

    def _flags(self) -> dict[str, str | None]:
        return {
            "ledger": self.ledger,
            "remote": self.remote,
            "remote_credential_file": self.credential_file,
            "format": self.format,
            "timeout": self.timeout,
        }

    def format_name(self) -> str | None:
        """Return the format of the flag, the environment or the configuration; None leaves it to the terminal."""
        return self.config().text("format")

    def own_format(self, special_formats: tuple[str, ...]) -> str | None:
        """Return the verb's special format that `--format` requests; None without the flag or for a general format.

        Raises UsageError for an unknown format, or for a special format beside `--field`.
        """
        from jitid.config.settings import FORMATS

        if self.format is None or self.format in FORMATS:
            return None
        if self.format not in special_formats:
            from jitid.values.text import quote

            raise UsageError(
                f"unknown format {quote(self.format)}",
                f"choose one of: {', '.join((*FORMATS, *special_formats))}",
            )
        if self.field:
            raise UsageError(
                "--field and --format (or --json) exclude each other",
                "omit one of them: --field prints values alone",
            )
        name, self.format = self.format, None
        return name

    def error_format(self) -> str | None:
        """Return the format for an error without reading any file: the error may be about the files."""
        if self.format is None and self._config is not None:
            return self.format_name()
        return self.format or os.environ.get("JITID_FORMAT")

    def expect(self, fields: tuple[str, ...]) -> None:
        """Check format and field against the fields that will be shown.

        A verb that changes data calls this first, so that a misspelt `--field` changes nothing. Raises UsageError and
        ConfigurationError.
        """
        self.format_name()
        if self.field and self.format is not None:
            raise UsageError(
                "--field and --format (or --json) exclude each other",
                "omit one of them: --field prints values alone",
            )
        for name in self.field:
            if name not in fields:
                from jitid.formats.display import check_field

                check_field(name, fields)

    def expect_own_form(self, *forms: str) -> str | None:
        """Return the form that `--format` requests of a verb with `forms` and no others; None without the flag.

        Raises UsageError for --field and for another format, which such a verb would ignore. A format that is
        configured for all verbs raises nothing.
        """
        name = self.format
        if not self.field and (name is None or name in forms):
            from jitid.config.settings import FORMATS

            # Errors have the requested format if it is a usual one.
            self.format = name if name in FORMATS else None
            return name
        if not self.field and name is not None and len(forms) > 1:
            from jitid.values.text import quote

            raise UsageError(f"unknown format {quote(name)}", f"choose one of: {', '.join(forms)}")
        option = "--format" if not self.field else "--field"
        raise UsageError(
            f"{option} does not apply here",
            f"the output is always {' or '.join(forms)}" if forms else "the output has one form only",
        )

    def show_records(
        self,
        view: Columns,
        records: Iterable[Any],
        compute: Callable[[Any], Mapping[str, Any]] | None = None,
        *,
        brief: tuple[str, ...] = (),
        document: Mapping[str, Any] | None = None,
    ) -> None:
        """Show records by a view: in a table for people its brief columns, unless `--verbose`; otherwise all.

        `compute` returns the values of a record that the view cannot take from it; `brief` replaces the brief columns.
        Raises OutputError too.
        """
        columns = (brief or view.brief) if self.by_eye() and not self.verbose else view.fields
        if not set(self.field) <= set(columns):
            columns = (*columns, *(name for name in self.field if name in view.more))
        self.show(view.display(records, compute, columns=columns, document=document))

    def show_record(
        self,
        view: Columns,
        record: object,
        sentence: str,
        computed: Mapping[str, Any] | None = None,
        *,
        document: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a sentence with its line end; if a format or a field is requested, the record with `computed`."""
        if not self.field and self.format_name() is None:
            output.write(sentence)
        else:
            self.show_records(view, [record], lambda _: computed or {}, document=document)

    def show_row(
        self, view: Columns, row: Mapping[str, Any], *, empty: tuple[object, ...] = (None, "", [], {})
    ) -> None:
        """Show the row of a single record; in a table for people, without its empty fields."""
        from jitid.formats.display import Display

        if self.by_eye():
            row = {name: value for name, value in row.items() if value not in empty}
        self.show(Display(view.schema, tuple(row), [row], one=True))

    def most(self, max_: int | None, *, yes: bool) -> int | None:
        """Return the most credentials that a verb may revoke: the value of `--max`; None for any, with `--yes`."""
        if yes:
            return None
        return self.config().number("max") if max_ is None else max_

    def can_prompt(self) -> bool:
        """Return whether a user is at a terminal to answer."""
        return not self.no_input and os.isatty(0) and os.isatty(2)

    def by_eye(self) -> bool:
        """Return whether the output is a table for people: at a terminal, or by request."""
        if self.field:
            return False
        return self.format_name() == "table" or (self.format_name() is None and output.is_terminal())

    def show(self, view: Display) -> None:
        """Write the view to standard output in the requested format and colours. Raises OutputError too."""
        from jitid.cli.show import show
        from jitid.formats.display import Format

        self.expect(view.fields)
        name = self.format_name()
        show(view, Format(name) if name else None, self.field, self.colour())

    def command(self, text: str, *, for_another: bool = False) -> str:
        """Return a command such as `jitid keys rotate` with the flags that select this line's ledger.

        Without them a copy of the command would act on another ledger. In a pipe, each command of jitid gets the
        flags. Other commands stay unchanged. `for_another`: another person runs it, with a separate credential.
        """
        index = text.find(_PIPE)
        while index >= 0:
            if _is_whole(text[:index]):
                first, second = text[:index], text[index + len(_PIPE) :]
                return _PIPE.join(self.command(part, for_another=for_another) for part in (first, second))
            index = text.find(_PIPE, index + 1)
        verb = text.removeprefix("jitid ")
        words = self._selection(for_another=for_another)
        return text if verb == text or not words else f"jitid {words} {verb}"

    def _selection(self, *, for_another: bool = False) -> str:
        """Return the flags of this line that select a ledger, as in a shell; without the passwords of an address."""
        ledger = self.ledger
        if ledger and "://" in ledger:
            from jitid.authority.open_local import place_text

            ledger = place_text(ledger)
        flags = {
            "--config": self.config_file,
            "--profile": self.profile,
            "--ledger": ledger,
            "--remote": self.remote,
            "--credential-file": None if for_another else self.credential_file,
        }
        if not any(flags.values()):
            return ""
        from shlex import quote

        return " ".join(f"{name} {quote(value)}" for name, value in flags.items() if value)

    def selecting(self, text: str) -> str:
        """Return a hint or a note whose commands of jitid have the flags that select this line's ledger.

        Without them a copy of a command would act on another ledger. Commands for another person, commands that have
        the flags, and commands that read no ledger stay unchanged.
        """
        words = self._selection()
        if not words:
            return text
        import re

        from jitid.cli.verbs import FIRST_WORDS

        def with_flags(found: re.Match[str]) -> str:
            verb = found[1]
            known = verb.partition(" ")[0] in FIRST_WORDS and not verb.startswith(_WITHOUT_LEDGER)
            return f"jitid {words} {verb}" if known else found[0]

        return re.sub(r"(?<![\w`/.-])jitid ([a-z]+(?: [a-z]+)?)(?![a-z ]* --help)", with_flags, text)

    def note(self, text: str) -> None:
        """Print a note on standard error, unless `--quiet`."""
        if not self.quiet:
            output.print_message(f"jitid: note: {safe(self.selecting(text))}")

    def note_more(self, shown: int, limit: int, advice: str = "for more: --limit N") -> None:
        """Note that there may be more rows if as many are shown as the limit permits.

        In a pipe, a limit that the line states needs no note.
        """
        if shown == limit and ("limit" not in self.stated or output.is_terminal()):
            self.note(f"there may be more than {limit}: {advice}")

    def warn(self, text: str) -> None:
        """Print a warning about a possible mistake on standard error, even with `--quiet`."""
        output.print_message(f"jitid: warning: {safe(self.selecting(text))}")

    def detail(self, text: str) -> None:
        """Print a detail of the work on standard error, with `--verbose`."""
        if self.verbose:
            output.print_message(f"jitid: {safe(text)}")

    def coloured(self, out: str | None = None) -> bool:
        """Return whether to use colours in the file `out`, or without a file on standard output.

        A file never has colours, even if they are forced: a user may open it in an editor.
        """
        if out is not None:
            return False
        forced = self.colour()
        return output.is_terminal() if forced is None else forced

    def colour(self) -> bool | None:
        """Return whether to use colours: True, False, or None to leave it to the terminal."""
        if self.no_color:
            return False
        config = self.config()
        configured = {"always": True, "never": False}.get(config.text("color") or "auto")
        if configured is not None and config.origin("color").startswith("environment"):
            return configured
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
            return True
        if configured is None and os.environ.get("TERM") == "dumb":
            return False
        return configured


def _is_whole(text: str) -> bool:
    """Return whether the beginning of a command has all its quotes closed: a bar within quotes is not a pipe."""
    from shlex import split

    try:
        split(text)
    except ValueError:
        return False
    return True


class GlobalOptions(Declared):
    """The options of every verb. Each is an attribute of `Invocation` with the same name."""

    config_file: str | None = opt(
        FILE, "--config", help="The user's configuration file. [env var: JITID_CONFIG]"
    )
    profile: str | None = opt(
        NAME, "--profile", help="Profile of the configuration. [env var: JITID_PROFILE]"
    )
    ledger: str | None = opt(
        FOLDER, "--ledger", metavar="URL", help="Ledger: a folder or postgresql://. [env var: JITID_LEDGER]"
    )
    remote: str | None = opt(
        FOLDER,
        "--remote",
        metavar="URL",
        help="Authority: https:// or unix://. [env var: JITID_REMOTE]",
    )
    credential_file: str | None = opt(
        FILE,
        "--credential-file",
        help="Access token for it. [env var: JITID_REMOTE_CREDENTIAL_FILE]",
    )
    credential_fd: str | None = opt(
        TEXT, "--credential-fd", metavar="N", help="Read the access token from descriptor N."
    )
    format: str | None = opt(
        TEXT, "--format", metavar="FMT", help="table, tsv, json, jsonl, csv. [env var: JITID_FORMAT]"
    )
    json: bool = flag("--json", help="Same as --format json.")
    field: tuple[str, ...] = opts(NAME, "--field", help="Print this field only; repeatable.")
    timeout: str | None = opt(
        TEXT,
        "--timeout",
        metavar="DURATION",
        help="Limit of all waiting. [env var: JITID_TIMEOUT]",
    )
    no_pager: bool = flag("--no-pager", help="Never start a pager.")
    no_color: bool = flag("--no-color", help="Print no colours.")
    quiet: bool = flag("--quiet", "-q", help="Print no notes on standard error.")
    verbose: bool = flag("--verbose", "-v", help="Print details on standard error.")
    debug: bool = flag("--debug", help="Show the traceback of an internal error.")
    no_input: bool = flag("--no-input", help="Never prompt.")
    accept_clock: bool = flag("--accept-clock", help="Accept a clock that jumped over a day (audited).")
