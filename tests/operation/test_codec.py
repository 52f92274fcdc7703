"""Operations and answers survive encoding and decoding as JSON unchanged, and any other JSON is refused."""

from __future__ import annotations

import json
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jitid
from jitid.authority.wire import codec
from jitid.authority.wire.codec import fields_of, item_of, operations, result_of
from jitid.authority.wire.shapes import Definitions
from jitid.capabilities.identity.revocation_result import TooManyError
from jitid.capabilities.inventory import operations as inventory_operations
from jitid.capabilities.issue import operations as issue_operations
from jitid.capabilities.leak import operations as leak_operations
from jitid.errors import (
    ApprovalNeededError,
    BusyError,
    DiskError,
    ExitStatus,
    JitidError,
    NotFoundError,
    PolicyDeniedError,
    StorageError,
    UsageError,
)
from jitid.model.ledger_rows import Selection
from jitid.model.request import IssueRequest, RenewRequest
from jitid.search.find import Finds
from jitid.values import strict_json
from jitid.values.secret import Secret, new_opaque
from tests import real
from tests.authority.callers import FOUND_OUT
from tests.operation.values import JSON, answers, operation_values, told

NAMES = sorted(codec.names())
FEW = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))


def through(document: Any) -> Any:
    """Return a document as another process decodes it."""
    return strict_json.loads(json.dumps(document))


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
@FEW
@given(data=st.data())
def test_an_operation_comes_out_as_it_went_in(name: str, data: st.DataObject) -> None:
    """Decoding returns an equal operation."""
    operation = data.draw(operation_values(operations()[name]))
    again = codec.decode_operation(name, through(codec.encode_operation(operation)))
    assert told(again) == told(operation)


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
@FEW
@given(data=st.data())
def test_an_answer_comes_out_as_it_went_in(name: str, data: st.DataObject) -> None:
    """Decoding returns an equal answer, streamed or at once."""
    kind = operations()[name]
    operation = data.draw(operation_values(kind))
    result = data.draw(answers(result_of(kind)))
    if codec.streams(kind):
        pieces = [through(piece) for piece in codec.encode_result(operation, iter(result))]
        assert told(list(codec.decode_result(operation, pieces))) == told(result)
    else:
        again = codec.decode_result(operation, through(codec.encode_result(operation, result)))
        assert told(again) == told(result)


def test_every_operation_travels_or_is_said_to_be_local() -> None:
    """A new operation must be in the table of modules, and each of its texts and numbers must have a format."""
    folder = Path(jitid.__file__).parent
    stated = {
        match[1]
        for path in (folder / "operation" / "base.py", *folder.rglob("*operations.py"))
        for match in re.finditer(r"^class (\w+)\((?:\w+, )?\w*Operation[\[)]", path.read_text(), re.MULTILINE)
        if not match[1].endswith("Operation")
    }
    assert set(operations()) == stated
    definitions: Definitions = {}
    for name in codec.names():
        codec.schema_of(name, definitions)
    assert stated - set(codec.names()) == {name for name, kind in operations().items() if kind.local}


def test_no_two_records_have_one_schema() -> None:
    """Records with the same name in several modules get different schema names."""
    names: dict[str, set[Any]] = {}
    called = codec._called

    def noted(kind: type, *, request: bool, tagged: bool) -> str:
        name = called(kind, request=request, tagged=tagged)
        names.setdefault(name, set()).add((kind, request, tagged))
        return name

    codec._record_of.cache_clear()
    codec.shape_of.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codec, "_called", noted)
        for name in codec.names():
            codec.schema_of(name, {})
    assert not {name: kinds for name, kinds in names.items() if len(kinds) > 1}


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(data=st.data())
def test_requests_and_answers_are_as_their_schemas_say(name: str, data: st.DataObject) -> None:
    """A client that follows the OpenAPI document can talk to the authority."""
    try:
        jsonschema: Any = import_module("jsonschema")
    except ImportError:
        real.missing("jsonschema is not installed")
    kind = operations()[name]
    definitions: Definitions = {}
    request, answer = codec.schema_of(name, definitions)
    rest = {"components": {"schemas": definitions}}
    operation = data.draw(operation_values(kind))
    jsonschema.Draft202012Validator({**request, **rest}).validate(codec.encode_operation(operation))
    result = data.draw(answers(item_of(result_of(kind)) or result_of(kind)))
    encoded = codec.encode_result(operation, iter([result]) if codec.streams(kind) else result)
    for each in encoded if codec.streams(kind) else [encoded]:
        jsonschema.Draft202012Validator({**answer, **rest}).validate(each)


@pytest.mark.parametrize("name", NAMES)
@FEW
@given(values=JSON)
def test_whatever_else_is_asked_is_a_usage_error(name: str, values: Any) -> None:
    """JSON of any shape results in an operation, or in an error with the reason, never in another exception."""
    try:
        operation = codec.decode_operation(name, values)
    except UsageError:
        return
    assert codec.decode_operation(name, through(codec.encode_operation(operation)))


