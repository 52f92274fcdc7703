"""Ten unmodified clients in one `run --for`: each is answered, none has a static secret, one revocation ends all."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import jwt
import pytest

from jitid.model.vendor import VENDORS
from tests import agents, scanners
from tests.cli.test_run_for import MODULES, SDKS, SETTINGS, STATIC
from tests.components.helping import install_programs, is_for
from tests.components.test_git import BASIC, Place, served
from tests.issuers.postgresplace import TEMPLATES, roles_server
from tests.model_gateway import model_gateway
from tests.postgres import Postgres, program
from tests.process_tree import ProcessTree, watched
from tests.real import Shell, command, free_port, module, need, permitting_kinds, until
from tests.server.asking import configured, grant
from tests.server.test_mcp_clients import SCOPE, World, mcp_server, payload
from tests.serving import Served, serving
from tests.vendors import Vendors, vendors

pytestmark = pytest.mark.deep

TTL = 60
"""The lifetime of the tokens of the run, in seconds."""
MCP = """
import asyncio, json, subprocess, sys, mcp
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
async def call(address):
    helper = ["jitid", "helper", "headers", "--audience", address]
    headers = json.loads(subprocess.run(helper, stdout=subprocess.PIPE, text=True, check=True).stdout)
    async with (
        create_mcp_http_client(headers=headers) as client,
        mcp.Client(streamable_http_client(address, http_client=client)) as session,
    ):
        return (await session.call_tool("add", {"a": 2, "b": 3})).structured_content
print(asyncio.run(call(sys.argv[1])))
"""
# The parent of all clients: it runs lines that the test sends, all lines of a request at once.
PARENT = """
import json, os, subprocess, sys
print(json.dumps(dict(os.environ)), flush=True)
for line in sys.stdin:
    started = {
        name: subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name, words in json.loads(line).items()
    }
    outcomes = {}
    for name, process in started.items():
        out, err = process.communicate()
        outcomes[name] = process.returncode, out, err
    print(json.dumps(outcomes), flush=True)
"""


class Done(NamedTuple):
    """The outcome of a client."""

    status: int
    out: str
    err: str


class Run:
    """A running `jitid run`, and the clients below it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.environment: Mapping[str, str] = json.loads(self._line())

    def clients(self, lines: Mapping[str, list[str]]) -> dict[str, Done]:
        """Run clients at once, and return their outcomes."""
        self.start(lines)
        return self.outcomes()

    def start(self, lines: Mapping[str, list[str]]) -> None:
        """Start clients."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(lines) + "\n")
        self._process.stdin.flush()

    def outcomes(self) -> dict[str, Done]:
        """Wait for the clients that were started."""
        return {name: Done(*outcome) for name, outcome in json.loads(self._line()).items()}

    def end(self) -> tuple[int, str]:
        """End the command; return the exit status and its standard error."""
        _, err = self._process.communicate(timeout=120)
        return self._process.returncode, err

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._process.communicate()[1]
        return line


class Scene(NamedTuple):
    """Everything that answers the clients."""

    shell: Shell
    authority: Served
    vendors: Vendors
    repository: Place
    resource: str
    """The address of the MCP server."""
    database: Postgres
    home: Path
    """The home folder of the clients."""
    packages: Path

    def lines(self) -> dict[str, list[str]]:
        """Return the command of each client."""
        lines = {vendor: [sys.executable, "-c", script] for vendor, script in SDKS.items()}
        git = ["-c", "credential.helper=", "-c", "credential.helper=!jitid helper git"]
        return {
            **lines,
            "claude-code": [agents.claude_code(self.packages), "-p", "hello"],
            "codex": [agents.codex(self.packages), "exec", "--skip-git-repo-check", "hello"],
            "mcp": [sys.executable, "-c", MCP, self.resource],
            "git": [need("git"), *git, "ls-remote", f"{self.repository.address}/x.git", "main"],
            "psql": [program("psql"), "-XAtc", "SELECT what FROM orders"],
        }

    @contextmanager
    def run(self, ttl: int = TTL, more: Mapping[str, str] | None = None) -> Iterator[Run]:
        """Start a run with all vendors, services and the database; it ends with the block."""
        reach = [
            word for place in (self.resource, self.repository.address) for word in ("--may-audience", place)
        ]
        process = subprocess.Popen(
            [
                *command("run", "--task", "T1", "--delegator", "alice", "--ttl", f"{ttl}s", "--scope", SCOPE),
                *(word for vendor in SDKS for word in ("--for", vendor)),
                *reach,
                *("--secret", "db=postgres-role:reader", "--", sys.executable, "-c", PARENT),
            ],
            cwd=self.home / "work",
            env={
                **self.shell.environment,
                **self.vendors.environment,
                "HOME": str(self.home),
                **(more or {}),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield Run(process)
        finally:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of installed agents."""
    return tmp_path_factory.mktemp("agents")


