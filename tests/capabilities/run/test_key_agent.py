"""The ssh-agent of a run: its keys, their lifetime, and its end together with the process that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jitid.capabilities.run.delivery.ssh_keys import SshAgent
from jitid.crypto import openssh
from jitid.errors import JitidError, RefusedError, StorageError, UsageError
from jitid.issuers.issuer import Order
from jitid.issuers.ssh_cert import SshCertIssuer
from jitid.system import ssh_agent
from jitid.values.secret import Secret
from tests.issuers.test_sshcert import draft, new_ids, signer
from tests.real import need, other_user, reachable, until


@pytest.fixture
def folder() -> Iterator[str]:
    """Return a private folder with a path that is short enough for a socket."""
    need("ssh-agent")
    with tempfile.TemporaryDirectory() as name:
        yield name


@pytest.fixture
def agent(folder: str) -> Iterator[SshAgent]:
    started = SshAgent(folder)
    try:
        yield started
    finally:
        started.close()


def made() -> Secret:
    now = int(time.time())
    (one,) = SshCertIssuer(signer()).mint([Order(draft(issued_at=now, expires_at=now + 900), [new_ids()])])
    return one.secret


def blob_of(secret: Secret) -> bytes:
    return openssh.parse_certificate(secret.reveal("certificate")).blob


def put(agent: SshAgent, secret: Secret, name: str = "") -> None:
    agent.put(secret.reveal("key"), secret.reveal("certificate"), int(time.time()) + 900, name)


def held(agent: SshAgent) -> list[bytes]:
    with ssh_agent.connected(agent.path, 10) as connection:
        return [one.blob for one in connection.held()]


def listed(agent: SshAgent, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need("ssh-add"), *words],
        env={**os.environ, "SSH_AUTH_SOCK": agent.path},
        capture_output=True,
        text=True,
    )


def test_it_holds_the_certificate_and_nothing_is_on_a_disk(agent: SshAgent, folder: str) -> None:
    secret = made()
    put(agent, secret)
    assert secret.reveal("certificate") == listed(agent, "-L").stdout.strip()
    assert [path.name for path in Path(folder).iterdir()] == ["agent"]


def test_a_successor_takes_the_place_of_what_was_there(agent: SshAgent) -> None:
    first, second, other = made(), made(), made()
    put(agent, first)
    put(agent, other, "db")
    put(agent, second)
    assert sorted(held(agent)) == sorted([blob_of(other), blob_of(second)])


@pytest.mark.deep
def test_the_agent_forgets_it_when_its_time_is_over(agent: SshAgent) -> None:
    secret = made()
    agent.put(secret.reveal("key"), secret.reveal("certificate"), int(time.time()) + 2)
    until(lambda: not held(agent), "the agent still has it")
    with pytest.raises(StorageError, match="the certificate expired"):
        agent.put(secret.reveal("key"), secret.reveal("certificate"), int(time.time()))


def test_closing_ends_it(folder: str) -> None:
    agent = SshAgent(folder)
    put(agent, made())
    agent.close()
    with pytest.raises(StorageError, match="no ssh-agent listens"):
        held(agent)
    assert not list(Path(folder).iterdir())


def test_nothing_of_the_environment_comes_to_it(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JITID_TRY_SECRET", "hunter2")
    agent = SshAgent(folder)
    try:
        environment = Path(f"/proc/{agent._process.pid}/environ").read_bytes()
        assert b"hunter2" not in environment
        assert b"SSH_AUTH_SOCK" in environment
    finally:
        agent.close()


HOLDER = textwrap.dedent(
    """
    import sys, time
    from jitid.capabilities.run.delivery.ssh_keys import SshAgent
    agent = SshAgent(sys.argv[1])
    print(agent.path, flush=True)
    time.sleep(600)
    """
)


def test_it_dies_with_whoever_started_it_even_by_a_kill(folder: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout is not None
    path = holder.stdout.readline().strip()
    with ssh_agent.connected(path, 10) as connection:
        assert connection.held() == []
    holder.send_signal(signal.SIGKILL)
    holder.communicate()

    def gone() -> bool:
        with suppress(StorageError), ssh_agent.connected(path, 10):
            return False
        return True

    until(gone, "the agent outlives the run")


def test_a_key_that_the_agent_does_not_take_is_an_error(agent: SshAgent, tmp_path: Path) -> None:
    askpass = tmp_path / "askpass"
    askpass.write_text("#!/bin/sh\necho x\n")
    askpass.chmod(0o700)
    locked = subprocess.run(
        [need("ssh-add"), "-x"],
        env={
            **os.environ,
            "SSH_AUTH_SOCK": agent.path,
            "SSH_ASKPASS": str(askpass),
            "SSH_ASKPASS_REQUIRE": "force",
        },
        capture_output=True,
    )
    assert locked.returncode == 0
    with pytest.raises(RefusedError, match="refuses a key"):
        put(agent, made())


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    with pytest.raises(UsageError, match="the path of the ssh-agent's socket"):
        SshAgent(str(deep))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\0\1\5",
        b"\0\0\0\5\x0c\xff\xff\xff\xff",
        b"\0\0\0\5\x0c\0\0\0\1",
        b"\0\0\0\x0d\x0c\0\0\0\1\xff\xff\xff\xff\0\0\0\0",
        b"\0\0\0\5",
    ],
)
def test_what_is_no_agent_is_told_apart(folder: str, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        path = os.path.join(folder, "other")  # noqa: PTH118 - a text, unchanged
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(100)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with ssh_agent.connected(path, 10) as connection, pytest.raises(StorageError):
                connection.held()
        finally:
            thread.join()


def _listens(path: str) -> bool:
    """Return True if a process accepts connections at a path. While a socket does not listen yet, connect() fails."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
    return True


def test_no_key_goes_to_another_users_agent() -> None:
    prefix = other_user()
    with reachable(Path(tempfile.gettempdir()) / "jitid-agent-") as place:
        place.chmod(0o777)
        path = str(place / "agent")
        theirs = subprocess.Popen([*prefix, need("ssh-agent"), "-D", "-a", path], stdout=subprocess.DEVNULL)
        try:
            until(lambda: _listens(path), "the agent does not listen")
            with pytest.raises(JitidError, match="belongs to another user"), ssh_agent.connected(path, 10):
                pass
        finally:
            theirs.terminate()
            theirs.wait(30)


@pytest.mark.parametrize("path", ["", "/nowhere/agent", "x" * 300, "a\0b"])
def test_a_path_without_an_agent_is_out_of_reach(path: str) -> None:
    with pytest.raises(StorageError), ssh_agent.connected(path, 10):
        pass


def test_a_machine_without_an_agent_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is about the missing agent, not about the command of the run."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="ssh-agent is not in PATH") as raised:
        SshAgent(str(tmp_path))
    assert raised.value.hint == "install the OpenSSH client"
