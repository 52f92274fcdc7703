"""The configured targets: which target makes a credential, and whether its table is valid.

And their issuers, by the kind of credential that they make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from threading import get_ident
from typing import Any

from jitid.errors import ConfigurationError, JitidError, StorageError, UsageError
from jitid.issuers.issuer import spec_of
from jitid.issuers.target_issuer import KindOptions, OutsideIssuer, TargetCall, TargetOption
from jitid.keys.keyring import Signer
from jitid.model.credential import MADE, Kind, base_kind, is_outside, is_target_name
from jitid.model.target import StatedTarget, Target
from jitid.values.record import Record
from jitid.values.text import quote, safe
from jitid.values.times import parse_duration

TIMEOUT = 10
"""The default of `timeout`: seconds that one call of a target may take."""
LONGEST = 60
"""Maximum of `timeout` in seconds. It is far below `settle.MINTING`, so that minting ends before settling."""

COMMON: Mapping[str, TargetOption] = {
    "kind": TargetOption("text", "the kind of credentials that the target makes", required=True),
    "timeout": TargetOption("duration", f"the time limit of one call, {LONGEST} seconds at most"),
    "canary": TargetOption("text", "the template for credentials of `sweep --canary` (default: no template)"),
}
"""The options of every target."""


def open_issuer(
    target: Target,
    issuer: str,
    *,
    trust_domain: str | None = None,
    signer: Callable[[], Signer] | None = None,
) -> OutsideIssuer:
    """Return the issuer of credentials at a target; the arguments are as in `TargetCall`.

    Raises:
        UsageError: no target makes credentials of that kind.
        ConfigurationError: the target's table is invalid, or an extra is not installed.

    """
    kind = base_kind(target.kind)
    make_issuer = spec_of(kind).target
    if make_issuer is None:
        raise UsageError(f"credentials of the kind {quote(kind)} are made by jitid, not at a target")
    timeout = float(target.options.get("timeout", TIMEOUT))
    return make_issuer(target, TargetCall(timeout, issuer, trust_domain, signer))


def options_of(kind: Kind) -> KindOptions:
    """Return the options of a kind. Raises ConfigurationError if an extra is not installed."""
    options = spec_of(kind).options
    return KindOptions() if options is None else options()


def reference_of(kind: str, reference: str | None) -> str:
    """Return the reference of an adopted secret, at a target that makes credentials of a kind, as the ledger keeps it.

    Raises UsageError for an impossible reference, and for a kind whose targets revoke only their own credentials.
    """
    adopted = spec_of(base_kind(kind)).adopted
    if adopted is None:
        raise UsageError(
            f"credentials of the kind {quote(kind)} are made by jitid; the target revokes no other secrets",
            "omit --target; then revoke it by hand, and record that with: jitid adopt end",
        )
    recorded = None if reference is None else adopted.kept(reference)
    if recorded is None:
        raise UsageError(f"--reference must be its name at the target: {adopted.meaning}")
    return recorded


MOST_COUNT = 1_000_000_000


class ChosenTarget(Record):
    """The target and the template for a credential."""

    target: Target | None
    """None for a kind that jitid itself makes, without a template."""
    template: str | None
    """The template's own name."""

    @property
    def qualified_template(self) -> str | None:
        """The template in the form of policy, ledger and audit log: `TARGET/TEMPLATE`."""
        return None if self.template is None or self.target is None else f"{self.target.name}/{self.template}"

    @property
    def options(self) -> Mapping[str, Any]:
        """The table of the template; empty without one."""
        return {} if self.target is None or self.template is None else self.target.templates[self.template]


