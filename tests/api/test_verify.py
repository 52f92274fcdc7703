"""`jitid.verify`: the same verdict as `jitid verify`, with a ledger and with published keys."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import socket
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import jitid
from tests.api.conftest import API, User
from tests.real import until
from tests.serving import serving

OTHER = "https://other.example"


def test_a_valid_token_proves_all_names(user: User) -> None:
    with jitid.identity(
        task="T1", delegator="alice", agent="bot", scopes=["repo:read:*", "db:read"], audience=[API, OTHER]
    ) as me:
        proved = jitid.verify(me.token(audience=API), audience=[OTHER, API])
        assert (proved.delegator, proved.agent, proved.task) == ("user:alice", "bot", "T1")
        assert proved.scopes == ("db:read", "repo:read:*")
        assert proved.audiences == (API,)
        assert proved.expires_at > datetime.now(UTC)
        assert proved.chain == (proved.claims["act"]["sub"],)
        assert proved.chain[0].endswith(f"/bot/T1/{me.id}")
        assert proved.permits("repo:read:acme")
        assert not proved.permits("repo:write:acme")
        assert not proved.permits("repo:read:acme:x")
        with pytest.raises(jitid.UsageError):
            proved.permits("")
        with pytest.raises(dataclasses.FrozenInstanceError):
            proved.agent = "other"  # type: ignore[misc]
        with pytest.raises(TypeError):
            proved.claims["sub"] = "other"  # type: ignore[index]


def test_a_verdict_passes_between_processes_and_stays_read_only(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        proved = jitid.verify(me.token(), audience=API)
    for other in (pickle.loads(pickle.dumps(proved)), copy.copy(proved), copy.deepcopy(proved)):
        assert other == proved
        with pytest.raises(TypeError):
            other.claims["sub"] = "other"  # type: ignore[index]


def test_an_opaque_token_proves_the_same_without_claims(user: User) -> None:
    root = user.home / "root"
    root.write_text(
        user.good("issue", "--task", "T1", "--delegator", "alice", "--agent", "bot", "--may-audience", API)
    )
    token = user.good(
        "issue", "--parent-file", str(root), "--agent", "child", "--kind", "opaque", "--audience", API
    ).strip()
    proved = jitid.verify(token, audience=API)
    assert (proved.agent, proved.delegator, dict(proved.claims)) == ("child", "user:alice", {})
    assert [each.split("/")[4] for each in proved.chain] == ["child", "bot"]


def test_the_audience_cannot_be_left_out(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        token = me.token()
        with pytest.raises(TypeError, match="audience"):
            jitid.verify(token)  # type: ignore[call-arg]
        for nothing in ("", [], [""], None):
            with pytest.raises((jitid.UsageError, TypeError)):
                jitid.verify(token, audience=nothing)  # type: ignore[arg-type]
        # An identity token is for the authority alone; its issuer is not the audience of a service.
        issuer = jitid.verify(token, audience=API).claims["iss"]
        identity_token = Path(me.parent_file).read_text()
        with pytest.raises(jitid.InvalidCredentialError) as refused:
            jitid.verify(identity_token, audience=API)
        assert refused.value.hint == f"its `aud` is `{issuer}`; one of them must be in audience="
        assert jitid.verify(identity_token, audience=issuer).audiences == (issuer,)


def test_an_invalid_token_is_refused_and_never_shown(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        token = me.token()
        head, payload, signature = token.split(".")
        for other in (
            "",
            "x",
            "x.y.z",
            f"{head}.{payload}.",
            f"{head}.{payload}.{signature[:-4]}AAAA",
            f"{token}=",
            f"Bearer {token}",
            f"{token}\0",
            "\ud800",
            "x" * 100_000,
        ):
            with pytest.raises(jitid.InvalidCredentialError) as raised:
                jitid.verify(other, audience=API)
            if other:
                assert other not in "".join(traceback.format_exception(raised.value)) or len(other) < 8
                assert signature not in str(raised.value)
    with pytest.raises(jitid.InvalidCredentialError, match="retired"):
        jitid.verify(token, audience=API)


def _published(user: User, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path / "public"
    folder.mkdir()
    user.good("publish", str(folder))
    return folder, json.loads((folder / "jwks.json").read_text())


def test_a_token_from_before_the_publication_has_no_list(user: User, tmp_path: Path) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        folder, _ = _published(user, tmp_path)
        with pytest.raises(jitid.InvalidCredentialError, match="names no status list") as caught:
            jitid.verify(me.token(), audience=API, published=str(folder))
    assert caught.value.hint is not None
    assert "jitid config set publish_url URL" in caught.value.hint


def test_published_keys_and_lists_replace_the_ledger(
    user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JITID_PUBLISH_URL", "https://www.example/jitid")
    user.environment["JITID_PUBLISH_URL"] = "https://www.example/jitid"
    with jitid.identity(task="T1", delegator="alice", audience=API, scopes="repo:read") as me:
        token = me.token()
        by_ledger = jitid.verify(token, audience=API)
        folder, jwks = _published(user, tmp_path)
    # No ledger is read: it knows that the task has ended.
    monkeypatch.setenv("JITID_LEDGER", str(tmp_path / "missing"))
    assert jitid.verify(token, audience=API, published=str(folder)) == by_ledger
    uri = by_ledger.claims["status"]["status_list"]["uri"]
    status_list = folder / uri.removeprefix("https://www.example/jitid/")
    issuer = by_ledger.claims["iss"]
    for keys in (str(folder / "jwks.json"), jwks):
        options = {"jwks": keys, "status_list": str(status_list), "issuer": issuer}
        assert jitid.verify(token, audience=API, **options) == by_ledger
        with pytest.raises(jitid.InvalidCredentialError):
            jitid.verify(token, audience=OTHER, **options)
        with pytest.raises(jitid.InvalidCredentialError):
            jitid.verify(token, audience=API, **{**options, "issuer": "urn:jitid:other"})
    # Keys alone do not show revocations.
    with pytest.raises(jitid.UsageError, match="require each other"):
        jitid.verify(token, audience=API, jwks=jwks)
    user.good("publish", str(folder))
    with pytest.raises(jitid.InvalidCredentialError, match="revoked"):
        jitid.verify(token, audience=API, published=str(folder))


def test_a_text_that_nobody_accepts_costs_no_request_to_an_authority(user: User) -> None:
    place = user.home / "credential"
    place.touch(0o600)
    granted = user.good("access", "grant", "system:api", "--role", "verifier", "--audience", API)
    place.write_text(granted.split()[-1])
    options = ["issue", "--task", "T1", "--delegator", "alice"]
    token, other = (user.good(*options, "--audience", audience).strip() for audience in (API, OTHER))
    opaque = user.good(*options, "--audience", API, "--kind", "opaque").strip()
    mistyped = f"{opaque[:-1]}{'a' if opaque[-1] != 'a' else 'b'}"
    with serving(user.home, ledger=user.ledger) as served:
        assert isinstance(served.address, tuple)
        at: Any = {"remote": "http://{}:{}".format(*served.address), "credential_file": str(place)}
        assert jitid.verify(token, audience=API, **at).delegator == "user:alice"
        until(lambda: bool(served.lines()), "the request is not logged")
        before = len(served.lines())
        for text in ("garbage", "a.b.c", "x" * 20_000, f"{token}.", token[1:], other, mistyped):
            with pytest.raises(jitid.InvalidCredentialError):
                jitid.verify(text, audience=API, **at)
        jitid.verify(token, audience=API, **at)
        until(lambda: len(served.lines()) > before, "the request is not logged")
        assert len(served.lines()) == before + 1


def test_the_wait_for_an_authority_is_limited(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        token = me.token()
    place = user.home / "credential"
    place.touch(0o600)
    place.write_text("jitid_unknown")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(jitid.StorageError):
            jitid.verify(token, audience=API, remote=remote, credential_file=str(place), timeout=1)
    for never in (0, True, "x"):
        with pytest.raises(jitid.UsageError):
            jitid.verify(token, audience=API, timeout=never)
