"""Tools that run a credential helper: git, AWS's tools and kubectl."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from jitid.capabilities.setup.client import ClientFile, SetupRequest
from jitid.capabilities.setup.coding_agents import xdg_configuration
from jitid.capabilities.setup.entries import Entry, Form
from jitid.errors import UsageError
from jitid.system.program_request import origin

_SECONDS = 10


def git_files(request: SetupRequest) -> list[ClientFile]:
    """Return the file that `git config --global` writes, or that of the repository."""
    entries = []
    for host in request.hosts:
        address = origin(host if "://" in host else f"https://{host}")
        audience = () if request.audience is None else ("--audience", request.audience)
        line = _git_value("!" + request.line("git", *audience))
        # The empty value drops the helpers before it, which would answer first and store the token.
        entries.append(Entry((f'[credential "{address}"]',), ["\thelper =", f"\thelper = {line}"]))
    path = git_path(request)
    return [ClientFile(path, Form.GIT, entries, os.path.dirname(path) if request.project else None)]


def git_path(request: SetupRequest) -> str:
    """Return the path of git's file (git-config(1), FILES). Raises UsageError for a folder without a repository."""
    if request.project:
        return _repository_path()
    if stated := request.environ.get("GIT_CONFIG_GLOBAL"):
        return os.path.abspath(stated)
    own = os.path.abspath(f"{request.home}/.gitconfig")
    shared = os.path.abspath(f"{xdg_configuration(request)}/git/config")
    return shared if not os.path.lexists(own) and os.path.lexists(shared) else own


def _repository_path() -> str:
    """Return the path of the configuration that git reads in the current folder: of all worktrees of a repository."""
    program = shutil.which("git")
    if program is None:
        raise UsageError("--project requires git, which is not installed; nothing was changed")
    done = subprocess.run(  # noqa: S603 - fixed words
        [program, "rev-parse", "--git-path", "config"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise UsageError(
            "git finds no repository in the current folder; nothing was changed",
            "change to a repository, or omit --project",
        )
    return os.path.abspath(os.fsdecode(done.stdout.removesuffix(b"\n")))


def _git_value(value: str) -> str:
    if not set(value) & set('"\\#;'):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def git_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the result in git."""
    return _elsewhere(request, "git")


def aws_files(request: SetupRequest) -> list[ClientFile]:
    """Return the configuration of AWS's tools."""
    entries = []
    if request.template is not None:
        line = shlex.join(request.helper("aws", "--template", request.template))
        header = "[default]" if request.name == "default" else f"[profile {request.name}]"
        entries.append(Entry((header,), [f"credential_process = {line}"]))
    path = request.environ.get("AWS_CONFIG_FILE") or f"{request.home}/.aws/config"
    return [ClientFile(os.path.abspath(os.path.expanduser(path)), Form.AWS, entries)]


def aws_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the result in AWS's tools."""
    notes = [f"to use it: aws --profile {request.name} …, or AWS_PROFILE={request.name}"]
    return [*notes, *_elsewhere(request, "aws")]


def kube_files(request: SetupRequest) -> list[ClientFile]:
    """Return the kubeconfig that kubectl writes: the first one of $KUBECONFIG, or the usual one."""
    audience = () if request.audience is None else ("--audience", request.audience)
    words = request.helper("kube", *audience)
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": words[0],
        "args": words[1:],
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    paths = [path for path in request.environ.get("KUBECONFIG", "").split(":") if path]
    path = next((path for path in paths if os.path.lexists(path)), paths[-1] if paths else None)
    entry = Entry(("users", request.name), plugin)
    return [ClientFile(os.path.abspath(path or f"{request.home}/.kube/config"), Form.KUBE, [entry])]


def kube_notes(request: SetupRequest) -> list[str]:
    """Return sentences about the result in kubectl."""
    name = request.name
    notes = [f"to use it: kubectl --user {name} …, or: kubectl config set-context --current --user {name}"]
    return [*notes, *_elsewhere(request, "kubectl")]


def _elsewhere(request: SetupRequest, program: str) -> list[str]:
    """Return a note unless the line names an identity by itself; other options, such as a scope, name none."""
    if "--parent-file" in request.options or {"--task", "--delegator"} <= set(request.options):
        return []
    return [
        f"without --task and --delegator, the helper of {program} works only in `jitid run` and in sessions"
    ]


def gh_files(request: SetupRequest) -> list[ClientFile]:  # noqa: ARG001 - as its siblings
    """Return no file: gh has no place for a command that prints its token."""
    return []


def gh_notes(request: SetupRequest) -> list[str]:  # noqa: ARG001 - as its siblings
    """Return no sentences: gh is not set up."""
    return []
