"""The effective configuration: flags, environment and files, with the origin of each value.

With guard rails: settings that no environment variable may loosen, not even by naming another file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jitid.config.config_file import ConfigLayer, read_layers, stricter
from jitid.config.settings import (
    GUARD_RAILS,
    SETTINGS,
    VARIABLES,
    Setting,
    Value,
    absolute,
    convert,
    named,
    strictest,
)
from jitid.errors import ConfigurationError, JitidError, UsageError
from jitid.model.task import most_sensitive
from jitid.system.xdg import default_ledger, own_files, project_files, system_files, user_file
from jitid.values.record import Record
from jitid.values.text import quote, refuse_token, safe

if TYPE_CHECKING:
    from jitid.model.access import OidcIssuer
    from jitid.model.process import Process
    from jitid.model.target import StatedTarget


class SettledGuardRail(Record):
    """The effective value of a guard rail, and its origin."""

    value: Value
    origin: str
    refused: str | None = None
    """The reason why a laxer value does not count, if it is in a file that an environment variable selects."""


class Trusted:
    """The configuration files that the environment cannot choose, read at the first use of a guard rail.

    They are the file that `--config` names, or else the one in the home folder of the password database; and the files
    of the system. A profile counts only if `--profile` names it.
    """

    def __init__(
        self,
        layers: Sequence[ConfigLayer] = (),
        file: str | None = None,
        profile: str | None = None,
        environ: Mapping[str, str] = os.environ,
        *,
        lenient: bool = False,
    ) -> None:
        """Store the layers that were read, and the values of `--config` (an absolute path) and `--profile`.

        With `lenient`, an invalid file counts as missing.
        """
        self._found = layers
        self._file = file
        self._profile = profile
        self._environ = environ
        self._lenient = lenient
        self._layers: list[ConfigLayer] | None = None

    @property
    def layers(self) -> list[ConfigLayer]:
        """The layers of these files, highest precedence first. Raises ConfigurationError."""
        if self._layers is None:
            user_paths, system_paths = own_files()
            paths = [("user", path) for path in ([self._file] if self._file is not None else user_paths)]
            layers = []
            for owner, path in (*paths, *(("system", path) for path in system_paths)):
                layers += self._read(path, "user" if owner == "user" else "system")
            self._layers = layers
        return self._layers

    @property
    def further(self) -> list[ConfigLayer]:
        """The layers that the environment has replaced by another file. Raises ConfigurationError."""
        origins = {layer.origin for layer in self._found}
        return [layer for layer in self.layers if layer.origin not in origins]

    def has(self, origin: str) -> bool:
        """Return whether the environment chose neither a value nor its file. Raises ConfigurationError.

        `origin` is that of the value, as `Config.origin` returns it, or that of a layer.
        """
        return origin in ("flag", "default") or any(layer.origin == origin for layer in self.layers)

    def stated(self, setting: Setting) -> tuple[Value, str]:
        """Return the value of a setting in these files, and its origin. Raises ConfigurationError."""
        return next(
            (
                (layer.values[setting.name], layer.origin)
                for layer in self.layers
                if setting.name in layer.values
            ),
            (setting.default, "default"),
        )

    def settle(self, setting: Setting, configured: Value, origin: str) -> SettledGuardRail:
        """Return the value of a guard rail: the value found, or a stricter one of the trusted files.

        Raises ConfigurationError.
        """
        value, trusted_origin = self.stated(setting)
        if configured == value:
            return SettledGuardRail(value, trusted_origin)
        if strictest(setting, value, configured) == configured:
            return SettledGuardRail(configured, origin)
        if origin == "default":
            return SettledGuardRail(value, trusted_origin)
        variable, remedy = self._named_by(origin)
        refused = (
            f"`{setting.name}` stays {_value_text(setting, value)} ({safe(trusted_origin)}): {variable} cannot loosen "
            f"a guard rail to {_value_text(setting, configured)} ({safe(origin)}); {remedy}"
        )
        return SettledGuardRail(value, trusted_origin, refused)

    def _read(self, path: str, owner: str) -> list[ConfigLayer]:
        origin = f"{owner} {path}"
        overlay = f"{origin} [profile.{self._profile}]"
        layers = [layer for layer in self._found if layer.origin in (origin, overlay)]
        if layers:
            return [layer for layer in layers if layer.origin == origin or self._profile is not None]
        try:
            # A file at a place that this user may not read counts as missing, in any environment.
            os.lstat(path)
        except OSError:
            return []
        try:
            return read_layers(path, "user" if owner == "user" else "system", self._profile)[0]
        except ConfigurationError:
            if self._lenient:
                return []
            raise

    def _named_by(self, origin: str) -> tuple[str, str]:
        """Return the environment variable that selected a layer, and the remedy."""
        path = origin.partition(" ")[2].partition(" [profile.")[0]
        if origin.startswith("system "):
            return "XDG_CONFIG_DIRS", "set it in the system's own file"
        if any(layer.origin == f"user {path}" for layer in self.layers):
            return "JITID_PROFILE", "select the profile with --profile"
        variables = (
            name for name in ("JITID_CONFIG", "XDG_CONFIG_HOME") if self._environ.get(name, "").strip()
        )
        return next(variables, "HOME"), "select the file with --config"

    def advice(self, origin: str) -> tuple[str, str]:
        """Return where a value is that does not count, with the variable that selected it; and the remedy."""
        from shlex import quote as word

        variable, remedy = self._named_by(origin)
        file, _, profile = origin.partition(" ")[2].partition(" [profile.")
        if profile:
            return (
                f"in the profile {quote(profile.removesuffix(']'))} of {safe(file)}, which {variable} selects",
                remedy,
            )
        counted = next(iter(own_files()[0]), None)
        own = "" if counted is None else f"; or set it in {safe(counted)}, which counts without --config"
        return (
            f"in {safe(file)}, which {variable} selects",
            f"name the file: --config {safe(word(file))}{own}",
        )


def _value_text(setting: Setting, value: Value) -> str:
    if setting.kind == "duration" and isinstance(value, int):
        from jitid.values.times import format_duration

        return format_duration(value)
    return safe(str(value))


class Config:
    """The effective settings, each with its origin."""

    def __init__(
        self,
        values: Mapping[str, tuple[Value, str]],
        layers: list[ConfigLayer],
        path: str,
        warnings: list[str],
        trusted: Trusted,
    ) -> None:
        self._values = values
        self._trusted = trusted
        self._settled: dict[str, SettledGuardRail] = {}
        self.warn: Callable[[str], None] = lambda _: None
        """Receives a warning about each guard rail that is stricter than a file's value, at its first use."""
        self._layers = layers
        self.path = path
        """The user's file, which `config set` writes; it need not exist."""
        self.origins = tuple(layer.origin for layer in layers)
        """The existing files and their profiles, highest precedence first."""
        self.warnings = tuple(warnings)
        """Warnings for the user: an ignored project file or setting."""
        self.algorithms: dict[str, str] = {}
        """Audience -> the algorithm of its signatures."""
        self.credential_fd: int | None = None
        """The descriptor of the client's credential, if a flag names one."""
        self.client_process: Process | None = None
        """The coding agent whose hook or helper the line is: it opens the sessions of that process, or uses them."""
        self.session_file: str | None = None
        """The file with the token of the session for which this process acts: its only credential at an authority."""
        self.socket_delegators: dict[str, str] = {}
        """Login, uid or @group -> the delegator of requests over a Unix socket."""
        self.socket_roles: dict[str, tuple[str, ...]] = {}
        """Login, uid or @group -> the roles of requests over a Unix socket."""
        self._targets: dict[str, StatedTarget] = {}
        self._oidc: dict[str, dict[str, Any]] = {}
        self.federations: dict[str, dict[str, str]] = {}
        """The tables `[federate.NAME]`; for the same name, the layer of highest precedence counts (`_federations`)."""
        self.federations.update(_federations(layers))
        for layer in reversed(layers):
            self.algorithms.update(layer.algorithms)
            self.socket_delegators.update(layer.socket_delegators)
            self.socket_roles.update(layer.socket_roles)
            self._oidc.update(layer.oidc)
            self._targets.update(layer.targets)
        if self.federations:
            from jitid.model.federation import Federation

            for name, table in self.federations.items():
                federation = Federation(name, table)
                for audience in federation.audiences:
                    self.algorithms.setdefault(audience, federation.vendor.algorithm)

    def is_same(self, other: Config) -> bool:
        """Return whether another configuration has the same values from the same files."""
        return self is other or (
            (self._values, self._layers, self.path, self.credential_fd)
            == (other._values, other._layers, other.path, other.credential_fd)
            and self._all_layers() == other._all_layers()
        )

    @property
    def scope_floors(self) -> dict[str, str]:
        """Scope pattern -> the minimum sensitivity of a task that requests an overlapping scope."""
        return stricter([layer.scope_floors for layer in self._all_layers()])

    @property
    def audience_floors(self) -> dict[str, str]:
        """Audience -> the minimum sensitivity of a task that requests it."""
        return stricter([layer.audience_floors for layer in self._all_layers()])

    @property
    def subjects(self) -> dict[str, tuple[str | None, int]]:
        """Audience -> the template of `sub` for its tokens, and the greatest length of `sub`.

        A template can render any text, so that only files count that the environment cannot choose. It has no
        text if another file alone has a template.
        """
        if not self._any_federation():
            return {}
        found = {audience: (None, longest) for audience, (_, longest) in _subjects(self._layers).items()}
        return {**found, **_subjects(self._trusted.layers)}

    def subject_refused(self, audience: str) -> ConfigurationError | None:
        """Return the error for a template of `sub` that does not count; None if the audience has none of those."""
        if self.subjects.get(audience, ("", 0))[0] is not None:
            return None
        from jitid.model.federation import Federation

        origin = next(
            layer.origin
            for layer in self._layers
            for name, table in layer.federations.items()
            if "subject" in table and audience in Federation(name, self.federations[name]).audiences
        )
        where, remedy = self._trusted.advice(origin)
        return ConfigurationError(
            f"the template of `sub` for {quote(audience)} is {where}: a template that a variable can replace does not "
            "count",
            remedy,
        )

    def settings_refused(self, issuer: OidcIssuer) -> ConfigurationError:
        """Return the error for the settings of an issuer that do not count for logins."""
        origin = next(layer.origin for layer in self._layers if issuer.issuer in layer.oidc)
        where, remedy = self._trusted.advice(origin)
        return ConfigurationError(
            f"the settings of {quote(issuer.issuer, 200)} are {where}: settings that a variable can replace do not "
            "count for logins beside a ledger",
            remedy,
        )

    def set_in_vain(self, key: str) -> tuple[str, str] | None:
        """Return where a setting is that has just been written, and the remedy, if it does not count there."""
        if key.startswith("federate.") and key.endswith(".subject"):
            name = key.removeprefix("federate.").removesuffix(".subject")
            found = next(
                (layer for layer in self._layers if "subject" in layer.federations.get(name, {})), None
            )
        elif key.startswith("oidc.") and self.remote is None:
            # Only a client for logins: an issuer of other ID tokens counts in any file.
            issuer = key.removeprefix("oidc.").rpartition(".")[0]
            found = next((layer for layer in self._layers if "client_id" in layer.oidc.get(issuer, {})), None)
        else:
            return None
        if found is None or self._trusted.has(found.origin):
            return None
        return self._trusted.advice(found.origin)

    @property
    def exchanges(self) -> dict[str, int]:
        """Audience -> the longest lifetime of exchanged tokens, in seconds; of several tables, the longest.

        A lifetime that is shorter than the vendor's own counts only from a file that the environment cannot choose.
        """
        if not self._any_federation():
            return {}
        from jitid.model.federation import Federation
        from jitid.model.vendor import life_of

        longest: dict[str, int] = {}
        for layer in self._all_layers():
            for name, table in layer.federations.items():
                federation = Federation(name, table)
                for audience in federation.audiences:
                    lifetimes = [federation.lifetime, longest.get(audience, 0)]
                    if not self._trusted.has(layer.origin):
                        lifetimes += [federation.vendor.lifetime, life_of(audience) or 0]
                    longest[audience] = max(lifetimes)
        return longest

    def _any_federation(self) -> bool:
        return any(layer.federations for layer in self._all_layers())

    def get(self, name: str) -> Value:
        """Return the value of a setting in its own type. Raises ConfigurationError for an unknown name."""
        return self._in_force(name)[0]

    def origin(self, name: str) -> str:
        """Return the origin of the value: `flag`, `environment JITID_TTL`, `user /home/…`, `default`."""
        return self._in_force(name)[1]

    def is_of_project(self, name: str) -> bool:
        """Return whether the value comes from the `.jitid.toml` of the working folder."""
        return _layer(self.origin(name)).partition(" ")[0] == "project"

    def check_guard_rails(self) -> None:
        """Read the files that guard rails depend on. Raises ConfigurationError."""
        self._all_layers()

    def _in_force(self, name: str) -> tuple[Value, str]:
        value_and_origin = self._values[named(name).name]
        if name not in GUARD_RAILS or value_and_origin[1] == "flag":
            return value_and_origin
        settled = self._guard_rail(name)
        return settled.value, settled.origin

    def _guard_rail(self, name: str) -> SettledGuardRail:
        settled = self._settled.get(name)
        if settled is None:
            settled = self._settled[name] = self._trusted.settle(SETTINGS[name], *self._values[name])
            if settled.refused is not None:
                self.warn(settled.refused)
        return settled

    def _all_layers(self) -> list[ConfigLayer]:
        """Return the effective layers, and the layers for guard rails only. Raises ConfigurationError."""
        return [*self._layers, *self._trusted.further]

    def text(self, name: str) -> str | None:
        """Return the value of a setting that is text."""
        value = self.get(name)
        assert value is None or isinstance(value, str)
        return value

    def number(self, name: str) -> int:
        """Return the value of a setting that is a count or a duration in seconds; these have defaults."""
        value = self.get(name)
        assert isinstance(value, int)
        return value

    def many(self, name: str) -> tuple[str, ...]:
        """Return the value of a setting that is a list, which may be empty."""
        value = self.get(name)
        assert isinstance(value, tuple)
        return value

    def _origin_of_federation(self, name: str, field: str) -> str:
        """Return the origin of a field of a federation; that of an inherited template is the lower layer."""
        return next(layer.origin for layer in self._layers if field in layer.federations.get(name, {}))

    @property
    def remote(self) -> str | None:
        """The address of the remote authority; None if a local ledger is used.

        A flag takes precedence over the environment, and the environment over the files.

        Raises:
            UsageError: flags name both.
            ConfigurationError: one file, or the environment, names both.

        """
        remote = self.text("remote")
        if remote is None:
            return None
        remote_layer, ledger_layer = _layer(self.origin("remote")), _layer(self.origin("ledger"))
        ranks = ["flag", "environment", *self.origins]
        nearness = [ranks.index(layer) for layer in (remote_layer, ledger_layer) if layer != "default"]
        if len(nearness) == 1 or nearness[0] < nearness[1]:
            return remote
        if nearness[0] > nearness[1]:
            return None
        if remote_layer == "flag":
            raise UsageError(
                "--remote and --ledger exclude each other", "a remote authority has its own ledger"
            )
        raise ConfigurationError(
            f"both `remote` and `ledger` are set ({remote_layer}); only one is allowed",
            "see: jitid config show --origin",
        )

    def is_trusted(self, name: str) -> bool:
        """Return whether the environment chose neither the value of a setting nor its file."""
        return self._trusted.has(self.origin(name))

    @property
    def credential_file(self) -> str | None:
        """The file of the credential for the remote authority; None if no flag, variable or file names one.

        The chosen authority receives the credential. So the credential of a file does not go to an authority that the
        environment chose alone, by a variable or by another file. A flag, a variable or one file may name both.

        Raises:
            UsageError: the environment chose the authority, and not the credential.

        """
        path = self.text("remote_credential_file")
        if path is None or self.remote is None:
            return path
        remote, credential = self.origin("remote"), self.origin("remote_credential_file")
        if credential == "flag" or _layer(credential) == "environment" or _file(remote) == _file(credential):
            return path
        if self._trusted.has(remote):
            return path
        raise UsageError(
            f"the authority {quote(self.remote, 200)} ({safe(remote)}) does not get the credential {quote(path, 200)} "
            f"({safe(credential)}): the environment chose the authority alone; nothing was sent",
            "state both in one place, or both as options: --remote ADDRESS --credential-file FILE",
        )

    @property
    def ledger(self) -> str:
        """The folder of ledger and keys, as an absolute path; or an address with `://`."""
        return self.text("ledger") or ""

    def oidc(self) -> tuple[OidcIssuer, ...]:
        """Return the issuers whose ID tokens prove a delegator.

        Their settings are checked when one of them is used: `oidc.check_settings`.
        """
        from jitid.model.access import OidcIssuer

        trusted: dict[str, dict[str, Any]] = {}
        has_logins = any("client_id" in fields for fields in self._oidc.values())
        for layer in reversed(self._trusted.layers if has_logins else ()):
            trusted.update(layer.oidc)
        issuers = []
        for issuer, fields in self._oidc.items():
            # Each use is stated: a client for logins alone makes no other token count.
            settings = {"jwks": "", "audience": "", "id_jag": "client_id" not in fields, **fields}
            for name in settings.keys() & {"algorithms", "names", "scopes"}:
                value = settings[name]
                settings[name] = (value,) if isinstance(value, str) else tuple(value)
            if "clients" in settings:
                settings["clients"] = tuple(settings["clients"].items())
            settings["from_environment"] = trusted.get(issuer) != fields
            issuers.append(OidcIssuer(issuer, **settings))
        return tuple(issuers)

    def targets(self) -> tuple[StatedTarget, ...]:
        """Return the configured targets, unchecked; for the same name, the layer of highest precedence counts."""
        return tuple(self._targets.values())

    def tables(self) -> Iterator[tuple[str, dict[str, tuple[str, str]]]]:
        """Yield the tables with user-defined keys: their name, and for each key its value and origin."""
        tables: dict[str, dict[str, tuple[str, str]]] = {}
        scope_floors, audience_floors = self.scope_floors, self.audience_floors
        for layer in (*reversed(self._trusted.further), *reversed(self._layers)):
            own = layer in self._layers
            for name, entries, floor in (
                ("floor.scope", layer.scope_floors, scope_floors),
                ("floor.audience", layer.audience_floors, audience_floors),
                *((("algorithm.audience", layer.algorithms, self.algorithms),) if own else ()),
            ):
                table = tables.setdefault(name, {})
                table.update(
                    {key: (text, layer.origin) for key, text in entries.items() if floor[key] == text}
                )
            if not own:
                # Of a file that an environment variable has replaced, only guard rails count.
                continue
            for name, by_user in (
                ("socket.delegator", layer.socket_delegators),
                ("socket.role", {user: " ".join(roles) for user, roles in layer.socket_roles.items()}),
            ):
                if by_user:
                    table = tables.setdefault(name, {})
                    table.update({user: (text, layer.origin) for user, text in by_user.items()})
        yield from tables.items()
        # A target or an issuer of a layer replaces one of the same name in a lower layer as a whole.
        target_origins = {name: layer.origin for layer in reversed(self._layers) for name in layer.targets}
        if target_origins:
            from jitid.model.target import texts_of

            yield (
                "target",
                {
                    f"{name}.{key}": (text, origin)
                    for name, origin in target_origins.items()
                    for key, text in texts_of(self._targets[name].table)
                },
            )
        if any(layer.federations for layer in self._layers):
            yield (
                "federate",
                {
                    f"{name}.{field}": (text, self._origin_of_federation(name, field))
                    for name, table in self.federations.items()
                    for field, text in table.items()
                },
            )
        issuer_origins = {issuer: layer.origin for layer in reversed(self._layers) for issuer in layer.oidc}
        if issuer_origins:
            yield (
                "oidc",
                {
                    f"{issuer}.{field}": (_joined(value), origin)
                    for issuer, origin in issuer_origins.items()
                    for field, value in self._oidc[issuer].items()
                },
            )


