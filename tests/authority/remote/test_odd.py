"""An authority with invalid answers: each command fails as if it were unreachable, and never reports success."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jitid.authority import remote
from jitid.authority.remote import RemoteAuthority, fitting
from jitid.authority.wire import codec
from jitid.authority.wire.codec import item_of, operations, result_of, shape_of
from jitid.capabilities.issue.issue_result import Issued
from jitid.capabilities.sweep.finding import Swept
from jitid.cli import main
from jitid.errors import ExitStatus, JitidError, StorageError
from jitid.model.credential import PARTS
from jitid.system.authority_address import parse_address
from jitid.values.secret import Secret
from tests.authority.remote.peer import Peer, Request, answer, answering, error
from tests.operation.values import answers, operation_values

NAMES = sorted(codec.names())
LINES = "application/x-ndjson"
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
ODD: dict[str, bytes] = {
    "an empty body": answer(200, b""),
    "no JSON": answer(200, b"hello"),
    "a page": answer(200, b"<html></html>", kind="text/html"),
    "no type": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    "another type": answer(200, {}, kind="application/problem+json"),
    "half of it": answer(200, {"a": "x" * 1000})[:-20],
    "a text that breaks off": answer(200, b'{"a": "x'),
    "lines that break off": answer(200, b'{"finding": {', kind=LINES),
    "deep nesting": answer(200, b"[" * 100_000),
    "deep nesting that ends": answer(200, b"[" * 500 + b"]" * 500),
    "a long number": answer(200, b"1" * 5_000),
    "no number": answer(200, b"NaN"),
    "no UTF-8": answer(200, b'"\xff"'),
    "half of a pair": answer(200, b'"\\ud800"'),
    "a member twice": answer(200, b'{"a": 1, "a": 2}'),
    "two documents": answer(200, b"{}{}"),
    "no content": answer(204, b""),
    "a part": answer(206, {}),
    "something made": answer(201, {}),
    "no length": PLAIN + b"\r\n",
    "a negative length": PLAIN + b"content-length: -5\r\n\r\n",
    "no whole length": PLAIN + b"content-length: x\r\n\r\n{}",
    "a length beyond memory": PLAIN + b"content-length: 99999999999999\r\n\r\n{}",
    "a piece without length": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a piece beyond memory": CHUNKED + b"fffffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "pieces without end": CHUNKED + b"2\r\n{}\r\n",
    "a status that is none": b"HTTP/1.1 999999 X\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n{}",
    "noise": b"\x00\xff" * 100 + b"\r\n\r\n",
    "another coding": answer(200, {}, "content-encoding: gzip"),
    "an error that is none": answer(200, {"error": {"code": "usage", "message": "m", "exit": 2}}),
    "an error without words": answer(500, {"error": 1}),
    "a bug": error(500, "internal", 1),
    "an error that ends with 0": error(500, "nothing", 0),
}
"""Answers that are invalid for each operation."""
ANSWERS: list[Any] = [
    None,
    True,
    1,
    -1,
    "x",
    "",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"keys": 1},
    [1, "x"],
]
"""Documents that may be a valid answer to some operation."""
FEW = settings(
    max_examples=1,
    phases=(Phase.generate,),
    database=None,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TOKEN = "jitid_" + "0" * 38
JTI = "jti_06h2iapc0do9nbrju3qd1doe64"
VERBS = f"""
issue --task T1 --delegator alice --agent bot
issue --task T1 --delegator alice --agent bot --count 3
issue --task T1 --delegator alice --agent bot --dry-run
run --task T1 --delegator alice -- true
list
task list
task show T1
tree --task T1
inspect {JTI}
revoke --task T1 --yes
retire T1
sweep
sweep --format json
sweep --format sarif
sweep --fix --yes
sweep --fix --dry-run
report
report --format html
audit log
audit head
audit verify
audit export
keys list
keys jwks
keys rotate
leak list
leak timeline {JTI}
agent list
agent classify
agent show bot
agent register bot --owner alice --purpose x
delegator add carol
delegator list
approve list
access list
access grant system:x --role auditor
doctor
adopt list
publish published
trace file
scan .
""".strip().splitlines()


@lru_cache
def examples() -> dict[str, Any]:
    """Return one example of each operation that is sent to a remote authority."""
    return {name: _example(operation_values(operations()[name])) for name in NAMES}


def _example(values: st.SearchStrategy[Any]) -> Any:
    """Return one value. Hypothesis limits the size of an example: one of all operations may be too large."""
    found: list[Any] = []

    @FEW
    @given(values)
    def draw(drawn: Any) -> None:
        found.append(drawn)

    draw()
    return found[-1]


def failure(url: str, operation: Any) -> JitidError | None:
    """Return the error that an operation raises; None if it has an answer."""
    authority = RemoteAuthority(parse_address(url), None, timeout=20)
    try:
        result = authority.perform(operation)
        if isinstance(result, Iterator):
            list(result)
    except JitidError as error:
        return error
    finally:
        authority.close()
    return None


def _in_all(document: Any, place: str, value: Any) -> bool:
    """Set a member wherever the document has it; return whether the document has it."""
    found = False
    for each in document.values() if isinstance(document, dict) else document:
        if isinstance(each, (dict, list)):
            found |= _in_all(each, place, value)
    if isinstance(document, dict) and place in document:
        document[place] = value
        found = True
    return found


ODD_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "a state of a credential": ("ListCredentials", lambda found: _in_all(found, "ended_as", "gone")),
    "a state of an access": ("ListAccess", lambda found: _in_all(found, "ended_as", "gone")),
    "a state of an approval": ("ListApprovals", lambda found: _in_all(found, "ended_as", "gone")),
    "a match": ("Trace", lambda found: _in_all(found, "match", "guess")),
    "a rule that is a path": ("Sweep", lambda found: _in_all(found, "rule", "../../evil")),
    "a survey without days": ("MakeReport", lambda found: _in_all(found, "trend", [])),
    "a survey without properties": ("MakeReport", lambda found: _in_all(found, "live_by", {})),
    "a secret without a token": ("GrantAccess", lambda found: _in_all(found, "secret", {"x": "y"})),
    "an event without a time": ("ReadLog", lambda found: found.append({"seq": 1}) is None),
}
"""By defect, an answer that breaks an assumption of commands beyond the types."""


@pytest.mark.deep
@pytest.mark.parametrize("odd", ODD)
def test_no_operation_takes_it_for_an_answer(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The client would try each request again, without need.
    monkeypatch.setattr(remote, "_PAUSES", ())
    with answering(ODD[odd]) as peer:
        for name, operation in examples().items():
            found = failure(peer.url, operation)
            assert found is not None, name
            assert found.exit_status is ExitStatus.STORAGE, (name, found)


@pytest.mark.parametrize("document", ANSWERS, ids=repr)
def test_what_is_no_answer_to_an_operation_is_refused(document: object) -> None:
    """Each operation refuses an answer of another type. A document of the right type is accepted."""
    text = json.dumps(document).encode() + b"\n"
    answered = []
    with answering(answer(200, text)) as peer, answering(answer(200, text, kind=LINES)) as streaming:
        for name, operation in examples().items():
            url = streaming.url if codec.streams(type(operation)) else peer.url
            found = failure(url, operation)
            if found is None:
                answered.append(name)
            else:
                assert (found.exit_status, found.retryable) == (ExitStatus.STORAGE, False), (name, found)
    assert len(answered) < len(NAMES) / 2


def ended(line: str, url: str, folder: Path) -> tuple[int, str]:
    """Run a command in a separate process; return its status and its messages."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        pid = os.fork()
        if pid == 0:
            status = 98
            try:
                os.chdir(folder)
                os.environ.update(HOME=str(folder), JITID_REMOTE=url, JITID_TIMEOUT="1s")
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(said.fileno(), 2)
                status = main.run(line.split())
            finally:
                os._exit(status)
        _, status = os.waitpid(pid, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), said.read().decode()


