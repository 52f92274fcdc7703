"""`jitid setup`: the diff, the question, the way back, and the credentials that bypass jitid."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from jitid.capabilities.setup.client_list import CLIENTS as CLIENT_SETUPS
from jitid.cli.setup.commands import SetupCommand
from tests.cli.test_terminal import Terminal
from tests.components.helping import shell_with_programs
from tests.real import Shell, module, need

GATEWAY = "http://127.0.0.1:9"
CLIENTS = [
    "claude-code",
    "codex",
    "opencode",
    "gemini",
    "copilot",
    "cursor",
    "vscode",
    "mcp",
    "git",
    "gh",
    "aws",
    "kube",
]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Return a shell with `jitid` in PATH."""
    made = shell_with_programs(tmp_path)
    made.environment["SHELL"] = "/bin/sh"
    return made


def settings(shell: Shell) -> Path:
    return shell.home / ".claude/settings.json"


def rows(shell: Shell, *words: str) -> list[dict[str, object]]:
    done = shell.run("setup", *words, "--json")
    items: list[dict[str, object]] = json.loads(done.stdout)["items"]
    return items


def test_without_a_client_all_clients_are_listed_with_their_state(shell: Shell) -> None:
    assert [row["client"] for row in rows(shell)] == CLIENTS
    assert {row["state"] for row in rows(shell)} == {"absent"}
    shell.good("setup", "claude-code")
    assert rows(shell)[0] == {
        "client": "claude-code",
        "state": "in-force",
        "installed": False,
        "path": str(settings(shell)),
    }
    settings(shell).write_text(settings(shell).read_text().replace("SessionStart", "Stop"))
    assert rows(shell)[0]["state"] == "edited"
    settings(shell).write_text("{")
    assert rows(shell)[0]["state"] == "unreadable"


def test_in_a_pipe_it_writes_and_prints_the_diff(shell: Shell) -> None:
    settings(shell).parent.mkdir()
    settings(shell).write_text('{\n  "model": "m"\n}\n')
    done = shell.run("setup", "claude-code", "--gateway", GATEWAY)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"--- {settings(shell)}", f"+++ {settings(shell)}"]
    assert f'+  "apiKeyHelper": "{shell.home}/bin/jitid --ledger ' in done.stdout
    assert "-  " not in done.stdout.replace('-  "model": "****"', "")
    assert f"note: wrote {settings(shell)}\n" in done.stderr
    again = shell.run("setup", "claude-code", "--gateway", GATEWAY)
    assert (again.returncode, again.stdout) == (0, "")
    assert "note: wrote" not in again.stderr
    assert "claude-code: nothing to change" in again.stderr


def test_a_quiet_line_writes_without_a_word(shell: Shell) -> None:
    assert shell.run("-q", "setup", "claude-code").stderr == ""
    assert settings(shell).exists()
    assert shell.run("-q", "setup", "claude-code", "--undo").stderr == ""
    assert not settings(shell).exists()
    shell.good("setup", "claude-code")
    assert f"note: deleted {settings(shell)}\n" in shell.run("setup", "claude-code", "--undo").stderr


def test_a_second_setup_names_what_it_removes(shell: Shell) -> None:
    """At a terminal before the question."""
    servers = ("--mcp", "docs=https://mcp.example/mcp", "--mcp", "more=https://mcp.example/mcp")
    first = shell.run("setup", "codex", "--gateway", GATEWAY, *servers)
    assert "removed" not in first.stderr
    path = shell.home / ".codex/config.toml"
    fewer = ("setup", "codex", *servers[:2])
    removed = f"removed from {path}: model_provider, model_providers.jitid, mcp_servers.more; "
    assert removed in shell.run(*fewer, "--dry-run").stderr
    terminal = Terminal(shell, *fewer, columns=300)
    terminal.until("? [y/N]")
    assert removed in terminal.shown
    terminal.type("n")
    terminal.end()
    assert removed in shell.run(*fewer).stderr
    assert "removed" not in shell.run("setup", "codex", "--mcp", "docs=https://mcp.example/new").stderr
    assert "removed" not in shell.run("setup", "codex", "--undo").stderr


def test_a_template_that_no_target_has_is_noted(shell: Shell) -> None:
    line = ("setup", "aws", "--template", "deploy")
    missing = "there is no template `deploy` yet: "
    assert f"{missing}the configuration has no target for credentials of the kind `aws-sts`" in " ".join(
        shell.run(*line).stderr.split()
    )
    path = shell.home / ".config/jitid/config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    target = '[target.aws]\nkind = "aws-sts"\nregion = "eu-central-1"\n[target.aws.template.NAME]\n'
    role = 'role_arn = "arn:aws:iam::123456789012:role/x"\n'
    path.write_text(target.replace("NAME", "other") + role)
    assert f"{missing}no target of the kind `aws-sts` has a template `deploy`" in shell.run(*line).stderr
    path.write_text(target.replace("NAME", "deploy") + role)
    assert "there is no template" not in shell.run(*line).stderr


