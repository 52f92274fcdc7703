"""Guard rails: settings that no environment variable may loosen, not even by naming another file or profile."""

# Without `from __future__ import annotations`, which has the annotation of each field compiled at every start.
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jitid.config.config_file import ConfigLayer, read_layers
from jitid.config.settings import Setting, Value, strictest
from jitid.errors import ConfigurationError
from jitid.system.xdg import own_files
from jitid.values.text import safe


class SettledGuardRail(NamedTuple):
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

    def settle(self, setting: Setting, configured: Value, origin: str) -> SettledGuardRail:
        """Return the value of a guard rail: the value found, or a stricter one of the trusted files.

        Raises ConfigurationError.
        """
        value, trusted_origin = next(
            (
                (layer.values[setting.name], layer.origin)
                for layer in self.layers
                if setting.name in layer.values
            ),
            (setting.default, "default"),
        )
        if configured == value:
            return SettledGuardRail(value, trusted_origin)
        if strictest(setting, value, configured) == configured:
            return SettledGuardRail(configured, origin)
        if origin == "default":
            return SettledGuardRail(value, trusted_origin)
        variable, remedy = self._named_by(origin)
        refused = (
            f"`{setting.name}` is {_value_text(setting, value)} ({safe(trusted_origin)}): {safe(origin)} says "
            f"{_value_text(setting, configured)}, and what {variable} names cannot loosen a guard rail; {remedy}"
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
            return "XDG_CONFIG_DIRS", "put it into the system's own file"
        if any(layer.origin == f"user {path}" for layer in self.layers):
            return "JITID_PROFILE", "name the profile with --profile"
        variables = (
            name for name in ("JITID_CONFIG", "XDG_CONFIG_HOME") if self._environ.get(name, "").strip()
        )
        return next(variables, "HOME"), "name the file with --config"


def _value_text(setting: Setting, value: Value) -> str:
    if setting.kind == "duration" and isinstance(value, int):
        from jitid.values.times import format_duration

        return format_duration(value)
    return safe(str(value))
