"""jitid-authority(7): its roles, counters and limits are those of the code, and its instructions work."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from jitid.config.settings import SETTINGS
from jitid.model.access import ROLES
from jitid.server.metrics import Metrics
from jitid.values.times import format_duration
from tests import postgres
from tests.man.source import displays, items, read, section
from tests.real import Shell, command, free_port, need, need_root, other_user, reachable, until
from tests.server.test_tls import certificate
from tests.serving import serving

PAGE = read("jitid-authority.7")


def test_the_roles_are_those_of_the_code() -> None:
    told = items(section(PAGE, "CALLERS AND ROLES"))
    assert [term for term in told if term in ROLES] == list(ROLES)


def test_the_counters_are_those_that_are_served() -> None:
    told = [name for term in items(section(PAGE, "METRICS")) for name in term.split(" , ")]
    metrics = Metrics(["/x"])
    metrics.take_part(0)
    metrics.observe("/x", 200, 0.1)
    served = re.findall(r"^# TYPE (\S+)", metrics.text(ledger_up=True, issues=True), re.MULTILINE)
    assert set(told) == set(served)
    assert len(told) == len(served)


def test_the_limits_are_the_settings() -> None:
    told = {}
    for term in items(section(PAGE, "LIMITS")):
        name, _, value = term.partition(" No ")
        told[name] = value.strip("()")
    limits = ("connections", "requests", "threads", "rate", "body", "time", "long_time", "stop", "hung")
    assert set(told) == {f"serve_{name}" for name in limits}
    for name, value in told.items():
        setting = SETTINGS[name]
        assert isinstance(setting.default, int)
        expected = format_duration(setting.default) if setting.kind == "duration" else str(setting.default)
        assert value == expected, name


# One machine.

SERVICE, EVERYBODY = [text for text in displays(section(PAGE, "ONE MACHINE")) if re.match(r"\w+ = ", text)]


class Box:
    """The machine of the page in a folder, with existing users instead of the page's users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("var", "run", "etc/jitid"):
            (folder / name).mkdir(parents=True)
        self.owner = pwd.getpwnam("games")
        for name, mode in (("var", 0o700), ("run", 0o755)):
            os.chown(folder / name, self.owner.pw_uid, self.owner.pw_gid)
            (folder / name).chmod(mode)
        self.service = folder / "authority.toml"
        self.service.write_text(self._here(SERVICE))
        (folder / "etc/jitid/config.toml").write_text(self._here(EVERYBODY))

    def _here(self, text: str) -> str:
        for there, here in (
            ("/var/lib/jitid", f"{self.folder}/var"),
            ("/run/jitid", f"{self.folder}/run"),
            ("alice =", "lp ="),
            ("@ci", "@mail"),
            ("@oncall", "@news"),
        ):
            assert there in text or text is not SERVICE
            text = text.replace(there, here)
        return text

    def run(self, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run jitid as a user of this machine, with only the system's configuration."""
        entry = pwd.getpwnam(user)
        home = self.folder / f"home-{user}"
        if not home.exists():
            home.mkdir()
            os.chown(home, entry.pw_uid, entry.pw_gid)
        shell = Shell(home)
        del shell.environment["JITID_LEDGER"]
        become = [
            need("setpriv"), f"--reuid={user}", f"--regid={entry.pw_gid}", "--init-groups",
        ]  # fmt: skip
        return shell.run(*arguments, before=become, more={"XDG_CONFIG_DIRS": str(self.folder / "etc")})

    def good(self, user: str, *arguments: str) -> str:
        """Run jitid, check that it succeeds, and return its standard output."""
        done = self.run(user, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    need_root()
    other_user()
    with reachable(tmp_path_factory.mktemp("box")) as folder:
        box = Box(folder)
        become = [need("setpriv"), "--reuid=games", f"--regid={box.owner.pw_gid}", "--clear-groups"]
        arguments = ("--config", str(box.service), "--socket", str(folder / "run/jitid.sock"))
        home = folder / "serve"
        home.mkdir()
        os.chown(home, box.owner.pw_uid, box.owner.pw_gid)
        with serving(home, *arguments, ledger=folder / "var/ledger", before=become):
            yield box


def test_the_unit_runs_as_the_owner_of_the_folder(box: Box) -> None:
    text = box.good("root", "--config", str(box.service), "serve", "--print-unit")
    assert "\nUser=games\n" in text
    assert f" --config {box.service} --no-input serve\n" in text


def test_every_user_asks_as_who_they_are(box: Box) -> None:
    ask, look = _lines(section(PAGE, "ONE MACHINE"), "jitid issue", "jitid inspect")
    assert box.run("nobody", *ask).returncode == 0
    assert box.good("nobody", *look) == "os-user"
    assert box.run("nobody", "verify", "agent.jwt").returncode == 0
    told = json.loads(box.good("nobody", "inspect", "agent.jwt", "--format", "json"))
    assert told["sub"] == "user:nobody"
    assert box.run("nobody", *ask, "--delegator", "bob").returncode == 6
    for path in (box.folder / "var/ledger/ledger.db", box.folder / "var/ledger/keys"):
        assert path.exists()
    denied = subprocess.run(
        [*other_user(), "ls", str(box.folder / "var/ledger")], capture_output=True, text=True, cwd="/"
    )
    assert "Permission denied" in denied.stderr


def test_logins_and_groups_are_whom_the_configuration_says(box: Box) -> None:
    words = ("issue", "--task", "T1", "--dry-run", "--field", "delegator")
    assert box.good("lp", *words) == "user:alice@example.com"
    assert box.good("mail", *words) == "system:ci"
    box.good("root", "issue", "--task", "T8", "--out", str(box.folder / "root.jwt"))
    box.good("lp", "issue", "--task", "T9", "--out", "/dev/null")
    shown = ("list", "--live", "--field", "delegator")
    assert {*box.good("root", *shown).splitlines()} >= {"user:alice@example.com", "user:root"}
    assert {*box.good("news", *shown).splitlines()} >= {"user:alice@example.com", "user:root"}
    # Without a role, users see only their own credentials.
    assert box.good("lp", *shown) == "user:alice@example.com"
    assert box.run("news", "audit", "log").returncode == 6


def test_within_run_an_agent_delegates_from_what_it_was_given(box: Box) -> None:
    # Run this as root: another user could not start this interpreter if it is in root's home.
    jitid = " ".join(command())
    inner = f'{jitid} verify "$JITID_TOKEN_FILE" && {jitid} run --agent tester --scope repo:acme -- true'
    words = ("--task", "T2", "--agent", "planner", "--scope", "repo:*", "--", "sh", "-c", inner)
    done = box.run("root", "run", *words)
    assert done.returncode == 0, done.stderr
    listed = box.good("root", "list", "--task", "T2", "--format", "jsonl").splitlines()
    states = {row["agent"]: row["state"] for row in map(json.loads, listed)}
    assert states == {"planner": "revoked", "tester": "revoked"}


def test_the_sweep_is_planned_beside_the_authority(box: Box) -> None:
    (words,) = _lines(section(PAGE, "ONE MACHINE"), "jitid --config /etc/jitid/authority.toml schedule")
    here = [word.replace("/etc/jitid/authority.toml", str(box.service)) for word in words]
    assert "ExecStart=" in box.good("root", *here)


def _lines(text: str, *beginnings: str) -> list[list[str]]:
    """Return the words after `jitid` of a section's commands that begin with these strings."""
    lines = [line for shown in displays(text) for line in shown.replace("\\\n", " ").splitlines()]
    found = []
    for beginning in beginnings:
        (line,) = [line for line in lines if line.startswith(beginning)]
        found.append(line.split()[1:])
    return found


# The database.


def _play(shell: Shell, script: str, **variables: str) -> str:
    """Run a display of the page in a shell, and return its standard output."""
    folder = shell.home / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("pg_basebackup", "pg_dump", "createdb", "pg_restore"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(postgres.program(name))
    jitid = folder / "jitid"
    jitid.write_text(f'#!/bin/sh\nexec {sys.executable} -m jitid "$@"\n')
    jitid.chmod(0o755)
    environment = {**shell.environment, **variables}
    environment.pop("JITID_LEDGER", None)
    environment["PATH"] = f"{folder}:{environment['PATH']}"
    done = subprocess.run(
        ["sh", "-euc", script],
        env=environment,
        cwd=shell.home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _here(text: str, names: Mapping[str, str]) -> str:
    for there, here in names.items():
        assert there in text, there
        text = text.replace(there, here)
    return text


@pytest.mark.parametrize("renamed", [False, True])
def test_a_folder_moves_to_postgresql(tmp_path: Path, postgres_url: str, *, renamed: bool) -> None:
    """Live tokens stay valid, and revoked ones stay revoked; a new issuer does not change that."""
    move, rename = displays(section(PAGE, "MOVING FROM A FOLDER TO POSTGRESQL"))
    if renamed:
        move += rename
    issue = "jitid issue --task T1 --delegator alice --out"
    shell = Shell(tmp_path)
    _play(shell, f"{issue} live.jwt; {issue} dead.jwt; jitid revoke --token-file dead.jwt")
    _play(shell, move, TO=postgres_url)
    after = _play(
        shell,
        f"""jitid verify live.jwt
            jitid verify dead.jwt 2> why || echo $?
            {issue} new.jwt
            jitid verify new.jwt
            jitid inspect new.jwt --field iss
            jitid audit verify > /dev/null
            jitid doctor > /dev/null""",
    )
    status, issuer = after.split()
    assert status == "8"
    assert "was revoked" in (tmp_path / "why").read_text()
    assert (issuer == "https://jitid.example.com") is renamed
    assert renamed or issuer.startswith("urn:jitid:")


def test_what_is_restored_from_a_dump_is_known_to_be_older(
    tmp_path: Path, postgres_server: postgres.Postgres, postgres_url: str
) -> None:
    backup, restore, end = displays(section(PAGE, "BACKUP AND RESTORE"))
    dump = next(line for line in backup.splitlines() if line.startswith("pg_dump"))
    issue = "jitid issue --task T1 --delegator alice --out"
    shell = Shell(tmp_path)
    setup = f"mkdir backup; jitid config set ledger {postgres_url}; {issue} early.jwt; jitid audit head > head.jws"
    _play(shell, setup)
    _play(shell, dump, LEDGER=postgres_url)
    name = postgres_server.new_database()
    postgres_server.drop(name)
    url = postgres_server.url(name)
    restored = _here(
        restore, {"postgresql:///jitid_restored": url, "createdb jitid_restored": f"createdb {name}"}
    ).replace("-d jitid_restored", f"-d {name}")
    place = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres_server.port), "PGUSER": postgres.SUPERUSER}
    try:
        # Without any later event, the restored ledger is not older.
        assert "the audit chain is intact" in _play(shell, restored, **place)
        _play(shell, f"jitid --ledger {url} verify early.jwt")
        _play(shell, "jitid revoke --token-file early.jwt; jitid audit head > head.jws")
        check = restored[restored.index("export ") :]
        assert _play(shell, f"{check.strip()} > /dev/null 2>&1 || echo $?").strip() == "7"
        # In the older ledger the credential is live, until all credentials there are revoked.
        _play(shell, f"jitid --ledger {url} verify early.jwt")
        _play(shell, f"export JITID_LEDGER={url}\n{end}")
        assert _play(shell, f"jitid --ledger {url} verify early.jwt 2> /dev/null || echo $?").strip() == "8"
    finally:
        postgres_server.drop(name)


def test_the_whole_server_is_backed_up_as_it_runs(tmp_path: Path) -> None:
    line = next(
        line
        for line in displays(section(PAGE, "BACKUP AND RESTORE"))[0].splitlines()
        if line.startswith("pg_basebackup")
    )
    shell = Shell(tmp_path)
    with postgres.running() as server, postgres.place() as folder:
        (tmp_path / "backup").mkdir()
        _play(shell, f"jitid --ledger {server.url()} issue --task T1 --delegator alice --out t.jwt")
        _play(shell, line, ADMIN=server.url())
        (tmp_path / "backup/base").rename(folder / "data")
        for path in [folder / "data", *(folder / "data").rglob("*")]:
            if os.geteuid() == 0:
                os.chown(path, postgres.NOBODY, postgres.NOBODY)
        copy = postgres.Postgres(folder)
        copy.start()
        try:
            _play(shell, f"jitid --ledger {copy.url()} verify t.jwt")
        finally:
            copy.stop()


def test_a_second_machine_adds_a_key_beside_the_first(tmp_path: Path, postgres_url: str) -> None:
    (words,) = [
        shown.replace("\\\n", " ").split("jitid --config")[1].split()[1:]
        for shown in displays(section(PAGE, "The authorities", "Ss"))
        if "keys rotate" in shown
    ]
    first, second = Shell(tmp_path / "1"), Shell(tmp_path / "2")
    for shell in (first, second):
        shell.home.mkdir()
        shell.environment |= {"JITID_LEDGER": postgres_url, "JITID_HOME": str(shell.home / "home")}
    issue = ("issue", "--task", "T1", "--delegator", "alice", "--out", "t.jwt")
    first.good(*issue)
    refused = second.run(*issue)
    assert (refused.returncode, "keys rotate" in refused.stderr) == (7, True)
    second.good(*words)
    second.good(*issue)
    first.good(*issue)
    assert first.good("keys", "list", "--field", "state").split() == ["signing", "signing"]
    assert first.run("verify", str(second.home / "t.jwt")).returncode == 0
    # The page's advice for a lost machine: any other machine can revoke its key, and continues to sign.
    kid = first.good("inspect", str(second.home / "t.jwt"), "--field", "kid").strip()
    first.good("keys", "revoke", kid, "--reason", "the machine was stolen")
    assert first.run("verify", str(second.home / "t.jwt")).returncode == 8
    assert (second.run(*issue).returncode, first.run(*issue).returncode) == (7, 0)


# A load balancer.


@pytest.mark.deep
def test_nginx_as_on_the_page_leaves_out_who_is_dead(tmp_path: Path) -> None:
    """Two authorities answer, the third is down. A client that checks certificates gets no error."""
    (block,) = [
        text for text in displays(section(PAGE, "A load balancer", "Ss")) if text.startswith("upstream")
    ]
    made, key = certificate(tmp_path)
    port, dead = free_port(), free_port()
    arguments = ("--tls-cert", str(made), "--tls-key", str(key))
    shell = Shell(tmp_path)
    with serving(tmp_path / "1", *arguments, ledger=shell.ledger) as one:
        with serving(tmp_path / "2", *arguments, ledger=shell.ledger) as two:
            there = {
                "10.0.0.1:8477": f"127.0.0.1:{one.address[1]}",
                "10.0.0.2:8477": f"127.0.0.1:{dead}",
                "10.0.0.3:8477": f"127.0.0.1:{two.address[1]}",
                "443 ssl": f"127.0.0.1:{port} ssl",
                "jitid.example.com": "localhost",
                "/etc/nginx/jitid.pem": str(made),
                "/etc/nginx/jitid.key": str(key),
                "/etc/nginx/jitid-ca.pem": str(made),
            }
            shell.good("access", "grant", "alice", "--out", "alice.bearer")
            with _nginx(tmp_path, _here(block, there)):
                ask = ("--remote", f"https://localhost:{port}", "--credential-file", "alice.bearer")
                more = {"JITID_REMOTE_CA": str(made)}
                del shell.environment["JITID_LEDGER"]
                for number in range(4):
                    done = shell.run(*ask, "issue", "--task", f"T{number}", more=more)
                    assert done.returncode == 0, done.stderr
        for served in (one, two):
            assert [line for line in served.lines() if line.get("route") == "/v1/operations/Issue"]


@contextmanager
def _nginx(folder: Path, http: str) -> Iterator[None]:
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; {user} pid {folder}/nginx.pid; events {{}}\nhttp {{ access_log off;\n{places}{http}}}\n"
    )
    process = subprocess.Popen(
        [need("nginx"), "-c", str(file), "-e", str(folder / "nginx.log")],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: (folder / "nginx.pid").exists() or process.poll() is not None, "nginx does not start")
        assert process.poll() is None, (folder / "nginx.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait()