def test_check_names_the_next_step_for_a_setup_that_somebody_edited(shell: Shell) -> None:
    shell.good("setup", "claude-code")
    settings(shell).write_text("{}")
    done = shell.run("setup", "claude-code", "--check", "--json")
    about = json.loads(done.stdout)["items"][0]["about"]
    assert about == "entries of jitid were changed or removed; set the client up again"


def test_a_dry_run_changes_nothing(shell: Shell) -> None:
    done = shell.run("setup", "claude-code", "--dry-run")
    assert done.stdout.startswith(f"--- /dev/null\n+++ {settings(shell)}\n")
    assert "note: wrote" not in done.stderr
    assert not settings(shell).parent.exists()
    assert not (shell.home / ".local/state/jitid/setup").exists()


def test_a_terminal_asks_and_any_answer_but_yes_changes_nothing(shell: Shell) -> None:
    for answer, status in (("n", 2), ("", 2), ("y", 0)):
        terminal = Terminal(shell, "setup", "claude-code", columns=200)
        terminal.until(f"write `{settings(shell)}`? [y/N]")
        assert not settings(shell).exists()
        terminal.type(answer)
        done, shown = terminal.end()
        assert done == status, shown
        assert ("nothing was changed" in shown) == bool(status)
        assert "\x1b[32m+" in terminal.shown, "added lines are green"
        assert settings(shell).exists() == (not status)
        assert (f"note: wrote {settings(shell)}" in shown) == (not status)
    terminal = Terminal(shell, "setup", "claude-code", "--undo", columns=200)
    terminal.until(f"delete `{settings(shell)}`? [y/N]")
    terminal.type("y")
    done, shown = terminal.end()
    assert done == 0
    assert f"note: deleted {settings(shell)}" in shown
    assert not settings(shell).exists()


def test_the_question_comes_after_a_pager_with_the_whole_diff(shell: Shell) -> None:
    """An interrupt at the question ends the command, although one in the pager does not."""
    for key, status in (("y\n", 0), ("\x03", 130)):
        more = {"PAGER": "sed 's/^/paged: /'"}
        terminal = Terminal(shell, "setup", "claude-code", columns=200, own_session=True, more=more)
        terminal.until("? [y/N]")
        lines = terminal.shown.splitlines()
        assert len([line for line in lines if line.startswith("paged: ")]) > 24
        assert "write `" in lines[-1]
        terminal.type(key, end="")
        assert terminal.end()[0] == status
        assert settings(shell).exists() == (status == 0)
        shell.run("setup", "claude-code", "--undo")


def test_a_file_that_changes_while_a_user_reads_the_diff_is_not_written(shell: Shell) -> None:
    terminal = Terminal(shell, "setup", "claude-code", columns=200)
    terminal.until("? [y/N]")
    settings(shell).parent.mkdir()
    settings(shell).write_text('{"mine": 1}')
    terminal.type("y")
    done, shown = terminal.end()
    assert done == 5
    assert "a file changed since the diff was shown" in shown
    assert settings(shell).read_text() == '{"mine": 1}'


def test_setups_at_once_wait_for_one_another(shell: Shell) -> None:
    """Each replaces the entries of the one before; the way back is to the first text."""
    settings(shell).parent.mkdir()
    settings(shell).write_text('{\n    "a": 1, // mine\n}')
    running = [
        shell.start("setup", "claude-code", "--gateway", f"http://127.0.0.1:{port}") for port in range(1, 9)
    ]
    for process in running:
        process.communicate(timeout=120)
        assert process.returncode == 0
    text = settings(shell).read_text()
    assert text.count("helper token") == 1
    assert text.count("SubagentStop") == 1
    shell.good("setup", "claude-code", "--undo")
    assert settings(shell).read_text() == '{\n    "a": 1, // mine\n}'


HOSTILE = "\x1b]0;pwned\x07\u202e[bold]"


def test_the_diff_shows_no_secret_and_no_control_character(shell: Shell) -> None:
    path = shell.home / ".cursor/mcp.json"
    path.parent.mkdir()
    secrets = {
        "API_TOKEN": "hunter2hunter2",
        "Authorization": "Bearer abcdefghijkl",
        "password": 'p\\"q',
        "X": "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "url": "postgres://u:pass1word@h/db",
    }
    text = json.dumps({"mcpServers": {"a": {"env": secrets}}}, indent=2)
    path.write_text(text.replace("    }\n", f"    }} // {HOSTILE}\n").replace('"X"', '"X\u202e"'))
    done = shell.run("setup", "cursor", "--dry-run")
    assert done.returncode == 0
    for part in ("hunter2", "abcdefghijkl", "ghp_0", "pass1word", '\\"q', "\x1b", "\u202e", "\x07"):
        assert part not in done.stdout
    assert '"X\\u202e": "****"' in done.stdout
    path.write_text(json.dumps({"mcpServers": {"a": {"env": {**secrets, "z": "y" * 400}}}}))
    done = shell.run("setup", "cursor", "--dry-run", "--json")
    for part in ("hunter2", "abcdefghijkl", "ghp_0", "pass1word", '\\"q'):
        assert part not in done.stdout
    assert len(done.stdout) < 2_000


