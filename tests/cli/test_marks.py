"""Byte order marks in files that an editor on Windows has saved, and in words copied from such files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.real import Shell, need

MARK = "\ufeff"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with a ledger of one credential and a file with its token."""
    made = Shell(tmp_path)
    (tmp_path / "token").write_text(made.good("issue", "--task", "T1", "--delegator", "alice"))
    return made


def jti(shell: Shell) -> str:
    """Return the id of the credential."""
    return shell.good("list", "--task", "T1", "--field", "jti").strip()


WORDS = [
    ("revoke", "{mark}{jti}"),
    ("inspect", "{mark}{jti}"),
    ("explain", "{mark}{jti}"),
    ("tree", "{mark}{jti}"),
    ("trace", "{mark}{jti}"),
    ("leak", "add", "{mark}{jti}"),
    ("approve", "show", "{mark}apr_x"),
    ("access", "revoke", "{mark}acc_x"),
    ("task", "show", "{mark}T1"),
    ("agent", "show", "{mark}a"),
    ("delegator", "show", "{mark}alice"),
    ("retire", "{mark}T1"),
    ("list", "--task", "{mark}T1"),
    ("revoke", "--task", "{mark}T1"),
    ("revoke", "--delegator", "{mark}alice"),
    ("revoke", "--agent", "a{mark}"),
    ("verify", "{mark}token"),
    ("issue", "--task", "{mark}T1", "--delegator", "alice"),
    ("issue", "--task", "T1", "--delegator", "{mark}alice"),
    ("issue", "--task", "T1", "--delegator", "alice", "--agent", "{mark}a"),
    ("issue", "--task", "T1", "--delegator", "alice", "--scope", "{mark}a:b"),
    ("issue", "--task", "T1", "--delegator", "alice", "--audience", "{mark}https://x.example"),
    ("issue", "--parent-file", "{mark}token"),
    ("inspect", "{jti}{mark}"),
    ("inspect", "{mark}T1"),
    ("list", "{mark}T1"),
    ("list", "--tree", "T1{mark}"),
    ("explain", "{jti}{mark}"),
    ("revoke", "{jti}{mark}"),
    ("leak", "timeline", "{mark}{jti}"),
    ("leak", "timeline", "{jti}{mark}"),
    ("leak", "show", "{mark}{jti}"),
    ("leak", "close", "{mark}{jti}", "--reason", "done"),
    ("audit", "log", "--at", "{mark}2026-11-24T12:00:00Z"),
    ("audit", "log", "--since", "{mark}2026-11-24T12:00:00Z"),
    ("audit", "log", "--since", "{mark}1h"),
    ("audit", "log", "--at", "2026-11-24T12:00:00Z", "--within", "{mark}1h"),
    ("list", "--since", "{mark}1h"),
    ("issue", "--task", "T1", "--delegator", "alice", "--ttl", "{mark}5m"),
]