def _federations(layers: Sequence[ConfigLayer]) -> dict[str, dict[str, str]]:
    """Return the tables of federations: of each name, the one with the highest precedence.

    Only the template of `sub` is inherited, and only for the same vendor: otherwise a profile that sets another id
    would drop it unnoticed. The layers have the highest precedence first.
    """
    tables: dict[str, dict[str, str]] = {}
    for layer in reversed(layers):
        for name, table in layer.federations.items():
            lower = tables.get(name, {})
            # Without the setting, the table's name is that of the vendor.
            inherits = "subject" in lower and lower.get("vendor", name) == table.get("vendor", name)
            tables[name] = {"subject": lower["subject"], **table} if inherits else table
    return tables


def _subjects(layers: Sequence[ConfigLayer]) -> dict[str, tuple[str | None, int]]:
    """Return the template for each audience that has one, and the greatest length of `sub`.

    The layers have the highest precedence first. Raises ConfigurationError for two templates of one audience.
    """
    from jitid.model.federation import Federation

    subjects: dict[str, tuple[str | None, int]] = {}
    for name, table in _federations(layers).items():
        federation = Federation(name, table)
        template, longest = federation.subject, federation.vendor.longest_subject
        if template is None:
            continue
        for audience in federation.audiences:
            earlier, shortest = subjects.get(audience, (template, longest))
            if earlier != template:
                raise ConfigurationError(
                    f"two tables `federate` have different subjects for {quote(audience)}",
                    "an audience has one `subject`",
                )
            subjects[audience] = template, min(longest, shortest)
    return subjects


