"""A file that `--out` replaces: none of its contents are sent to a remote authority."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import run

import pytest

from jitid.values.secret import new_opaque
from jitid.values.times import format_time
from tests.authority.remote.peer import Peer, Request, answer
from tests.cli.test_out import LINES
from tests.real import Shell, need
from tests.serving import Served

MINE = ("issue", "--task", "NEW", "--out", "place")


class Between(Peer):
    """A proxy that forwards each request to an authority, and records it."""

    def __init__(self, served: Served) -> None:
        super().__init__([b""])
        self._served = served

    def reply(self, request: Request) -> bytes:
        """Return the authority's answer."""
        kept = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
        got = self._served.ask("POST" if request.body else "GET", request.path, request.body or None, kept)
        return answer(got.status, got.body, kind=got.headers["content-type"])


@pytest.fixture
def between(served: Served, client: Shell) -> Iterator[Between]:
    """Return the proxy between the command line and the authority."""
    made = Between(served)
    client.environment["JITID_REMOTE"] = made.url
    yield made
    made.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Shell:
    """Return a command line with a separate ledger."""
    made = Shell(tmp_path / "elsewhere")
    made.home.mkdir()
    made.permit_kinds()
    return made


def _asked(between: Between) -> list[str]:
    return [one.path.rpartition("/")[2] for one in between.requests]


def _sent(between: Between, text: str) -> list[str]:
    """Return the pieces of a text that the recorded requests contain."""
    sent = "\n".join(f"{one.path} {one.headers} {one.body.decode()}" for one in between.requests)
    return [text[at : at + 12] for at in range(max(1, len(text) - 11)) if text[at : at + 12] in sent]


def _texts(elsewhere: Shell, client: Shell) -> Iterator[tuple[str, str]]:
    """Yield contents of a file to replace, each with a part of the note about it."""
    run([need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", "id"], check=True, cwd=elsewhere.home)
    yield (elsewhere.home / "id").read_text(), ""
    yield "prodPassword=hunter2-hunter2\n", ""
    yield "hvs.CAESIJsecretOFopenbao0123456789abcdef\n", ""
    yield new_opaque(lambda count: bytes(range(count))), "held an opaque token, which was not looked up"
    line = ("issue", "--task", "T", "--delegator", "alice", "--kind")
    public = (elsewhere.home / "id.pub").read_text()
    for kind, more in (
        ("jwt", ()),
        ("jwt", ("--audience", "https://a.example")),
        ("jwt-svid", ("--audience", "https://a.example")),
        ("x509-svid", ()),
        ("ssh-cert", ("--public-key", "-")),
    ):
        done = elsewhere.run(*line, kind, *more, stdin=public)
        assert done.returncode == 0, (kind, done.stderr)
        yield done.stdout, "held jti_"
    yield elsewhere.good("issue", "--task", "T", "--delegator", "alice"), "held jti_"
    yield client.good("issue", "--task", "MINE"), "held jti_"


@pytest.mark.deep
def test_nothing_of_a_file_that_is_replaced_is_sent(
    between: Between, client: Shell, elsewhere: Shell
) -> None:
    """The command does not look the contents up either: an authority would record that as a denial."""
    place = client.home / "place"
    token = client.good("issue", "--task", "OLD")
    for text, note in _texts(elsewhere, client):
        for line, stdin in ((MINE, ""), (("renew", "--out", "place"), token)):
            place.write_text(text)
            between.requests.clear()
            done = client.run(*line, stdin=stdin)
            assert done.returncode == 0, done.stderr
            found = [each for each in done.stderr.splitlines() if "`place` held" in each]
            assert len(found) == bool(note)
            assert note in "".join(found)
            assert not [each for each in _asked(between) if each in ("Inspect", "Trace")]
            assert not [each for each in _sent(between, text.strip()) if each not in stdin]
            token = place.read_text() if line[0] == "renew" else token
    assert client.good("audit", "log", "--operation", "denial", "--format", "json").count('"seq"') == 0


@pytest.mark.deep
@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_no_verb_sends_a_file_that_it_replaces(line: str, between: Between, client: Shell) -> None:
    """Some of the verbs are not served by the authority."""
    text = "prodPassword=hunter2-hunter2\n"
    (client.home / "place").write_text(text)
    token = client.good("issue", "--task", "OLD")
    access = json.loads(client.good("access", "grant", "user:dora", "--format", "json"))["id"]
    between.requests.clear()
    words = line.replace(" --delegator alice", "").replace("PLACE", "place").replace("ACCESS", access)
    client.run(*words.split(), stdin=token)
    assert not _sent(between, text.strip())


@pytest.mark.deep
def test_the_note_names_what_the_token_says_and_the_command_that_ends_it(
    between: Between, client: Shell
) -> None:
    """The token is the caller's own, so the command can revoke it. Expired tokens and predecessors are not named."""
    client.good(*MINE)
    old = (client.home / "place").read_text()
    found = json.loads(client.good("inspect", "place", "--format", "json"))
    said = client.run(*MINE).stderr
    assert f"`place` held {found['jti']}, which was not looked up: unless it was revoked or renewed" in said
    assert (
        f"it stays valid until {format_time(found['exp'])}; to revoke it: jitid revoke {found['jti']}" in said
    )
    assert client.run(*MINE, "-q").stderr == ""
    child = client.run("issue", "--parent-file", "place", "--out", "place").stderr
    assert "; to revoke it and the new token: jitid revoke jti_" in child
    client.good("revoke", said.rpartition(" ")[2].strip())
    assert client.run("inspect", "--field", "active", stdin=old).stdout == "false\n"
    for kind in ("jwt", "opaque"):
        client.good(*MINE, "--kind", kind)
        token = (client.home / "place").read_text()
        assert "held" not in client.run("renew", "--out", "place", stdin=token).stderr
    opaque = client.run(*MINE).stderr
    command = opaque.rpartition("to look it up: ")[2].split()
    assert command[:2] == ["jitid", "trace"]
    assert client.good(*command[1:], "--field", "jti").startswith("jti_")


@pytest.mark.deep
@pytest.mark.parametrize(
    "text", ["jti_x", "", "\ufeff", "\x1b[31m", "a.b.c", "eyJ" * 3000, "-----BEGIN CERTIFICATE-----\nx"]
)
def test_what_has_not_the_form_of_a_token_is_not_named(text: str, between: Between, client: Shell) -> None:
    (client.home / "place").write_text(text)
    assert "held" not in client.run(*MINE).stderr
    assert "Inspect" not in _asked(between)
