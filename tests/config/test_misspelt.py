"""A misspelt name in a configuration file is refused by every command, whether the command uses it or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import tomli_w

from jitid.cli.verbs import all_verbs
from jitid.config import settings
from jitid.config.config_file import TABLES
from jitid.config.effective import load
from jitid.config.settings import SETTINGS
from jitid.errors import ConfigurationError, ExitStatus
from jitid.issuers.targets import COMMON, check, options_of
from jitid.model import access
from jitid.model.access import ROLES
from jitid.model.credential import MADE
from jitid.model.target import StatedTarget
from jitid.model.task import SENSITIVITIES
from jitid.model.vendor import VENDORS
from tests.config.test_config import surroundings, write
from tests.real import Shell

CHOICES = {
    "sensitivity": SENSITIVITIES,
    "format": settings.FORMATS,
    "colour": settings.COLOURS,
    "delegators": settings.DELEGATORS,
    "log format": settings.LOG_FORMATS,
}
"""The values of each type of setting that has only a few values."""

FREE = {
    "name", "text", "place", "issuer", "trust domain", "audiences", "duration", "count", "time zone", "authority",
    "url", "mode", "texts",
}  # fmt: skip
"""The types of settings with too many values for a list."""

ISSUER = "https://id.example"


class Mistake(NamedTuple):
    """A document with a misspelt name, its table, and the right name."""

    document: dict[str, Any]
    table: str
    meant: str


def wrong(word: str) -> str:
    """Misspell a word."""
    return word + word[-1]


def mistakes() -> Iterator[Mistake]:
    """Yield a mistake in each key and each enumerated value that a table of the configuration has."""
    for name, setting in SETTINGS.items():
        yield Mistake({wrong(name): "1"}, "", name)
        for value in CHOICES.get(setting.kind, ()):
            yield Mistake({name: wrong(value)}, name, value)
    for table in TABLES:
        yield Mistake({wrong(table): {}}, "", table)
    choices: tuple[str, ...]
    for part, choices in (
        ("floor.scope", SENSITIVITIES),
        ("floor.audience", SENSITIVITIES),
        ("algorithm.audience", settings.ALGORITHMS),
        ("socket.role", ROLES),
    ):
        table, _, key = part.partition(".")
        yield Mistake({table: {wrong(key): {}}}, table, key)
        for value in choices:
            yield Mistake({table: {key: {"a": wrong(value)}}}, f"{part}.a", value)
    yield Mistake({"socket": {"delegatorr": {}}}, "socket", "delegator")
    yield Mistake({"socket": {"delegator": {"alice": "usr:alice"}}}, "socket.delegator.alice", "user")
    for key in ("jwks", "audience", "claim", "kind", "algorithms", "names", "clients"):
        yield Mistake({"oidc": {ISSUER: {wrong(key): "x"}}}, f"oidc.{ISSUER}", key)
    for key, choices in (("kind", access.KINDS), ("algorithms", access.ALGORITHMS)):
        for value in choices:
            yield Mistake({"oidc": {ISSUER: {key: wrong(value)}}}, f"oidc.{ISSUER}.{key}", value)
    yield Mistake(
        {"oidc": {ISSUER: {"algorithms": ["ES256", "ES265"]}}}, f"oidc.{ISSUER}.algorithms", "ES256"
    )
    for vendor, spec in VENDORS.items():
        yield Mistake({"federate": {wrong(vendor): {}}}, f"federate.{wrong(vendor)}", vendor)
        yield Mistake({"federate": {"a": {"vendor": wrong(vendor)}}}, "federate.a", vendor)
        for key in ("vendor", "audience", "subject", "lifetime", *spec.settings):
            yield Mistake({"federate": {vendor: {wrong(key): "x"}}}, f"federate.{vendor}", key)
    yield Mistake({"target": {"a": {"kindd": "jwt"}}}, "target.a", "kind")
    for kind in MADE:
        yield Mistake({"target": {"a": {"kind": wrong(kind)}}}, "target.a.kind", kind)
    yield Mistake({"target": {"a": {"kind": 7}}}, "target.a.kind", "jwt")
    yield Mistake({"target": {"a": {}}}, "target.a", "jwt")
    yield Mistake({"target": {"a": {"kind": "postgress"}}}, "target.a.kind", "postgres-role")


EACH = [*mistakes()]


@pytest.mark.parametrize("mistake", EACH, ids=[f"{number}-{each.meant}" for number, each in enumerate(EACH)])
def test_what_is_misspelt_is_refused_where_it_stands(mistake: Mistake) -> None:
    """This holds in the user's file, in the system's file, and in a profile that is not selected."""
    for owner, profile in (("user", None), ("system", None), ("user", "other")):
        document = mistake.document if profile is None else {"profile": {profile: mistake.document}}
        with surroundings() as environ:
            write(environ, owner, tomli_w.dumps(document))
            with pytest.raises(ConfigurationError) as caught:
                load(environ=environ)
        told = f"{caught.value.message} ({caught.value.hint})"
        assert caught.value.exit_status == ExitStatus.USAGE
        assert "jitid/config.toml" in told
        assert mistake.table in told
        assert mistake.meant in told
        assert ("[profile.other]" in told) == (profile is not None)


def test_every_sort_of_setting_and_every_table_is_looked_at() -> None:
    """This test fails for a new type of setting until the tables above include it."""
    assert FREE | CHOICES.keys() == set(get_args(settings.ValueType))
    assert FREE.isdisjoint(CHOICES)
    met = {name for each in EACH for name in each.document}
    assert {*TABLES} - {"profile"} <= met


@pytest.mark.parametrize("kind", MADE)
def test_an_option_of_a_target_that_is_misspelt_is_refused_at_its_use(kind: str) -> None:
    """Each option of each kind of target, and of its templates."""
    options, of_templates = options_of(MADE[MADE.index(kind)])
    tables: list[tuple[dict[str, Any], str, str]] = [
        ({wrong(name): 1}, "target.a", name) for name in ({**COMMON, **options}.keys() - {"kind"})
    ]
    needed = {name: "x" for name, option in options.items() if option.required}
    tables += [
        ({**needed, "template": {"t": {wrong(name): 1}}}, "target.a.template.t", name)
        for name in of_templates
    ]
    for table, where, name in tables:
        with pytest.raises(ConfigurationError) as caught:
            check(StatedTarget("a", {"kind": kind, **table}, "/etc/jitid", "user /etc/jitid/config.toml"))
        told = f"{caught.value.message} ({caught.value.hint})"
        assert caught.value.exit_status == ExitStatus.USAGE
        assert "/etc/jitid/config.toml" in told
        assert where in told
        assert f"`{name}`" in told


@pytest.mark.parametrize(
    "words", [("list",), ("issue", "--task", "T", "--delegator", "a"), ("sweep",), ("config", "show")]
)
def test_verbs_that_need_no_target_refuse_one_of_no_kind(tmp_path: Any, words: tuple[str, ...]) -> None:
    shell = Shell(tmp_path)
    settings = tmp_path / "settings.toml"
    settings.touch(0o600)
    settings.write_text('[target.db]\nkind = "postgress"\n')
    done = shell.run("--config", str(settings), *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{settings}: `target.db.kind`: `postgress` is not one of: " in done.stderr
    assert "did you mean `postgres-role`?" in done.stderr
    assert not shell.ledger.exists()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.good("issue", "--task", "T", "--delegator", "alice")
    return made


@pytest.mark.parametrize(
    ("variable", "meant"), [("JITID_LEDGR", "JITID_LEDGER"), ("JITID_POLCY", "JITID_POLICY")]
)
def test_a_misspelt_variable_is_a_warning(shell: Shell, variable: str, meant: str) -> None:
    """Other programs may have variables of any name."""
    done = shell.run("list", more={variable: "x"})
    assert done.returncode == 0
    assert (
        f"warning: the environment variable `{variable}` has no effect: did you mean {meant}?" in done.stderr
    )


def test_variables_of_jitid_and_of_others_are_not_misspelt(shell: Shell) -> None:
    own = {field.env for verb in all_verbs().values() for field in verb.fields.values() if field.env}
    names = own | {
        "JITID_TOKEN_FILE",
        "JITID_EXPIRES_AT",
        "JITID_ID",
        "JITID_PAGER",
        "JITID_TOKEN",
        "JITID_MINE",
    }
    for name in names - settings.VARIABLES:
        assert not load(environ={"HOME": str(shell.home), name: "x"}).warnings, name
