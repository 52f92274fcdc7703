"""jitid-login(7): its settings, limits and addresses are those of the code."""

from __future__ import annotations

import re

import pytest

from jitid.capabilities.access.oidc import NEW
from jitid.cli.identity.login import _PATIENCE
from jitid.config.config_file import _OIDC, parse, read_layer
from jitid.config.settings import SETTINGS
from jitid.model.access import OidcIssuer
from jitid.system.loopback import PATH
from jitid.values.times import format_duration
from tests.man.source import displays, items, plain, read, section

PAGE = read("jitid-login.7")
TEXT = " ".join(re.sub(r"^\.\w+ ", "", plain(PAGE), flags=re.MULTILINE).split())


@pytest.mark.parametrize("text", [text for text in displays(PAGE) if "[oidc" in text])
def test_its_configurations_are_valid(text: str) -> None:
    layer = read_layer(parse(plain(text), "page"), "/page", "page", "user")
    assert layer.oidc["https://id.example.com"]["client_id"] == "jitid-cli"


def test_it_names_the_fields_of_a_login_with_their_defaults() -> None:
    named = {
        name for names in items(section(PAGE, "CONFIGURATION")) for name in re.split(r"[ ,]+", names) if name
    }
    assert named - {"login_lifetime"} <= set(_OIDC)
    assert {"client_id", "client_secret_file", "scopes", "device", "ca"} <= named
    assert f"by default {' '.join(OidcIssuer('', '', '').scopes)}" in TEXT
    assert SETTINGS["login_lifetime"].default == 8 * 3_600
    assert "8 hours by default" in TEXT
    assert not SETTINGS["login_lifetime"].environment


def test_its_limits_are_those_of_the_code() -> None:
    assert f"http://127.0.0.1{PATH}" in TEXT
    assert format_duration(NEW) == "10m"
    assert "within the last 10 minutes" in TEXT
    assert format_duration(int(_PATIENCE)) == "5m"
    assert "waits for five minutes" in TEXT