@pytest.fixture
def scene(tmp_path: Path, packages: Path) -> Iterator[Scene]:
    """Serve an authority, the vendors, a repository, an MCP server and a database."""
    for name in MODULES.values():
        module(name)
    port, place = free_port(), free_port()
    issuer, resource = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{place}/mcp"
    (home := tmp_path / "home").mkdir()
    (home / "work").mkdir()
    with roles_server() as database, model_gateway() as gateway:
        (granted,) = TEMPLATES["reader"]["grants"]
        tables = (
            SETTINGS.replace("[federate.openai]", '[federate.openai]\nrule = "fdrl_02"')
            + f'[target.db]\nkind = "postgres-role"\ndsn = "{database.url()}"\n'
            + f'[target.db.template.reader]\ngrants = ["{granted}"]\n'
        )
        shell = configured(tmp_path, (), issuer=issuer, more=tables)
        install_programs(shell, tmp_path)
        shell.environment |= {
            "JITID_CONFIG": str(tmp_path / ".config/jitid/config.toml"),
            "JITID_POLICY": str(permitting_kinds(tmp_path / "rules")),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1",
            "NODE_EXTRA_CA_CERTS": str(tmp_path / "vendors.pem"),
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",
        }
        with (
            serving(tmp_path, "--bind", f"127.0.0.1:{port}", ledger=shell.ledger) as authority,
            vendors(tmp_path, issuer, lambda: authority.ask("GET", "/jwks").json["keys"]) as loopback,
            served(shell, [BASIC], ["Basic"]) as repository,
        ):
            loopback.model = gateway.address
            gate = grant(shell, "system:gate", "verifier", audiences=(resource,))
            with mcp_server(World(issuer, resource, authority, ""), place, gate):
                yield Scene(shell, authority, loopback, repository, resource, database, home, packages)


ANSWERS = {
    "claude-code": "done\n",
    "codex": "done\n",
    "mcp": "{'result': 5}\n",
    "git": "\trefs/heads/main\n",
    "psql": "tea\n",
}
"""The end of the output of a client; an SDK prints nothing."""


def answered(scene: Scene, run: Run) -> None:
    """Assert that each of the ten is answered."""
    lines = scene.lines()
    assert len(lines) == 10
    # The vendor accepts each token of this file once; a fresh one is there within a second after the first client.
    last = lines.pop("anthropic")
    done = run.clients(lines)
    used = scene.vendors.of("anthropic")[-1].text
    path = Path(run.environment["ANTHROPIC_IDENTITY_TOKEN_FILE"])
    until(lambda: path.read_text() != used, "the token was not replaced")
    done |= run.clients({"anthropic": last})
    for name, outcome in done.items():
        assert outcome.status == 0, (name, outcome.err)
        assert outcome.out.endswith(ANSWERS.get(name, "")), (name, outcome)


_JWT = re.compile(rb"\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")


def static_secrets(tree: ProcessTree, scene: Scene, known: Mapping[str, str], folder: Path) -> list[str]:
    """Return the places of all strings that work longer than the run, or that another scanner takes for a secret.

    `known` has the static keys of the shell that started the run. A token of jitid may have the lifetime of the run at
    most; every other token must be from a vendor. The password of the database role is one of jitid's secrets.
    """
    issuer = scene.vendors.issuer
    found = []
    short: set[str] = set(scene.vendors.given)
    for place, text in tree.seen:
        found += [f"{place}: {name}" for name, value in known.items() if value.encode() in text]
        for match in _JWT.findall(text):
            token = match.decode()
            claims = payload(token)
            if claims.get("iss") == issuer and claims["exp"] - claims["iat"] <= TTL:
                short.add(token)
            elif token not in short:
                found.append(f"{place}: a token of {claims.get('iss')}")
    (folder / "seen").mkdir(parents=True)
    names = {}
    for number, (place, text) in enumerate(sorted(tree.seen)):
        names[str(number)] = place
        (folder / "seen" / str(number)).write_bytes(text.replace(b"\0", b"\n"))
    report = ("--no-banner", "-f", "json", "-r", "report.json", "seen")
    scanners.run(folder, scanners.gitleaks(), "dir", *report, statuses=(0, 1))
    for each in json.loads((folder / "report.json").read_text()):
        secret = each["Secret"]
        if not any(secret in token or token in secret for token in short):
            found.append(f"{names[Path(each['File']).name]}: {each['RuleID']}: {secret}")
    return sorted(set(found))


AT_ONCE = ("mcp", "git", "psql")
"""Clients that are refused at once: jitid gives them no further token, or the database has dropped the role."""


