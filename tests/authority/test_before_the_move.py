"""Compatibility with clients and authorities from before the code was moved.

Their recorded exchanges are in the fixture of `tests/fixtures/wire.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.remote import fitting
from jitid.authority.wire import codec
from jitid.values import strict_json
from tests.fixtures import wire
from tests.fixtures.before import Past, unpack
from tests.fixtures.reworded import refused, today, without_younger
from tests.real import faked
from tests.serving import serving

SAID = wire.recorded()
DONE = [each for each in SAID.exchanges if each["status"] == 200]
FAILED = [each for each in SAID.exchanges if each["status"] != 200]
UNKNOWN = ("Nothing",)


def _called(each: wire.Exchange) -> str:
    return str(each["name"])


def test_most_operations_were_asked_for() -> None:
    """Only operations that need more than a ledger and a target are missing."""
    assert len({each["name"] for each in SAID.exchanges if each["status"] == 200}) >= 60
    assert {each["name"] for each in SAID.exchanges} - set(codec.names()) == set(UNKNOWN)


@pytest.mark.parametrize("each", DONE, ids=_called)
def test_what_an_old_client_asks_is_understood(each: wire.Exchange) -> None:
    """The request keeps its meaning: the current client encodes it identically, but for the order of members."""
    operation = codec.decode_operation(each["name"], strict_json.loads(wire.text(each["request"])))
    assert strict_json.loads(wire.text(codec.encode_operation(operation))) == strict_json.loads(
        wire.text(each["request"])
    )


@pytest.mark.parametrize("each", DONE, ids=_called)
def test_what_an_old_authority_answers_is_understood(each: wire.Exchange) -> None:
    """The current authority encodes the answer identically."""
    operation = codec.decode_operation(each["name"], each["request"])
    answer: Any = codec.decode_result(operation, strict_json.loads(wire.text(each["answer"])))
    answer = fitting(operation, answer)
    if not each["pieces"]:
        assert wire.text(without_younger(codec.encode_result(operation, answer))) == wire.text(each["answer"])
        return
    pieces: Iterator[Any] = codec.encode_result(operation, iter(list(answer)))
    assert [wire.text(without_younger(piece)) for piece in pieces] == [*map(wire.text, each["answer"])]


@pytest.mark.parametrize("each", FAILED, ids=_called)
def test_what_an_old_authority_refuses_is_understood(each: wire.Exchange) -> None:
    error = codec.decode_error(strict_json.loads(wire.text(each["answer"])))
    assert wire.text(codec.encode_error(error)) == wire.text(each["answer"])


def test_what_was_no_operation_is_none() -> None:
    for each in SAID.exchanges:
        if each["status"] == 400 and each["answer"]["error"].get("sort") is None:
            assert refused(each) == today(each["answer"]["error"]["message"])


def test_an_old_client_is_served(tmp_path: Path) -> None:
    """The current service answers with the same bytes over the old ledger, in the present wording."""
    unpack("ledger", tmp_path)
    past = Past(tmp_path)
    before = [*faked(wire.time_of(SAID)), "FAKETIME_DONT_FAKE_MONOTONIC=1"]
    socket = str(tmp_path / "jitid.sock")
    more = {"TZ": "UTC"}
    with serving(tmp_path, "--socket", socket, ledger=past.ledger, before=before, more=more) as served:
        for each in SAID.exchanges:
            # A denial would be recorded.
            if not each["reads"] and each["status"] in (200, 403):
                continue
            headers = {"content-type": "application/json"}
            path = f"/v1/operations/{each['name']}"
            done = served.ask("POST", path, wire.text(each["request"]).encode(), headers)
            assert done.status == each["status"], (each["name"], done.body)
            if each["reads"]:
                present = without_younger(json.loads(done.body))
                assert wire.text(present) == wire.text(today(each["answer"])), each["name"]
