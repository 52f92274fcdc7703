"""Keys and a ledger in a database: jitid makes no new ledger for keys of a lost ledger, and never mixes keys of two."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.local import LocalAuthority
from jitid.authority.open_local import examine, open_local, open_or_create_local
from jitid.backup.transfer import CopyRequest, copy_ledger
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.trust import operations as trust_operations
from jitid.capabilities.trust.operations import RequestAuthority
from jitid.config import effective
from jitid.errors import ExitStatus, IntegrityError, JitidError, StorageError
from jitid.ledger.postgres import ledger_database
from tests.builders import request
from tests.ledger.proxy import Proxy
from tests.postgres import Postgres
from tests.real import Shell, need

ISSUE = ("issue", "--task", "T1", "--delegator", "alice")


@pytest.fixture
def address(postgres_server: Postgres) -> Iterator[Callable[[], str]]:
    """Return a function that creates another empty database and returns its address."""
    made: list[str] = []

    def another() -> str:
        made.append(postgres_server.new_database())
        return postgres_server.url(made[-1])

    yield another
    for database in made:
        postgres_server.drop(database)


class Machine:
    """A user with a home folder, and ledgers that are opened as on the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shell = Shell(folder)
        del self.shell.environment["JITID_LEDGER"]

    @property
    def data(self) -> Path:
        """Return the folder of the default ledger."""
        return self.folder / ".local/share/jitid"

    def settings(self, address: str, folder: str | None = None) -> effective.Config:
        """Return a configuration with a ledger and a folder of keys (default: `authority`)."""
        flags = {"ledger": address}
        home_folder = folder or str(self.data / "authority")
        return effective.load(flags=flags, environ={"HOME": str(self.folder), "JITID_HOME": home_folder})

    def first_use(self, address: str, folder: str | None = None) -> LocalAuthority:
        """Open a ledger, and create it if necessary."""
        return open_or_create_local(self.settings(address, folder), lambda _: None)

    def run(self, address: str | None, *arguments: str) -> Any:
        """Run jitid with the ledger at an address, or with the default one."""
        return self.shell.run(*arguments, more={"JITID_LEDGER": address} if address else {})

    def held(self) -> dict[str, bytes]:
        """Return the contents of all key files by path."""
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in self.folder.rglob("keys/*")
            if path.is_file()
        }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine on which jitid was never used."""
    (tmp_path / "user").mkdir()
    return Machine(tmp_path / "user")


def issue(authority: LocalAuthority, **fields: Any) -> str:
    """Issue one credential, and return its id."""
    (issued,) = authority.perform(issue_operations.Issue(requests=(request(**fields),)))
    return str(issued.credentials[0].id)


def ledgers(server: Postgres, address: str) -> list[str]:
    """Return the schemas of a database that hold a complete or partial ledger, except schemas of refused copies."""
    found = server.ask(
        "SELECT schemaname FROM pg_tables WHERE tablename = 'setting'", address.rpartition("/")[2]
    )
    return [name for (name,) in found if not name.endswith("_copy")]


def test_no_verb_makes_a_ledger_in_the_place_of_one_that_is_gone(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres
) -> None:
    place = address()
    machine.first_use(place).close()
    database, keys = place.rpartition("/")[2], machine.held()
    postgres_server.drop(database)
    postgres_server.execute(f"CREATE DATABASE {database}")
    for arguments in (
        ISSUE,
        ("list",),
        ("sweep",),
        ("revoke", "--task", "T1"),
        ("keys", "rotate"),
        ("access", "bootstrap", "first.bearer"),
        (*ISSUE, "--dry-run"),
    ):
        done = machine.run(place, *arguments)
        assert (done.returncode, done.stdout) == (ExitStatus.INTEGRITY, ""), (arguments, done.stderr)
        assert "no ledger was created" in done.stderr
        assert "JITID_HOME" in done.stderr
    doctor = machine.run(place, "doctor", "--format", "json")
    assert doctor.returncode == ExitStatus.INTEGRITY
    assert "no ledger was created" in doctor.stdout
    assert ledgers(postgres_server, place) == []
    assert machine.held() == keys


def test_the_first_issue_on_another_machine_says_what_it_made_there(
    machine: Machine, address: Callable[[], str]
) -> None:
    place, other = address(), str(machine.folder / "other")
    machine.first_use(place).close()
    once, again = (
        machine.shell.run(*ISSUE, more={"JITID_LEDGER": place, "JITID_HOME": other}) for _ in range(2)
    )
    assert f"first use on this machine: created {other}, with a default policy" in once.stderr
    assert "first use" not in again.stderr


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("?options=-csearch_path%3Dpublic", "search_path%3Djitid"),
        ("?options=-csearch_path%3Dnosuch,jitid", "search_path%3Djitid"),
    ],
)
def test_a_wrong_schema_is_no_place_for_a_new_ledger(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres, wrong: str, hint: str
) -> None:
    place = address()
    machine.first_use(place).close()
    with pytest.raises(IntegrityError, match="no ledger was created") as refused:
        machine.first_use(place + wrong)
    assert hint in (refused.value.hint or "")
    assert ledgers(postgres_server, place) == ["jitid"]


def test_a_second_ledger_of_a_database_names_the_first(machine: Machine, address: Callable[[], str]) -> None:
    place = address()
    machine.first_use(f"{place}?options=-csearch_path%3Dpublic").close()
    notes: list[str] = []
    open_or_create_local(machine.settings(place, str(machine.folder / "other")), notes.append).close()
    assert "already has another ledger" in notes[1]
    assert "search_path%3Dpublic" in notes[1]


def test_an_empty_first_schema_of_the_path_has_no_ledger(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres
) -> None:
    """A ledger in a later schema of the path is neither used nor changed."""
    place = address()
    machine.first_use(f"{place}?options=-csearch_path%3Db").close()
    postgres_server.execute("CREATE SCHEMA a", database=place.rpartition("/")[2].partition("?")[0])
    with pytest.raises(IntegrityError, match="no ledger was created") as refused:
        machine.first_use(f"{place}?options=-csearch_path%3Da,b")
    assert "search_path%3Db" in (refused.value.hint or "")
    assert ledgers(postgres_server, place) == ["b"]


def test_the_first_schema_of_the_path_is_the_ledgers(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres
) -> None:
    """A ledger in another schema of the path is another ledger."""
    place = address()
    machine.first_use(f"{place}?options=-csearch_path%3Dpublic").close()
    other = machine.first_use(
        f"{place}?options=-csearch_path%3D%22Own%22,public", str(machine.folder / "other")
    )
    issue(other)
    other.close()
    assert sorted(ledgers(postgres_server, place)) == ["Own", "public"]


def test_a_machine_without_keys_takes_the_ledger_that_is_there(
    machine: Machine, address: Callable[[], str], tmp_path: Path
) -> None:
    """A machine to which an operator copied the keys uses the existing ledger too."""
    place = address()
    first = machine.first_use(place)
    issue(first)
    second = machine.first_use(place, str(tmp_path / "second"))
    issue(second, kind="opaque")
    second.perform(trust_operations.RotateKey(algorithm="EdDSA"))
    issue(second)
    shutil.copytree(machine.data / "authority", tmp_path / "third")
    third = machine.first_use(place, str(tmp_path / "third"))
    issue(third)
    for authority in (first, second, third):
        authority.close()


def test_two_ledgers_do_not_share_a_folder_of_keys(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres, tmp_path: Path
) -> None:
    first, second = address(), address()
    machine.first_use(first).close()
    keys = machine.held()
    with pytest.raises(IntegrityError, match="no ledger was created"):
        machine.first_use(second)
    assert ledgers(postgres_server, second) == []
    own = machine.first_use(second, str(tmp_path / "own"))
    issue(own)
    own.close()
    # The second ledger exists now. It can be used with the folder of the first ledger, but makes no key in that
    # folder.
    there = open_local(machine.settings(second))
    issue(there, kind="opaque")
    asking: list[Callable[[], object]] = [
        partial(issue, there, kind="jwt"),
        partial(issue, there, kind="ssh-cert"),
        partial(there.perform, trust_operations.RotateKey(algorithm="EdDSA")),
        partial(there.perform, trust_operations.RotateKey(algorithm="ES256", use="x509")),
        partial(there.perform, RequestAuthority()),
    ]
    for ask in asking:
        with pytest.raises(IntegrityError, match="another ledger") as refused:
            ask()
        assert "JITID_HOME" in (refused.value.hint or "")
    (found,) = [one for one in examine(machine.settings(second)) if one.name == "keys"]
    assert found.exit_status is ExitStatus.INTEGRITY
    assert "rm " not in (found.repair or "")
    there.close()
    assert machine.held() == keys
    again = machine.first_use(first)
    issue(again)
    again.close()


def test_a_copy_does_not_bring_its_keys_to_those_of_another_ledger(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres
) -> None:
    place = address()
    machine.first_use(address()).close()
    machine.first_use(str(machine.folder / "ours")).close()
    keys = machine.held()
    for with_keys in (True, False):
        with pytest.raises(IntegrityError, match="another ledger"):
            copy_ledger(
                machine.settings(str(machine.folder / "ours")),
                CopyRequest(place, None, with_keys),
                lambda _table, _rows: None,
                lambda _: None,
            )
    assert machine.held() == keys
    assert ledgers(postgres_server, place) == []
    ours = machine.first_use(str(machine.folder / "ours"))
    issue(ours)
    ours.close()


@pytest.mark.parametrize("order", ["database first", "default first"])
def test_the_default_ledger_and_one_in_a_database_go_together(
    machine: Machine, address: Callable[[], str], order: str
) -> None:
    place = address()
    both = (place, None) if order == "database first" else (None, place)
    for one in both:
        assert "first use" in machine.run(one, *ISSUE).stderr
    keys = machine.held()
    assert len(keys) == 2
    for one in (*both, *both):
        again = machine.run(one, *ISSUE)
        assert (again.returncode, again.stderr) == (0, "")
        listed = machine.run(one, "list", "--field", "task").stdout.split()
        assert set(listed) == {"T1"}
        doctor = machine.run(one, "doctor")
        assert doctor.returncode == 0, doctor.stdout
    assert machine.held() == keys
    inner = machine.data / "ledger"
    assert inner.exists() is (order == "database first")


def test_a_restored_default_ledger_leaves_the_keys_of_a_database_where_they_are(
    machine: Machine, address: Callable[[], str]
) -> None:
    place = address()
    for one in (None, place):
        machine.run(one, *ISSUE)
    keys = machine.held()
    assert machine.run(None, "ledger", "backup", "kept.tar", "--keys").returncode == 0
    restored = machine.run(None, "ledger", "restore", "--replace", "kept.tar")
    assert restored.returncode == 0, restored.stderr
    assert keys.items() <= machine.held().items()
    for one in (None, place):
        again = machine.run(one, *ISSUE)
        assert (again.returncode, again.stderr) == (0, "")


@pytest.mark.parametrize("forwarded", [True, False])
def test_a_first_use_whose_commit_is_in_doubt_is_gone_on_with(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres, forwarded: bool
) -> None:
    place = address()
    proxy = Proxy(place, b"COMMIT", forwarded=forwarded)
    proxy.armed = True
    with pytest.raises(StorageError):
        machine.first_use(proxy.address)
    proxy.close()
    assert proxy.cuts == 1
    assert not ledger_database.has_keys(str(machine.data / "authority"))
    authority = machine.first_use(place)
    issue(authority)
    assert authority.perform(integrity_operations.VerifyLog()).events == 2
    (key,) = authority.perform(trust_operations.ListKeys())
    assert (machine.data / "authority/keys" / key.key.kid).is_file()
    authority.close()
    assert ledgers(postgres_server, place) == ["jitid"]


@pytest.mark.parametrize(
    ("call", "renamed"), [("renameat", 1), ("renameat", 2), ("rename", 1), ("rename", 2)]
)
def test_a_first_use_that_was_killed_is_gone_on_with(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres, call: str, renamed: int
) -> None:
    """The process is killed before each rename: of a rule, the policy, and the key before and after its ledger."""
    place = address()
    trace = [need("strace"), "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e"]
    killed = machine.shell.run(
        *ISSUE,
        before=[*trace, f"inject={call}:signal=KILL:when={renamed}"],
        more={"JITID_LEDGER": place},
    )
    assert killed.returncode == -signal.SIGKILL
    again = machine.run(place, *ISSUE)
    assert again.returncode == 0, again.stderr
    assert machine.shell.run("verify", stdin=again.stdout, more={"JITID_LEDGER": place}).returncode == 0
    assert machine.run(place, "audit", "verify").returncode == 0
    assert ledgers(postgres_server, place) == ["jitid"]
    named = [path for path in machine.held() if not Path(path).name.startswith(".")]
    assert len(named) == 1


def test_first_uses_at_one_instant_are_no_keys_without_a_ledger(
    machine: Machine, address: Callable[[], str], postgres_server: Postgres
) -> None:
    place = address()

    def use(_: int) -> str:
        try:
            authority = machine.first_use(place)
        except JitidError as error:
            return error.message
        issue(authority)
        authority.close()
        return ""

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(use, range(6))) == [""] * 6
    assert ledgers(postgres_server, place) == ["jitid"]
    assert len(machine.held()) == 1
