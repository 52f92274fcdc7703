"""Laws of the guard rails: no environment variable makes a guard rail laxer."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.config.effective import load, without_files
from jitid.config.settings import DELEGATORS, GUARD_RAILS, SETTINGS, Setting, Value, convert, strictest
from jitid.errors import ConfigurationError
from jitid.model.task import SENSITIVITIES
from tests.real import Shell

WAYS = ("JITID_CONFIG", "JITID_PROFILE", "XDG_CONFIG_HOME", "HOME", "XDG_CONFIG_DIRS")
"""The variables that select a file or a part of one."""


class Places(NamedTuple):
    """A user with a home folder in the password database, and a folder elsewhere."""

    home: Path
    elsewhere: Path

    @property
    def own(self) -> Path:
        """Return the path of the user's own file."""
        return self.home / ".config/jitid/config.toml"


@contextmanager
def places() -> Iterator[Places]:
    """Create a home folder that is in the password database, and a working directory outside it."""
    before = Path.cwd()
    with TemporaryDirectory() as name:
        home, elsewhere = Path(name) / "home", Path(name) / "elsewhere"
        for folder in (home, elsewhere):
            folder.mkdir()
        entry = pwd.getpwuid(os.geteuid())
        entry = pwd.struct_passwd((*entry[:5], str(home), entry[6]))
        os.chdir(elsewhere)
        try:
            with (
                patch.dict(os.environ, {"HOME": str(home)}, clear=True),
                patch("pwd.getpwuid", lambda _: entry),
            ):
                yield Places(home, elsewhere)
        finally:
            os.chdir(before)


def put(path: Path, text: str) -> str:
    """Write a file that only its user may change, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def led_by(way: str, where: Places, text: str) -> dict[str, str]:
    """Write settings to a file that a variable selects, and return the variable."""
    file = where.elsewhere / "jitid/config.toml"
    match way:
        case "JITID_CONFIG":
            return {way: put(file, text)}
        case "JITID_PROFILE":
            before = where.own.read_text() if where.own.exists() else ""
            put(where.own, f"{before}[profile.x]\n{text}")
            return {way: "x"}
        case "HOME":
            put(where.elsewhere / ".config/jitid/config.toml", text)
            return {way: str(where.elsewhere)}
        case _:
            put(file, text)
            return {way: str(where.elsewhere)}


def values(setting: Setting) -> st.SearchStrategy[str]:
    """Return a strategy for values of a setting as text."""
    match setting.kind:
        case "count":
            return st.integers(0, 10**9 - 1).map(str)
        case "duration":
            return st.integers(1, 10**7).map(lambda seconds: f"{seconds}s")
        case "sensitivity":
            return st.sampled_from(SENSITIVITIES)
        case "delegators":
            return st.sampled_from(DELEGATORS)
        case "time zone":
            return st.sampled_from(("UTC", "Europe/Berlin", "Asia/Tokyo"))
        case "texts":
            names = st.sampled_from(("payment", "transfer", "urn:example:order"))
            return st.lists(names, min_size=1, unique=True).map(" ".join)
        case _:
            raise AssertionError(setting)


def written(setting: Setting, text: str) -> str:
    """Return the setting as a line of TOML."""
    return f"{setting.name} = {text}\n" if setting.kind == "count" else f"{setting.name} = '{text}'\n"


def laxer(setting: Setting, value: Value, than: Value) -> bool:
    """Return whether a value allows more than the other one."""
    return strictest(setting, than, value) != value


@pytest.mark.deep
@pytest.mark.parametrize("way", WAYS)
@given(st.data())
def test_what_the_environment_names_loosens_no_guard_rail(way: str, data: st.DataObject) -> None:
    """With any file that it selects, the stricter value counts, which is never laxer than the user's own value."""
    setting = SETTINGS[data.draw(st.sampled_from(sorted(GUARD_RAILS)))]
    own = data.draw(st.none() | values(setting))
    other = data.draw(values(setting))
    with places() as where:
        if own is not None:
            put(where.own, written(setting, own))
        trusted = setting.default if own is None else convert(setting, own, "", "/")
        assert load().get(setting.name) == trusted
        environ = {**os.environ, **led_by(way, where, written(setting, other))}
        found = load(environ=environ)
        told: list[str] = []
        found.warn = told.append
        value, other_value = found.get(setting.name), convert(setting, other, "", "/")
        if way == "XDG_CONFIG_DIRS" and own is not None:
            # The user's own file precedes the system's file.
            other_value = trusted
        assert not laxer(setting, value, trusted)
        assert value == strictest(setting, trusted, other_value)
        # A warning gives the reason.
        assert bool(told) == (value != other_value)
        assert all(way in line for line in told)
        assert not laxer(setting, without_files({}, environ).get(setting.name), trusted)


