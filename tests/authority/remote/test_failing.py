"""Failures on the way to an authority: each has its exit status, and a safe request is tried again."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jitid.authority.remote import FileCredential, RemoteAuthority
from jitid.capabilities.integrity import operations as integrity_operations
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.trust import operations as trust_operations
from jitid.errors import (
    ConfigurationError,
    ExitStatus,
    JitidError,
    NotFoundError,
    PolicyDeniedError,
    RefusedError,
    StorageError,
    UnauthenticatedError,
    UsageError,
)
from jitid.model.ledger_rows import Selection
from jitid.model.process import ProcessAbove
from jitid.model.request import IssueRequest, RenewRequest
from jitid.operation import base as ops
from jitid.system import http
from jitid.system.authority_address import parse_address
from jitid.values.secret import Secret
from tests.authority.remote.peer import answer, answering, error

TASK = {"key": 1, "name": "T1", "purpose": None, "sensitivity": "low", "deadline": 2, "opened_at": 1}
RADIUS = {
    "matched": 1,
    "identities": 1,
    "credentials": 1,
    "tasks": 1,
    "delegators": 1,
    "offline_until": None,
    "signed": 0,
    "refused_since": 1,
    "accepted_until": None,
    "at": 1,
    "at_targets": None,
}
ENDED = {"radius": RADIUS, "credentials": 1, "event": 2}
USAGE = {"code": "usage", "hint": None, "retryable": False, "exit": 2}
ROW = answer(200, {"task": {**TASK, "ended_at": None}, "credentials": 1, "live": 1, "now": 1})
READ = inventory_operations.ShowTask(name="T1")
CHANGE = trust_operations.RotateKey(algorithm="EdDSA")


def remote(url: str, timeout: float = 20.0, bearer: FileCredential | None = None) -> RemoteAuthority:
    """Return the remote authority at an address."""
    return RemoteAuthority(parse_address(url), bearer, timeout=timeout)


def nothing(connection: socket.socket) -> None:
    """Close the connection without an answer."""


def failure(reply: Any, operation: ops.Operation[Any] = READ, timeout: float = 20.0) -> JitidError:
    """Return the error that an answer causes."""
    with answering(reply) as peer, pytest.raises(JitidError) as raised:
        result = remote(peer.url, timeout).perform(operation)
        if isinstance(result, Iterator):
            list(result)
    return raised.value


@pytest.mark.deep
def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(StorageError, match="cannot be reached") as raised:
        remote(f"http://127.0.0.1:{port}").perform(CHANGE)
    assert raised.value.exit_status is ExitStatus.STORAGE
    assert raised.value.retryable


def test_an_older_authority_ends_what_its_program_closes() -> None:
    """It has no member `closing`, since there a revocation excludes no process; a refusal would leave the identity."""
    ending = inventory_operations.Revoke(selection=Selection(ids=("jid_1",)), closing=True, most=None)
    refused = answer(400, {"error": {**USAGE, "message": "Revoke has no member `closing`; nothing was done"}})
    with answering(refused, answer(200, ENDED)) as peer:
        assert remote(peer.url).perform(ending).credentials == 1
    first, second = (json.loads(request.body) for request in peer.requests)
    assert (first.pop("closing"), first) == (True, second)
    other = answer(400, {"error": {**USAGE, "message": "Revoke: `selection` is missing; nothing was done"}})
    with answering(other) as peer, pytest.raises(UsageError):
        remote(peer.url).perform(ending)
    assert len(peer.requests) == 1


def test_a_client_has_a_session_at_an_older_authority() -> None:
    """It has no member `above`, since there no process is barred; details of a request keep a member of that name."""
    above = (ProcessAbove(1, 2),)
    first, other = (IssueRequest("T1", None, "bot", details=('{"type":"x","above":3}',)) for _ in range(2))
    issue = issue_operations.Issue(requests=(first._replace(above=above), other, other._replace(above=above)))
    message = "requests[0]: IssueRequestGiven has no member `above`; nothing was done"
    refused = answer(400, {"error": {**USAGE, "message": message}})
    denied = error(403, "policy_denied", 4)
    with answering(refused, denied) as peer, pytest.raises(PolicyDeniedError):
        remote(peer.url).perform(issue)
    sent, again = (json.loads(request.body)["requests"] for request in peer.requests)
    assert [request.pop("above", None) is not None for request in sent] == [True, False, True]
    assert sent == again
    # The request is repeated once only.
    with answering(refused, refused) as peer, pytest.raises(UsageError):
        remote(peer.url).perform(issue)
    assert len(peer.requests) == 2


def test_a_question_is_asked_again_when_its_answer_was_lost() -> None:
    with answering(nothing, nothing, ROW) as peer:
        assert remote(peer.url).perform(READ).task.name == "T1"
    assert len(peer.requests) == 3


def test_a_change_whose_answer_was_lost_is_not_asked_for_again() -> None:
    with answering(nothing) as peer, pytest.raises(StorageError, match="closed without an answer"):
        remote(peer.url).perform(CHANGE)
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "operation",
    [
        issue_operations.Issue(requests=(IssueRequest("T1", None, "bot"),)),
        issue_operations.Renew(request=RenewRequest(Secret.single("t"))),
    ],
)
def test_an_issue_whose_answer_was_lost_is_asked_for_again_under_the_same_key(
    operation: ops.Operation[Any],
) -> None:
    with (
        answering(nothing, nothing, error(403, "policy_denied", 4)) as peer,
        pytest.raises(PolicyDeniedError),
    ):
        remote(peer.url).perform(operation)
    keys = [request.headers["idempotency-key"] for request in peer.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    with answering(error(403, "policy_denied", 4)) as other:
        for _ in range(2):
            with pytest.raises(PolicyDeniedError):
                remote(other.url).perform(operation)
    assert len({request.headers["idempotency-key"] for request in other.requests} | set(keys)) == 3


def test_what_became_of_a_later_try_says_nothing_of_the_first() -> None:
    """The first answer is lost; the second try is refused by the authority or by its rate limit."""
    made = issue_operations.Issue(requests=(IssueRequest("T1", "alice", "bot"),))
    for second in (error(403, "refused", 6), error(429, "limited", 5)):
        with answering(nothing, second) as peer, pytest.raises(JitidError) as raised:
            remote(peer.url).perform(made)
        assert raised.value.unsure
        assert (
            raised.value.message
            == "told; credentials that it created may be live: jitid list --live --task T1"
        )
    assert not failure(error(403, "refused", 6), made).unsure
    assert not failure(answer(413, b"<html></html>", kind="text/html"), made).unsure


def test_who_is_busy_is_asked_again_when_they_say() -> None:
    busy = error(503, "storage", 5, "retry-after: 1", retryable=True)
    with answering(busy, ROW) as peer:
        assert remote(peer.url).perform(READ).live == 1
    with answering(busy) as peer, pytest.raises(StorageError):
        remote(peer.url).perform(CHANGE)
    assert len(peer.requests) == 1


def test_who_was_told_to_come_later_comes_later_whatever_it_is() -> None:
    """The answer proves that the request changed nothing."""
    with (
        answering(
            error(429, "limited", 5, "retry-after: 1", retryable=True), error(404, "not_found", 3)
        ) as peer,
        pytest.raises(NotFoundError),
    ):
        remote(peer.url).perform(CHANGE)
    assert len(peer.requests) == 2


def test_waiting_has_an_end() -> None:
    """The timeout bounds all tries and pauses together."""
    later = error(503, "storage", 5, "retry-after: 600", retryable=True)
    assert isinstance(failure(later), StorageError)


def drip(connection: socket.socket) -> None:
    """Send one byte at a time, until the client closes the connection."""
    connection.settimeout(0.05)
    while True:
        connection.sendall(b"H")
        try:
            if not connection.recv(1):
                return
        except TimeoutError:
            continue


def test_an_answer_that_drips_is_out_of_time() -> None:
    assert "did not answer in time" in failure(drip, CHANGE, timeout=0.5).message


def test_what_may_take_long_is_waited_for() -> None:
    """A long operation may take longer than the timeout; an unreachable authority is still noticed in time."""

    def late(connection: socket.socket) -> None:
        assert not select.select([], [], [], 1.0)[0]
        connection.sendall(answer(200, {"error": 1}))

    with answering(late) as peer, pytest.raises(StorageError, match="is invalid"):
        remote(peer.url, timeout=0.5).perform(integrity_operations.VerifyLog())


@pytest.mark.deep
@pytest.mark.parametrize(
    ("reply", "kind", "status"),
    [
        (answer(302, {}, "location: https://example.com/"), ConfigurationError, ExitStatus.USAGE),
        (answer(200, b"<html>", kind="text/html"), StorageError, ExitStatus.STORAGE),
        (answer(404, b"nothing", kind="text/plain"), ConfigurationError, ExitStatus.USAGE),
        (answer(200, b"{", kind="application/json"), StorageError, ExitStatus.STORAGE),
        (answer(200, {"task": 1}), StorageError, ExitStatus.STORAGE),
        (answer(200, {}, "content-encoding: gzip"), StorageError, ExitStatus.STORAGE),
        (answer(401, b"", kind="text/plain"), UnauthenticatedError, ExitStatus.REFUSED),
        (answer(403, b"", kind="text/plain"), RefusedError, ExitStatus.REFUSED),
        (answer(413, b"", kind="text/plain"), UsageError, ExitStatus.USAGE),
        (answer(502, b"", kind="text/plain"), StorageError, ExitStatus.STORAGE),
        (error(401, "unauthenticated", 6), UnauthenticatedError, ExitStatus.REFUSED),
        (error(404, "not_found", 3), NotFoundError, ExitStatus.NOT_FOUND),
        (error(418, "new_sort", 5), StorageError, ExitStatus.STORAGE),
        (error(200, "storage", 5), StorageError, ExitStatus.STORAGE),
        (b"no HTTP at all\r\n\r\n", StorageError, ExitStatus.STORAGE),
        (ROW[:-10], StorageError, ExitStatus.STORAGE),
    ],
)
def test_an_answer_that_is_none_has_a_status(
    reply: bytes, kind: type[JitidError], status: ExitStatus
) -> None:
    found = failure(reply, timeout=3)
    assert type(found) is kind or issubclass(type(found), kind)
    assert found.exit_status is status


def test_nobody_is_sent_elsewhere() -> None:
    with answering(ROW) as other:
        failure(answer(307, {}, f"location: {other.url}/"))
    assert not other.requests


def test_a_large_answer_is_read_to_its_end() -> None:
    """This includes the last answer of a connection."""
    with answering(answer(200, ".." + "x" * (1 << 18))) as peer:
        assert len(remote(peer.url).perform(integrity_operations.SignHead())) == 2 + (1 << 18)


def test_an_answer_is_not_larger_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LARGEST", 1 << 16)
    assert (
        "larger"
        in failure(answer(200, b'"' + b"x" * (1 << 17) + b'"'), integrity_operations.SignHead()).message
    )


def chunks(*lines: bytes, end: bool = True) -> bytes:
    """Return a chunked answer, with or without its last chunk."""
    start = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in lines)
    return start + pieces + (b"0\r\n\r\n" if end else b"")


def test_pieces_come_as_they_are_made() -> None:
    with answering(chunks(b'"one"\n"t', b'wo"\n')) as peer:
        pieces = remote(peer.url).perform(integrity_operations.ExportLog())
        assert list(pieces) == ["one", "two"]


@pytest.mark.parametrize(
    "reply",
    [
        chunks(b'"one"\n', end=False),
        chunks(b'"one"\n"tw'),
        chunks(
            b'"one"\n', b'{"error":{"code":"storage","message":"m","hint":null,"exit":5,"retryable":true}}\n'
        ),
        chunks(b'"one"\n{\n'),
    ],
)
def test_an_answer_that_breaks_off_is_never_taken_for_whole(reply: bytes) -> None:
    with answering(reply) as peer:
        pieces = remote(peer.url).perform(integrity_operations.ExportLog())
        assert next(pieces) == "one"
        with pytest.raises(StorageError):
            next(pieces)


def test_a_piece_is_not_larger_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LONGEST_LINE", 1 << 12)
    assert "longer than" in failure(chunks(b"x" * (1 << 14)), integrity_operations.ExportLog()).message


def test_the_credential_is_read_for_each_try(tmp_path: Path) -> None:
    """The file may be replaced at any time, as by `run`."""
    file = tmp_path / "credential"
    file.write_text("first\n")
    file.chmod(0o600)

    def replace(connection: socket.socket) -> None:
        file.write_text("second\n")

    with answering(replace, ROW) as peer:
        remote(peer.url, bearer=FileCredential(str(file))).perform(READ)
    assert [request.headers["authorization"] for request in peer.requests] == [
        "Bearer first",
        "Bearer second",
    ]
