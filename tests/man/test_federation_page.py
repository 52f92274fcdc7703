"""The page about federation: its settings, variables and figures are those of the table in the code."""

from __future__ import annotations

import getpass
import json
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import jwt
import pytest

from jitid.model.federation import COMMON, check_table
from jitid.model.subject_template import FIELDS
from jitid.model.vendor import UNSUPPORTED, VENDORS
from jitid.values.times import format_duration
from tests.man.source import displays, items, plain, read, section
from tests.real import Shell, command

PAGE = read("jitid-federation.7")


def of(vendor: str) -> str:
    """Return the source of a vendor's section."""
    return PAGE.split(f".Ss {vendor}\n")[1].split("\n.Ss ")[0].split("\n.Sh ")[0]


def test_the_settings_of_every_table_are_told() -> None:
    common = section(PAGE, "SETTINGS").split("\n.Ss ")[0]
    assert set(items(common)) == set(COMMON)


@pytest.mark.parametrize("name", VENDORS)
def test_each_vendor_is_told_with_its_settings_and_figures(name: str) -> None:
    """And no setting that the code does not have."""
    vendor, text = VENDORS[name], of(name)
    assert set(items(text)) == set(vendor.settings)
    told = plain(text)
    assert vendor.audience.partition("{")[0] in told
    assert f"algorithm {vendor.algorithm}" in told
    assert format_duration(vendor.lifetime) in told
    missing = [variable for variable in vendor.variables if variable not in told]
    assert missing == []
    required = [setting for setting in vendor.settings.values() if setting.required]
    assert told.count("Required.") == len(required)


@pytest.mark.parametrize("name", VENDORS)
def test_what_passes_is_told(name: str) -> None:
    """And no other variable."""
    vendor, told = VENDORS[name], of(name)
    families, passed = (
        {
            word.replace("*", "")
            for line in told.split(start)[1].split("\n.Pp")[0].splitlines()
            if line.startswith((".Ev ", ".Li "))
            for word in line.split()[1:]
            if word not in (",", ".")
        }
        for start in ("Families:\n", "Passed")
    )
    if name == "vault":
        # The page has each name once for both programs.
        starts = {"VAULT_", "BAO_"}
        passed = {f"{start}{word}" for start in starts for word in passed - starts}
    assert families == set(vendor.families)
    assert passed == set(vendor.passed)


def test_what_cannot_be_done_is_told() -> None:
    told = plain(of("Others")).lower()
    assert [name for name in UNSUPPORTED if name not in told] == []


def test_the_fields_of_templates_are_told() -> None:
    assert set(items(section(PAGE, "THE SUBJECT"))) == {f"{{{field}}}" for field in FIELDS}


def test_the_example_is_a_configuration() -> None:
    (text,) = [text for text in displays(PAGE) if text.startswith("[federate")]
    for name, table in tomllib.loads(text)["federate"].items():
        check_table(name, table)


def test_the_first_example_works(tmp_path: Path) -> None:
    """Each of its commands, on a machine without a ledger; without AWS itself."""
    shell = Shell(tmp_path)
    # The user's own file is in the home folder of the password database, which a test leaves alone.
    jitid = shlex.join(command("--config", "settings.toml"))
    program = tmp_path / "bin" / "aws"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$AWS_ROLE_ARN"; cat "$AWS_WEB_IDENTITY_TOKEN_FILE"\n')
    program.chmod(0o700)
    path = {"PATH": f"{program.parent}:{shell.environment.get('PATH', os.defpath)}"}
    steps = displays(section(PAGE, "FIRST EXAMPLE"))
    assert len(steps) == 6
    done = [
        subprocess.run(
            [
                "sh",
                "-ec",
                re.sub(r"\balice\b", getpass.getuser(), re.sub("^jitid", jitid, step, flags=re.MULTILINE)),
            ],
            env=shell.environment | path,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        for step in steps
    ]
    assert [one.returncode for one in done] == [0] * 6, [one.stderr for one in done]
    # The address is set before the first publication, which then has a status list.
    assert "publish_url" not in done[1].stderr
    published = json.loads((tmp_path / "public/.well-known/openid-configuration").read_text())
    assert published["issuer"] == "https://id.example.com"
    rule = f"jitid/user_3A{getpass.getuser()}/"
    printed = done[2].stdout
    for text in (
        "https://id.example.com\n",
        "https://id.example.com/jwks.json\n",
        "sts.amazonaws.com\n",
        f"{rule} ",
    ):
        assert text in printed
    assert "Note:" not in printed
    assert "AWS would accept" in done[4].stderr
    role, _, token = done[5].stdout.partition("\n")
    assert role == "arn:aws:iam::123456789012:role/agent"
    assert jwt.decode(token.strip(), options={"verify_signature": False})["sub"] == rule


def test_it_says_whose_right_a_name_is() -> None:
    """A registered name proves nothing by itself."""
    told = " ".join(items(section(PAGE, "THE SUBJECT"))["{agent}"].split())
    assert "must give the right to it" in told
    assert "access to the ledger's key give no such right" in told
