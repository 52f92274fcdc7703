"""Expiry in sweeps: each sweep records it, so that a clock which is set back later revives no credential."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import Authenticate, GrantAccess, RotateAccess
from jitid.capabilities.issue.operations import Renew
from jitid.capabilities.sweep.finding import Finding, Thresholds
from jitid.capabilities.sweep.operations import Sweep
from jitid.capabilities.sweep.rules import NAMES
from jitid.errors import ApprovalNeededError, ClockError, InvalidCredentialError, JitidError
from jitid.ledger import contract
from jitid.model.access import Caller
from jitid.model.request import RenewRequest
from jitid.values.secret import Secret
from tests.builders import DAY, NOW, World
from tests.capabilities.issue.office import PAY, Office
from tests.real import Shell, faked


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger under a policy that requires an approval for some scopes."""
    with Office(tmp_path / "ledger") as office:
        yield office


def swept(world: World, *rules: str, dry_run: bool = False, accept_clock: bool = False) -> list[object]:
    """Run a sweep as the command does."""
    answer = world.authority.perform(
        Sweep(rules=rules or tuple(NAMES), limits=Thresholds(), dry_run=dry_run, accept_clock=accept_clock)
    )
    return list(answer)


def _credential(world: World) -> int:
    return world.issue(ttl=60).issued.expires_at


def _superseded(world: World) -> int:
    first = world.issue(ttl=900)
    world.authority.perform(Renew(request=RenewRequest(Secret.single(first.token))))
    return NOW + 30


def _access(world: World) -> int:
    return world.authority.perform(GrantAccess(wanted=AccessRequest("user:bob", ttl=60))).access.expires_at


def _rotated(world: World) -> int:
    granted = world.authority.perform(GrantAccess(wanted=AccessRequest("user:bob", ttl=DAY)))
    return world.authority.perform(RotateAccess(id=granted.access.id, overlap=60)).access.issued_at + 60


def _approval(world: World) -> int:
    with pytest.raises(ApprovalNeededError):
        world.issue(**PAY)
    return NOW + DAY


def _deadline(world: World) -> int:
    made = world.issue(task="SHORT", deadline=NOW + 60, ttl=60)
    world.revoke(made.id)
    return NOW + 60


EXPIRING: tuple[Callable[[World], int], ...] = (
    _credential,
    _superseded,
    _access,
    _rotated,
    _approval,
    _deadline,
)
"""Functions that each make a row which expires without a command, and return its expiry."""


@pytest.mark.parametrize("make", EXPIRING)
@pytest.mark.parametrize("rules", [(), ("clock",)])
def test_a_sweep_raises_the_mark_beyond_whatever_has_expired(
    kept_in: str, world: World, make: Callable[[World], int], rules: tuple[str, ...]
) -> None:
    """This holds for any chosen rules. A database has no time mark: there the sweep records the expiry itself."""
    expires_at = make(world)
    world.clock.now = expires_at
    before = world.check()
    swept(world, *rules)
    if kept_in == "file":
        assert world.ledger.condition().clock().mark == expires_at
    if (kept_in, make) != ("database", _deadline):
        assert world.check() == before + 1
        assert world.events()[-1]["op"] in ("expire", "supersede", "advance-clock")
    # After that, the next sweep has nothing to record.
    events = world.check()
    swept(world, *rules)
    assert world.check() == events


def test_a_sweep_where_nothing_has_expired_writes_nothing(world: World) -> None:
    for make in EXPIRING:
        make(world)
    events = world.check()
    swept(world)
    assert world.check() == events


def test_a_sweep_that_is_only_tried_writes_nothing(world: World) -> None:
    _credential(world)
    world.clock.now += 60
    events = world.check()
    (finding,) = [each for each in swept(world, dry_run=True) if isinstance(each, Finding)]
    assert (finding.rule, world.check()) == ("expired-unretired", events)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_what_a_sweep_saw_expired_is_refused_by_an_earlier_clock(world: World, kind: str) -> None:
    made = world.issue(ttl=60, kind=kind)
    world.clock.now += 3600
    swept(world, "orphaned-task")
    for back in (3600, DAY):
        world.clock.now = NOW + 3600 - back
        world.reopen()
        with pytest.raises(InvalidCredentialError, match="expired"):
            world.verify(made.token)
    world.clock.now = 0
    world.reopen()
    with pytest.raises(ClockError, match="behind the ledger"):
        world.verify(made.token)


def test_an_access_token_that_has_expired_is_refused_by_an_accepted_clock(world: World) -> None:
    granted = world.authority.perform(GrantAccess(wanted=AccessRequest("user:bob", ttl=3600)))
    assert granted.secret is not None
    world.clock.now += 3 * DAY
    swept(world, "clock", accept_clock=True)
    world.clock.now = NOW
    swept(world, "clock", accept_clock=True)
    with pytest.raises(JitidError, match="expired"):
        world.authority.perform(Authenticate(bearer=granted.secret))
    world.check()


def test_an_auditors_sweep_records_expiry_too(world: World) -> None:
    _credential(world)
    world.clock.now += 60
    auditor = Caller("user:eve", frozenset({"auditor"}), "user:eve", "credential", "acc_1")
    answer = world.authority.serving(auditor).perform(Sweep(rules=tuple(NAMES), limits=Thresholds()))
    assert list(answer)
    (event,) = [event for event in world.events() if event["op"] == "expire"]
    assert (event["by"], event["count"]) == ("user:eve", 1)


def test_a_sealed_ledger_is_examined_all_the_same(world: World) -> None:
    _credential(world)
    with world.ledger.write() as transaction:
        contract.record_seal(transaction, contract.Seal("elsewhere", NOW, "mark", done=True))
    world.clock.now += 60
    (finding,) = [each for each in swept(world, "expired-unretired") if isinstance(each, Finding)]
    assert "sealed" in finding.summary


LOOKS = (
    ("verify", "token"),
    ("inspect", "token"),
    ("list",),
    ("tree", "--task", "T1"),
    ("report",),
    ("sweep",),
    ("trace", "token"),
    ("authorize", "--token-file", "token", "--action", "a:b", "--resource", "x"),
    ("doctor",),
)


def test_a_machine_that_starts_in_1970_accepts_nothing(tmp_path: Path) -> None:
    """The ledger is idle: by its time mark alone, the last token would be valid forever."""
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T1", "--delegator", "alice", "--scope", "a:*", "--out", "token")
    for line in LOOKS:
        done = shell.run(*line, before=faked("@1970-01-02 00:00:00"))
        assert done.returncode == 7, (line, done.stdout, done.stderr)
        assert "behind the ledger's time mark" in done.stderr + done.stdout, line
    shell.good("verify", "token")
    accepted = shell.run("sweep", "--accept-clock", before=faked("@1970-01-02 00:00:00"))
    assert accepted.returncode in (0, 10), accepted.stderr
