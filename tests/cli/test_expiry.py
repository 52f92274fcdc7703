"""A refusal of an expired credential states the time of expiry and the next command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import jitid
from jitid.capabilities.access.grant import AccessRequest
from jitid.capabilities.access.operations import Authenticate, GrantAccess
from jitid.errors import InvalidCredentialError, UnauthenticatedError
from jitid.values.secret import Secret
from jitid.values.times import format_time
from tests.builders import World
from tests.real import Shell, faked

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ")
AUDIENCE = "https://x.example"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger under the default policy."""
    with World(tmp_path / "ledger") as world:
        yield world


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with tokens, a task and a certificate that will have expired in ten minutes."""
    shell = Shell(tmp_path_factory.mktemp("home"))
    for name, task, *more in (
        ("identity", "T1"),
        ("opaque", "T1", "--kind", "opaque"),
        ("service", "T1", "--audience", AUDIENCE),
        ("over", "OVER", "--deadline", "6m"),
    ):
        token = shell.good("issue", "--task", task, "--delegator", "alice", "--ttl", "5m", *more)
        (shell.home / name).write_text(token)
    shell.permit_kinds()
    words = ("issue", "--kind", "x509-svid", "--task", "T1", "--delegator", "alice", "--ttl", "5m")
    (shell.home / "certificate").write_text(shell.good(*words))
    return shell


@pytest.mark.deep
@pytest.mark.parametrize(
    ("line", "status", "next_"),
    [
        ("verify identity", 8, "jitid issue"),
        ("verify opaque", 8, "jitid issue"),
        ("verify certificate", 8, "jitid issue"),
        (f"verify service --audience {AUDIENCE}", 8, "jitid issue"),
        ("issue --parent-file identity --agent below", 8, "jitid issue"),
        ("issue --parent-file opaque --agent below", 8, "jitid issue"),
        ("renew --token-file identity", 8, "jitid issue"),
        ("issue --task OVER --delegator alice", 4, "use a new name"),
        ("task share OVER --with bob", 2, "jitid list --by task --state open"),
        ("task give OVER --to bob", 2, "jitid list --by task --state open"),
    ],
)
@pytest.mark.parametrize("format_", ["table", "json"])
def test_a_refusal_names_the_time_and_what_comes_next(
    expired: Shell, line: str, status: int, next_: str, format_: str
) -> None:
    done = expired.run(*line.split(), "--format", format_, before=faked("+10m"))
    assert (done.returncode, done.stdout) == (status, "")
    assert TIME.search(done.stderr), done.stderr
    assert next_ in done.stderr


@pytest.mark.parametrize("name", ["identity", "opaque", "certificate"])
def test_inspect_names_the_time(expired: Shell, name: str) -> None:
    done = expired.run("inspect", name, "--field", "reason", before=faked("+10m"))
    assert done.returncode == 0
    assert TIME.search(done.stdout)


def test_an_access_credential_names_the_time_to_who_has_it(world: World) -> None:
    """Only the holder learns it: an unknown or revoked access token is refused in the same words, without a time."""
    world.know("system:gate")
    granted = world.authority.perform(GrantAccess(wanted=AccessRequest("system:gate", ("auditor",), 300)))
    assert granted.secret is not None
    bearer = Secret.single(granted.secret.reveal())
    world.clock.now += 300
    with pytest.raises(UnauthenticatedError) as caught:
        world.authority.perform(Authenticate(bearer=bearer))
    assert format_time(granted.access.expires_at) in str(caught.value.hint)
    assert "jitid access grant" in str(caught.value.hint)
    with pytest.raises(UnauthenticatedError) as unknown:
        world.authority.perform(Authenticate(bearer=Secret.single("jitid_" + "0" * 38)))
    assert unknown.value.message == caught.value.message
    assert not TIME.search(str(unknown.value.hint))


def test_a_token_of_an_ended_task_names_the_time(world: World) -> None:
    made = world.issue(task="SHORT", ttl=300)
    child = world.issue(task=None, parent=made.token, agent="below", ttl=200)
    world.retire("SHORT")
    for one in (made, child):
        with pytest.raises(InvalidCredentialError) as caught:
            world.verify(one.token)
        assert TIME.search(f"{caught.value.message} {caught.value.hint}")


def test_every_refusal_of_what_has_expired_says_when(expired: Shell) -> None:
    """In the source, each error about expiry contains the time, or a text from `expiry_hint` or `claimed_expiry`."""
    root = Path(jitid.__file__).parent
    silent = []
    for path in sorted(root.rglob("*.py")):
        text = path.read_text()
        for found in re.finditer(r"raise \w+Error\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", text):
            said = found[0]
            if re.search(r"\b(has|had) expired\b", said) and not re.search(
                r"format_time|expiry_hint\(|claimed_expiry\(|\{error", said
            ):
                silent.append(f"{path.relative_to(root)}: {' '.join(said.split())}")
    assert silent == []
