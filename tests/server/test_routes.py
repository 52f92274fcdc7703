"""Each route has one spelling: a proxy in front judges the path it sees, so no other path may lead there."""

from __future__ import annotations

import getpass
from collections.abc import Iterator

import pytest

from tests.server.routing import table
from tests.server.wire import Reply, Wire
from tests.serving import Served, serving

# It changes nothing, and is answered with 200 once it is routed.
_OPERATION = "PublishKeys"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Return a service that knows this user."""
    folder = tmp_path_factory.mktemp("routes")
    configuration = folder / "config.toml"
    configuration.write_text(f'[socket.role]\n{getpass.getuser()} = ["verifier", "responder"]\n')
    configuration.chmod(0o600)
    with serving(folder, "--config", str(configuration), "--socket", str(folder / "jitid.sock")) as found:
        yield found


def places() -> list[tuple[str, str]]:
    """Return method and path of each route."""
    return [
        (min(methods - {"HEAD"}), path.replace("/operations/Verify", f"/operations/{_OPERATION}"))
        for path, methods in table()
    ]


def spellings(path: str) -> set[str]:
    """Return spellings that a server might accept for the same path."""
    found = set()
    for at, character in enumerate(path):
        before, after = path[:at], path[at + 1 :]
        for written in (f"%{ord(character):02x}", f"%{ord(character):02X}", f"%25{ord(character):02x}"):
            # A target begins with a slash, otherwise it is not a path.
            found.add(f"{before}{written}{after}" if at else f"/{written}{after}")
        if character == "/":
            more = (
                "//",
                "/./",
                "/x/../",
                "\\",
                "/;x/",
                "/%2e/",
                "/x/%2e%2e/",
                "/%2F",
                "/%00",
                "/\\",
                "%5c",
                "%2f",
            )
            found |= {f"{before}{each}{after}" for each in (*more, "%252f", "%c0%af", "%ef%bc%8f")}
        elif character.isalpha():
            found.add(f"{before}{character.swapcase()}{after}")
    found |= {
        f"{path}{each}"
        for each in ("/", "/.", "//", ";", ";x=y", "%00", "%20", "%23", "%3f", "%0a", ".", "\\")
    }
    found |= {f"{path}#", f"{path}#x", f"{path}#/../x", f"http://x{path}", path.lstrip("/")}
    return {each for each in found - {path} if each}


def ask(wire: Wire, method: str, path: str) -> Reply:
    """Send a request with a body that the route accepts."""
    oauth = path.lower().startswith(("/token", "/introspect", "/revoke"))
    kind = "application/x-www-form-urlencoded" if oauth else "application/json"
    body = b"" if method == "GET" else b"a=b" if oauth else b"{}"
    more = f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n" if body else ""
    wire.send(f"{method} {path} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode() + body)
    return wire.reply(method)


@pytest.mark.parametrize(("method", "path"), places(), ids=[path for _, path in places()])
def test_a_route_has_one_spelling(served: Served, method: str, path: str) -> None:
    with Wire(served.connect()) as wire:
        meant = ask(wire, method, path)
    if not path.startswith(("/.well-known/o", "/x/", "/status/")):
        # There is no such issuer, and no such list.
        assert meant.status in (200, 400, 401), meant
    for other in sorted(spellings(path)):
        with Wire(served.connect()) as wire:
            found = ask(wire, method, other)
        assert (found.status, found.body) != (meant.status, meant.body) or meant.status == 404, other
        assert found.status in (400, 404), (other, found)
    # The log line of a request is written before the next request is answered.
    served.ask("GET", "/healthz")
    routed = [line for line in served.lines() if line.get("route") == path and line["status"] == meant.status]
    assert len(routed) <= 1 or path == "/healthz"


def test_a_query_is_no_part_of_a_path(served: Served) -> None:
    with Wire(served.connect()) as wire:
        assert ask(wire, "GET", "/v1/whoami?x=/../y%2f").status == 200
        assert ask(wire, "GET", "/v1%2fwhoami").status == 404
        assert ask(wire, "GET", "/v1/whoami").status == 200