class Targets:
    """The targets of a configuration; each is checked when it is used."""

    def __init__(
        self,
        stated_targets: Sequence[StatedTarget],
        issuer: str,
        *,
        trust_domain: str | None = None,
        signer: Callable[[], Signer] | None = None,
    ) -> None:
        """Set the tables, with unique names, the ledger's `iss` and trust domain, and the source of its key."""
        self._stated = {target.name: target for target in stated_targets}
        self.issuer = issuer
        """A process that keeps this object sets it again after a change."""
        self._trust_domain = trust_domain
        self._signer = signer
        self._home = get_ident()
        self._latest: Signer | None = None
        self._checked: dict[str, Target] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of all targets, in the order of the configuration."""
        return tuple(self._stated)

    def get(self, name: str) -> Target:
        """Return a target by its name.

        Raises:
            UsageError: no target has that name.
            ConfigurationError: its table is invalid.

        """
        target = self._checked.get(name)
        if target is None:
            if name not in self._stated:
                raise UsageError(
                    f"the configuration has no target {quote(name)}",
                    f"it has: {', '.join(map(safe, self._stated))}" if self._stated else _NONE,
                )
            target = self._checked[name] = check(self._stated[name])
        return target

    def all(self) -> list[Target]:
        """Return all targets. Raises ConfigurationError for the first one with an invalid table."""
        return [self.get(name) for name in self._stated]

    def choose(self, kind: str, template: str | None) -> ChosenTarget:
        """Return the target and the template for a kind; `template` is `TEMPLATE`, `TARGET/TEMPLATE` or None.

        Without a template, return the only target of the kind, or no target for a kind that jitid itself makes.

        Raises:
            UsageError: there is no such target or template, or several match.
            ConfigurationError: the target's table is invalid.

        """
        target_name, _, template_name = (template or "").rpartition("/")
        if template is None and not is_outside(kind):
            return ChosenTarget(None, None)
        of_kind = [stated_target for stated_target in self._stated.values() if kind_of(stated_target) == kind]
        matches = [
            stated_target
            for stated_target in of_kind
            if target_name in ("", stated_target.name)
            and (not template_name or template_name in _tables(stated_target.table.get("template")))
        ]
        if len(matches) == 1:
            return ChosenTarget(self.get(matches[0].name), template_name or None)
        if matches:
            raise UsageError(
                f"{len(matches)} targets match {quote(kind if template is None else f'{kind}:{template}')}",
                "write KIND:TARGET/TEMPLATE; the targets are: "
                + ", ".join(safe(stated_target.name) for stated_target in matches),
            )
        if not of_kind:
            raise UsageError(
                f"the configuration has no target for credentials of the kind {quote(kind)}",
                f"{_NONE}{' and jitid-aws(7)' if kind == 'aws-sts' else ''}",
            )
        templates = [
            f"{safe(stated_target.name)}/{safe(name)}"
            for stated_target in of_kind
            for name in _tables(stated_target.table.get("template"))
        ]
        raise UsageError(
            f"no target of the kind {quote(kind)} has a template {quote(str(template))}",
            f"the templates are: {', '.join(templates)}" if templates else "these targets have no templates",
        )

    def prepare(self, names: Iterable[str]) -> None:
        """Read the signing keys for these targets from the ledger: threads that open the issuers cannot.

        Errors are ignored here; they occur again when the target is opened, and are reported for it then.
        """
        for name in names:
            with suppress(JitidError):
                if self.get(name).options.get("web_identity"):
                    self._sign()

    def open(self, target: Target) -> OutsideIssuer:
        """Return the issuer for a target. Raises ConfigurationError."""
        return open_issuer(target, self.issuer, trust_domain=self._trust_domain, signer=self._sign)

    def _sign(self) -> Signer:
        """Return the current signer; in another thread, the signer that `prepare` read last."""
        if self._signer is None:
            raise ConfigurationError("the ledger's signing key for targets is not available here")
        # It is looked up each time: some time after a rotation the old key is no longer published.
        if get_ident() == self._home:
            self._latest = self._signer()
        if self._latest is None:
            raise StorageError("the signing key for this target was not read from the ledger", "try again")
        return self._latest


_NONE = "define one in the configuration: a table [target.NAME] with its `kind`; see jitid-targets(5)"


def kind_of(stated_target: StatedTarget) -> str | None:
    """Return a target's kind in the ledger's form, with the target's name for a program; None if it is not a text."""
    kind = stated_target.table.get("kind")
    if not isinstance(kind, str):
        return None
    return f"{kind}:{stated_target.name}" if kind == Kind.EXEC else kind


