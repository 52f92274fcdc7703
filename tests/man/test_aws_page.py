"""The page about AWS: its options exist in the code, and its policies are the policies that jitid writes and needs."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from jitid.issuers.aws import session_policy, sts
from jitid.issuers.target_issuer import OutsideIssuer
from jitid.issuers.targets import Targets
from jitid.model.target import StatedTarget
from jitid.values.times import parse_time
from tests.man.source import displays, items, plain, read, section

PAGE = read("jitid-aws.7")
TEXT = plain(PAGE)
POLICIES: list[dict[str, Any]] = [json.loads(text) for text in displays(PAGE) if text.startswith("{")]
SOURCES = Path(sts.__file__).parent


def test_every_option_is_told_and_no_other() -> None:
    target, templates = section(PAGE, "THE TARGET").split(".Ss Templates")
    assert set(items(target)) == set(session_policy.OPTIONS)
    assert set(items(templates)) == set(session_policy.TEMPLATE_OPTIONS)


@pytest.fixture
def table() -> dict[str, Any]:
    """Return the target of the example."""
    (text,) = [text for text in displays(PAGE) if text.startswith("[target")]
    return dict(tomllib.loads(text)["target"]["cloud"])


def test_the_example_is_a_target(table: dict[str, Any]) -> None:
    targets = Targets([StatedTarget("cloud", table, "/etc/jitid", "there")], "urn:jitid:test")
    target = targets.choose("aws-sts", "deploy").target
    assert target is not None
    issuer: OutsideIssuer = targets.open(target)
    assert isinstance(issuer, sts.AwsStsIssuer)
    issuer.close()


def test_the_session_policy_is_that_of_the_example(table: dict[str, Any]) -> None:
    rights = session_policy.rights(table["template"]["deploy"]["scopes"], "it")
    granted = session_policy.grant(("s3:reports:read",), rights)
    made = session_policy.session_policy(granted, parse_time("2026-11-24T12:15:00Z"))
    assert json.loads(made) in POLICIES


def test_the_denial_is_one() -> None:
    (jti,) = set(re.findall(r"jti_\w{26}", TEXT))
    assert json.loads(session_policy.denial("urn:it", [jti], 2, 1)[1]) in POLICIES
    assert "StringLike" in str(POLICIES)


def test_what_aws_must_permit_is_all_that_is_asked_of_it() -> None:
    """The calls are found in the sources, except calls without a permission and calls of a session."""
    called: set[str] = set()
    for path in SOURCES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                words = [str(one.value) for one in node.args[:2] if isinstance(one, ast.Constant)]
                if node.func.attr == "call" and len(words) == 2:
                    called.add(f"{words[0]}:{words[1].title().replace('_', '')}")
                elif node.func.attr == "pages":
                    called.add(f"iam:{words[0].title().replace('_', '')}")
    called -= {"sts:GetCallerIdentity", "iam:ListAccountAliases", "sts:AssumeRoleWithWebIdentity"}
    (leave,) = [policy for policy in POLICIES if "iam:PutRolePolicy" in str(policy)]
    told = {action for statement in leave["Statement"] for action in statement["Action"]}
    assert told == called | {"sts:TagSession", "sts:SetSourceIdentity"}
