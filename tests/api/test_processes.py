"""Identities and processes: forks, `multiprocessing`, programs inside of `jitid run`, and a remote authority."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import API, User
from tests.real import module
from tests.serving import serving

FORK = """
    import jitid, os, sys
    API = "https://api.example"

    def forked(work):
        pid = os.fork()
        if not pid:
            try:
                work()
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def test_a_forked_process_holds_nothing_and_delegates_for_itself(user: User) -> None:
    printed = user.printed(
        FORK
        + """
    with jitid.identity(task="T1", delegator="alice", audience=API, scopes="repo:*") as me:
        me.token()
        held = me._held

        def work():
            assert held._secret is None and not held.tokens._slots and held._place is None
            for use in (me.token, lambda: me.headers(API)):
                try:
                    use()
                except jitid.UsageError as error:
                    assert "this process was forked" in str(error)
                else:
                    raise AssertionError
            assert (me.task, me.agent) == ("T1", "agent")
            with me.delegate(agent="forked", scopes="repo:read", audience=API) as mine:
                proved = jitid.verify(mine.token(), audience=API)
                assert proved.agent == "forked" and len(proved.chain) == 2
                forked(lambda: mine.delegate(agent="grandchild", audience=API).__enter__().token())
            # Leaving the parent's block here ends nothing.
            me.__exit__(None, None, None)

        forked(work)
        assert jitid.verify(me.token(), audience=API).task == "T1"
        print(me.id)
    """
    )
    states = {row["agent"]: row["state"] for row in user.rows("--task", "T1")}
    # The grandchild's process ended by `_exit`, and its parent's end revoked it.
    assert states == {"agent": "retired", "forked": "revoked", "grandchild": "revoked"}
    assert printed.startswith("jid_")


def test_the_forked_process_finds_the_token_after_a_renewal(user: User) -> None:
    user.printed(
        FORK
        + """
    import time
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        reader, writer = os.pipe()
        done, told = os.pipe()
        pid = os.fork()
        if not pid:
            os.read(reader, 1)
            try:
                with me.delegate(agent="late", audience=API) as mine:
                    mine.token()
                os._exit(0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
        held = me._held
        before = held._secret
        with held._state:
            held._schedule.due = 0
            held._state.notify_all()
        while held._secret is before:
            time.sleep(0.01)
        os.write(writer, b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """
    )
    assert {row["agent"] for row in user.rows("--task", "T1")} == {"agent", "late"}


BUSY = """
    import threading
    with jitid.identity(task="T1", delegator="alice", may_audience="https://*.example") as me:
        stop = threading.Event()

        def use(number):
            while not stop.is_set():
                me.token(audience=f"https://a{number}.example")
                me.token(audience=f"https://a{number}.example", fresh=True)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(10):
                forked(lambda: me.delegate(agent=f"f{number}", audience=API).__enter__().token())
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    print("done")
"""


def test_forks_among_busy_threads_neither_block_nor_share(user: User) -> None:
    assert user.printed(FORK + BUSY) == "done\n"
    assert not user.rows("--task", "T1", "--live")
    # An inherited connection would damage the database.
    user.good("audit", "verify")
    user.good("ledger", "check")


FIRST_USE = """
import os, signal, sys, threading
import jitid

module, place, *source = sys.argv[1:]
text = open(place).read()
options = {"published": source[0]} if source else {}
loading, forking = threading.Event(), threading.Event()

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == module and not loading.is_set():
            loading.set()
            forking.wait()

def prove():
    assert jitid.verify(text, audience="https://api.example", **options).agent == "agent"

sys.meta_path.insert(0, Watch())
first = threading.Thread(target=prove)
first.start()
assert loading.wait(30)
# Of these functions, the one registered last is called first.
os.register_at_fork(before=forking.set)
pid = os.fork()
if pid == 0:
    # A process that waits for a lock which nobody holds any more is killed.
    signal.alarm(30)
    prove()
    os._exit(0)
first.join()
assert os.waitpid(pid, 0)[1] == 0
"""
"""Forks while a thread loads a module at its first verification; the forked process verifies, too."""


@pytest.mark.parametrize(
    ("module", "is_offline"),
    [
        ("jitid.api.verified_token", False),
        ("jitid.api.forks", False),
        ("jitid.errors", False),
        ("jitid.values.scope", False),
        ("jitid.authority.open_local", False),
        ("cryptography.exceptions", False),
        ("jitid.capabilities.trust.offline", True),
        ("cryptography.exceptions", True),
    ],
)
def test_a_fork_waits_until_a_first_use_has_loaded_its_modules(
    user: User, module: str, is_offline: bool
) -> None:
    user.environment["JITID_PUBLISH_URL"] = "https://www.example/jitid"
    token = user.home / "token"
    token.write_text(user.good("issue", "--task", "T1", "--delegator", "alice", "--audience", API))
    folder = user.home / "public"
    folder.mkdir()
    user.good("publish", str(folder))
    user.printed(FIRST_USE, module, str(token), *([str(folder)] if is_offline else []))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_processes_of_a_pool_delegate_from_the_parent_file(user: User, method: str) -> None:
    program = user.home / "pool.py"
    program.write_text(
        f"""
import multiprocessing, pickle, sys
import jitid
API = "https://api.example"

def work(parent_file):
    with jitid.identity(parent_file=parent_file, agent="worker", audience=API) as mine:
        return len(jitid.verify(mine.token(), audience=API).chain)

if __name__ == "__main__":
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        try:
            pickle.dumps(me)
        except TypeError:
            pass
        with multiprocessing.get_context("{method}").Pool(2) as pool:
            print(pool.map(work, [me.parent_file] * 4))
"""
    )
    printed = user.printed(
        "import runpy, sys; sys.path.insert(0, '.'); runpy.run_path('pool.py', run_name='__main__')"
    )
    assert printed == "[2, 2, 2, 2]\n"
    states = [(row["agent"], row["state"]) for row in user.rows("--task", "T1")]
    # Each worker had an identity token and a service token.
    assert sorted(states) == [("agent", "retired"), *[("worker", "revoked")] * 8]


