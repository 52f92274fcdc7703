"""The names of agents and tasks at targets, which grant rights by name."""

from __future__ import annotations

import pytest

from jitid.errors import ConfigurationError, UsageError
from jitid.issuers.openbao.make_secret import FIELDS, fill
from jitid.issuers.target_issuer import agent_of, task_of
from tests.issuers.places import some

REGISTERED = some(under_agent=True)


def test_the_name_of_a_registered_agent_is_filled_in() -> None:
    assert fill({"cn": ["{agent}.example"]}, REGISTERED, 60, "vault") == {"cn": ["build-bot.example"]}


def test_anybody_could_have_the_name_of_another() -> None:
    with pytest.raises(UsageError, match="is not registered") as caught:
        fill({"cn": ["{agent}.example"]}, some(), 60, "vault")
    assert "jitid agent register build-bot" in str(caught.value.hint)
    assert "{id}" in str(caught.value.hint)
    assert fill("{id}.example", some(), 60, "vault") == "jid_x.example"


@pytest.mark.parametrize(
    ("opener", "text"),
    [("user:alice", "user:alice/INC-1"), ("user:a/b", "user:a%2Fb/INC-1"), ("", "?/INC-1")],
)
def test_a_task_is_filled_in_with_its_owner(opener: str, text: str) -> None:
    """Another owner may have a task of the same name."""
    assert fill("{task}", REGISTERED._replace(task_opener=opener), 60, "vault") == text
    assert task_of(some(task_opener=opener)) == text


def test_what_is_only_shown_says_that_an_agent_is_not_registered() -> None:
    assert (agent_of(REGISTERED), agent_of(some())) == ("build-bot", "ephemeral/build-bot")


def test_each_place_is_filled_and_no_other() -> None:
    for name in FIELDS:
        assert fill(f"{{{name}}}", REGISTERED, 60, "vault")
    with pytest.raises(ConfigurationError):
        fill("{purpose}", REGISTERED, 60, "vault")
