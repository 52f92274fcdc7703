"""Encoded answers of an authority decode to the same values, with a ledger in a file or in a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.wire import codec
from jitid.authority.wire.codec import operations
from jitid.capabilities.access.operations import ListAccess
from jitid.capabilities.adopt.operations import ListAdopted, ProbeAdopted, SuggestReplacements
from jitid.capabilities.adopt.shape_operations import AdoptedShapes
from jitid.capabilities.audit.audit_log import LogFilter
from jitid.capabilities.decisions.operations import Explain, ReplayDecisions, StoredPolicy, SuggestPolicy
from jitid.capabilities.directory.operations import (
    ClassifyAgents,
    ListAgents,
    ListDelegators,
    ShowAgent,
    ShowDelegator,
)
from jitid.capabilities.directory.recurrence import RecurrenceRule
from jitid.capabilities.identity import operations as identity_operations
from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.inventory.status_operations import ShowStatus
from jitid.capabilities.issue.approval_operations import FindApprovals, ListApprovals, ShowApproval
from jitid.capabilities.issue.token_operations import Introspect
from jitid.capabilities.leak import operations as leak_operations
from jitid.capabilities.report import operations as report_operations
from jitid.capabilities.sweep import operations as sweep_operations
from jitid.capabilities.sweep.finding import Thresholds
from jitid.capabilities.sweep.rules import NAMES as RULES
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.trust.operations import (
    MakePublication,
    MakeStatusList,
    PublishBundle,
    PublishRevocations,
)
from jitid.capabilities.use.operations import ListUses
from jitid.ledger.postgres import connection
from jitid.model.approval import ApprovalFilter
from jitid.model.leak import LeakFilter
from jitid.model.use import UseFilter
from jitid.operation import base as ops
from jitid.operation.base import READS
from jitid.policy.default import default_files
from jitid.search.pasted import search_pasted
from jitid.values.secret import Secret
from tests.builders import DAY, World
from tests.eventful import live_through_everything


def _reading(world: World) -> Iterator[ops.Operation[Any]]:
    """Yield read operations of each class, over the ledger that `live_through_everything` has filled."""
    live = world.issue(task="LAST", accept_clock=True)
    token = Secret.single(live.token)
    log = world.events()
    requests = sorted({event["approval"] for event in log if event["op"] == "denial" and "approval" in event})
    yield from (
        identity_operations.Verify(token=token),
        Introspect(token=token),
        inventory_operations.Inspect(token=token),
        ShowStatus(),
    )
    yield from (inventory_operations.Inspect(id=one) for one in _ids(world))
    yield leak_operations.Trace(finds=search_pasted(f"{live.token} {bytes(32).hex()}".encode()))
    yield from (
        trust_operations.PublishKeys(),
        trust_operations.PublishSshAuthorities(),
        trust_operations.PublishSshRevocations(),
    )
    yield from (MakePublication(), MakeStatusList(number=world.clock.now // DAY, algorithm="EdDSA"))
    yield from (PublishBundle(), PublishRevocations(lifetime=DAY))
    yield from (
        leak_operations.ListLeaks(chosen=LeakFilter(), limit=99),
        leak_operations.ShowLeaks(numbers=(1, 2)),
    )
    yield leak_operations.RecountLeaks(numbers=(1, 2))
    yield inventory_operations.ListCredentials(
        chosen=Filter(), limit=200, sort="issued_at", descending=True, after=None
    )
    yield from (
        inventory_operations.ShowTree(task="T1", limit=99),
        inventory_operations.ListTasks(state=None, after=None, limit=99),
    )
    yield inventory_operations.ShowTask(name="user:alice/T1")
    yield from (ListAdopted(limit=9), ProbeAdopted(names=("n2",)), SuggestReplacements(names=("n2",)))
    yield from (AdoptedShapes(), ListUses(chosen=UseFilter(), limit=99), ListAccess(limit=99, live=False))
    yield sweep_operations.Sweep(rules=tuple(RULES), limits=Thresholds(), dry_run=True)
    yield from (
        sweep_operations.ForeseeFix(rules=("standing",), limits=Thresholds()),
        report_operations.MakeReport(days=9, limits=Thresholds()),
    )
    yield from (
        integrity_operations.ReadLog(chosen=LogFilter(), limit=None, members=True),
        integrity_operations.FollowLog(chosen=LogFilter(), limit=9),
    )
    yield from (
        integrity_operations.SignHead(),
        integrity_operations.VerifyLog(),
        integrity_operations.ExportLog(),
        trust_operations.ListKeys(),
        trust_operations.ListAlgorithms(),
    )
    yield StoredPolicy(digest=next(event["policy"] for event in log if "policy" in event))
    yield ReplayDecisions(old=tuple(default_files()), new=tuple(default_files()))
    yield from (Explain(id=live.jti), SuggestPolicy(agent="planner", days=30))
    yield from (Explain(event=event["seq"]) for event in log if event["op"] in ("issue", "denial"))
    yield ListApprovals(chosen=ApprovalFilter(), limit=99)
    yield FindApprovals(ids=tuple(requests))
    yield from (ShowApproval(id=one) for one in requests)
    yield from (ListDelegators(limit=99), ShowDelegator(name="user:tester"))
    yield from (ListAgents(limit=99), ShowAgent(name="nightly", issues=9))
    yield ClassifyAgents(names=("planner",), rule=RecurrenceRule(1, 1, 90), limit=10)


def _ids(world: World) -> list[str]:
    listing = world.authority.perform(
        inventory_operations.ListCredentials(
            chosen=Filter(), limit=200, sort="issued_at", descending=False, after=None
        )
    )
    return [one.jti for one in listing.credentials]


@pytest.mark.usefixtures("kept_in")
def test_every_answer_decodes_as_it_was_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of all rows that are read also have SQLite's types."""
    types: set[type] = set()
    fetched = connection.Rows._rows

    def noted(rows: connection.Rows, fetch: Any, *, many: bool = False) -> list[Any]:
        found = fetched(rows, fetch, many=many)
        types.update(type(value) for row in found for value in row)
        return found

    monkeypatch.setattr(connection.Rows, "_rows", noted)
    asked: set[str] = set()
    with World(tmp_path / "ledger") as world:
        live_through_everything(world)
        # The last step set the clock back. A ledger in a database has no event for that.
        world.clock.now += 3 * DAY
        world.terms = world.terms._replace(publish_url="https://lists.example")
        world.reopen()
        for operation in [*_reading(world)]:
            name = type(operation).__name__
            asked.add(name)
            answer = codec.encode_result(operation, world.authority.perform(operation))
            if codec.streams(type(operation)):
                answer = list(answer)
            document = json.loads(json.dumps(answer))
            decoded = codec.decode_result(operation, document)
            again: Any = codec.encode_result(operation, decoded)
            assert (list(again) if codec.streams(type(operation)) else again) == document, name
    assert types <= {int, str, bytes, type(None)}
    reading = {name for name, kind in operations().items() if kind.effect == READS} & {*codec.names()}
    assert reading - asked == set(), "no request of it in `_reading`"
    assert asked - reading == set(), "in `_reading`, and it changes something"
