"""SCIM 2.0 users in each form in which identity providers export them (RFC 7643 and RFC 7644)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jitid.capabilities.directory.roster import scim
from jitid.capabilities.directory.roster.roster_entry import KEEP, Roster, StatedDelegator
from jitid.errors import UsageError

# RFC 7643, section 8.3, without attributes that jitid does not use, and with two changes: jitid can hold the user
# name, and the entitlement is a scope.
FULL: dict[str, Any] = {
    "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    ],
    "id": "2819c223-7f76-453a-919d-413861904646",
    "externalId": "701984",
    "userName": "bjensen@example.com",
    "name": {"formatted": "Ms. Barbara J Jensen, III", "familyName": "Jensen", "givenName": "Barbara"},
    "displayName": "Babs Jensen",
    "emails": [
        {"value": "bjensen@example.com", "type": "work", "primary": True},
        {"value": "babs@jensen.org", "type": "home"},
    ],
    "entitlements": [{"value": "deploy:*", "type": "ours"}],
    "active": True,
    "groups": [
        {
            "value": "e9e30dba-f08f-4109-8486-d5c6a331660a",
            "$ref": "../Groups/e9e30dba-f08f-4109-8486-d5c6a331660a",
            "display": "Tour Guides",
        },
        {"value": "71ddacd2-a8e7-49b8-a5db-ae50d0a5bfd7"},
    ],
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
        "employeeNumber": "701984",
        "department": "Tour Operations",
        "manager": {
            "value": "26118915-6090-4610-87e4-49d8ca9f808d",
            "$ref": "../Users/26118915-6090-4610-87e4-49d8ca9f808d",
            "displayName": "John Smith",
        },
    },
    "meta": {"resourceType": "User", "location": "https://example.com/v2/Users/2819c223"},
}
MANAGER = {"id": "26118915-6090-4610-87e4-49d8ca9f808d", "userName": "john"}
_EXTENSION = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def listed(*users: object, **more: object) -> str:
    """Return a list response."""
    return json.dumps(
        {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": len(users),
            **more,
            "Resources": users,
        }
    )


def people(*users: object) -> list[StatedDelegator]:
    """Return the delegators that the users of a list response state."""
    return list(scim.read(listed(*users)).people)


def test_the_full_user_of_the_standard_is_read() -> None:
    first, second = people(FULL, MANAGER)
    assert first == StatedDelegator(
        ".Resources[0]",
        "user:bjensen@example.com",
        ("deploy:*",),
        KEEP,
        ("71ddacd2-a8e7-49b8-a5db-ae50d0a5bfd7", "Tour Guides"),
        "user:john",
        ("user:babs@jensen.org", "user:bjensen@example.com"),
        disabled=False,
        external="2819c223-7f76-453a-919d-413861904646",
        subjects_too=False,
    )
    # If another user of the list has an attribute, a user without it has no values of it.
    assert (
        second[2:]
        == StatedDelegator(
            "",
            "",
            (),
            KEEP,
            (),
            None,
            (),
            external="26118915-6090-4610-87e4-49d8ca9f808d",
            subjects_too=False,
        )[2:]
    )


@pytest.mark.parametrize(
    "text",
    [
        listed(FULL, MANAGER),
        json.dumps([FULL, MANAGER]),
        json.dumps(FULL) + "\n" + json.dumps(MANAGER),
        json.dumps(FULL, indent=2) + json.dumps(MANAGER, indent=2),
        listed(FULL) + listed(MANAGER, totalResults=2),
    ],
)
def test_users_come_in_any_of_the_usual_ways(text: str) -> None:
    roster = scim.read(text)
    assert [one.name for one in roster.people] == ["user:bjensen@example.com", "user:john"]
    assert roster.people[0].manager == "user:john"
    assert roster.partial is None


def test_names_of_attributes_are_alike_in_either_case() -> None:
    (one,) = people({"USERNAME": "alice", "Active": False, "Groups": [{"Display": "sre"}]})
    assert (one.name, one.disabled, one.groups) == ("user:alice", True, ("sre",))


def test_what_no_user_has_is_not_stated() -> None:
    (one,) = people({"userName": "alice"})
    assert (one.entitlements, one.groups, one.aliases, one.manager, one.disabled) == (KEEP,) * 5


def test_an_empty_list_is_none_and_null_too() -> None:
    (one,) = people({"userName": "alice", "groups": [], "emails": None, _EXTENSION: {"manager": None}})
    assert (one.groups, one.aliases, one.manager) == ((), (), None)


@pytest.mark.parametrize(
    "manager",
    [
        {"value": MANAGER["id"]},
        {"$ref": f"https://example.com/scim/v2/Users/{MANAGER['id']}"},
        {"value": "john"},
        MANAGER["id"],
    ],
)
def test_a_manager_of_the_list_is_found_by_what_names_them(manager: object) -> None:
    first, _ = people({"userName": "alice", _EXTENSION: {"manager": manager}}, MANAGER)
    assert (first.manager, first.manager_external) == ("user:john", None)


def test_a_manager_who_is_not_in_the_list_is_left_for_the_directory() -> None:
    (one,) = people({"userName": "alice", _EXTENSION: {"manager": {"value": "77"}}})
    assert (one.manager, one.manager_external) == (KEEP, "77")


def test_a_user_name_may_have_colons() -> None:
    """The kind comes before the name, so that a colon in the name does no harm."""
    assert people({"userName": "a:b"})[0].name == "user:a:b"


def test_an_address_that_is_no_name_is_left_out_and_told() -> None:
    roster = scim.read(listed({"userName": "alice", "emails": [{"value": "o'brien@x"}, {"value": "a@x"}]}))
    assert roster.people[0].aliases == ("user:a@x",)
    assert roster.notes == ("1 e-mail address was skipped: it is not a valid name",)


def test_truth_between_quotes_is_truth() -> None:
    assert [one.disabled for one in people({"userName": "a", "active": "False"}, {"userName": "b"})] == [
        True,
        KEEP,
    ]


def test_a_page_of_many_says_that_others_are_missing() -> None:
    assert scim.read(listed(MANAGER, totalResults=500)).partial == (
        "the file has 1 of 500 users: pages are missing"
    )


@pytest.mark.parametrize(
    ("user", "told"),
    [
        ([], "the user is not a JSON object"),
        ({}, "its `userName` is required"),
        ({"userName": " "}, "its `userName` is required"),
        ({"userName": "x y"}, "the delegator name `x y`"),
        ({"userName": "a", "UserName": "b"}, "the user has an attribute twice"),
        ({"userName": "a", "active": "perhaps"}, "its `active` must be true or false"),
        ({"userName": "a", "active": 1}, "its `active` must be true or false"),
        ({"userName": "a", "groups": "sre"}, "its `groups` must be an array"),
        ({"userName": "a", "groups": [{"display": 1}]}, "its `display` must be a string"),
        ({"userName": "a", "groups": [{}]}, "its `groups.value` is required"),
        ({"userName": "a", "groups": [{"display": "a\nb"}]}, r"`a\\nb` is not a valid name of a group"),
        ({"userName": "a", "entitlements": [{"value": "Office 365 E3"}]}, "scope `Office 365 E3`"),
        ({"userName": "a", "id": 7}, "its `id` must be a string"),
        ({"userName": "a", _EXTENSION: []}, "its enterprise extension is not a JSON object"),
        (
            {"userName": "a", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]},
            "its `schemas` do not include the SCIM User schema",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(user: object, told: str) -> None:
    with pytest.raises(UsageError, match=rf"^\.Resources\[1\]: .*(?:{told})") as refused:
        people(MANAGER, user)
    assert str(refused.value).endswith("; nothing was changed")


@pytest.mark.parametrize("text", ["", "  ", listed()])
def test_a_file_without_users_has_none(text: str) -> None:
    assert scim.read(text) == Roster(())


@pytest.mark.parametrize(
    "text", ["{", "[{}", '{"Resources": [', "\ufeff[]", '[{"a": 1, "a": 2}]', "nonsense"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="nothing was changed"):
        scim.read(text)
