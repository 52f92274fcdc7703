"""The ledger between operations: it stays open, and a change by another process counts at the next operation."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import jitid
from jitid.api import idle_authorities
from tests.api.conftest import API, User
from tests.real import tmpfs


def _open() -> list[object]:
    return [id(held.authority) for held in idle_authorities._idle]


def test_operations_of_one_configuration_share_an_open_ledger(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        first = _open()
        me.token()
        with jitid.identity(task="T2", delegator="alice"):
            assert _open() == first
        jitid.verify(me.token(), audience=API)
        assert _open() == first
    for number in range(8):
        with jitid.identity(task="T1", delegator="alice", ledger=str(user.home / f"other-{number}")):
            pass
    assert len(_open()) <= 4


def test_a_changed_policy_counts_at_the_next_operation(user: User) -> None:
    policy = user.ledger / "policy" / "default.cedar"
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        me.token()
        text = policy.read_text()
        policy.write_text('@id("never") forbid (principal, action, resource);\n')
        with pytest.raises(jitid.PolicyDeniedError, match="never"):
            me.token(fresh=True)
        with pytest.raises(jitid.PolicyDeniedError, match="never"):
            jitid.identity(task="T2", delegator="alice").__enter__()
        policy.write_text(text)
        me.token(fresh=True)


def test_a_changed_setting_counts_for_the_next_identity(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    with jitid.identity(task="T1", delegator="alice") as me:
        monkeypatch.setenv("JITID_TTL", "1m")
        with jitid.identity(task="T1", delegator="alice") as later:
            assert later.expires_at < me.expires_at


def test_a_replaced_or_open_ledger_is_not_used_any_more(user: User) -> None:
    copy = user.home / "copy"
    with jitid.identity(task="T1", delegator="alice", audience=API, keep_task=True) as me:
        me.token()
        user.ledger.chmod(0o777)
        with pytest.raises(jitid.IntegrityError):
            me.token(fresh=True)
        user.ledger.chmod(0o700)
        me.token(fresh=True)
        shutil.move(user.ledger, copy)
        with pytest.raises(jitid.StorageError, match="no ledger"):
            me.token(fresh=True)
        shutil.move(copy, user.ledger)


def test_a_full_disk_at_the_end_does_not_hide_the_error_of_the_block(user: User, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=4m,mode=0700") as folder:
        ledger = str(folder / "ledger")
        with (
            pytest.raises(KeyError, match="the program's own") as raised,
            jitid.identity(task="T1", delegator="alice", ledger=ledger) as me,
        ):
            with (
                (folder / "filler").open("wb", buffering=0) as filler,
                pytest.raises(OSError, match="No space"),
            ):
                while True:
                    filler.write(b"x" * 4096)
            raise KeyError("the program's own")
        (note,) = raised.value.__notes__
        assert f"the identity {me.id} could not be revoked" in note
        idle_authorities.close_all()
