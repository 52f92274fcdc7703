"""A key is made for a request that is granted, before the lock, in a separate transaction (promise 20)."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import pytest

from jitid.capabilities.integrity.operations import Examine
from jitid.capabilities.issue.operations import Attach, Issue
from jitid.errors import JitidError, UsageError
from jitid.keys.keyring import draw
from jitid.ledger.signing_keys import KeyStore
from jitid.ledger.sqlite.folder import keyring
from jitid.model.ledger_condition import Status
from jitid.model.request import AttachRequest
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.builders import World, request
from tests.ledger.test_crash import now
from tests.real import Shell, need

AZURE = "api://AzureADTokenExchange"
LONG = tuple(Scope(f"area{at}:{'x' * 110}") for at in range(110))


def files(world: World) -> list[str]:
    """Return the names of all files in the folder of the keys."""
    return sorted(path.name for path in (world.path / "keys").iterdir())


def kids(world: World) -> list[str]:
    with world.ledger.read() as snapshot:
        return sorted(key.kid for key in KeyStore(snapshot).signing_keys())


def calls(work: Callable[[], object]) -> list[str]:
    """Return when the write lock was taken and released, and when keys were drawn."""
    names = {
        "FairLock.acquire": ("return", "locked"),
        "FairLock.release": ("call", "free"),
        "draw": ("call", "drawn"),
    }
    found = []

    def follow(frame: FrameType, event: str, _: object) -> None:
        when, what = names.get(frame.f_code.co_qualname, ("", ""))
        if event == when:
            found.append(what)

    before = sys.getprofile()
    sys.setprofile(follow)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found


def refused(world: World) -> None:
    """Request a token that would be too long."""
    world.terms = world.terms._replace(algorithms={AZURE: "RS256"})
    world.reopen()
    with pytest.raises(UsageError, match="the token would have"):
        world.authority.perform(
            Issue(requests=(request(kind="jwt", audiences=(AZURE,), scopes=LONG, task="LONG"),))
        )


def test_a_refused_request_makes_no_key(world: World) -> None:
    identity = world.issue(kind="jwt")
    before, events = files(world), world.events()
    for _ in range(3):
        assert "drawn" not in calls(lambda: refused(world))
    assert (files(world), world.events()) == (before, events)
    # An attachment likewise.
    attach = AttachRequest(token=Secret.single(identity.token), kind="jwt", audiences=(AZURE,), scopes=LONG)
    with pytest.raises(JitidError):
        world.authority.perform(Attach(request=attach))
    assert files(world) == before
    world.check()


def test_a_certificate_for_no_valid_key_makes_no_authority(world: World) -> None:
    world.issue(kind="jwt")
    before, events = files(world), len(world.events())
    with pytest.raises(UsageError):
        world.issue(kind="x509-svid", public_key="nonsense")
    assert (files(world), len(world.events())) == (before, events)
    world.check()


def test_a_key_is_drawn_before_the_lock_is_taken(world: World) -> None:
    world.terms = world.terms._replace(algorithms={AZURE: "RS256"})
    world.reopen()
    order = calls(lambda: world.issue(kind="jwt", audiences=(AZURE,)))
    at = order.index("drawn")
    assert order[at - 1 : at + 2] == ["free", "drawn", "locked"]
    assert files(world) == kids(world)
    assert [event["op"] for event in world.events()][-2:] == ["key-create", "issue"]
    assert "drawn" not in calls(lambda: world.issue(kind="jwt", audiences=(AZURE,)))
    world.check()


def test_many_at_once(world: World) -> None:
    """Refused and granted requests of several processes leave one key in one file."""

    def ask(at: int) -> None:
        with World(world.path) as other:
            if at % 2:
                refused(other)
            else:
                other.terms = other.terms._replace(algorithms={AZURE: "RS256"})
                other.reopen()
                other.issue(kind="jwt", audiences=(AZURE,), task=f"T{at}")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    assert files(world) == kids(world)
    with world.ledger.read() as snapshot:
        assert [key.algorithm for key in KeyStore(snapshot).signing_keys()].count("RS256") == 1
    world.check()


def findings(world: World) -> list[str]:
    """Return the findings of the examination of the keys."""
    checks = world.authority.perform(Examine(stated={}))
    return [check.detail for check in checks if check.name == "keys" and check.status is not Status.OK]


def test_the_key_of_a_killed_process_is_no_finding_and_is_removed(world: World) -> None:
    world.issue(kind="jwt")
    before = files(world)
    keyring(str(world.path)).keep(draw("RS256"), set(kids(world)))
    assert len(files(world)) == len(before) + 1
    assert findings(world) == []
    world.terms = world.terms._replace(algorithms={AZURE: "RS256"})
    world.reopen()
    world.issue(kind="jwt", audiences=(AZURE,))
    assert files(world) == kids(world)


def test_a_recorded_key_whose_file_is_still_hidden_signs(world: World) -> None:
    world.terms = world.terms._replace(algorithms={AZURE: "RS256"})
    world.reopen()
    world.issue(kind="jwt", audiences=(AZURE,))
    for kid in kids(world):
        (world.path / "keys" / kid).rename(world.path / "keys" / f".{kid}.first")
    world.reopen()
    world.issue(kind="jwt", audiences=(AZURE,))
    world.issue(kind="jwt")
    assert findings(world) == []
    assert files(world) == kids(world)
    world.check()


@pytest.mark.deep
def test_a_killed_process_leaves_nothing_to_repair(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    issue = ("issue", "--delegator", "alice", "--out", "/dev/null", "--task")
    shell.good(*issue, "T0")
    before = tmp_path / "before"
    shutil.copytree(shell.ledger, before, copy_function=shutil.copy2)
    deaths = 0
    for call, step in {"rename": 1, "openat": 40, "fdatasync": 1, "fsync": 1, "pwrite64": 5}.items():
        strace = [need("strace"), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
        when = 1
        while True:
            shutil.rmtree(shell.ledger)
            shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
            inject = ("-e", f"inject={call}:signal=KILL:when={when}")
            done = _run(shell, [*strace, *inject], (*issue, "T1", "--audience", AZURE))
            if done != -signal.SIGKILL:
                break
            deaths += 1
            assert "leftover file" not in shell.run("doctor").stdout
            shell.good(*issue, "T2", "--audience", AZURE)
            with World(shell.ledger, now=now()) as world:
                assert files(world) == kids(world)
                world.check()
            when += step
    assert deaths > 5


def _run(shell: Shell, before: Sequence[str], words: Sequence[str]) -> int:
    return shell.run(*words, before=before).returncode
