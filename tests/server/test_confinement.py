"""The three states of confinement: the rights of an agent by the user that it runs as, tested in practice."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jitid.authority.remote import is_of_run
from jitid.capabilities.run.token_place import STARTED_BY
from jitid.config import effective
from tests.readme import TEXT, blocks
from tests.real import command, need, need_root, reachable, surroundings
from tests.serving import Served, serving

PERSON, SERVICE, AGENT = "games", "daemon", "lp"
"""Users of every Debian: for the person at the socket, for the service, and for the agent."""


class User(NamedTuple):
    """A user of this machine, with the environment of its programs."""

    name: str
    home: Path

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run jitid as this user, in the user's own group only."""
        return self.program(*command(*words), **variables)

    def program(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run any program as this user."""
        return subprocess.run(
            [*self.prefix, *words],
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
            cwd="/",
        )

    @property
    def prefix(self) -> list[str]:
        entry = pwd.getpwnam(self.name)
        return [need("setpriv"), f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]

    @property
    def environ(self) -> Mapping[str, str]:
        return surroundings(self.home)

    def whoami(self, address: str, bearer: str | None = None) -> dict[str, Any]:
        """Return an authority's `whoami` answer for this user, over HTTP."""
        where = ["--unix-socket", address.removeprefix("unix://"), "http://localhost"]
        shown = [] if bearer is None else ["-H", f"authorization: Bearer {bearer}"]
        *before, base = where if address.startswith("unix:") else [address]
        done = self.program(need("curl"), "-sf", *before, *shown, f"{base}/v1/whoami")
        assert done.returncode == 0, done
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def state(self, *options: str, **variables: str) -> tuple[str, str, str]:
        """Return the status, the state and the reason of `doctor`'s confinement check for this user."""
        done = self.run("doctor", *options, "--format", "json", **variables)
        (row,) = [each for each in json.loads(done.stdout)["items"] if each["check"] == "confinement"]
        state, _, reason = row["detail"].partition(": ")
        return row["status"], state, reason


class Machine(NamedTuple):
    """Three users, and a service that one of them runs: on a socket for a group, and on loopback."""

    person: User
    service: User
    agent: User
    served: Served
    socket: str
    """The address of its socket, to which the person's group may connect."""
    open_socket: str
    """The address of a second service of the same ledger, to which every user may connect."""


def user(place: Path, name: str) -> User:
    home = place / name
    home.mkdir(mode=0o700)
    entry = pwd.getpwnam(name)
    os.chown(home, entry.pw_uid, entry.pw_gid)
    return User(name, home)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Return three users and a service that one of them runs."""
    need_root()
    with reachable(tmp_path_factory.mktemp("confinement")) as place:
        person, service, agent = (user(place, name) for name in (PERSON, SERVICE, AGENT))
        folder = place / "run"
        folder.mkdir(mode=0o755)
        os.chown(folder, pwd.getpwnam(SERVICE).pw_uid, -1)
        # The socket gets the group of the service's process.
        group = grp.getgrnam(PERSON).gr_gid
        before = [
            need("setpriv"),
            f"--reuid={pwd.getpwnam(SERVICE).pw_uid}",
            f"--regid={group}",
            "--clear-groups",
        ]
        with (
            serving(
                service.home, "--socket", str(folder / "sock"), "--bind", "127.0.0.1:0", before=before
            ) as served,
            serving(
                service.home, "--socket", str(folder / "open"), "--socket-mode", "0666", before=before
            ) as opened,
        ):
            yield Machine(person, service, agent, served, f"unix://{folder}/sock", f"unix://{opened.socket}")


def token(machine: Machine, owner: User) -> Path:
    """Return the file of an agent's identity token, which the person requested; it belongs to the owner."""
    done = machine.person.run(
        "issue", "--remote", machine.socket, "--task", "T1", "--may-audience", "https://a.example"
    )
    assert done.returncode == 0, done.stderr
    path = owner.home / "own.jwt"
    path.write_text(done.stdout)
    path.chmod(0o600)
    os.chown(path, pwd.getpwnam(owner.name).pw_uid, -1)
    return path


def test_whoever_runs_the_service_reads_its_key(machine: Machine) -> None:
    ledger = str(machine.service.home / "ledger")
    status, state, reason = machine.service.state(JITID_LEDGER=ledger)
    assert (status, state) == ("ok", "key readable")
    assert f"{ledger}/keys" in reason
    assert reason.endswith("; agents of this user are not confined")
    status, state, _ = machine.service.state("--remote", machine.socket)
    assert (status, state) == ("ok", "key readable")
    keys = machine.service.program("ls", f"{ledger}/keys")
    assert (keys.returncode, bool(keys.stdout)) == (0, True)
    told = machine.service.whoami(machine.socket)
    assert told["confinement"] == "key-readable"


def test_an_agent_under_the_users_own_uid_is_that_user(machine: Machine) -> None:
    """The agent has its own token but does not need it: at the socket the kernel identifies the person."""
    own = token(machine, machine.person)
    status, state, reason = machine.person.state("--remote", machine.socket, JITID_PARENT_FILE=str(own))
    assert (status, state) == ("warning", "person impersonable")
    assert reason.startswith("every process of this user acts as user:games at ")
    # In practice, an agent started by `run` sends a request without its token, and gets the person's rights.
    request = {"task": "T3", "delegator": None, "agent": "escaped", "scopes": ["repo:*"]}
    ask = [need("curl"), "-s", "--unix-socket", machine.socket.removeprefix("unix://")]
    escape = [*ask, "--json", json.dumps({"requests": [request]}), "http://localhost/v1/operations/Issue"]
    done = machine.person.run("run", "--remote", machine.socket, "--task", "T2", "--", *escape)
    (issued,) = json.loads(done.stdout)
    assert (issued["delegator"], issued["agent"], issued["depth"]) == ("user:games", "escaped", 0)
    inside = machine.person.run(
        "run", "--remote", machine.socket, "--task", "T2", "--", *ask, "http://localhost/v1/whoami"
    )
    assert json.loads(inside.stdout)["confinement"] == "person-impersonable"


@pytest.mark.deep
def test_an_agent_under_another_user_has_its_own_token_alone(machine: Machine) -> None:
    own, ledger = token(machine, machine.agent), str(machine.service.home / "ledger")
    remote = machine.served.url
    status, state, reason = machine.agent.state("--remote", remote, JITID_PARENT_FILE=str(own))
    assert (status, state, "only as the agent" in reason) == ("ok", "confined", True)
    assert machine.agent.state("--remote", machine.socket)[:2] == ("ok", "confined")
    assert machine.agent.state(JITID_LEDGER=ledger)[:2] == ("ok", "confined")
    # In practice, it cannot read keys, has no access at the socket, and has only the rights of its token.
    assert machine.agent.program("ls", f"{ledger}/keys").returncode != 0
    assert machine.agent.run("issue", "--remote", machine.socket, "--task", "T9").returncode == 5
    assert machine.agent.run("issue", "--remote", remote, "--task", "T9").returncode == 6
    wider = machine.agent.run("issue", "--remote", remote, "--scope", "repo:*", JITID_PARENT_FILE=str(own))
    assert wider.returncode == 4
    child = machine.agent.run("issue", "--remote", remote, JITID_PARENT_FILE=str(own))
    assert child.returncode == 0, child.stderr
    told = machine.agent.whoami(remote, own.read_text().strip())
    assert (told["confinement"], told["agent"]) == ("confined", "agent")


def test_a_socket_for_everybody_makes_the_agents_user_a_person(machine: Machine) -> None:
    """Its token does not matter: the socket serves it without one as well."""
    own = token(machine, machine.agent)
    status, state, _ = machine.agent.state("--remote", machine.open_socket, JITID_PARENT_FILE=str(own))
    assert (status, state) == ("warning", "person impersonable")
    told = machine.agent.whoami(machine.open_socket, own.read_text().strip())
    assert told["confinement"] == "person-impersonable"


def test_the_credential_of_a_person_makes_its_reader_that_person(machine: Machine) -> None:
    """A readable credential file gives the same rights as a socket."""
    ledger = str(machine.service.home / "ledger")
    granted = machine.service.run("access", "grant", "user:games", JITID_LEDGER=ledger)
    path = machine.agent.home / "person.credential"
    path.write_text(granted.stdout)
    path.chmod(0o600)
    options = ("--remote", machine.served.url, "--credential-file", str(path))
    assert machine.agent.state(*options)[1] == "confined"
    os.chown(path, pwd.getpwnam(AGENT).pw_uid, -1)
    status, state, reason = machine.agent.state(*options)
    assert (status, state, str(path) in reason) == ("ok", "person impersonable", True)
    told = machine.agent.whoami(machine.served.url, granted.stdout.strip())
    assert told["confinement"] == "person-impersonable"


def test_a_login_of_the_agents_user_makes_the_agent_that_person(machine: Machine) -> None:
    """Also in a run of another user: the requests use the token of the agent, but it can read that of the login."""
    own, remote = token(machine, machine.agent), machine.served.url
    inside = {"JITID_PARENT_FILE": str(own), STARTED_BY: str(pwd.getpwnam(PERSON).pw_uid)}
    assert machine.agent.state("--remote", remote, **inside)[1] == "confined"
    path = machine.agent.home / ".local/state/jitid" / f"login-{sha256(remote.encode()).hexdigest()[:32]}"
    made = ["sh", "-c", 'umask 077; mkdir -p "$(dirname "$0")"; echo jitid_x > "$0"', str(path)]
    assert machine.agent.program(*made).returncode == 0
    status, state, reason = machine.agent.state("--remote", remote, **inside)
    path.unlink()
    assert (status, state) == ("warning", "person impersonable")
    assert reason.startswith("this user has logged in at "), reason


@pytest.mark.parametrize("named", ["option", "variable"])
def test_a_command_under_the_uid_of_the_person_who_started_it_may_be_that_person(
    machine: Machine, named: str
) -> None:
    """`run` does not pass the credential's place to the command, but the file belongs to the same user."""
    address = machine.served.url
    file = machine.person.home / f"own-{named}"
    ledger = str(machine.service.home / "ledger")
    granted = machine.service.run("access", "grant", f"user:{PERSON}", JITID_LEDGER=ledger)
    assert granted.returncode == 0, granted
    file.write_text(granted.stdout)
    file.chmod(0o600)
    os.chown(file, pwd.getpwnam(PERSON).pw_uid, -1)
    option = ["--credential-file", str(file)] if named == "option" else []
    variables = {} if named == "option" else {"JITID_REMOTE_CREDENTIAL_FILE": str(file)}
    line = command("--remote", address, *option, "run", "--task", "T1", "--", "/bin/sh", "-c")
    done = machine.person.program(
        *line, 'echo "$JITID_REMOTE_CREDENTIAL_FILE/$JITID_STARTED_BY"', **variables
    )
    uid = pwd.getpwnam(PERSON).pw_uid
    assert done.stdout == f"/{uid}\n", done
    # This simulates `doctor` inside the command: there the user may not reach the tests' interpreter.
    inside = {"JITID_REMOTE": address, "JITID_STARTED_BY": str(uid)}
    status, state, reason = machine.person.state(**inside)
    assert (status, state) == ("ok", "person impersonable")
    assert reason.startswith("this user started the command with their own credential")
    assert machine.agent.state(**inside)[1] == "confined"


def test_a_run_within_a_run_does_not_say_that_it_started_the_command() -> None:
    """The inner run uses the agent's identity token; the user that started the outer run stays recorded."""
    settings = effective.load(flags={"remote": "http://127.0.0.1:1"}, environ={"HOME": "/nonexistent"})
    named = effective.load(
        flags={"remote": "http://127.0.0.1:1", "remote_credential_file": "/f"},
        environ={"HOME": "/nonexistent"},
    )
    assert is_of_run(settings, {"JITID_PARENT_FILE": "/t"})
    assert not is_of_run(settings, {})
    assert not is_of_run(named, {"JITID_PARENT_FILE": "/t"})


def test_root_reads_every_key(machine: Machine) -> None:
    assert User("root", machine.person.home).state("--remote", machine.socket)[1] == "key readable"


@pytest.mark.deep
def test_a_service_that_does_not_answer_is_no_confinement(machine: Machine) -> None:
    status, state, _ = machine.agent.state("--remote", f"unix://{machine.person.home.parent}/nobody-listens")
    assert (status, state) == ("warning", "not examined")


def test_a_socket_that_is_closed_says_to_whom_it_is_open(machine: Machine) -> None:
    done = machine.agent.run("list", "--remote", machine.socket)
    assert done.returncode == 5
    group = f"this user may not connect: the socket has the group {PERSON} and the mode 0660"
    assert done.stderr.splitlines()[1:] == [f"jitid: hint: {group}"]
    rows = json.loads(machine.agent.run("doctor", "--remote", machine.socket, "--format", "json").stdout)[
        "items"
    ]
    assert [each["repair"] for each in rows if each["check"] == "remote"] == [group]
    nobody = f"unix://{machine.person.home.parent}/nobody-listens"
    rows = json.loads(machine.agent.run("doctor", "--remote", nobody, "--format", "json").stdout)["items"]
    assert [each["repair"] for each in rows if each["check"] == "remote"] == [
        "is the authority running there?"
    ]


def test_the_verbs_of_the_readme_confine_an_agent(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The README's first screen leads to them, and they run unchanged except for the test's users and folders."""
    need_root()
    (block,) = blocks("bash")
    title = "## Close the gap on one machine"
    assert TEXT[: TEXT.index("](#close-the-gap-on-one-machine)")].count("\n") <= 24
    assert title in TEXT[: TEXT.index(block)]
    assert "\n## " not in TEXT[TEXT.index(title) : TEXT.index(block)]
    install, users, folder, serve, wait, run = block.splitlines()
    assert install == (
        "python3 -m venv /opt/jitid && /opt/jitid/bin/pip install --quiet '.[server]' && "
        "ln -s /opt/jitid/bin/jitid /usr/local/bin/jitid"
    )
    with reachable(tmp_path_factory.mktemp("readme")) as place:
        words = {
            "/var/lib/jitid": str(user(place, SERVICE).home),
            "/var/lib/agent": str(user(place, AGENT).home),
            "/run/jitid": str(place / "run"),
            "--reuid=jitid --regid=jitid": f"--reuid={SERVICE} --regid={SERVICE}",
            "--reuid=agent --regid=agent": f"--reuid={AGENT} --regid={AGENT}",
            "chown jitid:jitid": f"chown {SERVICE}:{SERVICE}",
            "--clear-groups jitid ": f"--clear-groups {shlex.join(command())} ",
            "jitid run": f"{shlex.join(command())} run",
        }

        def ours(line: str) -> str:
            for word, other in words.items():
                line = line.replace(word, other)
            return line

        assert users == (
            "useradd --system --create-home --home-dir /var/lib/jitid jitid && "
            "useradd --system --create-home --home-dir /var/lib/agent agent"
        )
        assert serve.endswith(" &")
        subprocess.run(["sh", "-c", ours(folder)], check=True)
        log = place / "serve.log"
        with log.open("w") as errors:
            service = subprocess.Popen(
                ["sh", "-c", f"exec env {ours(serve).removesuffix(' &')}"],
                env=surroundings(place),
                stderr=errors,
                cwd="/",
            )
        try:
            subprocess.run(["sh", "-c", ours(wait)], check=True, timeout=60)
            done, listed, issued = (
                subprocess.run(
                    ["sh", "-c", ours(run.replace("doctor | grep confined", words))],
                    env=surroundings(place),
                    capture_output=True,
                    text=True,
                    cwd="/",
                )
                for words in ("doctor | grep confined", "list", "issue --agent other")
            )
        finally:
            service.terminate()
            service.wait(30)
        assert done.stdout.startswith("confinement\tok\tconfined: "), done.stderr
        for refused in (listed, issued):
            assert refused.returncode == 2, refused
            assert "permission denied\njitid: hint: only the user of `jitid run`" in refused.stderr
