"""The third-party clients and the proxy that the tests use with jitid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crypto.loopback import Answer, serve
from tests.nginx import get, nginx
from tests.node import Node


def test_node_runs_the_packages_and_hands_back_a_value(node: Node) -> None:
    script = """
        const { publicKey, privateKey } = await jose.generateKeyPair("EdDSA");
        const token = await new jose.SignJWT({ n: given.number }).setProtectedHeader({ alg: "EdDSA" }).sign(privateKey);
        const { payload } = await jose.jwtVerify(token, publicKey);
        answer([payload.n, typeof oauth.discoveryRequest]);
    """
    assert node.run(script, number=7) == [7, "function"]


def test_a_script_of_node_that_throws_fails_the_test(node: Node) -> None:
    with pytest.raises(AssertionError, match="this went wrong"):
        node.run('throw new Error("this went wrong")')


def test_nginx_asks_before_it_lets_in(tmp_path: Path) -> None:
    with serve(
        {"/yes": Answer(b"in"), "/no": Answer(b"in", status=401), "/page": Answer(b"hello")}
    ) as behind:
        locations = "".join(
            f"location = /asked{path} {{ internal; proxy_pass {behind}{path}; }}"
            f"location = /page{path} {{ auth_request /asked{path}; proxy_pass {behind}/page; }}"
            for path in ("/yes", "/no")
        )
        with nginx(tmp_path, locations) as front:
            assert get(f"{front}/page/yes")[::2] == (200, "hello")
            assert get(f"{front}/page/no")[0] == 401
