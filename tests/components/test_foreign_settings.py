"""The settings of a project for a client's hooks and helpers: it makes them stricter, and chooses no name."""

from __future__ import annotations

import json
import re
import shlex
from base64 import urlsafe_b64decode
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from jitid.capabilities.issue.request_options import RequestOptions
from jitid.cli.helper import commands
from jitid.config.settings import SETTINGS
from jitid.model.request import IssueRequest
from jitid.operation.base import Verb
from tests.cli.approving import Approving
from tests.client_process import client_process
from tests.real import Shell, command

LLM = "https://llm.example"
ID = "e5352525-52af-4ad5-ba67-a954d9481ebe"
START = {"hook_event_name": "SessionStart", "session_id": ID, "source": "startup"}
SUBAGENT = {"hook_event_name": "SubagentStart", "session_id": ID, "agent_id": "a1", "agent_type": "reviewer"}
HELPERS = {
    "token": (("token", "--audience", LLM), ""),
    "headers": (("headers", "--audience", LLM), ""),
    "git": (("git", "get"), "protocol=https\nhost=llm.example\n\n"),
    "docker": (("docker", "get"), "llm.example\n"),
    "kube": (("kube", "--audience", LLM), ""),
}
"""The helpers that give tokens, with their input. The others take the same way to a credential (`obtain`)."""
RIGHTS = ("--may-audience", "https://*.example", "--scope", "a:b")
WORK = ("--task", "WORK", "--delegator", "alice")
FOREIGN = {
    "task": ("FIRST",),
    "agent": ("deployer",),
    "purpose": ("deploys",),
    "sensitivity": ("low",),
    "ttl": ("1h", "60s"),
    "task_deadline": ("30d", "5m"),
    "format": ("json",),
    "color": ("always",),
}
"""Values for each setting that a project's file may have, laxer ones first."""
STRICTER = {("ttl", "60s"), ("task_deadline", "5m")}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell whose ledger has an open task of the user, and the agent of another person."""
    return _made(tmp_path)


def _made(home: Path) -> Shell:
    made = Shell(home)
    id_ = json.loads(made.good("issue", "--task", "FIRST", "--delegator", "alice", "--json"))["id"]
    made.good("revoke", id_)
    for person in ("user:alice", "user:bob"):
        made.good("delegator", "add", person)
    words = ("--owner", "user:bob", "--purpose", "deploys", "--audience", LLM)
    made.good("agent", "register", "deployer", *words)
    return made


def _claims(text: str) -> dict[str, Any]:
    """Return the claims of the token in the output of a helper that are equal for two equal lines."""
    (token,) = set(re.findall(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", text))
    part = token.split(".")[1]
    claims = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    # A token of a session ends with the token of its identity, some seconds earlier. In units of five minutes.
    claims["life"] = -(-(claims["exp"] - claims["iat"]) // 300)
    claims["txn"] = re.sub("[0-9a-f]{8}$", "", claims["txn"])
    return {name: claims[name] for name in ("client_id", "sub", "txn", "scope", "aud", "life", "jitid")}


def _given(shell: Shell, without: str | None = None, **variables: str) -> dict[str, Any]:
    """Return the identities and the tokens of a client's hooks and helpers, in a session and outside of one."""
    given: dict[str, Any] = {}
    with client_process(shell) as client, client_process(shell, "other") as other:
        for event, options in ((START, RIGHTS), (SUBAGENT, ())):
            done = client.hook("start", event, *options, **variables)
            assert (done.status, done.out) == (0, ""), done.err
        for row in json.loads(shell.good("list", "--live", "--json"))["items"]:
            if row["task"].startswith("session/"):
                fields = ("agent", "delegator", "scopes", "purpose", "sensitivity")
                given[f"identity {row['depth']}"] = {name: row[name] for name in fields}
        for name, (words, text) in HELPERS.items():
            if name == without:
                continue
            given[name] = _claims(client.good("helper", *words, stdin=text, **variables))
            given[f"{name} alone"] = _claims(other.good("helper", *words, *WORK, stdin=text, **variables))
        end = {**START, "hook_event_name": "SessionEnd"}
        assert client.hook("stop", end, **variables).status == 0
    task = json.loads(shell.good("task", "show", "WORK", "--json"))
    opened, deadline = (datetime.fromisoformat(task[name]) for name in ("opened_at", "deadline"))
    given["task"] = {"purpose": task["purpose"], "deadline": (deadline - opened).total_seconds()}
    return given


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the identities and the tokens without a project."""
    return _given(_made(tmp_path_factory.mktemp("usual")))


def test_every_setting_of_a_project_has_a_row() -> None:
    """A new one must be judged here too."""
    assert FOREIGN.keys() == {name for name, setting in SETTINGS.items() if setting.project != "no"}


def test_every_hook_and_helper_is_unattended() -> None:
    """A new one must say so, and take no variable for the agent."""
    verbs = [verb for verb in vars(commands).values() if isinstance(verb, type) and issubclass(verb, Verb)]
    for verb in verbs:
        if verb.verb:
            assert verb.verb.startswith("helper ")
            assert verb.unattended
            assert "agent" not in verb.fields or verb.fields["agent"].env is None
            if verb.verb not in ("helper docker", "helper ssh", "helper pgpass"):
                assert {field.env for field in verb.fields.values()} <= {None, "JITID_PARENT_FILE"}
    assert len(verbs) > 10


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in FOREIGN for value in FOREIGN[name]])
def test_the_file_of_a_project_only_makes_hooks_and_helpers_stricter(
    shell: Shell, usual: dict[str, Any], name: str, value: str
) -> None:
    """Each setting that it may have, in each hook and helper: no name, no task, no purpose, no form of output."""
    (shell.home / ".jitid.toml").write_text(f"{name} = {json.dumps(value)}\n")
    given = _given(shell)
    if (name, value) not in STRICTER:
        assert given == usual
        return
    assert given != usual
    for each, found in given.items():
        for member, before in _flat(usual[each]).items():
            after = _flat(found)[member]
            if member in ("life", "deadline"):
                assert after <= before
            else:
                assert after == before


def test_the_file_of_a_project_makes_a_session_more_sensitive(shell: Shell) -> None:
    """The policy then refuses it, as any other."""
    (shell.home / ".jitid.toml").write_text('sensitivity = "high"\n')
    with client_process(shell) as client:
        done = client.hook("start", START, *RIGHTS)
        assert (done.status, "sensitivity high" in done.err) == (4, True)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    return {**values, **values.get("jitid", {}), "jitid": None}


@pytest.mark.parametrize("way", ["JITID_AGENT", "JITID_CONFIG", "JITID_PROFILE", "XDG_CONFIG_HOME"])
def test_no_variable_names_the_agent_of_a_hook_or_a_helper(
    shell: Shell, usual: dict[str, Any], way: str
) -> None:
    """A project's settings have variables for the commands of a client."""
    folder = shell.home / ("elsewhere" if way == "XDG_CONFIG_HOME" else ".config") / "jitid"
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in {
        "config.toml": 'agent = "deployer"\n'
        if way == "XDG_CONFIG_HOME"
        else '[profile.x]\nagent = "deployer"\n',
        "other.toml": 'agent = "deployer"\n',
    }.items():
        (folder / file).write_text(text)
        (folder / file).chmod(0o600)
    values = {
        "JITID_AGENT": "deployer",
        "JITID_CONFIG": str(folder / "other.toml"),
        "JITID_PROFILE": "x",
        "XDG_CONFIG_HOME": str(shell.home / "elsewhere"),
    }
    assert _given(shell, **{way: values[way]}) == usual