def test_the_output_as_data_has_a_row_for_each_file(shell: Shell) -> None:
    words = ("setup", "claude-code", "--mcp", "docs=https://mcp.example/mcp", "--json")
    document = json.loads(shell.good(*words))
    assert document["schema"] == "jitid.setup/1"
    assert [(row["state"], row["path"]) for row in document["files"]] == [
        ("created", str(settings(shell))),
        ("created", str(shell.home / ".claude.json")),
    ]
    undone = shell.good("setup", "claude-code", "--undo", "--field", "state", "--field", "path")
    assert undone == f"deleted\t{settings(shell)}\ndeleted\t{shell.home / '.claude.json'}\n"


def test_undo_removes_an_entry_that_somebody_changed_and_that_still_calls_jitid(shell: Shell) -> None:
    settings(shell).parent.mkdir()
    settings(shell).write_text('{"z": 1}')
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    text = settings(shell).read_text().replace('"timeout": 30', '"timeout": 31', 1)
    settings(shell).write_text(
        text.replace("helper token", "helper token --ttl 5m").replace(GATEWAY + '"}', 'https://m"}')
    )
    done = shell.run("setup", "claude-code", "--undo")
    assert done.returncode == 0
    assert "env.ANTHROPIC_BASE_URL was changed since, and stays" in done.stderr
    assert json.loads(settings(shell).read_text()) == {"z": 1, "env": {"ANTHROPIC_BASE_URL": "https://m"}}


def test_a_line_of_jitid_that_the_user_wrote_stays(shell: Shell) -> None:
    path = shell.home / ".cursor/mcp.json"
    path.parent.mkdir()
    path.write_text('{"mcpServers": {"mine": {"command": "jitid", "args": ["mcp", "--keep"]}}}')
    shell.good("setup", "cursor")
    path.write_text(path.read_text() + "\n")
    shell.good("setup", "cursor", "--undo")
    assert [*json.loads(path.read_text())["mcpServers"]] == ["mine"]


def test_undo_of_a_user_of_a_kubeconfig_that_somebody_changed_says_what_is_left(shell: Shell) -> None:
    shell.good("setup", "kube")
    path = shell.home / ".kube/config"
    path.write_text(path.read_text() + "      env: []\n")
    done = shell.run("setup", "kube", "--undo")
    assert done.returncode == 9
    assert "still calls jitid: the user was changed since" in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("codex", "--host", "h"), "`--host` does not apply to codex"),
        (("git",), "git requires --host"),
        (("aws",), "aws requires --template"),
        (("opencode",), "opencode requires --gateway or --mcp or --tools"),
        (("opencode",), "such as --gateway https://llm.example"),
        (
            ("aws",),
            "a template of a target in the configuration, such as --template deploy: see jitid-aws(7)",
        ),
        (("git",), "--host git.example"),
        (("claude-code", "--host", "git.example"), "its options: --gateway, --audience, --mcp"),
        (("gh",), "gh has no setting for a command that prints its token"),
        (("nobody",), "invalid client: `nobody`"),
        (("mcp", "--project"), "omit it: `mcp` is always the file of the current folder"),
        (("mcp", "--project", "--undo"), "omit it: `mcp` is always the file of the current folder"),
        (("kube", "--host", "h"), "omit it; its options: --name, --audience"),
        (("gh", "--project"), "hint: omit it"),
        (("claude-code", "--gateway", "ftp://x"), "is not an address"),
        (("claude-code", "--gateway", "http://llm.example"), "would cross the network unencrypted"),
        (("claude-code", "--gateway", "https://u:p@llm.example"), "is not an address with a host"),
        (("claude-code", "--mcp", "docs"), "`docs` is not NAME=URL"),
        (("claude-code", "--mcp", "a b=https://x.example"), "is not NAME=URL"),
        (("claude-code", "--mcp", "jitid=https://x.example"), "is the name of jitid's own entry"),
        (
            ("gemini", "--mcp", "a=https://a.example", "--mcp", "b=https://b.example"),
            "reads one token at its start",
        ),
        (("git", "--host", 'h"]\n[x'), "is not an address with a host"),
        (("kube", "--name", "a: b"), "invalid name"),
        (("codex", "--gateway", GATEWAY, "--project"), "Codex reads no model provider from a project's file"),
        (("codex", "--audience", "https://a.example"), "--audience requires --gateway"),
        (("aws", "--template", "d", "--parent-file", "a\nb = c"), "has a control character"),
        (("--undo",), "--undo requires a client"),
        (("claude-code", "--undo", "--check"), "exclude each other"),
    ],
)
def test_a_line_that_makes_no_sense_is_a_usage_error(
    shell: Shell, words: tuple[str, ...], reason: str
) -> None:
    done = shell.run("setup", *words)
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr
    assert not list(shell.home.glob(".c*"))