@pytest.mark.deep
@pytest.mark.parametrize("name", NAMES)
@FEW
@given(data=st.data(), value=JSON)
def test_a_value_of_the_wrong_type_is_a_usage_error(name: str, data: st.DataObject, value: Any) -> None:
    """One value of a valid request is replaced by another one."""
    values = codec.encode_operation(data.draw(operation_values(operations()[name])))
    if not values:
        return
    values[data.draw(st.sampled_from(sorted(values)))] = value
    try:
        operation = codec.decode_operation(name, values)
    except UsageError:
        return
    assert told(codec.decode_operation(name, codec.encode_operation(operation))) == told(operation)


REVOKE: dict[str, Any] = {"selection": {"ids": ["jid_00000000000000000000000000"]}, "most": None}


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("Revoke", {**REVOKE, "all": True}, "Revoke has no member `all`"),
        ("Revoke", {"most": None}, "Revoke needs `selection`"),
        ("Revoke", {"selection": REVOKE["selection"]}, "Revoke needs `most`"),
        ("Revoke", {**REVOKE, "most": True}, "most: expected an integer"),
        ("Revoke", {**REVOKE, "most": 1.0}, "most: expected an integer"),
        ("Revoke", {**REVOKE, "most": -1}, "most: expected a number from 0 to"),
        ("Revoke", {**REVOKE, "dry_run": 1}, "dry_run: expected true or false"),
        ("Revoke", {**REVOKE, "reason": 7}, "reason: expected a string"),
        ("Revoke", {**REVOKE, "selection": {"ids": "jid_0"}}, "selection.ids: expected an array"),
        ("Revoke", {**REVOKE, "selection": {"tasks": ["a", "b c"]}}, "selection.tasks[1]: the task name"),
        ("Revoke", [REVOKE], "expected an object"),
        (
            "ListTasks",
            {"state": None, "after": None, "limit": 10_001},
            "limit: expected a number from 1 to 10000",
        ),
        ("Sweep", {"rules": ["os"], "limits": {}}, "rules[0]: there is no such rule"),
        ("Fix", {"rules": [], "limits": {}, "sweep": "x", "most": None}, "sweep: expected a UUID"),
        ("Verify", {"token": "x" * 40_000}, "token: expected a token of at most"),
        ("Verify", {"token": " "}, "token: expected a token of at most"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(name: str, values: Any, reason: str) -> None:
    """The message names the place of unknown and missing members, and of values with a wrong type."""
    with pytest.raises(UsageError) as raised:
        codec.decode_operation(name, values)
    assert raised.value.message.startswith(reason)


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("member", FOUND_OUT)
def test_nobody_states_from_elsewhere_whom_a_token_proves(member: str, at: int) -> None:
    """Only the authority establishes the proof, for each request."""
    requests: list[dict[str, Any]] = [{"task": "T1", "delegator": None, "agent": "a"} for _ in range(3)]
    assert codec.decode_operation("Issue", {"requests": requests})
    requests[at][member] = FOUND_OUT[member]
    with pytest.raises(UsageError, match=f"no member `{member}`"):
        codec.decode_operation("Issue", {"requests": requests})
    with pytest.raises(UsageError, match=f"no member `{member}`"):
        codec.decode_operation("Exchange", {"request": requests[at], "subject": "x.y.z"})


def test_what_the_authority_finds_out_is_kept_back() -> None:
    """A new field of this kind must be added here, too."""
    # The fields that limit an operation to the caller's own rows are kept back too: see test_matrix.py.
    assert {name for name, field in fields_of(IssueRequest).items() if field.authority_only} == {*FOUND_OUT}
    assert {name for name in IssueRequest._fields if name.startswith(("proved", "exchanged"))} == set(
        FOUND_OUT
    )


@pytest.mark.parametrize(
    ("name", "member"),
    [("ShowTree", "under"), ("ShowTree", "delegator"), ("ListTasks", "within"), ("ListApprovals", "within")],
)
def test_nobody_states_from_elsewhere_what_is_their_own(name: str, member: str) -> None:
    """For a caller without a role, only the authority sets the limit to the caller's own rows."""
    with pytest.raises(UsageError, match=f"no member `{member}`"):
        codec.decode_operation(name, {"limit": 9, member: "user:root"})


def test_a_refusal_repeats_no_secret() -> None:
    """The message does not repeat a token that is in a wrong place, as a member or a value."""
    token = new_opaque(os.urandom)
    for values in (
        {token: 1},
        {"token": [token]},
        {"token": "x", "audiences": [token]},
        {"token": "x", "audiences": token},
    ):
        with pytest.raises(UsageError) as raised:
            codec.decode_operation("Verify", values)
        assert token not in f"{raised.value.message} {raised.value.hint}"


@pytest.mark.parametrize("name", ["Examine", "Operation", "DirectoryOperation", "issue", "", "__import__"])
def test_what_is_no_operation_for_others_cannot_be_asked(name: str) -> None:
    """This includes operations on the server's own files, and names that do not exist."""
    with pytest.raises(UsageError, match="unknown operation"):
        codec.decode_operation(name, {})


def test_an_answer_may_tell_more_than_is_known() -> None:
    """An authority may be upgraded before its clients."""
    operation = inventory_operations.ShowTask(name="T1")
    task = {"key": 1, "name": "T1", "purpose": None, "sensitivity": "low", "deadline": 2, "opened_at": 1}
    row = {"task": {**task, "ended_at": None, "new": 1}, "credentials": 1, "live": 1, "now": 1, "more": []}
    assert codec.decode_result(operation, row).task.name == "T1"
    del row["live"]
    with pytest.raises(StorageError, match="TaskRow needs `live`"):
        codec.decode_result(operation, row)


def test_a_token_in_an_answer_cannot_act_on_a_terminal() -> None:
    """A client prints the token without escaping it."""
    operation = issue_operations.Renew(request=RenewRequest(Secret.single("t")))
    with pytest.raises(StorageError, match=r"credentials\[0\]\.secret: expected a token of visible"):
        codec.decode_result(operation, {"credentials": [{"id": "i", "jti": "j", "secret": "\x1b[2J"}]})


def test_what_is_as_usual_is_not_sent() -> None:
    """Without default values, an older authority understands the ordinary requests of a newer client."""
    operation = issue_operations.Renew(request=RenewRequest(Secret.single("t")))
    assert codec.encode_operation(operation) == {"request": {"token": "t"}}
    sent = codec.encode_operation(issue_operations.Issue(requests=(IssueRequest("T1", "user:alice", "bot"),)))
    assert sent == {"requests": [{"task": "T1", "delegator": "user:alice", "agent": "bot"}]}


def test_tokens_that_were_found_are_whole_ones_of_ours() -> None:
    """The lookup relies on the `jti` at the beginning of each token."""
    finds = Finds()
    finds.signed["eyJhbGciOiJFZERTQSJ9.e30.AAAA"] = 1
    with pytest.raises(UsageError, match="signed"):
        codec.decode_operation("Trace", codec.encode_operation(leak_operations.Trace(finds=finds)))


def _needed() -> ApprovalNeededError:
    error = ApprovalNeededError(
        "denied: needs sre", "ask", {"rules": ["r"]}, exact=b"", groups=("sre",), approval_rules=("r",)
    )
    error.requests, error.missing = ("apr_1",), ("sre",)
    return error


def _placed() -> NotFoundError:
    error = NotFoundError("no such")
    error.position = 3
    return error


def _unsure() -> StorageError:
    error = StorageError("m", "h")
    error.unsure = True
    return error


@pytest.mark.parametrize(
    "error",
    [
        UsageError("m", "h"),
        NotFoundError("m"),
        PolicyDeniedError("m", "h", {"rules": ["r"], "reason": "m"}),
        StorageError("m"),
        BusyError("m"),
        DiskError("m"),
        _unsure(),
        TooManyError("m"),
        _needed(),
        _placed(),
    ],
)
def test_an_error_ends_a_client_as_it_would_have_ended_beside_the_ledger(error: JitidError) -> None:
    """Class, message, hint, status and the members that commands read are the same."""
    again = codec.decode_error(through(codec.encode_error(error)))
    assert type(again) is type(error)
    for name in (
        "message",
        "hint",
        "code",
        "exit_status",
        "retryable",
        "unsure",
        "position",
        "requests",
        "missing",
    ):
        assert getattr(again, name, None) == getattr(error, name, None)


def test_of_a_bug_of_the_authority_nobody_knows_how_far_it_came() -> None:
    assert codec.decode_error(through(codec.encode_error(JitidError("internal error")))).unsure


@given(
    document=JSON
    | st.fixed_dictionaries(
        {
            "error": st.dictionaries(
                st.sampled_from(
                    [
                        "code",
                        "message",
                        "hint",
                        "exit",
                        "sort",
                        "approval",
                        "rules",
                        "position",
                        "retryable",
                        "unsure",
                    ]
                ),
                JSON,
            )
        }
    )
)
def test_any_document_is_some_error(document: Any) -> None:
    """Any answer of a proxy or an attacker ends the client with an error status of the table, never with success."""
    error = codec.decode_error(document)
    assert isinstance(error, JitidError)
    assert ExitStatus.OK < error.exit_status <= ExitStatus.INCOMPLETE


def test_a_selection_is_sent_as_bytes_and_ids() -> None:
    """Fingerprints are base64url without padding."""
    operation = inventory_operations.Revoke(selection=Selection(fingerprints=(b"\xff" * 32,)), most=None)
    assert codec.encode_operation(operation)["selection"] == {"fingerprints": ["_" * 42 + "8"]}
