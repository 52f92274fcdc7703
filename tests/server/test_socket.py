"""The Unix socket: the kernel proves the caller, and no caller can use another name."""

from __future__ import annotations

import grp
import json
import os
import pwd
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.real import Shell, need, need_root, reachable
from tests.serving import Served, serving

CONFIG = """\
[socket.delegator]
games = "user:games@example.com"
"@mail" = "system:mail"
"@news" = "system:news"

[socket.role]
root = "admin"
"@mail" = ["responder", "auditor"]
lp = "verifier"
sync = "auditor"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder that every user may enter."""
    need_root()
    with reachable(tmp_path_factory.mktemp("socket")) as folder:
        yield folder


@pytest.fixture(scope="module")
def served(place: Path) -> Iterator[Served]:
    """Return a service on a socket that every user may connect to."""
    config = place / "config.toml"
    config.write_text(CONFIG)
    socket = str(place / "s")
    with serving(place, "--socket", socket, "--socket-mode", "0666", "--config", str(config)) as found:
        yield found


def ask(served: Served, user: str, name: str, values: Any, groups: Sequence[str] = ()) -> tuple[int, Any]:
    """Request an operation as another user, in only its own group and these groups; return status and answer."""
    entry = pwd.getpwnam(user)
    numbers = [str(grp.getgrnam(group).gr_gid) for group in groups]
    more = [f"--groups={','.join(numbers)}"] if numbers else ["--clear-groups"]
    done = subprocess.run(
        [
            need("setpriv"), f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", *more,
            need("curl"), "-s", "-w", "\n%{http_code}", "--unix-socket", served.socket,
            "-H", "content-type: application/json", "-d", json.dumps(values),
            f"http://localhost/v1/operations/{name}",
        ],
        capture_output=True,
        text=True,
        cwd="/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def issued(served: Served, user: str, delegator: str | None = None, groups: Sequence[str] = ()) -> Any:
    """Request a credential as another user."""
    request = {"task": f"T-{os.urandom(4).hex()}", "delegator": delegator, "agent": "bot"}
    return ask(served, user, "Issue", {"requests": [request]}, groups)


def test_users_delegate_as_themselves(served: Served) -> None:
    status, ((found),) = issued(served, "nobody")
    assert status == 200
    assert (found["delegator"], found["delegator_proof"]) == ("user:nobody", "os-user")


def test_nobody_delegates_as_another(served: Served) -> None:
    status, answer = issued(served, "nobody", "user:root")
    assert status == 403
    assert answer["error"]["exit"] == 6


def test_whom_a_user_delegates_as_is_configured(served: Served) -> None:
    _, ((found),) = issued(served, "games")
    assert (found["delegator"], found["delegator_proof"]) == ("user:games@example.com", "os-user")
    assert issued(served, "games", "user:games")[0] == 403


def test_groups_count_as_the_process_has_them(served: Served) -> None:
    """The group database does not count: a process that gave up a group is no longer in it."""
    _, ((found),) = issued(served, "bin", groups=["mail"])
    assert found["delegator"] == "system:mail"
    _, ((found),) = issued(served, "bin")
    assert found["delegator"] == "user:bin"


def test_groups_that_disagree_make_nobody(served: Served) -> None:
    status, answer = issued(served, "bin", groups=["mail", "news"])
    assert status == 401
    assert "have different delegators" in answer["error"]["message"]


def test_roles_of_user_and_groups_add_up(served: Served) -> None:
    listing = {"chosen": {}, "sort": "id", "descending": False, "after": None, "limit": 100}
    issued(served, "bin")

    def seen(user: str, *groups: list[str]) -> set[str]:
        status, answer = ask(served, user, "ListCredentials", listing, *groups)
        assert status == 200
        return {one["delegator"] for one in answer["credentials"]}

    # Without a role a caller sees only its own credentials.
    assert seen("nobody") <= {"user:nobody"}
    assert seen("lp") <= {"user:lp"}
    assert seen("bin", ["mail"]) == seen("lp", ["mail"]) >= {"user:bin"}
    assert ask(served, "nobody", "RotateKey", {"algorithm": "EdDSA"})[0] == 403


def test_agents_reach_neither_ledger_nor_key(served: Served, place: Path) -> None:
    keys = list((place / "ledger" / "keys").iterdir())
    assert keys
    for path in (place / "ledger" / "ledger.db", *keys):
        assert path.exists()
        done = subprocess.run(
            [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "cat", str(path)],
            capture_output=True,
        )
        assert done.returncode != 0
        assert b"Permission denied" in done.stderr


def test_the_mode_keeps_others_out(place: Path) -> None:
    with serving(place / "closed", "--socket", str(place / "t")) as closed:
        assert Path(closed.socket).stat().st_mode & 0o777 == 0o660
        done = subprocess.run(
            [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
             need("curl"), "-s", "--unix-socket", closed.socket, "http://localhost/healthz"],
            capture_output=True,
        )  # fmt: skip
        assert done.returncode != 0


def test_one_user_cannot_take_all_connections(place: Path) -> None:
    config = place / "few.toml"
    config.write_text("serve_connections = 40\n")
    arguments = ("--socket", str(place / "u"), "--socket-mode", "0666", "--config", str(config))
    with serving(place / "few", *arguments) as few:
        holder = subprocess.Popen(
            [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", need("/usr/bin/python3"), "-c", HOLD],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", env={"PLACE": few.socket},
        )  # fmt: skip
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert few.ask("GET", "/healthz").status == 200
        finally:
            holder.communicate()


HOLD = """\
import os, socket, sys
held = []
for _ in range(60):
    made = socket.socket(socket.AF_UNIX)
    made.connect(os.environ["PLACE"])
    held.append(made)
print("held", flush=True)
sys.stdin.read()
"""


# The places of the socket.


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_a_socket_that_nobody_answers_at_is_replaced(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "s"))
    stale.close()
    with serving(tmp_path, "--socket", str(tmp_path / "s")) as served:
        assert served.ask("GET", "/healthz").status == 200


def test_a_socket_that_is_in_use_is_left_alone(tmp_path: Path, shell: Shell) -> None:
    with serving(tmp_path, "--socket", str(tmp_path / "s")) as served:
        done = shell.run("serve", "--socket", served.socket)
        assert done.returncode == 5
        assert "another process listens at" in done.stderr
        assert served.ask("GET", "/healthz").status == 200


def test_what_is_no_socket_is_left_alone(tmp_path: Path, shell: Shell) -> None:
    (tmp_path / "s").write_text("precious")
    done = shell.run("serve", "--socket", str(tmp_path / "s"))
    assert done.returncode == 2
    assert (tmp_path / "s").read_text() == "precious"


def test_a_folder_that_others_may_write_to_is_no_place(tmp_path: Path, shell: Shell) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    done = shell.run("serve", "--socket", str(folder / "s"))
    assert done.returncode == 7
    assert "other users may write to the socket's folder" in done.stderr


def test_a_folder_of_somebody_else_is_no_place(tmp_path: Path, shell: Shell) -> None:
    need_root()
    folder = tmp_path / "theirs"
    folder.mkdir()
    with suppress(PermissionError):
        os.chown(folder, 65534, 65534)
    done = shell.run("serve", "--socket", str(folder / "s"))
    assert done.returncode == 7
    assert "belongs to another user" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "[socket.delegator]\nalice = ''\n",
        "[socket.delegator]\n'a b' = 'user:alice'\n",
        "[socket.delegator]\nalice = ['user:alice']\n",
        "[socket.role]\nalice = 'king'\n",
        "[socket.role]\nalice = []\n",
        "[socket.owner]\nalice = 'user:alice'\n",
        "[socket]\nrole = 'admin'\n",
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(tmp_path: Path, shell: Shell, text: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert shell.run("--config", "c.toml", "config", "show").returncode == 2


def test_whoever_is_disabled_is_served_no_more(served: Served) -> None:
    """Neither its role nor its right to its own objects remains; over HTTP its access has ended likewise."""
    asked = (
        ("ReadLog", {"chosen": {}, "limit": 3}),
        ("ListTasks", {"state": None, "after": None, "limit": 9}),
    )
    for name, values in asked:
        assert ask(served, "sync", name, values)[0] == 200
    person = {"name": "user:sync", "reason": "left", "most": None}
    stated = {"stated": {"place": "", "name": "user:sync", "imported": False}}
    assert ask(served, "root", "AddDelegator", stated)[0] == 200
    assert ask(served, "root", "DisableDelegator", person)[0] == 200
    for name, values in asked:
        status, found = ask(served, "sync", name, values)
        assert (status, "is no longer valid" in found["error"]["message"]) == (403, True)
    assert issued(served, "sync")[0] == 403