FITS = {"run --task T1 --delegator alice -- true": 125}
"""Exit statuses other than 5: `run` reserves most statuses for its command."""


@pytest.mark.deep
@pytest.mark.parametrize("odd", ["an empty body", "half of it", "a page", "pieces without end", "a bug"])
def test_every_verb_ends_as_where_nobody_answers(odd: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(TOKEN)
    wrong = {}
    with answering(ODD[odd]) as peer:
        for line in VERBS:
            status, said = ended(line, peer.url, tmp_path)
            if status != FITS.get(line, 5) or "Traceback" in said or "internal error" in said:
                wrong[line] = (status, said)
    assert not wrong


class Typed(Peer):
    """A peer that answers each operation with a value of the right type but without meaning."""

    def __init__(self, drawn: Mapping[str, Any]) -> None:
        self._drawn = drawn
        super().__init__([b""])

    def reply(self, request: Request) -> bytes:
        """Return the answer to a request."""
        name = request.path.rpartition("/")[2]
        if name not in self._drawn:
            return error(404, "not_found", 3)
        return typed(name, fitted(name, self._drawn[name], json.loads(request.body)))


def fitted(name: str, value: Any, asked: dict[str, Any]) -> Any:
    """Return the value with the kind and the number of credentials requested, so that only its content is odd."""
    if name == "Issue" and value:
        copies = 0 if asked.get("dry_run") else asked["requests"][0].get("copies", 1)
        return [_of_kind(value[0]._replace(kind=asked["requests"][0].get("kind", "jwt")), copies)]
    if name in ("Renew", "Attach", "Exchange"):
        return _of_kind(value, 1)
    if name == "Sweep":
        swept = [piece for piece in value if isinstance(piece, Swept)]
        return [piece for piece in value if not isinstance(piece, Swept)] + swept[:1]
    return value


def _of_kind(issued: Issued, copies: int) -> Issued:
    parts = dict.fromkeys(PARTS.get(issued.kind, ("token",)), "x")
    made = [one._replace(secret=Secret(parts)) for one in issued.credentials[:1] * copies]
    return issued._replace(credentials=tuple(made))


def typed(name: str, value: Any) -> bytes:
    """Return a complete answer with a value of the operation's result type."""
    kind = result_of(operations()[name])
    item = item_of(kind)
    if item is None:
        return answer(200, shape_of(kind, request=False).encode(value))
    pieces = [json.dumps(shape_of(item, request=False).encode(piece)) + "\n" for piece in value]
    return answer(200, "".join(pieces).encode(), kind=LINES)


MANY = settings(FEW, max_examples=40)


@lru_cache
def values(name: str) -> Sequence[Any]:
    """Return some answers to an operation, the longest first."""
    found = []

    @MANY
    @given(answers(result_of(operations()[name])))
    def draw(drawn: Any) -> None:
        found.append(drawn)

    draw()
    return sorted(found, key=lambda value: -len(repr(value)))


@pytest.mark.deep
@pytest.mark.parametrize("number", range(4))
def test_no_value_of_the_right_type_is_a_bug_of_ours(number: int, tmp_path: Path) -> None:
    """An unexpected exception ends with status 1 here as elsewhere, so the test sees it."""
    (tmp_path / "file").write_text(f"{TOKEN} {JTI}")
    wrong = {}
    peer = Typed({name: (found := values(name))[number % len(found)] for name in NAMES})
    try:
        for line in VERBS:
            status, said = ended(line, peer.url, tmp_path)
            if status in (1, 98) or "Traceback" in said or "internal error" in said:
                wrong[line] = (status, said)
    finally:
        peer.close()
    assert not wrong
    # The commands continued after their first answer.
    assert len({request.path for request in peer.requests}) > len(VERBS) / 2


@pytest.mark.parametrize("wrong", ODD_VALUES)
def test_a_value_that_no_authority_sends_is_refused(wrong: str) -> None:
    """If a command relies on more than the type of a value, the whole answer is refused."""
    name, change = ODD_VALUES[wrong]
    for value in values(name):
        document = codec.encode_result(examples()[name], value)
        document = list(document) if codec.streams(operations()[name]) else document
        if not change(document):
            continue
        with pytest.raises(StorageError) as raised:
            result = fitting(examples()[name], codec.decode_result(examples()[name], document))
            list(result if isinstance(result, Iterator) else ())
        assert not raised.value.retryable
        return
    raise AssertionError(wrong)


@pytest.mark.deep
@pytest.mark.parametrize("odd", ["an empty body", "no JSON", "another value", "half of it", "no status"])
@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("issue --task T1 --delegator alice", "jitid list --live --task T1"),
        ("issue --task T1 --delegator alice --count 3", "jitid list --live --task T1"),
        ("issue --task T1 --delegator alice --dry-run", None),
        ("renew --token-file file", "jitid list --live"),
        ("access grant system:x --role auditor", "jitid access list"),
        ("list", None),
    ],
)
def test_what_may_have_been_made_is_said(odd: str, line: str, command: str | None, tmp_path: Path) -> None:
    """The authority may have made the credential, although its answer is useless."""
    (tmp_path / "file").write_text(TOKEN)
    with answering(ODD.get(odd) or answer(200, [None])) as peer:
        status, said = ended(line, peer.url, tmp_path)
    assert status == 5, said
    assert ("may be live" in said) == (command is not None), said
    assert command is None or f": {command}\n" in said


@pytest.mark.parametrize("name", ["Sweep", "ExportLog"])
def test_pieces_without_the_last_one_are_not_all(name: str) -> None:
    """A proxy may cut an answer after a line and mark that as its end."""
    with answering(answer(200, b"", kind=LINES)) as peer:
        found = failure(peer.url, examples()[name])
    assert found is not None
    assert found.exit_status is ExitStatus.STORAGE