def _joined(value: str | bool | Sequence[str] | Mapping[str, str]) -> str:
    """Return the value of an issuer's field as one text; pairs as `CLIENT=CALLER`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value
    return " ".join(
        [f"{client}={caller}" for client, caller in value.items()] if isinstance(value, Mapping) else value
    )


def _layer(origin: str) -> str:
    return "environment" if origin.startswith("environment ") else origin


def _file(origin: str) -> str:
    """Return the origin of a layer without its profile."""
    return origin.partition(" [profile.")[0]


def check_environment(environ: Mapping[str, str], variables: frozenset[str] = VARIABLES) -> None:
    """Raise UsageError for a variable that is set and blank: an empty value must not count as unset."""
    for variable in sorted(variables & environ.keys()):
        if not environ[variable].strip():
            raise UsageError(
                f"the environment variable {variable} is blank", f"set a value, or: unset {variable}"
            )


def _misspelt(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a warning for each variable that is spelt almost like one of a setting: it would have no effect.

    Other programs may have variables of any name, so they are not errors.
    """
    for variable in environ:
        if not variable.startswith(_PREFIX) or variable in VARIABLES:
            continue
        alike = [
            each for each in VARIABLES if abs(len(each) - len(variable)) <= 1 and each[:8] == variable[:8]
        ]
        if not alike:
            continue
        from difflib import get_close_matches

        stems = [each[len(_PREFIX) :] for each in alike]
        for close in get_close_matches(variable[len(_PREFIX) :], stems, 1, _ALIKE):
            yield f"the environment variable {quote(variable)} has no effect: did you mean {_PREFIX}{close}?"


