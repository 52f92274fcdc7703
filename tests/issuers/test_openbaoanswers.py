"""Answers that a real OpenBao does not give: all count as unclear, and no token goes to the wrong server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jitid.errors import ConfigurationError, JitidError, RefusedError, StorageError
from jitid.issuers.openbao.lease import OpenbaoLeaseIssuer
from jitid.model.target import Settlement, Target, TargetRecord
from tests.authority.remote.peer import answering
from tests.issuers.openbaoplace import TEMPLATES, OpenBaoPlace
from tests.issuers.places import ISSUER, try_to_make
from tests.openbao import write_secret

TOKEN = "s.OWN-TOKEN"


def http(status: int, body: object, *headers: str) -> bytes:
    """Return an HTTP answer; a body that is not bytes is written as JSON."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(text)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + text


def child(**more: Any) -> bytes:
    """Return the answer to the creation of a token."""
    auth = {
        "client_token": "s.child",
        "accessor": "acc1",
        "policies": ["reader"],
        "orphan": True,
        "lease_duration": 60,
    }
    return http(200, {"auth": {**auth, **more}})


LASTING = http(200, {"auth": {"lease_duration": 800}})


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[str], OpenbaoLeaseIssuer]:
    """Return a function that opens an issuer at an address, with a token from a file."""
    write_secret(tmp_path / "token", TOKEN)

    def opened(address: str) -> OpenbaoLeaseIssuer:
        options = {"address": address, "token_file": str(tmp_path / "token")}
        return OpenbaoLeaseIssuer(
            Target("there", "openbao-lease", options, TEMPLATES), timeout=5, issuer=ISSUER
        )

    return opened


def record(template: str | None = "reader") -> TargetRecord:
    """Return a record of this kind; no server is contacted."""
    return OpenBaoPlace(None, None).record(template=template)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([http(307, b"", "Location: http://127.0.0.1:1/v1/auth/token/create")], ConfigurationError),
        ([http(200, b"<html>")], StorageError),
        ([http(200, [1])], StorageError),
        ([http(200, b'{"auth": {}, "auth": {}}')], StorageError),
        ([http(200, {"auth": None})], StorageError),
        ([http(502, b"<html>")], StorageError),
        ([http(429, {"errors": ["too many"]})], StorageError),
        ([http(503, {"errors": ["Vault is sealed"]})], StorageError),
        ([http(200, b" " * (2 << 20))], StorageError),
        ([child(client_token="a\r\nX-Evil: 1")], StorageError),
        ([child(accessor="")], StorageError),
        ([child(accessor=None)], StorageError),
        ([child(policies=["reader", "root"])], RefusedError),
        ([child(policies=None)], RefusedError),
        ([child(), http(200, {"auth": {"lease_duration": 10**6}})], StorageError),
        ([child(), LASTING, http(200, {"lease_id": 7, "data": {"a": "b"}})], StorageError),
        ([child(), LASTING, http(200, {"lease_id": "a b", "data": {"a": "b"}})], StorageError),
        ([child(), LASTING, http(200, {"lease_id": "a/b", "data": {}})], ConfigurationError),
        ([child(), LASTING, http(200, {"lease_id": "a/b", "data": {"a": 1}})], ConfigurationError),
        ([child(), LASTING, http(200, {"lease_id": "", "data": {"a": "b"}})], ConfigurationError),
        ([child(), LASTING, http(200, {"lease_id": "", "auth": {"client_token": "x"}})], ConfigurationError),
    ],
)
def test_an_answer_that_is_not_clear_makes_no_credential(
    opened: Callable[[str], OpenbaoLeaseIssuer], replies: list[bytes], error: type[JitidError]
) -> None:
    with answering(*replies) as peer:
        issuer = opened(peer.url)
        _, raised = try_to_make(issuer, record())
        issuer.close()
    assert isinstance(raised, error), raised
    assert TOKEN not in f"{raised.message} {raised.hint}"
    assert len(peer.requests) == len(replies)


def test_the_secret_is_read_with_the_childs_token_alone(opened: Callable[[str], OpenbaoLeaseIssuer]) -> None:
    done = http(
        200, {"lease_id": "a/b", "lease_duration": 1, "data": {"a": "b", "n": 1, "chain": ["x", "y"]}}
    )
    with answering(child(), LASTING, done) as peer:
        issuer = opened(peer.url)
        made = issuer.mint(record(), lambda _: None)
        issuer.close()
    assert [each.headers["x-vault-token"] for each in peer.requests] == [TOKEN, TOKEN, "s.child"]
    assert (made.secret.names, made.secret.reveal("chain")) == (("a", "chain"), "x\ny")
    assert made.reference == "acc1 lease a/b"


@pytest.mark.parametrize(
    "reply",
    [
        http(204, b""),
        http(200, {"data": {}}),
        http(200, {"data": {"id": "another", "accessor": "another", "ttl": 0}}),
        http(400, {"errors": ["something else"]}),
        http(403, {"errors": ["permission denied"]}),
        http(404, {"errors": []}),
    ],
)
@pytest.mark.parametrize("reference", ["acc1", "acc1 lease a/b", "acc1 certificate pki 01:02"])
def test_only_a_clear_answer_proves_an_end(
    opened: Callable[[str], OpenbaoLeaseIssuer], reply: bytes, reference: str
) -> None:
    """An accepted request proves nothing: a server, or a proxy before it, may answer every request with 204."""
    with answering(reply) as peer:
        issuer = opened(peer.url)
        (outcome,) = issuer.revoke([record(None)._replace(reference=reference)])
        issuer.close()
    assert outcome.settlement in (Settlement.UNAVAILABLE, Settlement.STUCK)


def test_what_the_server_says_is_told_without_the_token(opened: Callable[[str], OpenbaoLeaseIssuer]) -> None:
    with answering(http(400, {"errors": [f"bad \x1b[31m token {TOKEN}\n"]})) as peer:
        issuer = opened(peer.url)
        (outcome,) = issuer.revoke([record()._replace(reference="acc1 lease a/b")])
        issuer.close()
    assert TOKEN not in outcome.proof
    assert outcome.proof.isprintable()


@pytest.mark.parametrize("status", [400, 403, 429, 500, 502])
@pytest.mark.parametrize("secret", [TOKEN, "s.child"])
def test_a_failure_that_repeats_a_token_is_told_without_it(
    opened: Callable[[str], OpenbaoLeaseIssuer], status: int, secret: str
) -> None:
    """A server or a proxy may repeat a token in an error, and the audit log keeps the reason of a failed mint."""
    failed = http(status, {"errors": [f"X-Vault-Token: {secret} has failed"]})
    replies = [child(), LASTING, failed, failed, failed] if secret == "s.child" else [failed, failed, failed]
    with answering(*replies) as peer:
        issuer = opened(peer.url)
        with pytest.raises(JitidError, match=r"Token: \*{4} has failed") as caught:
            issuer.mint(record(), lambda _: None)
        issuer.close()
    assert secret not in f"{caught.value.message} {caught.value.hint}"
