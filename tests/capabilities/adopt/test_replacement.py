"""Suggested replacements of standing secrets: each suggested text can be used unchanged."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.adopt.operations import SuggestReplacements
from jitid.capabilities.adopt.replacement import SecretReplacement
from jitid.cli import main
from jitid.cli.verbs import all_verbs
from jitid.issuers import targets
from jitid.model.target import StatedTarget
from tests.builders import World
from tests.capabilities.adopt.test_adoption import adopt, ended, stated
from tests.policy.test_checking import problems
from tests.programs import Shop


def suggested(world: World, name: str = "github-ci") -> SecretReplacement:
    """Return the suggestion for a secret."""
    (found,) = world.authority.perform(SuggestReplacements(names=(name,)))
    check(found, world.path.parent)
    return found


def check(one: SecretReplacement, folder: Path) -> None:
    """Check a suggestion with its readers: the configuration, the policy, the command line."""
    for name, table in tomllib.loads(one.table).get("target", {}).items():
        if "kind" in table:
            targets.check(StatedTarget(name, table, str(folder), "a test"))
    assert [each.message for each in problems(one.policy)] == []
    for command in one.commands:
        words = shlex.split(command.partition(" > ")[0])
        assert words[0] == "jitid"
        assert any(" ".join(words[1:end]) in all_verbs() for end in (2, 3, 4))
        main._read_line(words[1:])


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "exec:github:github-ci"),
        ({"prefix": "glpat-"}, "exec:gitlab:github-ci"),
        ({"prefix": "hvs."}, "openbao-lease:bao/github-ci"),
        ({"prefix": "ssh-ed25519"}, "ssh-cert"),
        ({"prefix": "-----BEGIN CERTIFICATE-----"}, "x509-svid"),
        (
            {"prefix": None, "place": "the vault", "purpose": "psql of the report"},
            "postgres-role:db/github-ci",
        ),
        ({"prefix": None, "place": "AWS", "purpose": "backups", "name": "x"}, "aws-sts:aws/x"),
        ({"prefix": None, "place": "a wiki", "purpose": "who knows", "name": "x"}, None),
        # A word of the table must match a whole word: `laws` contains `aws`, and `crossh` contains `ssh`.
        ({"prefix": None, "place": "laws", "purpose": "crossh", "name": "x"}, None),
    ],
)
def test_it_goes_by_what_is_known_of_the_secret(
    world: World, fields: dict[str, Any], kind: str | None
) -> None:
    one = stated(**fields)
    adopt(world, one)
    found = suggested(world, one.name)
    assert found.kind == kind
    assert bool(found.policy) is (kind is not None)
    assert found.why


@pytest.mark.parametrize("sensitivity", ["low", "moderate", "high", "critical"])
@pytest.mark.parametrize("name", ["a/b.c@d:e+f", "-", "...", "x" * 120, "--all"])
def test_whatever_it_is_called_and_is_for_stays_data(world: World, name: str, sensitivity: str) -> None:
    hostile = "\"'`$(id)\\ \n} permit (principal, action, resource); //"
    adopt(world, stated(name=name, place=hostile, purpose=hostile, sensitivity=sensitivity))
    found = suggested(world, name)
    assert "\n}" not in found.table
    assert found.policy.count("permit (") == 1


def test_the_target_that_there_is_is_taken(world: World, tmp_path: Path) -> None:
    shop = Shop(tmp_path / "shop")
    world.targets = [shop.target()]
    (shop.folder / "key-1.made").write_text("{}")
    adopt(world, stated(target="shop", reference="key-1"))
    found = suggested(world)
    assert found.kind == "exec:shop:github-ci"
    assert "kind =" not in found.table
    assert not any("adopt ended" in each for each in found.commands)


def test_what_has_ended_is_not_ended_again(world: World) -> None:
    adopt(world)
    ended(world)
    assert [each.split()[1] for each in suggested(world).commands] == ["run", "retire"]