@pytest.mark.parametrize("way", WAYS)
def test_what_the_environment_names_takes_no_floor_away(way: str) -> None:
    """The floors of the user's own file apply together with the other file's floors, and are shown."""
    with places() as where:
        put(where.own, "[floor.scope]\n'prod:*' = 'critical'\n")
        text = "floor.scope.'prod:*' = 'low'\n" if way == "JITID_PROFILE" else "ttl = '5m'\n"
        config = load(environ={**os.environ, **led_by(way, where, text)})
        assert config.scope_floors == {"prod:*": "critical"}
        assert dict(config.tables())["floor.scope"]["prod:*"] == ("critical", f"user {where.own}")


@pytest.mark.parametrize("name", sorted(GUARD_RAILS))
def test_no_variable_sets_a_guard_rail(name: str) -> None:
    """A variable sets neither a laxer value nor a stricter one."""
    with places():
        for value in ("1", "999999", "known", "low", "critical", "Asia/Tokyo"):
            config = load(environ={**os.environ, SETTINGS[name].variable: value})
            assert config.get(name) == SETTINGS[name].default
            assert config.origin(name) == "default"


def test_what_the_line_names_counts_fully() -> None:
    """A reader of the command line sees --config and --profile."""
    with places() as where:
        put(where.own, "max = 5\n[profile.night]\nmax = 7000\n")
        file = put(where.elsewhere / "c.toml", "max = 300\n[profile.night]\nmax = 9000\n")
        assert load().number("max") == 5
        assert load(profile="night").number("max") == 7000
        assert load(file=file).number("max") == 300
        assert load(file=file, profile="night").number("max") == 9000
        environ = {**os.environ, "JITID_PROFILE": "night"}
        assert load(file=file, environ=environ).number("max") == 300
        environ = {**os.environ, "JITID_CONFIG": file}
        assert load(environ=environ).number("max") == 5
        assert load(profile="night", environ=environ).number("max") == 7000


def test_a_file_of_ones_own_that_is_broken_is_not_passed_over() -> None:
    """Otherwise another file would replace guard rails that jitid cannot read."""
    with places() as where:
        put(where.own, "max = \n")
        environ = {**os.environ, "JITID_CONFIG": put(where.elsewhere / "c.toml", "max = 7\n")}
        config = load(environ=environ)
        with pytest.raises(ConfigurationError, match=str(where.own)):
            config.number("max")
        assert config.text("agent") == "agent"


def test_a_login_without_an_entry_has_the_system_and_the_line_alone() -> None:
    """In a container, a process may have a user id that is not in the password database."""
    with places() as where:
        put(where.own, "max = 5000\n")

        def nobody(number: int) -> pwd.struct_passwd:
            raise KeyError(number)

        with patch("pwd.getpwuid", nobody):
            assert load().number("max") == 100
            assert load(file=str(where.own)).number("max") == 5000


def test_a_mass_revocation_is_refused_whatever_the_environment_names(tmp_path: Path) -> None:
    """The home of the test user is not the home in the password database."""
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--count", "101")
    put(tmp_path / ".config/jitid/config.toml", "max = 100000\n[profile.p]\nmax = 100000\n")
    for more in ({}, {"JITID_PROFILE": "p"}, {"JITID_CONFIG": str(tmp_path / ".config/jitid/config.toml")}):
        refused = shell.run("revoke", "--task", "T1", more=more)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "cannot loosen a guard rail" in refused.stderr
    named = str(tmp_path / ".config/jitid/config.toml")
    shell.good("--config", named, "revoke", "--task", "T1")