def refused(scene: Scene, run: Run) -> None:
    """Assert that none of the ten gets an answer, each for the reason that its server has."""
    lines = scene.lines()
    done = run.clients({name: lines.pop(name) for name in AT_ONCE})
    assert "revoked" in done["mcp"].err, "its helper gets no token"
    assert "revoked" in done["git"].err, "its helper gets no token"
    assert "password authentication failed" in done["psql"].err
    # A vendor does not query the authority. The files have the last tokens, and `run` writes no others.
    files = [Path(run.environment[VENDORS[vendor].token_file]) for vendor in SDKS]
    last = [payload(file.read_text())["exp"] for file in files]
    until(lambda: time.time() > max(last), "the tokens do not expire", TTL + 30.0)
    before = len(scene.vendors.exchanges)
    done |= run.clients(lines)
    exchanges = scene.vendors.exchanges[before:]
    assert {exchange.vendor for exchange in exchanges} == {*SDKS}
    assert {exchange.refusal for exchange in exchanges} == {"Signature has expired"}
    assert len(done) == 10
    assert {name for name, outcome in done.items() if outcome.status == 0} == set(), done


def test_one_revocation_ends_ten_clients_that_had_no_static_secret(scene: Scene, tmp_path: Path) -> None:
    """Services that query the authority refuse at once; vendors refuse the next exchange after the last token's end."""
    known = {name: f"{value}-{secrets.token_hex(8)}" for name, value in STATIC.items()}
    with scene.run(more=known) as run:
        with watched(run.pid, scene.shell.ledger) as tree:
            answered(scene, run)
            tree.add_folder(scene.home)
        assert {"claude", "codex", "git", "jitid"} <= tree.programs
        assert static_secrets(tree, scene, known, tmp_path / "search") == []
        exchanges = scene.vendors.exchanges
        texts = {sight.text for sight in tree.seen}
        read = {exchange.text.encode() for exchange in exchanges if not VENDORS[exchange.vendor].once}
        assert read <= texts, "the search has read the files of the tokens"
        identity = run.environment["JITID_ID"]
        actors = {exchange.claims["act"]["sub"].rpartition("/")[2] for exchange in exchanges}
        assert actors == {identity}
        helper = ["jitid", "helper", "headers", "--audience", scene.resource]
        headers = json.loads(run.clients({"kept": helper})["kept"].out)
        shown = scene.repository.shown[-1][1]
        http = module("httpx")
        assert http.post(scene.resource, json={}, headers=headers).status_code != 401
        scene.shell.good("revoke", identity)
        # The earlier tokens are refused, too.
        assert http.post(scene.resource, json={}, headers=headers).status_code == 401
        assert not is_for(scene.shell, shown, scene.repository.address)
        refused(scene, run)
        assert run.end()[0] == 0


@pytest.mark.parametrize(("vendor", "ttl"), [("anthropic", 300), ("aws", 30)])
def test_a_slow_exchange_is_accepted_although_the_file_has_a_successor(
    scene: Scene, vendor: str, ttl: int
) -> None:
    """When the vendor verifies the presented token, seconds later, it is neither revoked nor expired."""
    scene.vendors.fault[vendor] = "slow"
    with scene.run(ttl) as run:
        path = Path(run.environment[VENDORS[vendor].token_file])
        run.start({vendor: scene.lines()[vendor]})
        presented = scene.vendors.held.get(timeout=60)
        # One is replaced since it was read, the other when a third of its lifetime is left.
        until(lambda: path.read_text() != presented, "the token was not replaced")
        assert is_for(scene.shell, presented, scene.vendors.rules[vendor].audience)
        scene.vendors.answer.set()
        done = run.outcomes()[vendor]
        assert done.status == 0, done.err
    (exchange,) = scene.vendors.of(vendor)
    assert (exchange.text, exchange.refusal) == (presented, None)
    assert len(scene.vendors.calls) == 1


def test_the_search_finds_static_secrets_where_they_are(scene: Scene, tmp_path: Path) -> None:
    """In an environment, on a command line, in an open file and in a home folder."""
    known = {name: secrets.token_hex(16) for name in ("variable", "argument", "file", "home")}
    foreign = jwt.encode({"iss": "https://other.example"}, secrets.token_bytes(32), "HS256")
    key = f"sk-ant-api03-{secrets.token_hex(46)}x"[:106] + "AA"
    opened, end = tmp_path / "opened", tmp_path / "end"
    opened.write_text(known["file"])
    os.mkfifo(end)
    (scene.home / "settings").write_text(f"{known['home']} {foreign}\nANTHROPIC_API_KEY={key}\n")
    script = 'exec 3< "$0"; read -r line < "$1"'
    with scene.run() as run, watched(run.pid, scene.shell.ledger) as tree:
        held = ["sh", "-c", script, str(opened), str(end), known["argument"]]
        run.start({"holder": ["env", f"SERVICE_KEY={known['variable']}", *held]})
        until(
            lambda: any(sight.text == known["file"].encode() for sight in tree.seen.copy()),
            "the file is not seen",
        )
        end.write_text("end\n")
        assert run.outcomes()["holder"].status == 0
        tree.add_folder(scene.home)
    found = static_secrets(tree, scene, known, tmp_path / "search")
    settings = scene.home / "settings"
    shown = {"sh: cmdline: argument", "sh: environ: variable", f"sh: {opened}: file", f"{settings}: home"}
    assert {*shown, f"{settings}: a token of https://other.example"} <= set(found)
    assert any(place.startswith(f"{settings}: ") and place.endswith(key) for place in found)
