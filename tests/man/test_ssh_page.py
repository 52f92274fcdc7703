"""The page about SSH: its options exist in the code, its examples work, and sshd has the quoted messages."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from jitid.issuers import ssh_cert
from jitid.issuers.targets import Targets
from jitid.model.target import StatedTarget
from tests.man.source import displays, items, plain, read, section
from tests.real import need

PAGE = read("jitid-ssh.7")


def template(name: str) -> dict[str, object]:
    (text,) = [text for text in displays(PAGE) if text.startswith("[target")]
    table = dict(tomllib.loads(text)["target"]["hosts"])
    targets = Targets([StatedTarget("hosts", table, "/etc/jitid", "there")], "urn:jitid:test")
    return dict(targets.choose("ssh-cert", name).options)


def test_every_option_is_told_and_no_other() -> None:
    assert set(items(section(PAGE, "TEMPLATES"))) == set(ssh_cert.TEMPLATE_OPTIONS)


def test_every_extension_is_told() -> None:
    told = items(section(PAGE, "TEMPLATES"))["extensions"]
    assert all(each in plain(told) for each in ssh_cert.EXTENSIONS)


@pytest.mark.parametrize(
    ("name", "principals", "options"),
    [
        ("restart", ("web:restart",), {"force-command", "source-address"}),
        ("shell", ("deploy",), set()),
    ],
)
def test_the_templates_are_some(name: str, principals: tuple[str, ...], options: set[str]) -> None:
    named, critical, _ = ssh_cert.check_template(name, template(name))
    assert named == principals
    assert {option for option, _ in critical} == options


def test_what_sshd_is_told_to_say_is_in_it() -> None:
    """The test searches the programs of sshd. A newer sshd handles logins in a second program."""
    programs = [Path("/usr/sbin/sshd"), *Path("/usr/lib/openssh").glob("sshd-*")]
    if not programs[0].exists():
        need("sshd")
    binary = b"".join(path.read_bytes() for path in programs)
    said = items(section(PAGE, "DIAGNOSTICS"))
    assert len(said) == 6
    assert [text for text in said if text.encode() not in binary] == []
