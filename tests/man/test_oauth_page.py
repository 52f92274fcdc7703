"""The page about the standard protocols: it documents all parameters and answers, and its example works."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jitid.capabilities.access import authenticate, key_sets
from jitid.server import app, authzen, discovery, forward_auth, oauth, protected_resource
from tests.crypto.loopback import Answer, serve
from tests.man.source import displays, plain, read
from tests.nginx import get, nginx
from tests.server.asking import Asked, asking

PAGE = read("jitid-oauth.7")
TEXT = plain(PAGE)
SERVER = Path(app.__file__).parent


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    """Serve the authority as an issuer for this user."""
    with asking(tmp_path / "authority", "issuer") as made:
        yield made


def test_every_parameter_of_ours_is_told() -> None:
    told = set(re.findall(r"jitid_[a-z_]+", TEXT))
    assert told == oauth._OWN


@pytest.mark.parametrize(
    "path",
    [
        oauth.TOKEN,
        oauth.INTROSPECT,
        oauth.REVOKE,
        authzen.EVALUATION,
        authzen.EVALUATIONS,
        forward_auth.PLACE,
        discovery.PLACE,
        "/jwks",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/authzen-configuration",
        protected_resource.PLACE,
    ],
)
def test_every_endpoint_is_told(path: str) -> None:
    assert re.search(rf"^\.(It )?Li {re.escape(path)}$", TEXT, re.MULTILINE)


def test_the_keys_of_one_algorithm_are_told(asked: Asked) -> None:
    (place,) = re.findall(r"^\.Li (/jwks\?\S+)$", TEXT, re.MULTILINE)
    asked.token(audience="api", jitid_agent="planner")
    keys = asked.served.ask("GET", place).json["keys"]
    assert keys
    assert {key["alg"] for key in keys} == {"ES256"}


def test_every_error_is_told() -> None:
    """These are all codes in the sources, except the names of two members."""
    codes = {
        node.value
        for name in (
            "oauth_client_auth.py",
            "oauth_form.py",
            "oauth.py",
        )
        for node in ast.walk(ast.parse((SERVER / name).read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(
            r"(?:invalid|unsupported|unauthorized|temporarily|access|authorization)_[a-z_]+", node.value
        )
    } - {"access_token", "authorization_details"}
    assert len(codes) > 8
    assert not [code for code in codes if code not in TEXT]


def test_every_algorithm_and_bound_is_told() -> None:
    for algorithm in authenticate.ALGORITHMS:
        assert algorithm in TEXT
    assert (authenticate.LONGEST, key_sets.FRESH, key_sets.AGAIN, key_sets.LONGEST) == (300, 300, 30, 10)
    assert (authzen.MOST, key_sets.MAX_KEY_SET) == (1000, 1024 * 1024)


def test_the_example_for_nginx_works(asked: Asked, tmp_path: Path) -> None:
    (example,) = [shown for shown in displays(PAGE) if shown.startswith("location")]
    live = asked.token(audience="api", jitid_agent="planner")
    with serve({"/x": Answer(b"behind")}) as behind:
        locations = example.replace("http://127.0.0.1:8477/", f"http://unix:{asked.served.socket}:/")
        with nginx(tmp_path, locations.replace("http://127.0.0.1:8080", behind)) as address:
            status, _, body = get(f"{address}/x", Authorization=f"Bearer {live}")
            assert (status, body) == (200, "behind")
            assert get(f"{address}/x")[0] == 401
