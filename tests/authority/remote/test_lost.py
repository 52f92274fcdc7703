"""Lost answers between a real client and a real authority."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.authority.remote.peer import answer
from tests.authority.remote.test_verbs import issue
from tests.real import Shell
from tests.serving import Served


class Lossy:
    """A proxy before an authority that passes `passed` complete answers and then loses the next `lost` ones."""

    def __init__(self, path: str, lost: int, passed: int = 0, instead: bytes = b"") -> None:
        """Listen; the client gets `instead` for a lost answer."""
        self._path = path
        self.left = lost
        self._passed = passed
        self._instead = instead
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Return the proxy's URL."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        """Stop listening."""
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
        if self._passed:
            self._passed -= 1
            client.sendall(answer)
        elif self.left:
            self.left -= 1
            client.sendall(self._instead)
        else:
            client.sendall(answer)


def _is_whole(message: bytes) -> bool:
    head, end, body = message.partition(b"\r\n\r\n")
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and (not length or len(body) >= int(length[0].partition(b":")[2]))


@contextmanager
def lossy(served: Served, lost: int, passed: int = 0, instead: bytes = b"") -> Iterator[Lossy]:
    """Run a proxy before an authority for the duration of the block."""
    found = Lossy(served.socket, lost, passed, instead)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.deep
def test_a_lost_answer_never_issues_twice(client: Shell, served: Served) -> None:
    """The first try issued a credential. The next try revokes it and issues another in one transaction."""
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


MANY = 99
"""More answers than a client waits for."""
PAGE = b"<html>a gateway</html>"
GATEWAYS = {
    "nothing": b"",
    "a page": answer(200, PAGE, kind="text/html"),
    "an empty answer": answer(200, b""),
    "a timeout": answer(504, PAGE, kind="text/html"),
    "a login": answer(302, b"", "location: https://sso.example/"),
    "a filter": answer(403, PAGE, kind="text/html"),
}
"""Answers that a client gets instead of the authority's."""


@pytest.mark.parametrize("instead", GATEWAYS)
def test_a_single_one_whose_answer_was_lost_may_be_live(client: Shell, served: Served, instead: str) -> None:
    with lossy(served, MANY, instead=GATEWAYS[instead]) as between:
        done = client.run("issue", "--task", "T1", "--delegator", "alice", "--remote", between.url)
    assert done.returncode in (2, 5, 6), done.stderr
    assert "may be live: jitid list --live --task T1\n" in done.stderr
    assert len(client.good("list", "--live", "--task", "T1", "--field", "jti").splitlines()) == 1


@pytest.mark.parametrize("instead", ["nothing", "a page"])
def test_a_list_does_not_say_that_nothing_was_issued_where_that_is_not_known(
    client: Shell, served: Served, instead: str
) -> None:
    lines = '{"task": "T1", "delegator": "alice"}\n' * 1_200
    with lossy(served, MANY, passed=1, instead=GATEWAYS[instead]) as between:
        words = ("issue", "--from-file", "-", "--yes", "--remote", between.url)
        done = client.run(*words, stdin=lines)
    assert done.returncode == 9, done.stderr
    assert done.stdout.count("\n") == 1_000
    assert (
        "the first 1000 credentials were issued, no later ones; the state of this transaction is unknown"
        in (done.stderr)
    )
    assert "may be live: jitid list --live --task T1;" in done.stderr
    assert "no others" not in done.stderr
    live = client.good("list", "--live", "--task", "T1", "--limit", "9999", "--field", "jti")
    assert live.count("\n") == 1_200


def test_of_a_list_that_was_refused_nothing_was_issued(client: Shell) -> None:
    lines = (
        '{"task": "T1", "delegator": "alice"}\n' * 1_000
        + '{"task": "T1", "delegator": "alice", "kind": "exec:none"}\n'
    )
    done = client.run("issue", "--from-file", "-", "--yes", stdin=lines)
    assert done.returncode == 9, done.stderr
    assert "no others" in done.stderr
    assert "may be live" not in done.stderr