@pytest.mark.parametrize("client", ["opencode", "gemini", "copilot", "cursor", "vscode"])
def test_the_command_in_the_note_starts_the_client_with_its_token(shell: Shell, client: str) -> None:
    """The configuration names a variable that the command sets."""
    done = shell.run("setup", client, "--mcp", "docs=https://mcp.example/mcp")
    line = next(line for line in done.stderr.splitlines() if "start it by: jitid run" in line)
    words = shlex.split(line.partition("start it by: jitid ")[2])
    program = shell.home / "bin" / words[-1]
    program.write_text("#!/bin/sh\nenv | cut -d= -f1\n")
    program.chmod(0o755)
    variables = shell.good(*words).split()
    path = shell.good("setup", client, "--undo", "--dry-run", "--field", "path").strip()
    named = re.search(r"Bearer \$?\{?(?:\{?env:|file:\{env:)?(\w+)", Path(path).read_text())
    assert named is not None
    assert named[1] in variables


@pytest.mark.parametrize(
    "words",
    [("setup", client) for client in ("claude-code", "codex", "gemini", "copilot", "cursor", "vscode", "gh")]
    + [("setup", "mcp"), ("setup", "opencode", "--tools"), ("setup", "--help")],
)
def test_each_command_that_is_recommended_states_what_run_requires(
    shell: Shell, words: tuple[str, ...]
) -> None:
    done = shell.run(*words)
    said = " ".join((done.stdout + done.stderr).split())
    recommended = re.findall(r"jitid run [^`;]*?-- \S+", said)
    assert recommended or words[-1] == "--tools"
    assert all("--task" in line and "--delegator" in line for line in recommended), recommended


SCHEMAS = {
    "vscode": {
        "properties": {
            "inputs": {"type": "array"},
            "servers": {
                "additionalProperties": {
                    "oneOf": [
                        {
                            "required": ["type", "command"],
                            "properties": {
                                "type": {"const": "stdio"},
                                "command": {"type": "string"},
                                "args": {"type": "array", "items": {"type": "string"}},
                                "env": {"type": "object"},
                                "envFile": {"type": "string"},
                            },
                            "additionalProperties": False,
                        },
                        {
                            "required": ["type", "url"],
                            "properties": {
                                "type": {"enum": ["http", "sse"]},
                                "url": {"type": "string"},
                                "headers": {"additionalProperties": {"type": "string"}},
                            },
                            "additionalProperties": False,
                        },
                    ]
                }
            },
        },
        "required": ["servers"],
        "additionalProperties": False,
    },
    "cursor": {
        "properties": {
            "mcpServers": {
                "additionalProperties": {
                    "oneOf": [
                        {
                            "required": ["command"],
                            "properties": {
                                "command": {"type": "string"},
                                "args": {"type": "array", "items": {"type": "string"}},
                                "env": {"type": "object"},
                            },
                            "additionalProperties": False,
                        },
                        {
                            "required": ["url"],
                            "properties": {
                                "url": {"type": "string"},
                                "headers": {"additionalProperties": {"type": "string"}},
                            },
                            "additionalProperties": False,
                        },
                    ]
                }
            }
        },
        "required": ["mcpServers"],
        "additionalProperties": False,
    },
}
"""The parts of the documented forms of two clients that cannot run here; written from their documentation."""


@pytest.mark.parametrize("client", SCHEMAS)
def test_the_file_of_a_client_that_cannot_run_here_has_its_documented_form(shell: Shell, client: str) -> None:
    jsonschema = module("jsonschema")
    shell.good("setup", client, "--mcp", "docs=https://mcp.example/mcp")
    path = shell.good("setup", client, "--undo", "--dry-run", "--field", "path").strip()
    content = json.loads(Path(path).read_text())
    jsonschema.validate(content, SCHEMAS[client])
    broken = json.loads(json.dumps(content).replace('"command"', '"commands"'))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SCHEMAS[client])


def check(shell: Shell, *words: str, **variables: str) -> tuple[int, list[tuple[str, str, str]]]:
    done = shell.run("setup", *words, "--check", "--json", more=variables)
    assert "sk-static" not in done.stdout + done.stderr
    items = json.loads(done.stdout)["items"]
    return done.returncode, [(row["kind"], row["name"], row["effect"]) for row in items]


