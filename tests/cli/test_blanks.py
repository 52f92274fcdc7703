"""Blanks around a token in a file: the ASCII blanks that editors and shells leave are accepted, no others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jitid.authority.remote import FileCredential
from jitid.capabilities.identity import recognise_token
from jitid.cli import main
from jitid.crypto import der
from jitid.errors import InvalidCredentialError, JitidError
from jitid.redaction.token_format import bare
from tests.builders import World

ALLOWED = " \t\r\n"
OTHERS = [each for each in map(chr, range(sys.maxunicode + 1)) if each.isspace() and each not in ALLOWED]
OTHERS += ["\u200b", "\u2060", "\ufeff", "\x00", "\u180e", '"', "'", "\x1b"]
FEW = ["\x0b", "\x0c", "\x1c", "\x85", "\u00a0", "\u2028", "\u3000", "\ufeff", "\x00"]

DOORS = {
    "verify": "verify FILE",
    "inspect": "inspect FILE",
    "explain": "explain FILE",
    "renew": "renew --token-file FILE",
    "issue": "issue --parent-file FILE --agent coder",
    "authorize": "authorize --token-file FILE --action a:b --resource r",
    "revoke": "revoke --token-file FILE --dry-run",
    "credential": "whoami --credential-file FILE",
}

Run = Callable[[str, str], int]


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that writes a text to a file and runs a verb on it."""
    monkeypatch.setenv("JITID_LEDGER", str(home / "ledger"))

    def run(line: str, text: str) -> int:
        path = home / "token"
        path.write_text(text)
        path.chmod(0o600)
        status = main.run(["-q", *(str(path) if word == "FILE" else word for word in line.split())])
        capfd.readouterr()
        return status

    return run


def _issue(run: Run, capfd: pytest.CaptureFixture[str], kind: str) -> str:
    line = ["-q", "issue", "--task", "T", "--delegator", "alice", "--kind", kind, "--scope", "a:b"]
    assert main.run(line) == 0
    return capfd.readouterr().out.strip()


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["jwt", "opaque"])
@pytest.mark.parametrize("door", [name for name in DOORS if name != "credential"])
def test_blanks_of_ascii_around_a_token_are_no_part_of_it_and_others_are(
    door: str, kind: str, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    """A token has one spelling for every verb, so that a look-up uses exactly the token that was shown."""
    for blank in FEW:
        token = _issue(run, capfd, kind)
        for text in (f"{token}{blank}", f"{blank}{token}", f"{blank}\n{token}", f"{token}\n{blank}"):
            assert run(DOORS[door], text) in (2, 8), (door, blank)
    for blank in ALLOWED:
        token = _issue(run, capfd, kind)
        assert run(DOORS[door], f"{blank}{blank}{token}{blank}\n") in (0, 4), (door, blank)


@pytest.mark.parametrize("kind", ["jwt", "opaque"])
def test_what_is_looked_up_has_one_spelling(kind: str, tmp_path: Path) -> None:
    """Below the command line nothing is stripped: tokens from the web and from other authorities stay unchanged."""
    with World(tmp_path / "ledger") as world:
        token = world.issue(kind=kind).token
        assert world.verify(token)
        with world.ledger.read() as snapshot:
            for blank in (*OTHERS, *ALLOWED):
                for text in (f"{token}{blank}", f"{blank}{token}"):
                    with pytest.raises(InvalidCredentialError):
                        recognise_token.verify(snapshot, world.ledger.names, text, None)


def test_only_four_blanks_are_stripped() -> None:
    assert bare(" \t\r\n x \t\r\n") == "x"
    for blank in OTHERS:
        assert bare(f"{blank}x{blank}") == f"{blank}x{blank}"


@pytest.mark.parametrize("blank", FEW, ids=ascii)
def test_a_credential_file_has_no_other_blanks(blank: str, tmp_path: Path) -> None:
    path = tmp_path / "bearer"
    path.touch(0o600)
    path.write_text(f" \t{'x' * 40}\r\n")
    assert FileCredential(str(path)).read().reveal() == "x" * 40
    path.write_text(f"{'x' * 40}{blank}\n")
    with pytest.raises(JitidError):
        FileCredential(str(path)).read()


@pytest.mark.parametrize("blank", [each for each in OTHERS if each.isspace()], ids=ascii)
def test_pem_has_no_other_blanks(blank: str) -> None:
    """Other blanks would be further spellings of one certificate."""
    pem = der.to_pem(b"0\x03\x02\x01\x05" * 20)
    assert der.from_pem(f" \t\r\n{pem}\r\n")
    for text in (blank + pem, pem + blank, pem.replace("\n", f"{blank}\n", 2)):
        with pytest.raises(ValueError, match=r"."):
            der.from_pem(text)
