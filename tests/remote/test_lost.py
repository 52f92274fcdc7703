"""Answers that are lost on the way, between a real client and a real authority."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.real import Shell
from tests.remote.test_verbs import issue
from tests.serving import Served


class Lossy:
    """Stands before an authority and loses its first answers, once they are whole."""

    def __init__(self, path: str, lost: int) -> None:
        self._path = path
        self.left = lost
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client, socket.socket(socket.AF_UNIX) as authority:
                client.settimeout(30)
                authority.settimeout(30)
                authority.connect(self._path)
                self._pass_on(client, authority)

    def _pass_on(self, client: socket.socket, authority: socket.socket) -> None:
        request = b""
        while not _is_whole(request):
            request += client.recv(1 << 16)
        authority.sendall(request)
        answer = b""
        while not _is_whole(answer):
            answer += authority.recv(1 << 16)
        if self.left:
            self.left -= 1
        else:
            client.sendall(answer)


def _is_whole(message: bytes) -> bool:
    head, end, body = message.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and (not length or len(body) >= int(length[0].partition(b":")[2]))


@contextmanager
def lossy(served: Served, lost: int) -> Iterator[Lossy]:
    """Stand before an authority for the length of the block."""
    found = Lossy(served.socket, lost)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.deep
def test_a_lost_answer_never_issues_twice(client: Shell, served: Served) -> None:
    """The first try has issued, and what it made ends in the same moment in which the second makes another."""
    with lossy(served, 2) as between:
        token = issue(client, "--remote", between.url)
        assert not between.left
    rows = json.loads(client.run("list", "--format", "json").stdout)["items"]
    assert sorted(row["state"] for row in rows) == ["active", "revoked", "revoked"]
    assert client.run("verify", stdin=token).returncode == 0


def test_a_lost_renewal_leaves_one_successor(client: Shell, served: Served) -> None:
    token = issue(client)
    with lossy(served, 1) as between:
        done = client.run("renew", "--remote", between.url, stdin=token)
    assert done.returncode == 0, done.stderr
    assert client.run("verify", stdin=done.stdout).returncode == 0
    rows = json.loads(client.run("list", "--format", "json").stdout)["items"]
    assert len([row for row in rows if row["state"] == "active"]) <= 2
    assert len(rows) == 3


def test_a_lost_answer_to_a_revocation_is_asked_for_again(client: Shell, served: Served) -> None:
    token = issue(client)
    with lossy(served, 1) as between:
        assert client.run("revoke", "--task", "T1", "--remote", between.url).returncode == 0
    assert client.run("verify", stdin=token).returncode == 8


def test_what_may_have_been_done_is_not_done_again(client: Shell, served: Served) -> None:
    with lossy(served, 1) as between:
        done = client.run("keys", "rotate", "--remote", between.url)
    assert done.returncode == 5
    keys = json.loads(client.run("keys", "list", "--format", "json").stdout)["items"]
    assert len(keys) == 2
