"""`jitid.identity`: the block, its tokens, its renewal, and its end under every failure."""

from __future__ import annotations

import asyncio
import copy
import fcntl
import os
import pickle
import subprocess
import sys
import threading
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import jitid
from jitid.api import forks
from jitid.api.held_identity import HeldIdentity
from tests.api.conftest import API, User
from tests.real import Shell, until


def held_of(me: jitid.Identity) -> HeldIdentity:
    """Return the inner object of an identity."""
    assert me._held is not None
    return me._held


def make_due(me: jitid.Identity) -> None:
    """Let the thread renew an identity now."""
    held = held_of(me)
    with held._state:
        held._schedule.due = 0
        held._state.notify_all()


def states(user: Shell, *options: str) -> set[str]:
    """Return the states of credentials."""
    return set(user.good("list", *options, "--field", "state").split())


def test_the_import_loads_no_other_module() -> None:
    program = "import sys; before = set(sys.modules); import jitid; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['jitid']"


def test_each_public_name_is_there_and_documented() -> None:
    for name in jitid.__all__:
        assert getattr(jitid, name).__doc__, name
        assert name in dir(jitid)
    with pytest.raises(AttributeError, match="no attribute 'unknown'"):
        _ = jitid.unknown


def test_a_block_has_an_identity_that_ends_with_it(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", scopes=["repo:read"], agent="bot", ttl="5m") as me:
        (row,) = user.rows("--task", "T1")
        assert (row["id"], row["state"], row["agent"], row["delegator"]) == (
            me.id,
            "active",
            "bot",
            "user:alice",
        )
        assert (me.task, me.agent, me.delegator, me.scopes) == ("T1", "bot", "user:alice", ("repo:read",))
        assert timedelta(0) < me.expires_at - datetime.now(UTC) <= timedelta(minutes=5)
        assert me.renews_until > me.expires_at
    assert states(user, "--task", "T1") == {"retired"}
    with pytest.raises(jitid.InvalidCredentialError, match="has ended"):
        me.token(audience=API)


def test_a_task_is_retired_by_the_call_that_opened_it(user: User) -> None:
    user.good("issue", "--task", "T1", "--delegator", "alice")
    with jitid.identity(task="T1", delegator="alice"):
        pass
    assert sorted(user.good("list", "--task", "T1", "--field", "state").split()) == ["active", "revoked"]
    with jitid.identity(task="T2", delegator="alice") as first:
        with jitid.identity(task="T2", delegator="alice"):
            pass
        # The second call joined the task, and left it open.
        assert user.rows("--task", "T2", "--live")[0]["id"] == first.id
    with pytest.raises(jitid.PolicyDeniedError, match="task `T2` ended"):
        jitid.identity(task="T2", delegator="alice").__enter__()
    with jitid.identity(task="T3", delegator="alice", keep_task=True):
        pass
    with jitid.identity(task="T3", delegator="alice"):
        pass
    assert states(user, "--task", "T3") == {"revoked"}


def test_the_hint_for_an_ended_task_names_the_argument_that_keeps_it(user: User) -> None:
    program = 'import jitid\nwith jitid.identity(task="T1", delegator="alice"):\n    pass\n'
    user.printed(program)
    again = user.program(program)
    assert again.returncode == 1
    # The traceback of a program that catches nothing ends with the hint.
    *_, message, hint = again.stderr.splitlines()
    assert "task `T1` ended" in message
    assert hint.startswith("hint: use a new name")
    assert "keep_task=True" in hint


def test_a_hint_is_a_note_once() -> None:
    error = jitid.UsageError("wrong", "first")
    assert error.__notes__ == ["hint: first"]
    error.add_note("other")
    error.hint = "second"
    assert error.__notes__ == ["other", "hint: second"]
    error.hint = None
    assert error.__notes__ == ["other"]
    assert str(error) == "wrong"


def test_hints_speak_of_arguments(user: User) -> None:
    with pytest.raises(jitid.UsageError) as caught:
        jitid.identity(task="T1", delegator="alice", scopes="repo:read repo:write")
    assert caught.value.hint == 'for several values, use a list: ["one", "two"]'
    with pytest.raises(jitid.UsageError) as caught:
        jitid.identity(task="T1", delegator="alice", audience=f"{API} {API}")
    assert caught.value.hint == 'for several values, use a list: ["one", "two"]'
    with jitid.identity(task="T1", delegator="alice") as me:
        with pytest.raises(jitid.UsageError) as caught:
            me.token()
        assert caught.value.hint == 'name the service: token(audience="https://…")'
        with pytest.raises(jitid.PolicyDeniedError) as denied:
            me.token(audience=API)
        assert denied.value.hint is not None
        assert "issue this identity for it: audience='https://api.example'" in denied.value.hint
        assert "the parent" not in denied.value.hint


def test_a_task_that_was_given_away_is_not_retired(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice") as me:
        user.good("task", "share", "T1", "--with", "bob")
        user.good("issue", "--task", "user:alice/T1", "--delegator", "bob")
        user.good("task", "give", "T1", "--to", "bob")
    states_by_id = {row["id"]: row["state"] for row in user.rows("--task", "user:bob/T1")}
    assert states_by_id.pop(me.id) == "revoked"
    assert set(states_by_id.values()) == {"active"}


def test_an_error_of_the_block_is_raised_unchanged(user: User) -> None:
    with pytest.raises(ZeroDivisionError), jitid.identity(task="T1", delegator="alice"):
        _ = 1 / 0
    assert states(user, "--task", "T1") == {"retired"}


def _locked(user: User) -> int:
    descriptor = os.open(user.ledger / "lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_a_locked_ledger_at_the_end_does_not_hide_the_error_of_the_block(user: User) -> None:
    lock = -1
    with (
        pytest.raises(KeyError, match="the program's own") as raised,
        jitid.identity(task="T1", delegator="alice", timeout=1) as me,
    ):
        lock = _locked(user)
        raise KeyError("the program's own")
    os.close(lock)
    (note,) = raised.value.__notes__
    assert f"the identity {me.id} could not be revoked" in note
    assert f"jitid revoke {me.id}" in note
    assert states(user, "--task", "T1") == {"active"}


def test_a_locked_ledger_at_the_end_is_an_error_of_its_own(user: User) -> None:
    lock = -1
    with (
        pytest.raises(jitid.PartialError, match=r"could not be revoked: .* it is valid until") as raised,
        jitid.identity(task="T1", delegator="alice", timeout=1) as me,
    ):
        lock = _locked(user)
    os.close(lock)
    assert raised.value.hint == f"jitid revoke {me.id}"
    with pytest.raises(jitid.InvalidCredentialError):
        me.token(audience=API)


def test_one_token_serves_all_threads(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API, scopes="repo:read") as me:
        start, tokens = threading.Barrier(100), []

        def use() -> None:
            start.wait()
            tokens.append(me.token())

        threads = [threading.Thread(target=use) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(tokens) == 100
        assert len(set(tokens)) == 1
        # The identity token, and one service token.
        assert len(user.rows("--task", "T1")) == 2
        assert me.token(fresh=True) != me.token()
        assert jitid.verify(tokens[0], audience=API).scopes == ("repo:read",)


def test_a_token_is_for_one_audience_of_the_grant(user: User) -> None:
    other = "https://other.example"
    with jitid.identity(
        task="T1", delegator="alice", audience=[API, other], may_audience="https://*.x.example"
    ) as me:
        with pytest.raises(jitid.UsageError, match="an audience is required") as caught:
            me.token()
        assert caught.value.hint is not None
        assert caught.value.hint.endswith(f"this identity is for {API}, {other}")
        token = me.token(audience=other)
        assert jitid.verify(token, audience=other).audiences == (other,)
        with pytest.raises(jitid.InvalidCredentialError):
            jitid.verify(token, audience=API)
        with pytest.raises(jitid.PolicyDeniedError, match=r"does not hold audience `https://evil\.example`"):
            me.token(audience="https://evil.example")
        me.token(audience="https://a.x.example")
        for audience in ("", "https://*.x.example", "a b", "https://api.example\r\nX: y"):
            with pytest.raises((jitid.UsageError, jitid.PolicyDeniedError)):
                me.token(audience=audience)


def test_headers_name_the_origin_of_a_url_alone(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=[API, "http://127.0.0.1:8080"]) as me:
        assert me.headers(f"{API}/path?query#part") == {"Authorization": f"Bearer {me.token(audience=API)}"}
        assert me.headers("HTTPS://API.example/") == me.headers(API)
        me.headers("http://127.0.0.1:8080/path")
        for url in (
            "http://api.example/",
            "https://api.example@evil.example/",
            "https://api.example\\@evil.example/",
            "https://api.example\n.evil.example/",
            "https://api.example\t/",
            "https://api.ex\u0430mple/",
            "https:///path",
            "//api.example/",
            "ftp://api.example/",
            "file:///etc/passwd",
            "https://api.example:99999/",
            "",
        ):
            with pytest.raises(jitid.UsageError):
                me.headers(url)
        for url in (
            "https://evil.example/",
            "https://api.example:8443/",
            "https://api.example.evil.example/",
        ):
            with pytest.raises(jitid.PolicyDeniedError):
                me.headers(url)


def test_a_child_holds_less_and_ends_with_its_parent(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", scopes=["repo:*"], audience=API) as me:
        with me.delegate(agent="helper", scopes=["repo:read"], audience=API) as child:
            assert (child.agent, child.task, child.delegator) == ("helper", "T1", "user:alice")
            proved = jitid.verify(child.token(), audience=API)
            assert proved.scopes == ("repo:read",)
            assert [each.split("/")[4] for each in proved.chain] == ["helper", "agent"]
        assert states(user, "--agent", "helper") == {"revoked"}
        with pytest.raises(jitid.PolicyDeniedError, match="does not hold scope `db:read`"):
            me.delegate(scopes=["db:read"]).__enter__()
        with pytest.raises(jitid.PolicyDeniedError):
            me.delegate(audience="https://other.example").__enter__()
        orphan = me.delegate(agent="orphan", scopes=["repo:read"]).__enter__()
    with pytest.raises(jitid.InvalidCredentialError):
        orphan.token(audience=API)
    orphan.__exit__(None, None, None)
    assert states(user, "--agent", "orphan") == {"retired"}


def test_a_thread_renews_and_the_parent_file_follows(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        before = Path(me.parent_file).read_text()
        make_due(me)
        until(lambda: Path(me.parent_file).read_text() != before, "it was not renewed")
        me.token()
        with me.delegate(agent="later"):
            pass
        assert {row["id"] for row in user.rows("--task", "T1", "--agent", "agent")} == {me.id}
    assert "active" not in states(user, "--task", "T1")


def test_a_failed_renewal_is_reported_once_the_token_has_expired(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        user.good("revoke", me.id)
        make_due(me)
        held = held_of(me)
        until(lambda: held._failure != "", "no renewal was tried")
        # The service token of a revoked identity is refused by its authority, not here.
        with pytest.raises(jitid.InvalidCredentialError, match="revoked"):
            me.token()
        held._schedule.expires_at = 1
        with pytest.raises(jitid.ExpiredError, match=rf"{me.id} expired at 1970-.*: .*revoked"):
            me.token()
    assert "active" not in states(user, "--task", "T1")


def test_the_end_does_not_wait_for_the_thread(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice") as me:
        (thread,) = [each for each in threading.enumerate() if each.name == f"jitid {me.id}"]
        assert thread.daemon
    until(lambda: not thread.is_alive(), "the thread continues")


def test_nothing_shows_or_copies_a_secret(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        token = me.token()
        secrets = [token, Path(me.parent_file).read_text().strip()]
        shown = [repr(me), str(me), f"{me}", repr(vars(me)), repr(vars(held_of(me))), repr(me.notes)]
        try:
            me.token(audience="https://evil.example")
        except jitid.JitidError as error:
            # Without the frame of this test, which has the token in a variable.
            assert error.__traceback__ is not None
            frames = traceback.StackSummary.extract(
                traceback.walk_tb(error.__traceback__.tb_next), capture_locals=True
            )
            shown += [str(error), "".join(frames.format())]
        for text in shown:
            assert not any(secret in text for secret in secrets)
        for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="cannot be pickled or copied"):
                duplicate(me)


def test_an_asyncio_program_is_not_blocked(user: User) -> None:
    async def work() -> list[str]:
        async with jitid.identity(task="T1", delegator="alice", audience=API) as me:
            return list(await asyncio.gather(*(asyncio.to_thread(me.token) for _ in range(20))))

    assert len(set(asyncio.run(work()))) == 1
    assert states(user, "--task", "T1") == {"retired"}

    async def cancelled() -> None:
        entered = asyncio.Event()

        async def body() -> None:
            async with jitid.identity(task="T2", delegator="alice"):
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(body())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert states(user, "--task", "T2") == {"retired"}


def test_an_identity_that_is_issued_for_a_cancelled_task_ends(user: User) -> None:
    async def cancelled() -> None:
        lock = _locked(user)
        task = asyncio.create_task(jitid.identity(task="T1", delegator="alice").__aenter__())
        while not forks._operations:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        os.close(lock)

    # It waits for its threads.
    asyncio.run(cancelled())
    assert states(user, "--task", "T1") == {"retired"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": ""}, "task"),
        ({"delegator": ""}, "delegator"),
        ({"agent": "a b"}, "agent"),
        ({"scopes": ["a,b"]}, "scope"),
        ({"scopes": [""]}, "a scope is empty"),
        ({"audience": "a b"}, "audience"),
        ({"may_audience": "https://a*.example"}, "one whole label"),
        ({"ttl": 0}, "at least one second"),
        ({"ttl": True}, "at least one second"),
        ({"ttl": "soon"}, "not a duration"),
        ({"sensitivity": "some"}, "expected one of"),
        ({"deadline": datetime(2030, 1, 1)}, "has no offset"),  # noqa: DTZ001 - the test is about it
        ({"details": [{}]}, "a detail"),
        ({"timeout": -1}, "at least one second"),
    ],
)
def test_invalid_arguments_are_refused_before_the_block(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(jitid.UsageError, match=message):
        jitid.identity(**{"task": "T1", "delegator": "alice", **arguments})


def test_a_block_names_its_task_and_begins_once(user: User) -> None:
    with pytest.raises(jitid.UsageError, match="a task is required"):
        jitid.identity(delegator="alice").__enter__()
    with pytest.raises(jitid.UsageError, match="a delegator is required"):
        jitid.identity(task="T1").__enter__()
    me = jitid.identity(task="T1", delegator="alice")
    with pytest.raises(jitid.UsageError, match="not issued yet"):
        _ = me.id
    assert repr(me) == "<jitid.Identity, not issued>"
    with me, pytest.raises(jitid.UsageError, match="cannot begin twice"):
        me.__enter__()


def test_blank_variables_and_files_do_not_make_a_root(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(jitid.UsageError):
        jitid.identity(task="T1", delegator="alice", parent_file="").__enter__()
    empty = user.home / "empty"
    empty.touch()
    with pytest.raises(jitid.UsageError, match="is empty"):
        jitid.identity(task="T1", delegator="alice", parent_file=str(empty)).__enter__()
    monkeypatch.setenv("JITID_PARENT_FILE", "")
    with pytest.raises(jitid.UsageError, match="JITID_PARENT_FILE is blank"):
        jitid.identity(task="T1", delegator="alice").__enter__()
    assert not user.rows("--task", "T1")


def test_the_first_use_creates_a_ledger_and_notes_it(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", ledger=str(user.home / "new")) as me:
        assert any("first use" in note for note in me.notes)
    with pytest.raises(jitid.StorageError):
        jitid.verify("x.y.z", audience=API, ledger=str(user.home / "missing"))


def test_a_program_that_never_leaves_its_block_ends_the_identity(user: User) -> None:
    user.printed(
        """
        import jitid
        jitid.identity(task="T1", delegator="alice").__enter__().delegate().__enter__()
        """
    )
    assert states(user, "--task", "T1") == {"retired", "revoked"}


def test_a_sweep_finds_the_identity_of_a_killed_program(user: User) -> None:
    killed = user.program(
        """
        import jitid, os, signal
        with jitid.identity(task="T1", delegator="alice", audience="https://api.example") as me:
            me.token()
            with me.delegate():
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert killed.returncode == -9
    assert states(user, "--task", "T1") == {"active"}
    found = user.run("sweep", "--fix", "--yes", "--rule", "orphaned-process", "--format", "json")
    assert "orphaned-process" in found.stdout, found.stderr
    assert states(user, "--task", "T1") == {"revoked"}


def test_an_interrupted_program_ends_its_identity(user: User) -> None:
    done = user.program(
        """
        import jitid, os, signal
        handlers = [signal.getsignal(each) for each in signal.valid_signals()]
        with jitid.identity(task="T1", delegator="alice"):
            assert handlers == [signal.getsignal(each) for each in signal.valid_signals()]
            os.kill(os.getpid(), signal.SIGINT)
        """
    )
    assert "KeyboardInterrupt" in done.stderr
    assert states(user, "--task", "T1") == {"retired"}
