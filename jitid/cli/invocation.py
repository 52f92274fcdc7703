"""What the global options say, and what every verb does with them: settings, talk, and showing a view."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from jitid.errors import ConfigurationError, UsageError
from jitid.system import output, time_limit
from jitid.values.text import safe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jitid.config.effective import Config
    from jitid.formats.display import Display


_PIPE = " | "


class GivenOption(NamedTuple):
    """An option that a line gives."""

    metavar: str | None
    """What stands for its value in the help; None for a flag."""
    value: object


class Globals:
    """The global options of one command line, given before or after the verb; the last one given counts."""

    def __init__(self) -> None:
        self.config_file: str | None = None
        self.profile: str | None = None
        self.ledger: str | None = None
        self.remote: str | None = None
        self.credential_file: str | None = None
        self.credential_fd: str | None = None
        self.format: str | None = None
        self.field: str | None = None
        self.timeout: str | None = None
        self.no_color = False
        self.quiet = False
        self.verbose = False
        self.debug = False
        self.no_input = False
        """Never ask: a question without an answer is a usage error."""
        self.accept_clock = False
        """The ledger's time mark may be lowered to the clock."""
        self.from_environment: frozenset[str] = frozenset()
        """The names of the verb's own parameters that came from environment variables."""
        self.status = 0
        """What the process ends with when nothing failed: the status of a command that was run."""
        self.changes = False
        """The line, as far as it was read, may change something: output that nobody reads is then never passed over."""
        self.runs_command = False
        """The verb runs a command: what fails before that one starts has a status of its own."""
        self.read_line: Callable[[Sequence[str]], Mapping[str, GivenOption]] | None = None
        """Reads another line of jitid without doing it, as `command_tree.options_of` tells."""
        self._config: Config | None = None

    def perform(self, verb: Callable[..., None], arguments: Mapping[str, Any]) -> None:
        """Call a verb; the file that --out names is checked before the verb issues or changes anything.

        Raises:
            UsageError: what stands there is not a regular file of the caller's own.
            OutputError: it could not be written.

        """
        if arguments.get("out") is not None:
            from jitid.system.output_place import check_output

            check_output(arguments["out"])
        verb(self, **arguments)

    def config(self) -> Config:
        """Return the configuration in force, read once. Raises ConfigurationError."""
        if self._config is None:
            from jitid.config.effective import load

            self._config = load(file=self.config_file, profile=self.profile, flags=self._flags())
            self._config.credential_fd = self._descriptor()
            self._config.warn = self.warn
            for warning in self._config.warnings:
                self.warn(warning)
            self.bind_time()
        return self._config

    def bind_time(self) -> None:
        """Bound all waiting of the command, from now on, by the timeout if one is stated.

        Without one each wait has its usual limit.
        """
        config = self.config()
        if config.origin("timeout") != "default":
            time_limit.bound(config.number("timeout"))

    def try_config(self) -> ConfigurationError | None:
        """Read the configuration, and go on without its files if it cannot be used; return why.

        Raises UsageError for what a flag says.
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
        """Return the format that flag, environment or file ask for; None leaves it to the terminal."""
        return self.config().text("format")

    def own_format(self, own: tuple[str, ...]) -> str | None:
        """Return which of its own formats, besides those of all, a verb is asked for by flag; None for none of them.

        Raises UsageError for a format that is neither.
        """
        from jitid.config.settings import FORMATS

        if self.format is None or self.format in FORMATS:
            return None
        if self.format not in own:
            from jitid.values.text import quote

            raise UsageError(
                f"{quote(self.format)} is no format here", f"choose one of: {', '.join((*FORMATS, *own))}"
            )
        if self.field is not None:
            raise UsageError(
                "--field and --format cannot go together", "a field is shown as it is, one a line"
            )
        name, self.format = self.format, None
        return name

    def error_format(self) -> str | None:
        """Return the same without reading any file, for an error that may be about the files."""
        if self.format is None and self._config is not None:
            return self.format_name()
        return self.format or os.environ.get("JITID_FORMAT")

    def expect(self, fields: tuple[str, ...]) -> None:
        """Check format and field against the fields that will be shown.

        A verb that changes something asks first, so that a misspelt `--field` changes nothing. Raises
        UsageError and ConfigurationError.
        """
        self.format_name()
        if self.field is not None and self.format is not None:
            raise UsageError(
                "--field and --format cannot go together", "a field is shown as it is, one a line"
            )
        if self.field is not None and self.field not in fields:
            from jitid.formats.display import no_such_field

            raise no_such_field(self.field, fields)

    def expect_own_form(self, own: str | None = None) -> None:
        """Refuse what would be ignored, where an answer has one form alone; `own` is the format that it is in.

        A format that is set for all verbs is another matter. Raises UsageError.
        """
        if self.field is not None or self.format not in (None, own):
            what = "--format" if self.field is None else "--field"
            raise UsageError(
                f"{what} means nothing here",
                "what is written has one form alone" if own is None else f"what is written is always {own}",
            )

    def show(self, view: Display) -> None:
        """Write the view to standard output, as the options and settings ask. Raises OutputError too."""
        from jitid.cli.show import show
        from jitid.formats.display import Format

        self.expect(view.fields)
        name = self.format_name()
        show(view, Format(name) if name else None, self.field, self.colour())

    def command(self, text: str, *, for_another: bool = False) -> str:
        """Return a command such as `jitid keys rotate` with the flags by which this one found its ledger.

        Without them a copy of it would act on another ledger. What is no command of jitid is returned as it is, between
        the others of a pipe too. `for_another`: another person runs it, with a credential of their own.
        """
        at = text.find(_PIPE)
        while at >= 0:
            if _is_whole(text[:at]):
                first, second = text[:at], text[at + len(_PIPE) :]
                return _PIPE.join(self.command(each, for_another=for_another) for each in (first, second))
            at = text.find(_PIPE, at + 1)
        verb = text.removeprefix("jitid ")
        flags = {
            "--config": self.config_file,
            "--profile": self.profile,
            "--ledger": self.ledger,
            "--remote": self.remote,
            "--credential-file": None if for_another else self.credential_file,
        }
        if verb == text or not any(flags.values()):
            return text
        from shlex import quote

        said = [f"{name} {quote(value)}" for name, value in flags.items() if value]
        return " ".join(("jitid", *said, verb))

    def note(self, text: str) -> None:
        """Tell the user something worth knowing on standard error, unless `--quiet`."""
        if not self.quiet:
            output.say(f"jitid: note: {safe(text)}")

    def warn(self, text: str) -> None:
        """Tell the user what may be a mistake on standard error, whatever the options."""
        output.say(f"jitid: warning: {safe(text)}")

    def detail(self, text: str) -> None:
        """Tell the user on standard error how it was done, with `--verbose`."""
        if self.verbose:
            output.say(f"jitid: {safe(text)}")

    def coloured(self, out: str | None = None) -> bool:
        """Return whether to use colours in what goes to the file `out`, or without one to standard output.

        No file has colours, whatever is forced: somebody will open it in an editor.
        """
        if out is not None:
            return False
        wanted = self.colour()
        return output.is_terminal() if wanted is None else wanted

    def colour(self) -> bool | None:
        """Return whether to use colours: True, False, or None to leave it to the terminal."""
        if self.no_color:
            return False
        config = self.config()
        wanted = {"always": True, "never": False}.get(config.text("color") or "auto")
        if wanted is not None and config.origin("color").startswith("environment"):
            return wanted
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
            return True
        if wanted is None and os.environ.get("TERM") == "dumb":
            return False
        return wanted


def _is_whole(text: str) -> bool:
    """Tell whether all quotes of the beginning of a command are closed: a bar within them is no pipe."""
    from shlex import split

    try:
        split(text)
    except ValueError:
        return False
    return True
