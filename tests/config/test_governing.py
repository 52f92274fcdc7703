"""The settings `delegators` and `timezone`: the allowed delegators, and the time zone of the policy's hours."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jitid.config.effective import load
from jitid.config.settings import zone
from jitid.errors import ConfigurationError
from tests.real import Shell
from tests.values.hostile import INTRUDERS, NAUGHTY

HOSTILE = [
    "",
    " ",
    ".",
    "..",
    "/",
    "../../../etc/passwd",
    "../../etc/passwd",
    "Europe/../../../../etc/passwd",
    "Europe/../Europe/Berlin",
    "/etc/passwd",
    "/usr/share/zoneinfo/Europe/Berlin",
    "Europe",
    "Europe/",
    "Europe/Berlin/",
    "Europe//Berlin",
    "./Europe/Berlin",
    "Europe/Berlin\x00",
    "\x00",
    "Europe/Berlin\n",
    "Europe\\Berlin",
    "tzdata.zi",
    "zone.tab",
    "leapseconds",
    "utc ",
    "+02:00",
    "UTC+2",
    "CEST",
    "a" * 300,
    "a/" * 5_000,
    "\udcff",
    "Europe/Bérlin",
    "~/x",
    "$HOME",
]


@pytest.mark.parametrize("name", [*HOSTILE, *INTRUDERS], ids=ascii)
def test_what_is_no_zone_is_refused_and_opens_nothing_else(name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        zone(name)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200
    assert "Europe/Berlin" in (caught.value.hint or "")


@given(st.text() | st.sampled_from(NAUGHTY))
@example("\ud800")
def test_any_other_text_is_a_zone_or_refused(name: str) -> None:
    try:
        found = zone(name)
    except ConfigurationError:
        return
    assert found is None or isinstance(datetime(2026, 7, 1, tzinfo=found).utcoffset(), timedelta)


def test_utc_needs_no_table_of_zones() -> None:
    assert zone("UTC") is None


@pytest.mark.parametrize(("name", "hours"), [("Europe/Berlin", 2), ("Asia/Kolkata", 5.5), ("Etc/UTC", 0)])
def test_a_zone_is_that_of_its_name(name: str, hours: float) -> None:
    assert datetime(2026, 7, 1, tzinfo=zone(name)).utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("timezone = 'Mars/Olympus'", "no time zone `Mars/Olympus`"),
        ("timezone = '../../etc/passwd'", "no time zone `../../etc/passwd`"),
        ("timezone = 2", "timezone"),
        ("delegators = 'none'", "delegators"),
        ("delegators = true", "delegators"),
        ("delegators = ''", "delegators"),
    ],
)
def test_a_bad_value_ends_every_issue_with_its_place(tmp_path: Path, text: str, part: str) -> None:
    """A bad value is never ignored: each of the two settings can cause a refusal."""
    file = tmp_path / "config.toml"
    file.write_text(f"{text}\n")
    file.chmod(0o600)
    shell = Shell(tmp_path)
    done = shell.run("--config", str(file), "issue", "--task", "T1", "--delegator", "alice")
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr
    assert str(file) in done.stderr
    assert not shell.ledger.exists()


@pytest.mark.parametrize("name", ["delegators", "timezone"])
def test_neither_comes_from_the_environment_or_a_project(tmp_path: Path, name: str) -> None:
    """Both settings can widen access."""
    value = {"delegators": "known", "timezone": "Asia/Kolkata"}[name]
    environ = {"HOME": str(tmp_path), f"JITID_{name.upper()}": value}
    assert load(flags={}, environ=environ).text(name) != value
    project = tmp_path / ".jitid.toml"
    project.write_text(f'{name} = "{value}"\n')
    done = Shell(tmp_path).run("config", "get", name)
    assert value not in done.stdout


def test_only_known_delegators_are_taken_where_that_is_set(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good("config", "set", "delegators", "known")
    done = shell.run("issue", "--task", "T1", "--delegator", "alice")
    assert done.returncode == 4
    assert "rule `delegator-unknown`" in done.stderr
    assert "jitid delegator add user:alice" in done.stderr


def test_the_hour_is_told_in_the_zone_that_is_set(tmp_path: Path) -> None:
    """At any time of day, it is afternoon in exactly one of the two zones."""
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T1", "--delegator", "alice")
    (shell.ledger / "policy/own.cedar").write_text(
        '@id("morning") forbid (principal, action, resource) when { context.hour < 12 };'
    )
    ends = []
    for name in ("Etc/GMT-12", "Etc/GMT"):
        shell.good("config", "set", "timezone", name)
        words = (
            "--task",
            "T1",
            "--delegator",
            "alice",
            "--config",
            str(shell.home / ".config/jitid/config.toml"),
        )
        ends.append(shell.run("issue", *words).returncode)
    assert sorted(ends) == [0, 4]
