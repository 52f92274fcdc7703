"""Each example of `jitid example` works: scripts run, Prometheus checks the rules, the verifier verifies."""

from __future__ import annotations

import functools
import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jitid.cli.help_text import EXAMPLES
from jitid.cli.setup.example import FOLDER
from jitid.errors import ExitStatus
from tests.readme import TEXT as README
from tests.real import Shell, need, surroundings

API = "https://api.example"


def test_every_example_is_listed() -> None:
    assert sorted(EXAMPLES) == sorted(path.name for path in Path(FOLDER).iterdir() if path.is_file())


def test_the_readme_leads_to_the_examples_for_ci() -> None:
    assert re.search(r"`jitid example` .*GitHub Action.*GitLab", README)


class _Requests(http.server.BaseHTTPRequestHandler):
    """A webhook that keeps the posted bodies."""

    posted: list[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.append((self.headers.get("Authorization"), json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _serving(handler: Any) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with the program `jitid` in its folder `bin`."""
    shell = Shell(tmp_path)
    program = tmp_path / "bin" / "jitid"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m jitid --ledger "{shell.ledger}" "$@"\n')
    program.chmod(0o755)
    return shell


def _run(shell: Shell, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = surroundings(shell.home)
    environment["PATH"] = f"{shell.home / 'bin'}:/usr/bin:/bin"
    return subprocess.run(
        ["/bin/sh", str(Path(FOLDER, name)), *arguments],
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )


def _leaked(shell: Shell, tmp_path: Path) -> None:
    token = shell.good("issue", "--task", "INC-1", "--delegator", "alice")
    shell.good("leak", "add", "--source", "a paste", stdin=token)
    assert shell.run("sweep").returncode == 10


def _webhook(tmp_path: Path, url: str) -> str:
    config = tmp_path / "hook.curl"
    config.write_text(f'url = "{url}"\nheader = "Authorization: Bearer hush"\n')
    return str(config)


@pytest.mark.parametrize("name", ["slack.sh", "webhook.sh"])
def test_a_webhook_gets_the_findings(name: str, shell: Shell, tmp_path: Path) -> None:
    need("jq")
    need("curl")
    posted: list[Any] = []
    handler = type("Hook", (_Requests,), {"posted": posted})
    with _serving(handler) as url:
        shell.good("issue", "--task", "INC-0", "--delegator", "alice")
        clean = _run(shell, name, _webhook(tmp_path, url))
        assert (clean.returncode, clean.stdout, posted) == (0, "", [])
        _leaked(shell, tmp_path)
        done = _run(shell, name, _webhook(tmp_path, url))
    assert (done.returncode, done.stdout, done.stderr) == (10, "", "")
    assert {authorization for authorization, _ in posted} == {"Bearer hush"}
    bodies = [body for _, body in posted]
    if name == "slack.sh":
        (message,) = bodies
        assert message["text"].startswith("jitid: 1 open finding\n*critical* leaked-live: ")
        assert "`jitid " in message["text"]
    else:
        assert {body["rule"] for body in bodies} >= {"leaked-live"}
        assert all(body["host"] for body in bodies)


@pytest.mark.parametrize("name", ["slack.sh", "webhook.sh"])
def test_a_webhook_that_is_down_is_an_error(name: str, shell: Shell, tmp_path: Path) -> None:
    need("jq")
    need("curl")
    _leaked(shell, tmp_path)
    done = _run(shell, name, _webhook(tmp_path, "http://127.0.0.1:9/"))
    assert done.returncode == ExitStatus.STORAGE
    assert "curl" in done.stderr
    assert f"{name}: " in done.stderr


def test_prometheus_accepts_the_alert_rules() -> None:
    rules = str(Path(FOLDER, "prometheus-rules.yml"))
    done = subprocess.run(
        [need("promtool"), "check", "rules", rules], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_alert_rules_are_about_figures_that_jitid_writes(shell: Shell) -> None:
    shell.good("issue", "--task", "INC-1", "--delegator", "alice")
    figures = shell.good("sweep", "--format", "prometheus") + shell.good("report", "--format", "prometheus")
    names = set(re.findall(r"^(jitid_\w+)", figures, re.MULTILINE))
    rules = Path(FOLDER, "prometheus-rules.yml").read_text()
    used = {name for line in rules.splitlines() if "expr:" in line for name in re.findall(r"jitid_\w+", line)}
    assert used
    assert used <= names
    for label in set(re.findall(r'rule="([a-z-]+)"', rules)):
        assert f'rule="{label}"' in figures


def test_the_verifier_accepts_service_tokens_with_the_scope_alone(shell: Shell, tmp_path: Path) -> None:
    shell.permit_kinds()
    options = ("--task", "INC-1", "--delegator", "alice")
    service = ("--audience", API, "--scope", "repo:read:acme")
    tokens = {
        "good": shell.good("issue", *options, *service),
        "identity": shell.good("issue", *options, "--scope", "repo:read:acme"),
        "elsewhere": shell.good(
            "issue", *options, "--audience", "https://b.example", "--scope", "repo:read:acme"
        ),
        "other scope": shell.good("issue", *options, "--audience", API, "--scope", "repo:write:acme"),
    }
    public = tmp_path / "public"
    public.mkdir()
    shell.good("publish", str(public))
    (issuer,) = {json.loads(shell.good("inspect", "--json", stdin=tokens["good"]))["iss"]}
    with _serving(functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(public))) as url:
        text = Path(FOLDER, "verifier.py").read_text()
        text = re.sub(r"^ISSUER = .*$", f'ISSUER = "{issuer}"', text, flags=re.MULTILINE)
        text = re.sub(r"^KEYS = .*$", f'KEYS = "{url}/jwks.json"', text, flags=re.MULTILINE)
        program = tmp_path / "verifier.py"
        program.write_text(text)
        answers = {
            name: subprocess.run(
                [sys.executable, "-I", str(program)], input=token, text=True, capture_output=True, check=False
            )
            for name, token in {**tokens, "cut": tokens["good"][:-9] + "\n"}.items()
        }
    assert answers["good"].returncode == 0, answers["good"].stderr
    assert answers["good"].stdout.startswith("user:alice by spiffe://")
    assert "task INC-1" in answers["good"].stdout
    for name, reason in {
        "identity": "not an access token for services",
        "elsewhere": "InvalidAudienceError",
        "other scope": "lacks the scope",
        "cut": "Error",
    }.items():
        assert answers[name].returncode == 1
        assert reason in answers[name].stderr, name


def test_the_systemd_script_writes_valid_units(shell: Shell, tmp_path: Path) -> None:
    shell.good("issue", "--task", "INC-1", "--delegator", "alice")
    units = tmp_path / "units"
    units.mkdir()
    done = _run(shell, "systemd.sh", str(units), str(shell.ledger))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in units.iterdir()) == [
        "jitid-sweep.service",
        "jitid-sweep.timer",
        "jitid.service",
    ]
    assert " serve " in (units / "jitid.service").read_text()
    assert " sweep" in (units / "jitid-sweep.service").read_text()


def test_the_container_file_installs_extras_that_there_are() -> None:
    project = Path(FOLDER, "..", "..", "..", "pyproject.toml").read_text()
    (extras,) = re.findall(r"/src\[([\w,]+)\]", Path(FOLDER, "Containerfile").read_text())
    assert all(f"\n{extra} = [" in project for extra in extras.split(","))