STATED = {
    "JITID_TASK": "FIRST",
    "JITID_DELEGATOR": "alice",
    "JITID_SCOPE": "a:b prod:deploy",
    "JITID_TTL": "8h",
    "JITID_SENSITIVITY": "low",
    "JITID_PURPOSE": "deploys",
    "JITID_TASK_DEADLINE": "30d",
    "JITID_KIND": "opaque",
    "JITID_AUDIENCE": "https://evil.example",
    "JITID_MAY_AUDIENCE": "https://evil.example",
    "JITID_MAY_KIND": "opaque",
    "JITID_DELEGATOR_TOKEN_FILE": "mallory.jwt",
}
"""A variable for each option and each setting that states a part of a request."""


@pytest.mark.parametrize("name", STATED)
def test_no_variable_states_a_part_of_the_request_of_a_hook_or_a_helper(
    shell: Shell, usual: dict[str, Any], name: str
) -> None:
    """`setup` writes them: their lines state it. The line of docker has no options."""
    given = _given(shell, "docker", **{name: STATED[name]})
    assert given == {each: value for each, value in usual.items() if not each.startswith("docker")}


@pytest.mark.parametrize("way", ["JITID_CONFIG", "JITID_PROFILE"])
def test_no_variable_names_a_file_with_parts_of_the_request(
    shell: Shell, usual: dict[str, Any], way: str
) -> None:
    """The file or the profile that a project's variable selects has no task, and no laxer limits."""
    folder = shell.home / ".config" / "jitid"
    folder.mkdir(parents=True)
    stated = (
        'task = "FIRST"\npurpose = "deploys"\nsensitivity = "low"\nttl = "8h"\ntask_deadline = "30d"\n'
        'audience = ["https://evil.example"]\n'
    )
    for file, text in (("config.toml", f"[profile.x]\n{stated}"), ("other.toml", stated)):
        (folder / file).write_text(text)
        (folder / file).chmod(0o600)
    assert (
        _given(shell, **{way: {"JITID_CONFIG": str(folder / "other.toml"), "JITID_PROFILE": "x"}[way]})
        == usual
    )