def test_check_of_a_client_that_is_not_set_up_is_not_found(shell: Shell) -> None:
    assert check(shell, "claude-code")[0] == 3


def test_check_without_a_finding_says_so(shell: Shell) -> None:
    done = shell.run("setup", "claude-code", "--check")
    assert (done.returncode, done.stdout) == (3, "")
    assert "none" not in done.stderr
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    done = shell.run("setup", "claude-code", "--check")
    assert (done.returncode, done.stdout) == (0, "")
    assert "note: claude-code: nothing bypasses jitid" in done.stderr
    terminal = Terminal(shell, "setup", "claude-code", "--check", columns=200)
    assert "none" not in terminal.end()[1]


def test_a_key_of_a_setup_without_a_gateway_is_beside_no_token(shell: Shell) -> None:
    shell.good("setup", "claude-code")
    done = shell.run("setup", "claude-code", "--check", more={"ANTHROPIC_API_KEY": "sk-static"})
    assert done.returncode == 10
    assert "is the credential for models: jitid supplies none without --gateway" in done.stdout
    assert "beside" not in done.stdout


def test_setup_names_a_key_that_bypasses_its_gateway(shell: Shell) -> None:
    settings(shell).parent.mkdir()
    settings(shell).write_text('{"env": {"ANTHROPIC_API_KEY": "sk-static"}}')
    done = shell.run("setup", "claude-code", "--gateway", GATEWAY)
    assert done.returncode == 0
    assert f"note: bypass: {settings(shell)}: env.ANTHROPIC_API_KEY is sent as X-Api-Key" in done.stderr
    assert "sk-static" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "noted"),
    [
        ((), True),
        (("--scope", "repo:read"), True),
        (("--task", "T"), True),
        (("--task", "T", "--delegator", "alice"), False),
        (("--parent-file", "p.jwt"), False),
    ],
)
def test_a_line_without_an_identity_is_noted(shell: Shell, words: tuple[str, ...], noted: bool) -> None:
    done = shell.run("setup", "git", "--host", "git.example", *words)
    assert done.returncode == 0, done.stderr
    assert ("works only in `jitid run` and in sessions" in done.stderr) == noted


def test_undo_of_a_changed_file_shows_the_lines_of_jitid_and_no_others(shell: Shell) -> None:
    shell.good("setup", "git", "--host", "git.example", "--task", "T", "--delegator", "alice")
    path = shell.home / ".gitconfig"
    text = path.read_text().replace("\thelper = !", "\tusername = hunter2-hunter2\n\thelper = !")
    path.write_text(f"{text}[user]\n\tname = me-myself\n")
    shown = shell.good("setup", "git", "--undo", "--dry-run")
    assert "helper git --task T --delegator user:alice" in shown
    assert "hunter2" not in shown
    assert "me-myself" not in shown


def test_check_names_what_bypasses_jitid_in_claude_code(shell: Shell) -> None:
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    assert check(shell, "claude-code") == (0, [])
    status, found = check(
        shell,
        "claude-code",
        ANTHROPIC_API_KEY="sk-static-1",
        ANTHROPIC_AUTH_TOKEN="sk-static-2",
        CLAUDE_CODE_OAUTH_TOKEN="sk-static-3",
        CLAUDE_CODE_USE_BEDROCK="1",
    )
    assert status == 10
    assert found == [
        ("environment", "CLAUDE_CODE_USE_BEDROCK", "bypass"),
        ("environment", "ANTHROPIC_AUTH_TOKEN", "bypass"),
        ("environment", "ANTHROPIC_API_KEY", "bypass"),
        ("environment", "CLAUDE_CODE_OAUTH_TOKEN", "unused"),
    ]
    credentials = settings(shell).with_name(".credentials.json")
    credentials.write_text('{"claudeAiOauth": {"accessToken": "sk-static"}}')
    assert check(shell, "claude-code") == (0, [("file", str(credentials), "unused")])
    shell.good("setup", "claude-code")
    assert check(shell, "claude-code") == (10, [("file", str(credentials), "bypass")])
    (shell.home / ".claude.json").write_text(
        '{"mcpServers": {"a": {"headers": {"Authorization": "sk-static", "X-Token": "${T}"}}}}'
    )
    assert (
        "setting",
        f"{shell.home / '.claude.json'}: mcpServers.a.headers.Authorization",
        "bypass",
    ) in check(shell, "claude-code")[1]


