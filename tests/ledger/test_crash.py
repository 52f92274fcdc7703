"""A process that is killed before any of its writes leaves a ledger that opens, verifies, and has all printed data."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.directory.store import DirectoryStore
from jitid.capabilities.identity.store import CredentialStore
from jitid.capabilities.identity.task_store import TaskStore
from jitid.capabilities.integrity import audit_export
from jitid.capabilities.use.store import UseStore
from jitid.errors import InvalidCredentialError
from jitid.ledger.signing_keys import KeyStore
from jitid.model.ledger_rows import Selection
from jitid.model.use import UseFilter
from jitid.values.ids import parse_id
from tests.builders import DAY, World
from tests.capabilities.integrity.test_cut import cut
from tests.capabilities.integrity.test_retention import prune, tables
from tests.real import Shell, need

ROOT = Path(__file__).parent.parent.parent
ISSUE = ("issue", "--task", "T1", "--delegator", "alice")

# System calls by which a command writes: the command is killed before each of them.
CALLS = ("pwrite64", "fdatasync", "fsync", "rename", "renameat", "unlink", "write", "ftruncate")

COMMANDS: dict[str, tuple[str, ...]] = {
    "issue": ISSUE,
    "delegate": ("issue", "--parent-file", "parent", "--agent", "coder", "--kind", "opaque"),
    "revoke": ("revoke", "--task", "T2"),
    "retire": ("retire", "T2"),
    "rotate": ("keys", "rotate"),
    "authorize": ("authorize", "--token-file", "parent", "--action", "repo:read", "--resource", "acme"),
}

STEPS = {("delegate", "pwrite64"): 3}
"""Where to kill only every nth call, by command and call. `delegate` writes much like `issue`."""


def now() -> int:
    """Return the current time, which the killed processes used."""
    return int(time.time())


def check(ledger: Path, printed: str, acting: str) -> None:
    """Check that a ledger opens without repair, verifies, and has the printed credentials and changes."""
    with World(ledger, now=now()) as world:
        world.check()
        if printed and acting in ("first use", "issue", "delegate"):
            assert world.verify(printed.strip()).ended_at is None
        if printed and acting in ("revoke", "retire"):
            with world.ledger.read() as snapshot:
                task = TaskStore(snapshot).find_task("T2")
                assert task is not None
                assert TaskStore(snapshot).count_for_task(task.key)[1] == 0
        if printed and acting == "authorize":
            with world.ledger.read() as snapshot:
                assert [one.allowed for one in UseStore(snapshot).uses(UseFilter(), 9)] == [True]
        # A killed process holds no lock: the next one can issue.
        world.issue(task="T3", kind="opaque")
        with world.ledger.read() as snapshot:
            kid = next(key.kid for key in KeyStore(snapshot).signing_keys() if key.retired_at is None)
    assert (ledger / "keys" / kid).exists()


def killed(shell: Shell, acting: str, arguments: tuple[str, ...], call: str, step: int) -> Iterator[str]:
    """Kill a command before each of its calls of one name until it survives; yield its output after each kill."""
    strace = [need("strace"), "-f", "-qq", "-o", os.devnull, "-e", f"trace={call}"]
    when = 1
    while True:
        done = shell.run(*arguments, before=[*strace, "-e", f"inject={call}:signal=KILL:when={when}"])
        if done.returncode == 0:
            return
        assert done.returncode == -signal.SIGKILL, (acting, call, when, done.stderr)
        yield done.stdout
        when += step


@pytest.mark.deep
@pytest.mark.parametrize("acting", COMMANDS)
def test_a_command_killed_before_any_write_leaves_a_whole_ledger(tmp_path: Path, acting: str) -> None:
    shell = Shell(tmp_path)
    (tmp_path / "parent").write_text(shell.good(*ISSUE, "--scope", "repo:read"))
    shell.good("issue", "--task", "T2", "--delegator", "alice", "--count", "3")
    before = tmp_path / "before"
    shutil.copytree(shell.ledger, before, copy_function=shutil.copy2)
    deaths = 0
    for call in CALLS:
        for printed in killed(shell, acting, COMMANDS[acting], call, STEPS.get((acting, call), 1)):
            check(shell.ledger, printed, acting)
            deaths += 1
            shutil.rmtree(shell.ledger)
            shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
    assert deaths >= 10


@pytest.mark.deep
def test_a_first_use_killed_before_any_write_leaves_a_whole_ledger_or_none(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    deaths = 0
    for call in CALLS:
        # The first use makes about a hundred similar writes to create a database: a sample of them is enough.
        for printed in killed(shell, "first use", ISSUE, call, {"pwrite64": 15, "fdatasync": 2}.get(call, 1)):
            if shell.ledger.exists():
                check(shell.ledger, printed, "first use")
                shutil.rmtree(shell.ledger)
            else:
                assert printed == ""
            deaths += 1
        shutil.rmtree(shell.ledger)
    assert deaths >= 30


GOVERNING: dict[str, tuple[str, ...]] = {
    "import": ("delegator", "import", "now.csv", "--full", "--yes"),
    "disable": ("delegator", "disable", "bob"),
    "register": ("agent", "register", "new", "--owner", "carol", "--purpose", "triage"),
    "suspend": ("agent", "suspend", "bot"),
    "unregister": ("agent", "unregister", "bot"),
}


def _directory(ledger: Path) -> tuple[object, ...]:
    """Verify a ledger, and return its delegators, its agents, and the number of live credentials of `bot`."""
    with World(ledger, now=now()) as world:
        world.check()
        with world.ledger.read() as snapshot:
            people = DirectoryStore(snapshot).delegators(group=None, disabled=None, after=None, limit=1_000)
            agents = DirectoryStore(snapshot).agents(owner=(), after=None, limit=10)
            live = CredentialStore(snapshot).measure(Selection(agents=("bot",))).credentials
    return (
        [(one.name, one.groups, one.disabled_at is None) for one in people],
        [(one.name, one.suspended_at is None, one.unregistered_at is None) for one in agents],
        live,
    )


@pytest.mark.deep
@pytest.mark.parametrize("acting", GOVERNING)
def test_who_governs_and_is_killed_has_done_all_of_it_or_nothing(tmp_path: Path, acting: str) -> None:
    shell = Shell(tmp_path)
    people = [f"p{number:03}" for number in range(200)]
    for name, lines in (
        ("then", ["name,groups", "bob,", *(f"{one},old" for one in people[:150])]),
        ("now", ["name,groups", *(f"{one},new" for one in people[50:])]),
    ):
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    shell.good("delegator", "import", "then.csv")
    shell.good("delegator", "add", "carol")
    shell.good("agent", "register", "bot", "--owner", "bob", "--purpose", "triage")
    shell.good("issue", "--task", "T2", "--delegator", "bob", "--agent", "bot", "--count", "3")
    before = tmp_path / "before"
    shutil.copytree(shell.ledger, before, copy_function=shutil.copy2)
    nothing = _directory(before)
    shell.good(*GOVERNING[acting])
    done = _directory(shell.ledger)
    assert done != nothing
    seen: list[bool] = []
    for call in CALLS:
        shutil.rmtree(shell.ledger)
        shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
        step = 3 if (acting, call) == ("import", "pwrite64") else 1
        for printed in killed(shell, acting, GOVERNING[acting], call, step):
            found = _directory(shell.ledger)
            assert found in ((done,) if printed else (nothing, done)), (call, len(seen))
            seen.append(found == done)
            shutil.rmtree(shell.ledger)
            shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
    assert set(seen) == {False, True}
    assert len(seen) >= 10


@pytest.mark.deep
def test_processes_killed_at_random_lose_nothing_that_they_said(tmp_path: Path) -> None:
    """Three processes issue and one revokes. All are killed after a random number of lines, several times."""
    ledger = tmp_path / "ledger"
    World(ledger, now=now()).close()
    chance = random.Random(2)
    tokens: list[str] = []
    revoked: list[str] = []
    for _ in range(6):
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.ledger.worker", str(ledger), verb],
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
            )
            for verb in ("issue", "issue", "issue", "revoke")
        ]
        said: list[list[str]] = []
        for worker in workers:
            assert worker.stdout is not None
            lines = [worker.stdout.readline() for _ in range(chance.randrange(1, 30))]
            worker.kill()
            lines += worker.stdout.readlines()
            worker.wait()
            worker.stdout.close()
            # The kill may have cut the last line in the middle.
            said.append([line.strip() for line in lines if line.endswith("\n")])
        tokens += [token for lines in said[:3] for token in lines]
        revoked += said[3]
        with World(ledger, now=now()) as world:
            world.check()
    with World(ledger, now=now()) as world:
        with world.ledger.read() as snapshot:
            found = [CredentialStore(snapshot).find_credential("jti", parse_id(jti)[1]) for jti in revoked]
        assert {one and one.ended_as for one in found} == {"revoked"}
        assert len(tokens) > 50
        for token in tokens:
            try:
                world.verify(token)
            except InvalidCredentialError as error:
                assert "revoked" in error.message


PRUNE = ("prune", "--rows-after", "1d", "--evidence-after", "1d", "--export", "old", "--accept-clock")


def _over(path: Path) -> Path:
    """Make a ledger in which most credentials expired two days ago."""
    with World(path, now=now() - 3 * DAY) as world:
        world.chain(3, scopes=["db:read"])
        for number in range(4):
            world.issue(task=f"T{number}", kind="opaque")
        world.retire("T1")
        world.clock.now = now()
        with world.ledger.write(accept_clock=True):
            pass
        world.issue(task="lives", kind="opaque")
    return path


@pytest.mark.deep
def test_who_prunes_and_is_killed_leaves_a_ledger_that_holds_and_goes_on(tmp_path: Path) -> None:
    """The audit log verifies after each kill, and the next prune reaches the same result."""
    shell = Shell(tmp_path)
    before = _over(tmp_path / "before")
    shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
    deaths = 0
    for call in CALLS:
        for _ in killed(shell, "prune", PRUNE, call, {"pwrite64": 25, "fdatasync": 3}.get(call, 1)):
            deaths += 1
            with World(shell.ledger, now=now()) as world:
                world.check()
                while prune(world, DAY).left:
                    pass
                cut(world, tmp_path / "old", DAY)
                world.check()
                assert tables(world, "credential", "condemned", "segment") == [1, 0, 1]
            (file,) = (tmp_path / "old").glob("*.jsonl")
            audit_export.verify_export(file.read_text().splitlines(), None)
            shutil.rmtree(tmp_path / "old")
            shutil.rmtree(shell.ledger)
            shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
        shutil.rmtree(tmp_path / "old", ignore_errors=True)
        shutil.rmtree(shell.ledger)
        shutil.copytree(before, shell.ledger, copy_function=shutil.copy2)
    assert deaths >= 10