def check(stated_target: StatedTarget) -> Target:
    """Return a target after checking its table against the options of its kind.

    Raises:
        ConfigurationError: an option is unknown, missing or of another type; the message names it.

    """
    where = f"{safe(stated_target.origin)}: {quote(f'target.{stated_target.name}', 200)}"
    kind = kind_of(stated_target)
    if kind is None:
        raise ConfigurationError(f"{where} has no option `kind`", f"the kinds are: {', '.join(MADE)}")
    if stated_target.table["kind"] not in MADE:
        raise ConfigurationError(
            f"{where}: {quote(stated_target.table['kind'])} is not a kind of credential",
            f"the kinds are: {', '.join(MADE)}",
        )
    kind_type = base_kind(kind)
    options, template_options = options_of(kind_type)
    table = {name: value for name, value in stated_target.table.items() if name != "template"}
    checked = _checked(table, {**COMMON, **options}, stated_target.folder, where)
    checked.pop("kind", None)
    if checked.get("timeout", 0) > LONGEST:
        raise ConfigurationError(f"{where}, option `timeout`: the maximum is {LONGEST} seconds")
    templates = {}
    for name, entries in _tables(stated_target.table.get("template")).items():
        within = f"{where[:-1]}.template.{safe(name)}`"
        if not is_target_name(name):
            raise ConfigurationError(f"{within}: a template name consists of letters, digits, ., _ and -")
        templates[name] = _checked(entries, template_options, stated_target.folder, within)
    return Target(stated_target.name, kind, checked, templates)


def _tables(value: object) -> dict[str, dict[str, Any]]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(table, dict) for table in value.values()):
        return {}
    return value


def _checked(
    table: Mapping[str, Any], options: Mapping[str, TargetOption], folder: str, where: str
) -> dict[str, Any]:
    values = {}
    for name, value in table.items():
        if name not in options:
            from difflib import get_close_matches

            close = get_close_matches(name[:100], options, n=2)
            raise ConfigurationError(
                f"{where} has no option {quote(name)}",
                f"did you mean {' or '.join(f'`{suggestion}`' for suggestion in close)}?"
                if close
                else f"the options are: {', '.join(options)}",
            )
        try:
            values[name] = convert(options[name].sort, value, folder)
        except JitidError as error:
            raise ConfigurationError(f"{where}, option `{name}`: {error.message}", error.hint) from None
    missing = [name for name, option in options.items() if option.required and name not in values]
    if missing:
        raise ConfigurationError(f"{where} lacks the option `{missing[0]}`: {options[missing[0]].meaning}")
    return values


def convert(type_: str, value: object, folder: str) -> Any:  # noqa: ANN401 - an option has one of several types
    """Return the value of an option in the type that issuers expect. Raises UsageError for another type."""
    match type_:
        case "text":
            return _text(value)
        case "place":
            return _place(_text(value), folder)
        case "texts":
            if not isinstance(value, list):
                raise UsageError("expected a list of texts")
            return tuple(map(_text, value))
        case "table":
            if not isinstance(value, dict):
                raise UsageError("expected a table of texts")
            return {name: _text(item) for name, item in value.items()}
        case "tables":
            if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
                raise UsageError("expected a table of tables")
            return value
        case "count":
            if type(value) is not int or not 0 <= value <= MOST_COUNT:
                raise UsageError("expected a whole number")
            return value
        case "duration":
            return parse_duration(str(value) if type(value) is int else _text(value))
        case "flag":
            if type(value) is not bool:
                raise UsageError("expected true or false")
            return value
        case _:
            raise ValueError(type_)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise UsageError("expected a text")
    if not value.strip() or "\0" in value:
        raise UsageError("expected a text that is not blank")
    return value


def _place(path: str, folder: str) -> str:
    """Return an absolute path: relative to a folder, or with a leading `~` expanded."""
    if path == "~" or path.startswith("~/"):
        import os

        return os.path.expanduser("~") + path[1:]
    return path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"