def test_check_reads_the_settings_of_the_project_too(shell: Shell) -> None:
    """In the home folder, the project's settings are the user's own."""
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    content = json.loads(settings(shell).read_text())
    content["env"]["ANTHROPIC_API_KEY"] = "sk-static"
    settings(shell).write_text(json.dumps(content))
    key = ("setting", f"{settings(shell)}: env.ANTHROPIC_API_KEY", "bypass")
    assert check(shell, "claude-code") == (10, [key])
    local = settings(shell).with_name("settings.local.json")
    local.write_text('{"apiKeyHelper": "vault read jitid"}')
    helper = ("setting", f"{local}: apiKeyHelper", "bypass")
    assert check(shell, "claude-code") == (10, [helper, key])


def test_check_finds_an_edited_setup_and_a_missing_program(shell: Shell) -> None:
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    settings(shell).write_text(settings(shell).read_text().replace("SubagentStop", "Stop"))
    assert check(shell, "claude-code") == (10, [("file", str(settings(shell)), "bypass")])
    shell.good("setup", "claude-code", "--undo")
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    (shell.home / "bin/jitid").unlink()
    shell.environment["PATH"] = f"{shell.home / 'bin'}:/usr/bin:/bin"
    status, found = check(shell, "claude-code")
    if not any(os.access(f"{folder}/jitid", os.X_OK) for folder in ("/usr/bin", "/bin")):
        assert (status, found) == (10, [("file", str(settings(shell)), "bypass")])


def test_each_line_names_program_ledger_and_configuration_wherever_they_come_from(shell: Shell) -> None:
    """The environment of a client belongs to the folder in which it runs, and must choose none of them."""
    ledger = shell.environment.pop("JITID_LEDGER")
    shell.good("config", "set", "ledger", ledger)
    file = shell.home / ".config/jitid/config.toml"
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    content = json.loads(settings(shell).read_text())
    lines = [content["apiKeyHelper"], *(each[0]["hooks"][0]["command"] for each in content["hooks"].values())]
    start = [str(shell.home / "bin/jitid"), "--config", str(file), "--ledger", ledger, "helper"]
    assert [shlex.split(line)[:6] for line in lines] == [start] * 5
    shell.good("config", "unset", "ledger")
    shell.good("config", "set", "remote", "https://authority.example")
    shell.good("setup", "claude-code", "--gateway", GATEWAY)
    line = json.loads(settings(shell).read_text())["apiKeyHelper"]
    assert shlex.split(line)[3:6] == ["--remote", "https://authority.example", "helper"]


def test_a_password_of_the_ledger_is_not_written(shell: Shell) -> None:
    shell.environment["JITID_LEDGER"] = "postgres://u:sk-static@h/d"
    done = shell.run("setup", "claude-code")
    assert done.returncode == 2
    assert "the address of the ledger contains a password" in done.stderr
    assert not settings(shell).exists()
    assert shell.run("setup", "claude-code", "--undo").returncode == 0


def test_another_program_on_the_path_of_a_folder_is_not_run(shell: Shell) -> None:
    shell.good("setup", "claude-code", "--gateway", GATEWAY, "--task", "T", "--delegator", "alice")
    other = shell.home / "node_modules/.bin/jitid"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\necho other\n")
    other.chmod(0o755)
    path = f"{other.parent}:{shell.environment['PATH']}"
    line = json.loads(settings(shell).read_text())["apiKeyHelper"]
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        env={**shell.environment, "PATH": path},
        cwd=shell.home,
        capture_output=True,
        text=True,
    )
    assert done.stdout.count(".") == 2, done.stderr


def test_check_reports_another_program_and_a_name_of_the_path(shell: Shell) -> None:
    shell.good("setup", "gemini")
    path = shell.home / ".gemini/settings.json"
    own = str(shell.home / "bin/jitid")
    text = path.read_text()
    (shell.home / "other").mkdir()
    (shell.home / "other/jitid").symlink_to(need("true"))
    for program in ("jitid", str(shell.home / "other/jitid")):
        path.write_text(text.replace(own, program))
        status, found = check(shell, "gemini")
        assert (status, ("file", str(path), "redirects") in found) == (10, True)


