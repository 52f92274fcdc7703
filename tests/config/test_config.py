"""Laws of the configuration: the precedence of its sources, and the settings that a project may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.capabilities.access.oidc import check_settings
from jitid.config.effective import Config, load
from jitid.config.settings import SETTINGS, Setting
from jitid.errors import ConfigurationError, JitidError, UsageError
from jitid.model.task import SENSITIVITIES, rank

ORDER = ("flag", "environment", "project", "user", "system", "default")


@contextmanager
def surroundings() -> Iterator[dict[str, str]]:
    """Create a separate home, system folder and working directory; yield the environment variables."""
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "work").mkdir(parents=True)
        os.chdir(home / "work")
        try:
            with patch.dict(os.environ, {"HOME": str(home), "XDG_CONFIG_DIRS": f"{folder}/etc"}, clear=True):
                yield dict(os.environ)
        finally:
            os.chdir(before)


def write(environ: dict[str, str], owner: str, text: str) -> None:
    """Write the file of the project, the user or the system."""
    path = {
        "project": Path(environ["HOME"]) / "work/.jitid.toml",
        "user": Path(environ["HOME"]) / ".config/jitid/config.toml",
        "system": Path(environ["XDG_CONFIG_DIRS"]) / "jitid/config.toml",
    }[owner]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)


def configured(by: dict[str, int], environ: dict[str, str]) -> Config:
    """Return the configuration when each source in `by` sets `ttl` to its number of seconds."""
    for owner in by.keys() & {"project", "user", "system"}:
        write(environ, owner, f"ttl = {by[owner]}\n")
    if "environment" in by:
        environ["JITID_TTL"] = str(by["environment"])
    return load(flags={"ttl": str(by["flag"]) if "flag" in by else None}, environ=environ)


@given(st.sets(st.sampled_from(ORDER[:-1])))
def test_the_first_who_sets_a_value_has_it(owners: set[str]) -> None:
    """Each source sets a stricter value than all sources below it, so that the project's value counts as well."""
    by = {owner: 100 + number for number, owner in enumerate(ORDER) if owner in owners}
    with surroundings() as environ:
        config = configured(by, environ)
        first = next(owner for owner in ORDER if owner in owners or owner == "default")
        assert config.number("ttl") == by.get(first, SETTINGS["ttl"].default)
        assert config.origin("ttl").split()[0] == first


@given(
    st.integers(1, 5000), st.integers(1, 5000), st.sampled_from(SENSITIVITIES), st.sampled_from(SENSITIVITIES)
)
def test_a_project_never_makes_anything_laxer(project: int, user: int, low: str, high: str) -> None:
    """A project may shorten a lifetime or raise a level. A laxer value is ignored with a warning."""
    with surroundings() as environ:
        write(environ, "user", f"ttl = {user}\nsensitivity = '{high}'\n")
        write(environ, "project", f"ttl = {project}\nsensitivity = '{low}'\n")
        config = load(environ=environ)
        assert config.number("ttl") == min(project, user)
        assert rank(config.text("sensitivity") or "") == max(rank(low), rank(high))
        assert len(config.warnings) == (project > user) + (rank(low) < rank(high))


@pytest.mark.parametrize("setting", [each for each in SETTINGS.values() if each.project == "no"])
def test_a_project_cannot_say_whom_to_believe(setting: Setting) -> None:
    """The whole file is ignored with a warning."""
    with surroundings() as environ:
        write(environ, "project", f"task = 'T'\n{setting.name} = 'x'\n")
        config = load(environ=environ)
        assert config.text("task") is None
        assert len(config.warnings) == 1


toml_values = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(), st.dates(), st.lists(st.text()))


@given(st.dictionaries(st.one_of(st.sampled_from(list(SETTINGS)), st.text()), toml_values))
def test_any_file_is_read_or_refused(document: dict[str, object]) -> None:
    """With any content, the result is a value or a ConfigurationError; in a project's file, a warning."""
    import tomli_w

    text = tomli_w.dumps(document)
    with surroundings() as environ:
        write(environ, "project", text)
        load(environ=environ)
        write(environ, "user", text)
        try:
            load(environ=environ)
        except JitidError as error:
            assert isinstance(error, ConfigurationError)


