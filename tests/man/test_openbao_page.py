"""The page about OpenBao: its options exist in the code, and its policy is that of the tests' login."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from jitid.issuers.openbao import lease
from jitid.issuers.openbao.make_secret import FIELDS
from jitid.issuers.targets import Targets
from jitid.model.target import StatedTarget
from tests.man.source import displays, items, plain, read, section
from tests.openbao import POLICY

PAGE = read("jitid-openbao.7")
TEXT = plain(PAGE)


def options(text: str) -> set[str]:
    """Return the names of the options of a list."""
    return {name for names in items(text) for name in re.split(r"[ ,]+", names) if name}


def test_every_option_is_told_and_no_other() -> None:
    target, templates = section(PAGE, "THE TARGET").split(".Ss Templates")
    assert options(target) == set(lease.OPTIONS)
    assert options(templates) == set(lease.TEMPLATE_OPTIONS)


def test_what_may_stand_in_braces_is_told() -> None:
    (told,) = re.findall(r"In its texts (.*?) stand for", " ".join(TEXT.split()))
    assert set(re.findall(r"\{(\w+)\}", told)) == set(FIELDS)


def test_the_example_is_a_target() -> None:
    (text,) = [text for text in displays(PAGE) if text.startswith("[target")]
    table = tomllib.loads(text)["target"]["vault"]
    targets = Targets([StatedTarget("vault", table, "/etc/jitid", "there")], "urn:jitid:test")
    for template in ("reader", "web"):
        target = targets.choose("openbao-lease", template).target
        assert target is not None
        issuer = targets.open(target)
        assert isinstance(issuer, lease.OpenbaoLeaseIssuer)
        issuer.close()


def test_the_policy_is_what_the_tests_get_by_with() -> None:
    def lines(text: str) -> Iterator[str]:
        for line in text.splitlines():
            if line.startswith('path "'):
                yield " ".join(line.split())

    assert list(lines(PAGE)) == list(lines(POLICY))