INSIDE = """
import jitid, json, sys
API = "https://api.example"
with jitid.identity(agent="inner", scopes="repo:read", audience=API, ttl="5m") as me:
    # Another process verifies: this one must load neither ledger nor keys.
    token = me.token()
    with me.delegate(agent="innermost", audience=API) as child:
        child.token()
    held = me._held
    before = held._secret
    held._renew()
    assert held._secret is not before, held._failure
    me.headers(API)
    never = ("jitid.keys", "jitid.ledger", "jitid.crypto.private", "sqlite3")
    loaded = sorted(name for name in sys.modules if name.startswith(never))
    print(json.dumps({"id": me.id, "task": me.task, "delegator": me.delegator, "loaded": loaded}))
"""


def test_inside_of_run_the_program_is_a_child_and_loads_no_key(user: User) -> None:
    options = ["--task", "T1", "--delegator", "alice", "--agent", "outer", "--scope", "repo:*"]
    program = user.home / "inside.py"
    program.write_text(INSIDE)
    done = user.run(
        "run", *options, "--may-audience", "https://api.example", "--", sys.executable, str(program)
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert (printed["task"], printed["delegator"], printed["loaded"]) == ("T1", "user:alice", [])
    rows = {row["agent"]: row for row in user.rows("--task", "T1")}
    assert rows["inner"]["parent"] == rows["outer"]["id"]
    assert rows["innermost"]["parent"] == rows["inner"]["id"]
    assert {row["state"] for row in user.rows("--task", "T1")} == {"revoked"}


def test_inside_of_run_the_program_gets_no_more_than_the_run(user: User) -> None:
    program = """
import jitid
refused = 0
for more in ({"scopes": "db:write"}, {"audience": "https://other.example"}, {"delegator": "bob"}):
    try:
        jitid.identity(**more).__enter__()
    except jitid.JitidError as error:
        refused += 1
print(refused)
"""
    done = user.run("run", "--task", "T1", "--delegator", "alice", "--", sys.executable, "-c", program)
    assert done.stdout == "3\n", done.stderr
    assert len(user.rows("--task", "T1")) == 1


@pytest.fixture
def alice(tmp_path: Path) -> Iterator[User]:
    """Return a caller of an authority who has no role: she issues for herself alone."""
    first = tmp_path / "first.bearer"
    with serving(tmp_path / "authority", "--bootstrap", str(first)) as served:
        caller = User(tmp_path / "alice")
        caller.home.mkdir()
        del caller.environment["JITID_LEDGER"]
        caller.environment["JITID_REMOTE"] = served.url
        caller.environment["JITID_REMOTE_CREDENTIAL_FILE"] = str(first)
        caller.good("access", "grant", "olga", "--role", "admin", "--out", str(tmp_path / "olga.bearer"))
        caller.environment["JITID_REMOTE_CREDENTIAL_FILE"] = str(tmp_path / "olga.bearer")
        caller.good("access", "grant", "alice", "--out", str(tmp_path / "alice.bearer"))
        caller.environment["JITID_REMOTE_CREDENTIAL_FILE"] = str(tmp_path / "alice.bearer")
        yield caller


def test_at_an_authority_the_program_loads_neither_ledger_nor_keys(alice: User) -> None:
    printed = alice.printed(
        """
        import jitid, json, sys
        API = "https://api.example"
        with jitid.identity(task="T1", agent="bot", audience=API) as me:
            me.token()
            with me.delegate(agent="child", audience=API) as child:
                child.token()
            held = me._held
            held._renew()
            assert held._failure == "", held._failure
            print(json.dumps([me.delegator, [name for name in sys.modules if "sqlite" in name or "keyring" in name]]))
        """
    )
    assert json.loads(printed) == ["user:alice", []]
    assert not alice.rows("--task", "T1", "--live")
    # The task was this program's own, so its end has retired it.
    assert alice.run("issue", "--task", "T1").returncode == 4


def test_inside_of_run_at_an_authority_the_program_is_a_child_of_the_run(alice: User) -> None:
    program = alice.home / "inside.py"
    program.write_text(INSIDE)
    options = ["--task", "T1", "--agent", "outer", "--scope", "repo:*"]
    done = alice.run(
        "run", *options, "--may-audience", "https://api.example", "--", sys.executable, str(program)
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loaded"] == []
    rows = {row["agent"]: row for row in alice.rows("--task", "T1")}
    assert rows["inner"]["parent"] == rows["outer"]["id"]
    assert not alice.rows("--task", "T1", "--live")


def test_forks_among_busy_threads_do_no_harm_to_a_database(user: User, postgres_url: str) -> None:
    module("psycopg", "postgres")
    more = {"JITID_LEDGER": postgres_url, "JITID_HOME": str(user.home / "keys")}
    printed = user.printed(FORK + BUSY, more=more)
    assert printed == "done\n"
    done = user.run("list", "--task", "T1", "--live", "--format", "json", more=more)
    assert json.loads(done.stdout)["items"] == []
    assert user.run("audit", "verify", more=more).returncode == 0