_PREFIX = "JITID_"
_ALIKE = 0.8
"""The least similarity of a variable to the right one, from 0 to 1, without the prefix."""


def load(
    *,
    file: str | None = None,
    profile: str | None = None,
    flags: Mapping[str, str | None] | None = None,
    environ: Mapping[str, str] = os.environ,
    unattended: bool = False,
) -> Config:
    """Return the effective configuration.

    Flags take precedence over the environment, then the project's file, the user's file, and the system's. `file`
    replaces the user's own file and must then exist. `profile` names the `[profile.NAME]` tables that overlay each
    file. `flags` are settings from the command line. Without any file no TOML reader is loaded.

    With `unattended`, another program runs the line, in folders and with variables that a project's authors may choose:
    the project's file may only make it stricter, and no variable chooses a part of the request, not even by another
    file. Nor does one choose a part of a ledger or of an authority that it does not name, such as the policy.

    Raises ConfigurationError, and UsageError for a flag.
    """
    path = own_file(file, environ)
    named_profile = bool(profile)
    profile = profile or environ.get("JITID_PROFILE")
    warnings: list[str] = []
    project = _project_layers(profile, environ, warnings)
    if unattended:
        project = [layer._replace(values=_restrictions(layer.values)) for layer in project]
    user_layers, exists = read_layers(path, "user", profile)
    if not exists and (file or "JITID_CONFIG" in environ):
        from shlex import quote as word

        named_by = f" --config {safe(word(file))}" if file else ""
        raise ConfigurationError(
            f"there is no file {safe(path)}",
            f"create it with `jitid{named_by} config set`, or "
            + ("omit --config" if file else "unset JITID_CONFIG"),
        )
    layers = project + user_layers
    for system in system_files(environ):
        layers += read_layers(system, "system", profile)[0]
    if profile and not any(layer.origin.endswith(f"[profile.{profile}]") for layer in layers):
        raise ConfigurationError(
            f"no configuration file has the profile {quote(profile)}", f"the user's file is {safe(path)}"
        )
    warnings += _misspelt(environ)
    trusted = Trusted(layers, path if file else None, profile if named_profile else None, environ)
    values = {name: _resolve(name, flags or {}, environ, layers, warnings) for name in SETTINGS}
    if values["ledger"][0] is None:
        values["ledger"] = default_ledger(environ), "default"
    if unattended:
        own = [*project, *trusted.layers]
        values |= {name: _resolve(name, {}, {}, own, []) for name in _OF_REQUEST}
        for whole, parts in _OF_PLACE.items():
            of_whole = values[whole][1]
            for name in parts if of_whole != "default" and trusted.has(of_whole) else ():
                if not trusted.has(origin := values[name][1]):
                    warnings.append(
                        f"{safe(origin)}: `{name}` has no effect on hooks and helpers with a `{whole}` from elsewhere "
                        f"({safe(of_whole)})"
                    )
                    values[name] = _resolve(name, {}, {}, own, [])
    return Config(values, layers, path, warnings, trusted)