def test_the_line_and_the_file_of_its_option_state_the_request(shell: Shell) -> None:
    """The author of the line chose both; the variables of a project replace neither."""
    file = shell.home / "own.toml"
    file.write_text('task = "OWN"\nttl = "5m"\n')
    file.chmod(0o600)
    own = ("--config", str(file))
    with client_process(shell) as client:
        assert client.hook("start", START, *RIGHTS, *own, **STATED).status == 0
        claims = _claims(client.good("helper", "token", "--audience", LLM, *own, **STATED))
        assert (claims["txn"], claims["life"], claims["scope"]) == ("OWN", 1, "a:b")
    with client_process(shell) as client:
        words = ("--task", "LINE", "--delegator", "bob", "--ttl", "9m")
        assert client.hook("start", START, *RIGHTS, *words, **STATED).status == 0
        claims = _claims(client.good("helper", "token", "--audience", LLM, *words[:4], **STATED))
        assert (claims["txn"], claims["sub"], claims["life"]) == ("LINE", "user:bob", 2)


def test_the_file_of_an_option_names_the_agent(shell: Shell) -> None:
    """The author of the line chose the file."""
    file = shell.home / "own.toml"
    file.write_text('agent = "coder"\n')
    file.chmod(0o600)
    with client_process(shell) as client:
        token = client.good("helper", "token", "--audience", LLM, "--config", str(file), *RIGHTS)
        assert _claims(token)["client_id"] == "coder"


def test_an_event_states_no_part_of_a_request(shell: Shell, usual: dict[str, Any]) -> None:
    """Members with the names of options, and of fields of a request, have no effect."""
    names = (*RequestOptions.fields, *IssueRequest.__annotations__)
    more = {name: "FIRST" if name == "task" else "deployer" for name in names}
    with client_process(shell) as client:
        for event, options in ((START, RIGHTS), (SUBAGENT, ())):
            assert client.hook("start", {**more, **event}, *options).status == 0
        rows = json.loads(shell.good("list", "--live", "--json"))["items"]
        for row in rows:
            if row["agent"].startswith("claude-code"):
                before = usual[f"identity {row['depth']}"]
                assert {name: row[name] for name in before} == before
                assert row["task"].startswith("session/")
        assert len(rows) == 2


def test_no_other_file_of_configuration_names_the_service_of_a_token(shell: Shell) -> None:
    """A project's variable selects the file; that of the option, and the user's own, count."""
    file = shell.home / "other.toml"
    file.write_text('audience = ["https://evil.example"]\n')
    file.chmod(0o600)
    with client_process(shell) as client:
        assert client.hook("start", START, "--may-audience", "https://*.example").status == 0
        done = client.run("helper", "token", JITID_CONFIG=str(file))
        assert (done.status, "an audience is required" in done.err) == (2, True)
        assert _claims(client.good("helper", "token", "--config", str(file)))["aud"] == "https://evil.example"


def test_the_line_and_no_variable_names_the_id_token_of_the_delegator(tmp_path: Path) -> None:
    """A project could otherwise make its author the delegator of a session."""
    shell = Approving(tmp_path)
    (mallory, bob) = (shell.id_token(who) for who in ("mallory", "bob"))
    line = ("helper", "token", "--audience", LLM)
    with client_process(shell) as client:
        assert client.hook("start", START, *RIGHTS, JITID_DELEGATOR_TOKEN_FILE=mallory).status == 0
        own = _claims(client.good(*line, JITID_DELEGATOR_TOKEN_FILE=mallory))["sub"]
        assert own not in ("user:mallory", "user:bob")
    with client_process(shell) as client:
        stated = ("--delegator-token-file", Path(bob).name)
        assert client.hook("start", START, *RIGHTS, *stated, JITID_DELEGATOR_TOKEN_FILE=mallory).status == 0
        assert _claims(client.good(*line))["sub"] == "user:bob"
    with client_process(shell, "other") as other:
        for words in ((*line, "--delegator-token-file", bob), ("helper", "docker", "get")):
            done = other.run(*words, "--task", "T0", stdin="llm.example\n", JITID_DELEGATOR_TOKEN_FILE=bob)
            assert _claims(done.out)["sub"] == "user:bob", done.err


