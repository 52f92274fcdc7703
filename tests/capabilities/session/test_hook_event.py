"""The events of clients, as the clients themselves have sent them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jitid.capabilities.session.hook_event import Change, HookEvent, read_event
from jitid.errors import UsageError

FOLDER = Path(__file__).parents[2] / "fixtures/hooks"


def _events(client: str) -> list[HookEvent]:
    return [read_event(line) for line in (FOLDER / f"{client}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("client", ["claude-code", "codex"])
def test_the_events_of_a_session_are_read(client: str) -> None:
    """One session, subagents between its start and its end, and their transcripts."""
    events = _events(client)
    assert len({event.session for event in events}) == 1
    assert (events[0].change, events[-1].change) == (Change.SESSION_START, Change.SESSION_END)
    assert events[0].source == "startup"
    started = {event.agent for event in events if event.change is Change.SUBAGENT_START}
    stopped = {event.agent for event in events if event.change is Change.SUBAGENT_END}
    assert started == stopped != {None}
    assert None not in {event.agent_type for event in events if event.agent is not None}
    for event in events:
        assert event.transcript is not None
        if event.change is Change.SUBAGENT_END:
            assert event.agent is not None
            assert event.agent in event.transcript


def test_the_end_of_a_turn_changes_nothing() -> None:
    """`Stop` of Claude Code."""
    (event,) = [event for event in _events("claude-code") if event.name == "Stop"]
    assert event.change is Change.NOTHING


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("SessionStart", Change.SESSION_START),
        ("sessionEnd", Change.SESSION_END),
        ("subagent_stop", Change.SUBAGENT_END),
        ("", Change.NOTHING),
        ("SessionStarted", Change.NOTHING),
    ],
)
def test_names_of_events_are_spelt_in_different_ways(name: str, change: Change) -> None:
    """Clients agree on the words."""
    assert read_event(json.dumps({"hook_event_name": name})).change is change


def test_unknown_members_and_members_of_other_types_are_ignored() -> None:
    """A later version of a client may add some."""
    event = read_event(
        '{"hook_event_name":"SessionStart","session_id":7,"transcript_path":null,"new":{"a":[1]}}'
    )
    assert (event.session, event.transcript) == (None, None)


@pytest.mark.parametrize("text", ["", "[]", "1", '{"a":1,"a":2}', '{"hook_event_name":"' + "x" * 300 + '"}'])
def test_an_invalid_event_is_refused(text: str) -> None:
    """It is not guessed."""
    with pytest.raises(UsageError):
        read_event(text)
