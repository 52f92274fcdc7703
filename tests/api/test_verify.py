"""`jitid.verify`: the same verdict as `jitid verify`, with a ledger and with published keys."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import jitid
from tests.api.conftest import API, User

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
        with pytest.raises(jitid.InvalidCredentialError):
            jitid.verify(identity_token, audience=API)
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
