"""The page about SVIDs: it describes their contents correctly, and its commands exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from jitid.cli.verbs import all_verbs
from jitid.issuers.x509_svid import TEMPLATE_OPTIONS
from jitid.values import strict_json
from tests.builders import World
from tests.man.source import displays, items, plain, read, section

PAGE = read("jitid-svid.7")
TEXT = " ".join(plain(PAGE).split())


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return a new ledger."""
    with World(tmp_path / "ledger") as world:
        yield world


def test_the_claims_of_a_token_are_those_it_has(world: World) -> None:
    _, payload, _ = world.issue(kind="jwt-svid").token.split(".")
    (told,) = re.findall(r"and the claims (.*?) where status lists are published", TEXT)
    names = set(re.findall(r"[a-z]{3,}", told)) - {"the", "and"}
    assert names == {*json.loads(strict_json.b64url_decode(payload)), "status"}


def test_the_fields_of_a_certificate_are_those_it_has(world: World) -> None:
    certificate = x509.load_pem_x509_certificate(world.issue(kind="x509-svid").token.encode())
    told = {name for names in items(section(PAGE, "CERTIFICATES")) for name in re.split(r"[ ,]+", names)}
    has = {extension.oid._name for extension in certificate.extensions}
    assert has - {"authorityKeyIdentifier"} == told - {"serialNumber", "subject", "validity"}
    assert set(TEMPLATE_OPTIONS) == {"dns_names"}
    assert "dns_names" in TEXT


def test_each_command_is_a_verb() -> None:
    lines = [line for text in displays(PAGE) for line in text.splitlines()]
    named = [" ".join(words) for line in lines for words in re.findall(r"\bjitid (keys ca) (\w+)", line)]
    assert {"keys ca request", "keys ca import"} == set(named) <= set(all_verbs())