@given(st.text())
def test_any_flag_is_read_or_a_usage_error(text: str) -> None:
    """No other exception is possible."""
    with surroundings() as environ:
        for name in SETTINGS:
            try:
                load(flags={name: text}, environ=environ)
            except UsageError:
                continue


def test_a_relative_path_belongs_to_the_file_that_says_it() -> None:
    """On the command line and in the environment, a path is relative to the working directory."""
    with surroundings() as environ:
        write(environ, "user", "ledger = 'mine'\npolicy = '~/rules'\n")
        config = load(environ=environ)
        assert config.ledger == f"{environ['HOME']}/.config/jitid/mine"
        assert config.text("policy") == f"{environ['HOME']}/rules"
        assert load(flags={"ledger": "here"}, environ=environ).ledger == f"{Path.cwd()}/here"
        assert load(flags={"ledger": "sqlite:///x"}, environ=environ).ledger == "sqlite:///x"


def test_the_data_folder_follows_the_xdg_rules() -> None:
    """A relative path in a variable is ignored, as the specification requires."""
    with surroundings() as environ:
        assert load(environ=environ).ledger.endswith("/.local/share/jitid")
        assert load(environ={**environ, "XDG_DATA_HOME": "/data/"}).ledger == "/data/jitid"
        assert load(environ={**environ, "XDG_DATA_HOME": "data"}).ledger.endswith("/.local/share/jitid")


def test_the_default_ledger_makes_room_for_the_keys_of_a_database() -> None:
    """An existing ledger keeps its place, with any other files in its folder."""
    with surroundings() as environ:
        folder = Path(environ["HOME"]) / ".local/share/jitid"
        (folder / "authority").mkdir(parents=True)
        assert load(environ=environ).ledger == f"{folder}/ledger"
        for name in ("ledger.db", "keys", "policy", "lock"):
            (folder / name).mkdir()
            assert load(environ=environ).ledger == str(folder)
            (folder / name).rmdir()
        (folder / "authority").rename(folder / "ledger")
        assert load(environ=environ).ledger == f"{folder}/ledger"


def test_of_an_issuer_in_two_files_the_one_that_counts_is_shown() -> None:
    """A field of a file that does not count looked as if it was in force."""
    with surroundings() as environ:
        write(environ, "system", "[oidc.'https://ci.example']\njwks = 'jwks.json'\naudience = 'old'\n")
        write(environ, "user", "[oidc.'https://ci.example']\naudience = 'jitid'\n")
        config = load(environ=environ)
        (issuer,) = config.oidc()
        assert (issuer.jwks, issuer.audience) == ("", "jitid")
        shown = {name: text for name, (text, _) in dict(config.tables())["oidc"].items()}
        assert shown == {"https://ci.example.audience": "jitid"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_name_that_begins_like_another_one_hides_nothing(order: int) -> None:
    """An auditor must see each issuer and target that is in force."""
    with surroundings() as environ:
        issuers = ["https://ci.example", "https://ci.example.org", "https://ci.example/v1"][::order]
        targets = ["a", "a.b"][::order]
        text = "".join(f"[oidc.'{name}']\naudience = 'jitid'\n" for name in issuers)
        text += "".join(f"[target.'{name}']\nkind = 'exec'\nprogram = '/bin/true'\n" for name in targets)
        write(environ, "user", text)
        tables = dict(load(environ=environ).tables())
        assert {name.removesuffix(".audience") for name in tables["oidc"]} == set(issuers)
        kinds = {name.removesuffix(".kind") for name in tables["target"] if name.endswith(".kind")}
        assert kinds == set(targets)


def test_an_oidc_issuer_is_complete_when_it_is_needed() -> None:
    """`config set` writes one field at a time, so an incomplete issuer is not an error before that."""
    with surroundings() as environ:
        write(environ, "user", "[oidc.'https://ci.example']\njwks = 'jwks.json'\n")
        (issuer,) = load(environ=environ).oidc()
        with pytest.raises(ConfigurationError, match="has no `audience`"):
            check_settings(issuer)
        write(environ, "user", "[oidc.'https://ci.example']\njwks = 'jwks.json'\naudience = 'jitid'\n")
        (issuer,) = load(environ=environ).oidc()
        assert (issuer.issuer, issuer.audience) == ("https://ci.example", "jitid")
        assert check_settings(issuer).jwks == f"{environ['HOME']}/.config/jitid/jwks.json"
