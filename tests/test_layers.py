"""The shape of the code, held to the table of its layers by reading the imports of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import jitid

ROOT = Path(jitid.__file__).parent

# From the top to the bottom. A module may import what stands below it, and its own layer where no circle
# arises.
LAYERS = (
    {"__main__"},
    {"cli", "commandline", "completing", "completingkinds", "plain", "plain_table"},
    {"commands", "server", "mcp"},
    {
        "environment",
        "approvers",
        "transfer",
        "backups",
        "restoration",
        "upkeep",
        "publishing",
        "checkup",
        "remotecheckup",
        "confinement",
        "elsewhere",
        "config",
        "configfile",
        "configtext",
        "settings",
        "places",
        "trusted",
        "shipped",
        "formats",
    },
    {"authority"},
    {"sweep", "report"},
    {
        "governance",
        "access",
        "approval",
        "adopted",
        "adoption",
        "amending",
        "attaching",
        "consent",
        "issuance",
        "planning",
        "minting",
        "statusplace",
        "publication",
        "crls",
        "offline",
        "namerights",
        "narrowing",
        "ownership",
        "sharing",
        "reach",
        "request",
        "renewal",
        "replacing",
        "explaining",
        "replaying",
        "storedpolicy",
        "revocation",
        "rotation",
        "retention",
        "segments",
        "sshtrust",
        "sshrecognition",
        "certifying",
        "introspection",
        "recognition",
        "authorization",
        "usage",
        "auditing",
        "auditexport",
        "examination",
        "traced",
        "tracing",
        "exposure",
        "timeline",
        "leaks",
        "matching",
        "delegators",
        "departing",
        "comparing",
        "copying",
        "naming",
        "backup",
        "restoring",
        "reconciling",
        "handback",
        "mining",
        "recurrence",
        "registry",
        "provision",
        "settling",
        "targets",
        "withdrawal",
    },
    {
        "ledger",
        "issuers",
        "keyring",
        "certificates",
        "standingkeys",
        "der",
        "channel",
        "connecting",
        "issuernames",
        "oidc",
        "keysets",
        "assertion",
        "files",
        "outputplace",
        "backupfile",
        "publicfolder",
        "leftovers",
        "policyfiles",
        "writers",
        "processes",
        "runner",
        "scan",
        "sshagent",
        "zones",
        "installation",
    },
    {"policy", "roster", "scanreports", "scanrules"},
    {"credential", "standing", "task", "agent", "audit", "chains", "delegator", "process", "target"},
    {
        "address",
        "audience",
        "caller",
        "covering",
        "delegation",
        "scope",
        "secret",
        "lifetime",
        "acceptance",
        "name",
        "identifier",
        "text",
        "patience",
        "strictjson",
        "jsonstream",
        "jws",
        "sshwire",
        "krl",
        "statuslist",
        "searching",
        "strings",
        "layers",
        "hidden",
        "looks",
        "pasted",
        "sighting",
        "whereabouts",
        "publickey",
        "privatekeys",
    },
    {"errors", "escaped", "tokenform"},
)
HEIGHT = {name: len(LAYERS) - number for number, names in enumerate(LAYERS) for name in names}
PURE = HEIGHT["policy"]

MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}


class Import(NamedTuple):
    """One import statement: what it loads, where, and whether it is for the type checker only."""

    target: str
    line: int
    typing_only: bool


def imports(path: Path) -> Iterator[Import]:
    """Yield all imports of a file, those inside functions too."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, id(node) in typing_only)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                # `from jitid import jws` loads a module, `from jitid.crypto.jws import parse` a name out of one.
                inner = f"{node.module}.{alias.name}"
                target = inner if inner in MODULES else str(node.module)
                yield Import(target, node.lineno, id(node) in typing_only)


def layer_of(module: str) -> int:
    """Return the height of a module of ours; the package itself, with the version, is at the bottom."""
    parts = module.split(".")
    return HEIGHT.get(parts[1], len(LAYERS)) if len(parts) > 1 else 0


def of_ours(path: Path) -> list[Import]:
    """Return the imports of our own modules."""
    return [each for each in imports(path) if each.target.split(".")[0] == "jitid"]


def test_every_module_has_a_layer() -> None:
    """A new module is put into the table by whoever adds it."""
    assert {module.split(".")[1] for module in MODULES if "." in module} <= HEIGHT.keys()


@pytest.mark.deep
@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    """What stands above a module may change without it."""
    upward = [
        f"line {each.line}: {each.target}"
        for each in of_ours(MODULES[module])
        if layer_of(each.target) > layer_of(module)
    ]
    assert not upward


@pytest.mark.deep
def test_no_modules_import_each_other_in_a_circle() -> None:
    """Two modules that need each other are one; what is imported for its types alone does not count."""
    graph = {
        module: {each.target for each in of_ours(path) if not each.typing_only and each.target != "jitid"}
        for module, path in MODULES.items()
    }
    # Take away whoever imports nobody that is left: what cannot be taken away stands in a circle or above
    # one.
    while leaves := {module for module, targets in graph.items() if not targets & graph.keys()}:
        graph = {module: targets for module, targets in graph.items() if module not in leaves}
    while roots := graph.keys() - set().union(*graph.values()):
        graph = {module: targets for module, targets in graph.items() if module not in roots}
    assert not graph, f"in a circle: {sorted(graph)}"


# The default policy is a text file of the package; reading it is the one thing that needs a path.
PACKAGE_TEXT = {"jitid.policy.default"}
# What the hour is in a zone is reckoned from a time that is given.
ZONES = {"jitid.policy.facts"}
CLOCKS = {"now", "today", "utcnow", "time", "time_ns", "monotonic", "perf_counter"}


@pytest.mark.parametrize(
    "module", [name for name in MODULES if layer_of(name) <= PURE and name not in PACKAGE_TEXT]
)
def test_the_lower_layers_cannot_reach_the_world(module: str) -> None:
    """Clock, randomness, files and network are arguments there."""
    worldly = {
        "os",
        "io",
        "pathlib",
        "socket",
        "subprocess",
        "sqlite3",
        "random",
        "secrets",
        "datetime",
        "ssl",
    }
    if module in ZONES:
        worldly.remove("datetime")
    loaded = {each.target.split(".")[0] for each in imports(MODULES[module]) if not each.typing_only}
    assert not loaded & worldly
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not called & CLOCKS


@pytest.mark.deep
def test_only_the_command_line_knows_typer() -> None:
    """Verbs are functions that anything may call; and the Click inside Typer is not ours to use."""
    users = {
        module
        for module, path in MODULES.items()
        if any(each.target.split(".")[0] in ("typer", "click") for each in imports(path))
    }
    options = {module for module in MODULES if module.startswith("jitid.cli.verbs.options.")}
    assert users - options == {"jitid.cli.command_tree"}
    assert not [path for path in MODULES.values() if "_click" in path.read_text()]
