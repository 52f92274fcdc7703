"""A credential typed in the wrong place, in every option, argument and variable: no answer shows any part of it."""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from jitid.cli import main
from jitid.cli.invocation import GlobalOptions
from jitid.cli.line import by_flag
from jitid.cli.verbs import all_verbs
from jitid.errors import JitidError
from jitid.redaction.token_format import SIGNED_MARK, masked, name_holds_token
from jitid.values.secret import new_opaque
from jitid.values.text import foreign, label, quote
from tests.cli.test_hostile import LAST, NEEDED, PLACES
from tests.values.test_names import names

OPAQUE = new_opaque(lambda count: bytes(number * 37 % 248 for number in range(count)))
BODY = OPAQUE.removeprefix("jitid_")


def _signed(header: dict[str, str], claims: dict[str, str], signature: bytes) -> str:
    parts = [json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


OURS = _signed(
    {"alg": "EdDSA", "typ": "at+jwt"},
    {"jti": "jti_01kb3c4d5e6f7g8h9jakbmcnd0", "iss": "urn:jitid:x"},
    bytes(number * 73 % 256 for number in range(64)),
)
FOREIGN = _signed({"alg": "HS256"}, {"sub": "alice"}, bytes(number * 91 % 256 for number in range(32)))
MIXED = "Ab1" + "cD2eF3gH4jK5" * 8
KEY = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAbCdEf1/GhIjKl2+MnOpQr3\n-----END PRIVATE KEY-----"

SECRETS = {
    "opaque": OPAQUE,
    "opaque without its prefix": BODY,
    "opaque cut": OPAQUE[:30],
    "opaque without its checksum": BODY[:32],
    "opaque in a path": f"/tmp/x/{OPAQUE}.txt",
    "opaque in an address": f"https://{OPAQUE}:x@h.example/{OPAQUE}?token={OPAQUE}",
    "opaque as an assignment": f"key={OPAQUE}",
    "opaque beside others": f"Authorization: Bearer {OPAQUE}, {OPAQUE}",
    "opaque in base64": base64.b64encode(OPAQUE.encode()).decode(),
    "opaque behind a long name": "x" * 50 + "/" + OPAQUE,
    "signed": OURS,
    "payload": OURS.split(".")[1],
    "signature": OURS.split(".")[2],
    "signed, its end": OURS[-100:],
    "signed by others": FOREIGN,
    "OpenBao": f"hvs.{MIXED[:90]}",
    "OpenBao of old": f"s.{MIXED[:24]}",
    "GitHub": f"ghp_{MIXED[:36]}",
    "GitHub, fine-grained": f"github_pat_{MIXED[:22]}_{MIXED[:59]}",
    "AWS": MIXED[:40],
    "password": "postgresql://u:hunter2hunter2hunter2@127.0.0.1:1/d",
    "private key": KEY,
}
FOLDED = {
    width: "\n".join(OPAQUE[at : at + width] for at in range(0, len(OPAQUE), width))
    for width in (4, 8, 16, 30)
}
BROKEN = {
    "opaque, broken by a line": f"{OPAQUE[:15]}\n{OPAQUE[15:]}",
    "opaque, broken by a blank": f"{OPAQUE[:15]} {OPAQUE[15:]}",
    "opaque, broken by nothing that is seen": f"{OPAQUE[:15]}\u200b{OPAQUE[15:]}",
    "opaque, folded": FOLDED[8],
    "signed, broken in its payload": OURS.replace(SIGNED_MARK, f"{SIGNED_MARK[:5]}\n{SIGNED_MARK[5:]}"),
    "signed, broken behind its mark": OURS.replace(SIGNED_MARK, f"{SIGNED_MARK} "),
}
SECRETS |= BROKEN
NAMES = {"opaque without its checksum", "signature", "signed, its end", "AWS"}
"""Secrets that cannot be distinguished from a name, such as the subject of an ID token."""
# One secret for each way of recognition. The function that recognises secrets is tested with all of them.
TYPED = [
    SECRETS[name]
    for name in (
        "opaque",
        "opaque cut",
        "opaque in a path",
        "opaque in an address",
        "signed",
        "payload",
        "signed by others",
        "password",
        "private key",
        "opaque, broken by a line",
        "opaque, folded",
    )
]
SECRET_PARTS = [
    OPAQUE,
    BODY,
    *OURS.split(".")[1:],
    *FOREIGN.split(".")[1:],
    base64.b64encode(OPAQUE.encode()).decode(),
    MIXED,
    "hunter2hunter2hunter2",
    "MC4CAQAwBQYDK2VwBCIEIAbCdEf1/GhIjKl2+MnOpQr3",
]
PIECES = {part[at : at + 12] for part in SECRET_PARTS for at in range(max(1, len(part) - 11))}

_BETWEEN = re.compile(r"\s|\u200b|\\(?:[nrt]|x..|u....|U........)")

Run = Callable[..., None]


def shown_pieces(text: str) -> set[str]:
    """Return the pieces of secrets in a text, ignoring case and any blanks and escapes between their characters."""
    letters = "".join(each for each in text if each.isascii() and (each.isalnum() or each in "-_"))
    folded = "\0".join((text, _BETWEEN.sub("", text), letters)).lower()
    return {piece for piece in PIECES if piece.lower() in folded}


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command line on one ledger, and asserts that no answer shows a secret."""
    monkeypatch.setenv("JITID_LEDGER", str(home / "ledger"))

    def run(*line: str) -> None:
        status = main.run([*line])
        out, err = capfd.readouterr()
        assert not shown_pieces(err), (line, err)
        # An accepted name is shown, even if it looks random: names from other systems are as random as secrets.
        assert not shown_pieces(out) or (status in (0, 4) and not name_holds_token(f"{line} {os.environ}")), (
            line,
            out,
        )

    run(
        "-q",
        "issue",
        "--task",
        "T",
        "--delegator",
        "alice",
        "--kind",
        "opaque",
        "--scope",
        "a:b",
        "--out",
        "tok",
    )
    return run


def _needed(verb: str, place: str) -> Iterator[str]:
    words = NEEDED.get(verb, ())
    for number, word in enumerate(words):
        if place not in (word, words[number - 1]):
            yield word


@pytest.mark.deep
@pytest.mark.parametrize(("verb", "place"), PLACES, ids=lambda each: each)
def test_no_option_or_argument_echoes_a_secret(verb: str, place: str, run: Run) -> None:
    for secret in TYPED:
        given = [f"{place}={secret}"] if place.startswith("-") else ["--", secret]
        last = LAST.get(verb, ()) if place.startswith("-") else ()
        run(*verb.split(), *_needed(verb, place), *given, *last)


@pytest.mark.deep
@pytest.mark.parametrize("more", [(), ("--format", "json"), ("--debug",)], ids=str)
@pytest.mark.parametrize(
    "place", [name for name, field in by_flag(GlobalOptions.fields).items() if field.type]
)
def test_no_global_option_echoes_a_secret(place: str, more: tuple[str, ...], run: Run) -> None:
    for secret in TYPED:
        for verb in ("list", "config show --origin", "config path", "config set ttl 5m", "whoami"):
            run(*verb.split(), f"{place}={secret}", *more)
            run(place, secret, *verb.split(), *more)


VARIABLES = sorted(
    {field.env for command in all_verbs().values() for field in command.fields.values() if field.env}
    | {
        "JITID_CONFIG",
        "JITID_PROFILE",
        "JITID_LEDGER",
        "JITID_REMOTE",
        "JITID_REMOTE_CREDENTIAL_FILE",
        "JITID_FORMAT",
        "JITID_TIMEOUT",
        "JITID_TTL",
        "XDG_RUNTIME_DIR",
        "TZ",
    }
)


@pytest.mark.deep
@pytest.mark.parametrize("variable", VARIABLES)
def test_no_variable_echoes_a_secret(variable: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for secret in TYPED:
        monkeypatch.setenv(variable, secret)
        for verb in ("list", "config show --origin", "issue --task T2 --delegator alice --dry-run", "whoami"):
            run(*verb.split())
            run(*verb.split(), "--format", "json")


@pytest.mark.deep
@pytest.mark.parametrize("verb", ["", "task", "keys", "issue", "list"])
def test_no_word_in_the_place_of_a_verb_or_an_option_echoes_a_secret(verb: str, run: Run) -> None:
    for secret in TYPED:
        for word in (secret, f"--{secret}", f"-{secret}", f"--{secret}=x", f"--format={secret}"):
            for more in ((), ("--debug",), ("--format", "json")):
                run(*verb.split(), word, *more)
                run(*verb.split(), "--", word, *more)


@pytest.mark.deep
@pytest.mark.parametrize("key", ["ledger", "remote", "issuer", "audience", "ttl", "floor.scope.a:b"])
def test_no_setting_of_a_file_echoes_a_secret(key: str, run: Run, home: Path) -> None:
    for secret in TYPED:
        run("config", "set", key, secret)
        run("config", "set", secret, "x")
        run("config", "unset", secret)
        (home / "own.toml").write_text(f"{key} = {json.dumps(secret)}\n{json.dumps(secret)} = 1\n")
        for verb in ("list", "config show --origin", f"config get {key}", "doctor"):
            run(*verb.split(), "--config", "own.toml")


def test_an_error_holds_no_secret_from_its_making() -> None:
    """So no interface, neither the server nor MCP, can show a secret that the terminal hides."""
    for name, secret in SECRETS.items():
        shown = secret if name not in NAMES else quote(secret)
        error = JitidError(f"there is no file {shown}", f"see: jitid get {shown}")
        assert not shown_pieces(f"{error} {error.message} {error.hint} {error!r}"), name


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_neither_a_quotation_nor_the_words_of_others_hold_a_secret(secret: str) -> None:
    """Quoted values and texts of other programs are not needed to run a command, so any secret in them is masked."""
    for text in (secret, f"x {secret}", f"the file /a/b/{secret}", f"{secret}\n"):
        for limit in (10, 60, 200):
            assert not shown_pieces(quote(text, limit))
        assert not shown_pieces(foreign(f"line 3: {text!r} is not what was expected"))
        assert not shown_pieces(foreign(f"line 3: {text}, which was not expected"))


@pytest.mark.parametrize(
    "between",
    [
        *("\n", " ", "\u200b", "\r\n  ", "\\n", "\\u200b", "\\\n", "%0A", "%250A", "\u00e9", "\n> "),
        *(
            "\x1b[01;31m\x1b[K",
            "\x1b[m",
            "\x1b(B\x1b[m",
            "\x9b1m",
            "\\x1b[7m",
            "\\033[0;31m",
            "\\e[1m",
            "^[[1m",
        ),
        *("&nbsp;", "&shy;", "&amp;", "&#10;", "&#x200b;", "&amp;nbsp;", "&NewLine;"),
    ],
)
def test_a_broken_token_is_known_wherever_it_is_broken(between: str) -> None:
    """It is recognised in a message, in a quotation, and where a name or a text is expected."""
    for at in range(1, len(OPAQUE)):
        broken = OPAQUE[:at] + between + OPAQUE[at:]
        assert name_holds_token(broken)
        for text in (broken, f"there is no agent {broken} on the task T1", f"run: jitid inspect '{broken}'"):
            assert not shown_pieces(masked(text)), (at, text)
        # If the break is within the prefix, the letters before it may remain.
        assert quote(broken) == "`****`" or (at < len("jitid_") and not shown_pieces(quote(broken)))
    for at in range(1, len(OURS)):
        broken = OURS[:at] + between + OURS[at:]
        assert name_holds_token(broken)
        assert quote(broken) == "`****`"
        assert not shown_pieces(masked(f"there is no agent {broken} on the task T1"))


def _ways(character: str) -> Iterator[str]:
    """Yield the escaped forms of a character."""
    number = ord(character)
    for way in ("%{:02X}", "%{:02x}", "%25{:02x}", "\\x{:02x}", "\\u{:04x}", "\\U{:08x}"):
        yield way.format(number)
    for way in ("&#{};", "&#x{:x};", "&#X{:X};", "&amp;#{};", "&#0{};"):
        yield way.format(number)


def test_a_token_is_known_whatever_of_it_is_escaped() -> None:
    for at, character in enumerate(OPAQUE):
        for way in _ways(character):
            text = OPAQUE[:at] + way + OPAQUE[at + 1 :]
            assert name_holds_token(text), text
            for shown in (
                quote(text),
                label(text),
                foreign(f"no file /a/{text}: {text!r}"),
                masked(f"no {text}."),
            ):
                assert not shown_pieces(shown), (text, shown)
    for number in range(len(list(_ways("_")))):
        whole = "".join(list(_ways(each))[number] for each in OPAQUE)
        assert quote(whole) == "`****`"
        assert masked(f"no agent {whole} here") == "no agent **** here"


@pytest.mark.parametrize(
    "line",
    [
        ("list", "--ledger", "{}"),
        ("list", "--config", "/tmp/{}"),
        ("list", "--remote", "unix:///tmp/{}"),
        ("scan", "/tmp/{}"),
        ("issue", "--task", "T", "--out", "/nowhere/{}"),
    ],
)
def test_a_token_that_a_program_has_coloured_is_not_echoed(line: tuple[str, ...], run: Run) -> None:
    """`grep --color=always` prints such a token, and `cat -v` after it."""
    for before, behind in (
        ("\x1b[01;31m\x1b[K", "\x1b[m\x1b[K"),
        ("^[[01;31m^[[K", "^[[m^[[K"),
        ("\x1b[38;5;196m", "\x1b(B\x1b[m"),
    ):
        for start, end in ((0, 9), (0, 44), (9, 20)):
            text = f"{OPAQUE[:start]}{before}{OPAQUE[start:end]}{behind}{OPAQUE[end:]}"
            run(*[word.format(text) for word in line])


def _some_bytes(number: int, count: int) -> bytes:
    return bytes((each * 37 + number * 11) % 248 for each in range(count))


@pytest.mark.parametrize("cut", [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2)])
def test_a_token_without_its_prefix_is_known_by_what_is_left_of_it(cut: tuple[int, int]) -> None:
    """An attacker can guess one or two missing characters quickly, because the checksum confirms the guess."""
    before, behind = cut
    for number in range(40):
        token = new_opaque(partial(_some_bytes, number))
        left = token[len("jitid_") + before : len(token) - behind]
        for text in (left, f"user:{left}", f"/tmp/{left}.txt"):
            assert name_holds_token(text)
            assert left not in label(text)
            assert left not in masked(f"there is no {text}")
        # The checksum shows that this string is not part of a token.
        other = left[:-7] + ("a" if left[-7] != "a" else "b") + left[-6:]
        assert not name_holds_token(other)
        assert label(other) == f"`{other}`"


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", min_size=30, max_size=40))
def test_what_only_looks_random_can_be_a_name(text: str) -> None:
    assume("eyJ" not in text)
    assert label(text) == f"`{text}`"


@pytest.mark.parametrize("width", FOLDED)
def test_a_folded_token_is_known(width: int) -> None:
    assert name_holds_token(FOLDED[width])
    assert quote(FOLDED[width]) == "`****`"
    assert masked(f"no agent {FOLDED[width]} here") == "no agent **** here"
    assert masked(f"no agent {FOLDED[width]!r} here") == "no agent '****' here"


def test_the_end_of_a_folded_token_is_not_echoed(run: Run) -> None:
    """The end of a token has no prefix, but a name never has line breaks within a long random word."""
    tail = OURS[-100:]
    for text in ("\n".join(tail[at : at + 25] for at in range(0, 100, 25)), f"{tail[:50]}\n{tail[50:]}"):
        for line in (
            ("issue", "--task", "T", text),
            ("list", "--agent", text),
            ("inspect", text),
            ("audit", "log", "--at", text),
        ):
            run(*line)
        assert not shown_pieces(quote(text, 200))
        assert not shown_pieces(foreign(f"unexpected ({text!r})"))


@pytest.mark.parametrize(
    "word",
    [
        "jitid",
        SIGNED_MARK,
        f"{SIGNED_MARK}. ",
        f"{OPAQUE} ",
        f"{OPAQUE[:20]}\n{OPAQUE[20:]} ",
        "\\n%0A",
        OURS,
        "\x1b[",
        "\x1b[01;31m",
        "^[[",
        "\\x1b",
        "&",
        "&amp;",
        "&amp;#",
        "&#x6a;",
        "%",
        "%25",
        "%6a%69%74%69%64%5f",
        f"{BODY[1:]} ",
        f"{BODY[2:]} ",
    ],
)
def test_the_cost_of_a_look_is_linear(word: str) -> None:
    """Each step is an iteration over the text: ten times the text takes about ten times the steps."""

    def steps(text: str) -> int:
        count = 0

        def counted(_frame: FrameType, event: str, _: object) -> Any:
            nonlocal count
            count += event == "line"
            return counted

        before = sys.gettrace()
        sys.settrace(counted)
        try:
            masked(text)
        finally:
            sys.settrace(before)
        return count

    assert steps(word * (20_000 // len(word))) < 15 * steps(word * (2_000 // len(word))) + 1_000


@given(name=names)
@example("aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF")
@example("CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs" * 2)
@example("jitid_documentation-of-the-service-Number1/and/Number2")
def test_a_name_that_jitid_accepts_is_shown(name: str) -> None:
    """A user copies and runs the command of a hint, so the names in it must not be masked."""
    assume(not any(mark in name for mark in ("eyJ", "hv", "gh", "github", "s.", "b.", "r.")))
    delegator = f"system:{name}"
    error = JitidError(f"the name {label(delegator)} has ended", f"run: jitid delegator enable {delegator}")
    assert error.hint == f"run: jitid delegator enable {delegator}"
    assert delegator[:60] in error.message


def test_the_command_of_a_hint_can_be_run(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """The name looks like one from another system; the denial in the audit log shows the name, too."""
    name = "system:aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF"
    run("delegator", "add", name)
    run("delegator", "disable", name)
    capfd.readouterr()
    line = ["issue", "--task", "T2", "--delegator", name]
    assert main.run(line) == 4
    said = capfd.readouterr().err
    assert f"`{name}` was disabled" in said
    command = said.rpartition("its record: ")[2].split()
    assert command == ["jitid", "delegator", "show", name]
    assert main.run(["audit", "log", "--operation", "denial", "--format", "json"]) == 0
    assert f"`{name}` was disabled" in capfd.readouterr().out
    assert main.run(command[1:]) == 0
    assert name in capfd.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "jti_01kb3c4d5e6f7g8h9jakbmcnd0 of jid_01kb3c4d5e6f7g8h9jakbmcnd0",
        "the role jitid_01kb3c4d5e6f7g8h9jakbmcnd0 is gone",
        "the key UOo1FxpUSeRm540eqHzU2kRjZTLATzgaU4dxE1TSvZk is not there",
        "SHA256:UOo1FxpUSeRm540eqHzU2kRjZTLATzgaU4dxE1TSvZk",
        "spiffe://jitid.local/agent/deployer/INC-4821/jid_01kb3c4d5e6f7g8h9jakbmcnd0",
        "/home/alice/.local/share/jitid/backup-2026-11-24T11:58:00Z.db.unreadable",
        "digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "postgresql://user@db.example:5432/jitid?sslmode=verify-full",
        "urn:jitid:0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
        "the agent jitid_documentation, the file Ärger/jitid_DocumentationBot",
        "jitid issue --task INC-4821 --delegator alice --audience https://api.example.com/v1/things",
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(text: str) -> None:
    """A reader needs ids, names at targets, thumbprints, digests, addresses and paths."""
    assert masked(text) == text
    assert JitidError(text, text).message == text