@pytest.mark.parametrize(
    ("client", "options", "file", "text", "effect"),
    [
        ("codex", ("--gateway", GATEWAY), ".codex/auth.json", '{"a": 1}', "unused"),
        ("codex", (), ".codex/auth.json", '{"a": 1}', "bypass"),
        ("opencode", ("--gateway", GATEWAY), ".local/share/opencode/auth.json", "{}", "unused"),
        (
            "opencode",
            ("--gateway", GATEWAY),
            ".local/share/opencode/auth.json",
            '{"anthropic": {}}',
            "unused",
        ),
        ("opencode", ("--gateway", GATEWAY), ".local/share/opencode/auth.json", '{"openai": {}}', "bypass"),
        ("gemini", (), ".gemini/oauth_creds.json", "{}", "bypass"),
        ("gemini", (), ".gemini/.env", "GEMINI_API_KEY=sk-static", "bypass"),
        ("copilot", (), ".copilot/config.json", '{"copilotTokens": {}}', "bypass"),
        ("git", ("--host", "git.example"), ".netrc", "machine git.example password sk-static", "bypass"),
        ("git", ("--host", "git.example"), ".git-credentials", "https://a:sk-static@git.example", "unused"),
        (
            "aws",
            ("--template", "d"),
            ".aws/credentials",
            "[jitid]\naws_secret_access_key = sk-static",
            "bypass",
        ),
        (
            "aws",
            ("--template", "d"),
            ".aws/credentials",
            "[other]\naws_secret_access_key = sk-static",
            "unused",
        ),
    ],
)
def test_check_names_the_files_with_keys(
    shell: Shell, client: str, options: tuple[str, ...], file: str, text: str, effect: str
) -> None:
    shell.good("setup", client, *options)
    assert check(shell, client) == (0, [])
    path = shell.home / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert check(shell, client) == (10 if effect == "bypass" else 0, [("file", str(path), effect)])


@pytest.mark.parametrize(
    ("client", "options", "variable"),
    [
        ("gemini", (), "GEMINI_API_KEY"),
        ("copilot", (), "COPILOT_PROVIDER_API_KEY"),
        ("copilot", (), "GH_TOKEN"),
        ("cursor", (), "CURSOR_API_KEY"),
        ("aws", ("--template", "d"), "AWS_ACCESS_KEY_ID"),
        ("aws", ("--template", "d"), "AWS_PROFILE"),
        ("opencode", ("--tools",), "OPENCODE_CONFIG_CONTENT"),
        ("opencode", ("--gateway", GATEWAY), "OPENAI_API_KEY"),
        ("opencode", ("--gateway", GATEWAY), "OPENROUTER_API_KEY"),
    ],
)
def test_check_names_the_variables_with_keys(
    shell: Shell, client: str, options: tuple[str, ...], variable: str
) -> None:
    shell.good("setup", client, *options)
    assert check(shell, client) == (0, [])
    assert check(shell, client, **{variable: "sk-static"}) == (10, [("environment", variable, "bypass")])


def test_check_names_the_keys_of_a_kubeconfig(shell: Shell) -> None:
    path = shell.home / ".kube/config"
    path.parent.mkdir()
    user = "client-key-data: sk-static\n    token: sk-static"
    path.write_text(f"apiVersion: v1\nusers:\n- name: a\n  user:\n    {user}\n")
    shell.good("setup", "kube")
    assert check(shell, "kube") == (10, [("file", str(path), "bypass")] * 2)


def test_gh_is_checked_although_it_cannot_be_set_up(shell: Shell) -> None:
    assert check(shell, "gh") == (0, [])
    assert check(shell, "gh", GH_TOKEN="sk-static") == (10, [("environment", "GH_TOKEN", "bypass")])
    hosts = shell.home / ".config/gh/hosts.yml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text("github.com:\n    oauth_token: sk-static\n")
    assert check(shell, "gh") == (10, [("file", str(hosts), "bypass")])


def test_a_keychain_that_cannot_be_examined_is_said(shell: Shell) -> None:
    (shell.home / "bin/git").symlink_to(need("git"))
    more = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent", "PATH": f"{shell.home / 'bin'}"}
    status, found = check(shell, "gh", **more)
    assert (status, found) == (11, [("keychain", "gh:github.com", "unexamined")])


def test_the_keychain_is_asked_and_its_answer_is_not_shown(shell: Shell) -> None:
    program = shell.home / "bin/secret-tool"
    program.write_text('#!/bin/sh\ntest "$*" = "search service gh:github.com" && echo "secret = sk-static"\n')
    program.chmod(0o755)
    status, found = check(shell, "gh", DBUS_SESSION_BUS_ADDRESS="unix:path=/nonexistent")
    assert (status, found) == (10, [("keychain", "gh:github.com", "bypass")])


def test_git_gets_its_password_from_jitid_and_from_no_other_helper(shell: Shell) -> None:
    """The helper `store` of an earlier configuration would keep the token."""
    git = need("git")
    config = shell.home / ".gitconfig"
    config.write_text("[credential]\n\thelper = store\n")
    (shell.home / ".git-credentials").write_text("https://old:sk-static@git.example\n")
    shell.good(
        "setup", "git", "--host", "git.example", "--task", "T1", "--delegator", "alice", "-s", "repo:read"
    )
    assert config.read_text().startswith(
        '[credential]\n\thelper = store\n[credential "https://git.example"]\n'
    )
    done = subprocess.run(
        [git, "credential", "fill"],
        input="protocol=https\nhost=git.example\n\n",
        capture_output=True,
        text=True,
        env={**shell.environment, "GIT_TERMINAL_PROMPT": "0"},
        cwd=shell.home,
        check=True,
    )
    answer = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert answer["password"].count(".") == 2
    subprocess.run(
        [git, "credential", "approve"],
        input=done.stdout,
        text=True,
        env=shell.environment,
        cwd=shell.home,
        check=True,
    )
    assert answer["password"] not in (shell.home / ".git-credentials").read_text()
    shell.good("setup", "git", "--undo")
    assert config.read_text() == "[credential]\n\thelper = store\n"