def without_files(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration of flags and environment only, for use after an invalid file; never raises.

    Guard rails are as strict as the valid files require. An invalid value is replaced by the default. If neither flags
    nor environment name the ledger, it is unknown.
    """
    values: dict[str, tuple[Value, str]] = {}
    for name, setting in SETTINGS.items():
        try:
            values[name] = _resolve(name, flags, environ, [], [])
        except JitidError:
            values[name] = setting.default, "default"
    return Config(values, [], "", [], Trusted(environ=environ, lenient=True))


def own_file(file: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return the path of the user's own file: the named file, or the default one."""
    named_file = file or environ.get("JITID_CONFIG")
    refuse_token(named_file or "", "the configuration file")
    return absolute(named_file, here()) if named_file else user_file(environ)


def _resolve(
    name: str,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    layers: list[ConfigLayer],
    warnings: list[str],
) -> tuple[Value, str]:
    setting = SETTINGS[name]
    flag_value = flags.get(name)
    if flag_value is not None:
        try:
            return convert(setting, flag_value, f"--{name.replace('_', '-')}", here()), "flag"
        except ConfigurationError as error:
            raise UsageError(error.message, error.hint) from None
    if setting.environment and setting.variable in environ:
        value = convert(setting, environ[setting.variable], setting.variable, here())
        return value, f"environment {setting.variable}"
    candidates = [(layer.values[name], layer) for layer in layers if name in layer.values]
    trusted = next(
        ((value, layer.origin) for value, layer in candidates if layer.owner != "project"),
        (setting.default, "default"),
    )
    if not candidates or candidates[0][1].owner != "project":
        return trusted
    value, layer = candidates[0]
    if setting.project == "stricter" and _laxer(value, trusted[0]):
        unit = " seconds" if isinstance(value, int) else ""
        warnings.append(f"{safe(layer.origin)}: `{name}` is laxer than {trusted[0]}{unit}; it is ignored")
        return trusted
    return value, layer.origin


_OF_REQUEST = ("task", "agent", "purpose", "sensitivity", "ttl", "task_deadline", "audience")
"""The settings of a request that no variable chooses if another program runs the line."""
_OF_PLACE = {
    "ledger": ("home", "policy", "issuer", "trust_domain", "overlap", "publish_url"),
    "remote": ("remote_ca", "remote_credential_file"),
}
"""The settings that belong to a ledger or an authority: for such a line a variable chooses all of them, or none."""


def _restrictions(values: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in values.items() if SETTINGS[name].project == "stricter"}


def _laxer(value: Value, other: Value) -> bool:
    if isinstance(value, int) and isinstance(other, int):
        return value > other
    assert isinstance(value, str)
    assert isinstance(other, str)
    return most_sensitive(value, other) != value


def _project_layers(
    profile: str | None, environ: Mapping[str, str], warnings: list[str]
) -> list[ConfigLayer]:
    for path in project_files(environ):
        try:
            layers, exists = read_layers(path, "project", profile)
        except ConfigurationError as error:
            # An invalid project file must not prevent a revocation.
            hint = f" ({error.hint})" if error.hint else ""
            warnings.append(f"the project's file is ignored: {error.message}{hint}")
            return []
        if exists:
            return layers
    return []


def here() -> str:
    """Return the working directory, the base of relative paths. Raises ConfigurationError if it was deleted."""
    try:
        return os.getcwd()
    except OSError:
        raise ConfigurationError(
            "the working directory does not exist any more", "change to another one, or use absolute paths"
        ) from None