def test_a_hook_cannot_read_the_id_token_from_its_input(shell: Shell) -> None:
    """The client's event is there, and a later request reads the file again."""
    with client_process(shell) as client:
        done = client.hook("start", START, "--delegator-token-file", "-")
        assert (done.status, "--delegator-token-file FILE" in done.err) == (125, True)


@pytest.mark.parametrize("way", ["JITID_POLICY", "JITID_CONFIG"])
def test_no_variable_replaces_the_policy_of_the_ledger_in_the_line(shell: Shell, way: str) -> None:
    """A project could otherwise permit everything; where the variables name the ledger, too, they count."""
    lax = shell.home / "lax"
    lax.mkdir()
    (lax / "any.cedar").write_text('@id("any") @max_ttl("90d") permit (principal, action, resource);\n')
    (shell.home / "other.toml").write_text(f'policy = "{lax}"\n')
    (shell.ledger / "policy" / "no.cedar").write_text(
        '@id("no-prod") forbid (principal, action == Action::"grant", resource) when { context.scope like "prod*" };\n'
    )
    foreign = {way: str(lax) if way == "JITID_POLICY" else str(shell.home / "other.toml")}
    wide = ("--may-audience", LLM, "--scope", "prod:deploy")
    with client_process(shell) as client:
        done = client.hook("start", START, *wide, "--ledger", str(shell.ledger), **foreign)
        assert (done.status, "no-prod" in done.err) == (4, True), done.err
        assert "`policy` has no effect" in done.err
        done = client.hook("start", START, *wide, **foreign)
        assert (done.status, done.err) == (0, "")


def test_no_variable_names_the_issuer_of_a_new_ledger(tmp_path: Path) -> None:
    """The line names the ledger, and the trusted files all that belongs to it."""
    shell = Shell(tmp_path)
    foreign = {"JITID_ISSUER": "https://evil.example", "JITID_TRUST_DOMAIN": "evil.example"}
    with client_process(shell) as client:
        assert client.hook("start", START, "--ledger", str(shell.ledger), **foreign).status == 0
    assert "evil" not in shell.good("ledger", "issuer", "show") + shell.good("list", "--live", "--json")


def test_no_variable_of_a_project_names_the_parent(shell: Shell) -> None:
    """Only `jitid run` does, for the client itself or below it, and the client in the commands of its session."""
    file = str(shell.home / "mallory.tok")
    shell.good("issue", "--task", "FIRST", "--delegator", "mallory", *RIGHTS, "--out", file)
    line = ("helper", "token", "--audience", LLM)
    for start in (True, False):
        with client_process(shell) as client:
            if start:
                assert client.hook("start", START, *RIGHTS, JITID_PARENT_FILE=file).status == 0
            done = client.run(*line, JITID_PARENT_FILE=file)
            assert (done.status, "JITID_PARENT_FILE has no effect" in done.err) == (0, True), done.err
            assert _claims(done.out)["sub"] != "user:mallory"
            words = ("helper", "git", "get", "--task", "WORK", "--delegator", "alice")
            git = client.run(*words, stdin=HELPERS["git"][1], JITID_PARENT_FILE=file)
            assert _claims(git.out)["sub"] == "user:alice", git.err
    with client_process(shell, more={"JITID_PARENT_FILE": file}) as client:
        assert _claims(client.good(*line))["sub"] == "user:mallory"
    with client_process(shell) as client:
        assert client.hook("start", START, *RIGHTS).status == 0
        inside = shlex.join(command("helper", "git", "get", "--audience", LLM))
        script = f"printf 'protocol=https\\nhost=llm.example\\n\\n' | {inside}"
        work = ("--task", "RUN", "--delegator", "bob", "--may-audience", LLM)
        assert _claims(client.good("run", *work, "--", "sh", "-c", script))["sub"] == "user:bob"