def test_kubectl_reads_the_user_that_was_added(shell: Shell) -> None:
    kubectl = need("kubectl")
    path = shell.home / ".kube/config"
    path.parent.mkdir()
    text = "apiVersion: v1\nkind: Config\n# mine\nusers:\n  - name: a\n    user: {}\ncontexts: []\n"
    path.write_text(text)
    shell.good("setup", "kube", "--name", "true", "--task", "1", "--delegator", "alice")
    shown = subprocess.run(
        [kubectl, "config", "view", "--raw", "-o", "json"],
        capture_output=True,
        text=True,
        env=shell.environment,
        check=True,
    )
    users = {user["name"]: user["user"] for user in json.loads(shown.stdout)["users"]}
    assert users["true"]["exec"]["command"] == str(shell.home / "bin/jitid")
    assert users["true"]["exec"]["args"][-6:] == [
        "helper",
        "kube",
        "--task",
        "1",
        "--delegator",
        "user:alice",
    ]
    assert users["true"]["exec"]["provideClusterInfo"] is True
    assert [*users] == ["a", "true"] or [*users] == ["true", "a"]
    shell.good("setup", "kube", "--undo")
    assert path.read_text() == text


def test_the_tools_of_aws_read_the_profile(shell: Shell) -> None:
    aws = need("aws")
    shell.good("setup", "aws", "--template", "deploy", "--name", "deploy", "--task", "T 1".replace(" ", ""))
    done = subprocess.run(
        [aws, "configure", "get", "credential_process", "--profile", "deploy"],
        capture_output=True,
        text=True,
        env={**shell.environment, "AWS_EC2_METADATA_DISABLED": "true"},
        check=True,
    )
    assert done.stdout.strip().endswith("helper aws --template deploy --task T1")


def test_the_help_names_the_clients_and_whom_an_option_is_for(shell: Shell) -> None:
    text = " ".join(shell.good("setup", "--help").split())
    assert "Client: " + ", ".join(CLIENTS[:-1]) + f" or {CLIENTS[-1]}." in text
    for option in ("gateway", "tools", "project"):
        takers = [name for name, client in CLIENT_SETUPS.items() if option in client.takes.split()]
        row = SetupCommand.fields[option].help.partition("For ")[2]
        assert [name for name in CLIENTS if re.search(rf"\b{name}\b", row)] == takers
    projects = [name for name, client in CLIENT_SETUPS.items() if "project" not in client.takes.split()]
    assert projects == ["mcp", "gh", "aws", "kube"], "`mcp` is always a project's; gh gets nothing"
    assert "jitid setup claude-code --gateway https://llm.example" in text
    assert "jitid run --task T1 --delegator NAME --for anthropic -- claude" in " ".join(text.split())


LINES = [
    ("claude-code", "--gateway", GATEWAY, "--mcp", "docs=https://mcp.example/mcp", "--tools"),
    ("codex", "--gateway", GATEWAY, "--mcp", "docs=https://mcp.example/mcp", "--tools"),
    ("opencode", "--gateway", GATEWAY, "--tools"),
    ("gemini", "--mcp", "docs=https://mcp.example/mcp"),
    ("copilot",),
    ("cursor",),
    ("vscode",),
    ("mcp", "--mcp", "docs=https://mcp.example/mcp"),
    ("git", "--host", "git.example"),
    ("aws", "--template", "d"),
    ("kube",),
]


@pytest.mark.parametrize("words", LINES, ids=lambda words: words[0])
def test_a_new_setup_passes_its_own_check_with_the_usual_ledger(shell: Shell, words: tuple[str, ...]) -> None:
    """The usual ledger has the name of the program."""
    del shell.environment["JITID_LEDGER"]
    shell.good("issue", "--task", "FIRST", "--delegator", "alice")
    shell.good("setup", *words)
    assert check(shell, words[0]) == (0, [])


def test_a_deleted_working_directory_is_named(shell: Shell) -> None:
    line = 'd=$(mktemp -d) && cd "$d" && rmdir "$d" && exec "$0" "$@"'
    for words in ((), ("claude-code",), ("git", "--project", "--undo")):
        done = shell.run("setup", *words, before=("sh", "-c", line))
        assert (done.returncode, "the working directory does not exist" in done.stderr) == (2, True), (
            done.stderr
        )
