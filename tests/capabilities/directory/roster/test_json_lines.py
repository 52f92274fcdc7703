"""JSON lines in jitid's own format: printed records are read again, and a hostile line is refused by its number."""

from __future__ import annotations

import json

import pytest

from jitid.capabilities.directory.operations import ListDelegators
from jitid.capabilities.directory.roster import json_lines
from jitid.capabilities.directory.roster.roster_entry import KEEP, StatedDelegator, merged
from jitid.errors import UsageError
from jitid.model.directory import Delegator
from tests.builders import NOW

VIEW = ListDelegators.view


def read(*lines: str) -> list[StatedDelegator]:
    """Return the delegators that lines state."""
    return list(json_lines.read(enumerate(lines, start=1)).people)


@pytest.mark.parametrize("entitlements", [None, (), ("a:*", "b")])
@pytest.mark.parametrize("imported", [False, True])
def test_what_is_printed_is_read_as_it_was(entitlements: tuple[str, ...] | None, *, imported: bool) -> None:
    one = Delegator(
        7,
        "user:alice",
        "high",
        entitlements,
        ('a "b" \\ c', "é"),
        None,
        ("https://id.example x", "user:al"),
        imported=imported,
        added_at=NOW,
        disabled_at=NOW,
        external="7",
    )
    (stated,) = read(json.dumps(VIEW.row(one)))
    assert merged(stated, one, NOW + 5) == one


def test_what_is_absent_is_not_stated_and_null_is_none() -> None:
    bare, none = read(
        '{"name": "alice"}',
        '{"name": "bob", "entitlements": null, "groups": null, "manager": null, "aliases": null}',
    )
    assert bare == StatedDelegator("line 1", "user:alice")
    assert bare.entitlements is KEEP
    assert none == StatedDelegator("line 2", "user:bob", None, KEEP, (), None, ())


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: it does not parse at character 2"),
        ("[]", "line 2: not a JSON object"),
        ('{"name": "a", "name": "b"}', "line 2: it has two members with the same name"),
        ('{"nme": "a"}', "line 2: unknown member `nme`"),
        ("{}", "line 2: the member `name` is missing"),
        ('{"name": 1}', "line 2: the member `name` must be a string"),
        ('{"name": "a", "groups": "sre"}', "line 2: the member `groups` must be an array of strings"),
        ('{"name": "a", "groups": [1]}', "line 2: the member `groups` must be an array of strings"),
        ('{"name": "a", "entitlements": ["a b"]}', "line 2: scope `a b`"),
        ('{"name": "a", "groups": ["\\u0000"]}', r"line 2: `\\x00` is not a valid name of a group"),
        ('{"name": "a", "groups": ["\\ud800"]}', "line 2: it has half of a surrogate pair"),
        ('{"name": "a", "active": "true"}', "line 2: the member `active` must be true or false"),
        (
            '{"name": "a", "active": true, "state": "enabled"}',
            "line 2: the members active and state exclude each other",
        ),
        ('{"name": "a", "sensitivity": "secret"}', "line 2: `secret` is not a sensitivity"),
        ('{"name": "a", "external_id": 7}', "line 2: the member `external_id` must be a string"),
        ('{"name": "a", "manager": "agent:b"}', "line 2: `agent:b` is an agent"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(line: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        read('{"name": "ok"}', line)
    assert str(refused.value).endswith("; nothing was changed")


def test_users_of_scim_are_told_apart() -> None:
    with pytest.raises(UsageError) as refused:
        read('{"userName": "alice"}')
    assert "--as scim" in str(refused.value.hint)