@pytest.mark.deep
@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_word_that_holds_a_mark_is_refused_by_its_name(shell: Shell, words: tuple[str, ...]) -> None:
    id_ = jti(shell)
    done = shell.run(*(word.format(mark=MARK, jti=id_) for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert "byte order mark (U+FEFF)" in done.stderr
    assert shell.good("list", "--field", "jti", "--live").strip() == id_


@pytest.mark.deep
@pytest.mark.parametrize(
    "words",
    [
        ("verify",),
        ("inspect",),
        ("explain",),
        ("renew", "--token-file"),
        ("issue", "--agent", "below", "--parent-file"),
        ("authorize", "--action", "read", "--resource", "x", "--token-file"),
        ("revoke", "--token-file"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_token_has_no_mark(shell: Shell, words: tuple[str, ...], encoding: str) -> None:
    """A token has one spelling, and the refusal names the byte order mark."""
    token = (shell.home / "token").read_text()
    (shell.home / "marked").write_bytes(token.encode(encoding))
    done = shell.run(*words, "marked")
    assert (done.returncode, done.stdout) == (8, "")
    assert "byte order mark" in done.stderr
    assert token.strip() not in done.stderr


def test_lists_of_ids_may_begin_with_a_mark(shell: Shell) -> None:
    (shell.home / "ids").write_text(f"{MARK}{jti(shell)}\r\n")
    shell.good("revoke", "--ids-file", "ids")
    assert shell.good("list", "--live", "--field", "jti") == ""
    (shell.home / "ids").write_text(f"{jti(shell)}\n{MARK}{jti(shell)}\n")
    done = shell.run("revoke", "--ids-file", "ids")
    assert done.returncode == 2
    assert "byte order mark (U+FEFF)" in done.stderr


def test_settings_may_begin_with_a_mark(shell: Shell) -> None:
    """UTF-16 is not TOML, and the refusal says so."""
    file = shell.home / "settings.toml"
    file.touch(0o600)
    file.write_text(f'{MARK}ttl = "5m"\r\n')
    assert shell.good("--config", str(file), "config", "get", "ttl") == "5m\n"
    file.write_bytes('ttl = "5m"\n'.encode("utf-16"))
    done = shell.run("--config", str(file), "config", "get", "ttl")
    assert done.returncode == 2
    assert f"{file} is not UTF-8: it begins with the byte order mark of UTF-16" in done.stderr


def test_a_policy_says_that_it_begins_with_a_mark(shell: Shell) -> None:
    """Cedar reads the bytes that were hashed, so a policy may not begin with a mark; a file of test cases may."""
    folder = shell.home / "rules"
    folder.mkdir(0o700)
    rules, cases = folder / "a.cedar", folder / "a.test.toml"
    rules.write_text(f'{MARK}@id("all") permit (principal, action, resource);')
    rules.chmod(0o600)
    done = shell.run("policy", "check", str(folder))
    assert done.returncode == 2
    assert "byte order mark" in done.stdout + done.stderr
    done = shell.run("issue", "--task", "T2", "--delegator", "alice", stdin="")
    assert done.returncode == 0
    shell.environment["JITID_POLICY"] = str(folder)
    done = shell.run("issue", "--task", "T2", "--delegator", "alice")
    assert (done.returncode, done.stdout) == (2, "")
    assert "byte order mark" in done.stderr
    rules.write_text(rules.read_text().removeprefix(MARK))
    cases.write_text(f'{MARK}[[case]]\nname = "one"\nexpect = "permit"\n')
    told = shell.run("policy", "test", str(folder))
    assert "no TOML" not in told.stdout + told.stderr


def test_a_list_of_requests_may_begin_with_a_mark(shell: Shell) -> None:
    asked = MARK + json.dumps({"task": "T2", "delegator": "alice"}) + "\n"
    (shell.home / "asked").write_text(asked)
    assert json.loads(shell.good("issue", "--from-file", "asked"))["task"] == "T2"
    assert json.loads(shell.good("issue", "--from-file", "-", stdin=asked))["task"] == "T2"


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_list_of_delegators_may_begin_with_a_mark(shell: Shell, ending: str) -> None:
    row = {"csv": "name,groups\r\nuser:bob,\r\n", "jsonl": '{"name": "user:bob"}\n'}[ending]
    (shell.home / f"list.{ending}").write_text(MARK + row)
    done = shell.run("delegator", "import", f"list.{ending}")
    if done.returncode:
        assert "byte order mark" in done.stderr
    else:
        assert shell.good("delegator", "show", "bob", "--field", "name") == "user:bob\n"


def test_public_keys_may_begin_with_a_mark(shell: Shell) -> None:
    need("openssl")
    shell.permit_kinds()
    made = subprocess.run(
        "openssl genpkey -algorithm ED25519 | openssl pkey -pubout",
        shell=True, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    (shell.home / "key.pem").write_text(MARK + made)
    words = (
        "issue",
        "--kind",
        "x509-svid",
        "--task",
        "T2",
        "--delegator",
        "alice",
        "--public-key",
        "key.pem",
    )
    assert shell.good(*words).startswith("-----BEGIN CERTIFICATE-----")


def test_a_signed_head_and_a_baseline_may_begin_with_a_mark(shell: Shell) -> None:
    (shell.home / "head").write_text(MARK + shell.good("audit", "head"))
    assert "is intact" in shell.good("audit", "verify", "--expect-head", "head")
    (shell.home / "known").write_text(MARK + '{"schema": "jitid.baseline/1"}\n')
    assert shell.run("sweep", "--baseline", "known").returncode == 0


def test_a_secret_with_a_mark_is_not_adopted(shell: Shell) -> None:
    """Its fingerprint would be that of another secret, and no look-up would find it."""
    (shell.home / "secret").write_text(f"{MARK}sk-live-0123456789abcdef0123456789")
    done = shell.run(
        "adopt", "add", "key", "--owner", "alice", "--file", "secret", "--place", "vault", "--purpose", "x"
    )
    assert done.returncode == 2
    assert "the secret begins with a byte order mark" in done.stderr
