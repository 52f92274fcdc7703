"""Forward authentication: nginx passes requests that a valid token permits, and names the actor to the service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nginx import get, nginx
from tests.server.asking import API, ISSUER, Asked, asking

PLACE = f"/forward-auth?audience={API}"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer."""
    with asking(tmp_path_factory.mktemp("full"), "issuer", "responder") as made:
        yield made


@pytest.fixture(scope="module")
def live(asked: Asked) -> str:
    """Return a token for the API."""
    return asked.token(scope="http:GET:/repo/*", jitid_agent="planner", jitid_task="T-1")


def ask(asked: Asked, place: str, bearer: str | None, **headers: str) -> tuple[int, str]:
    """Send a request as a proxy does; return the status and the challenge."""
    if bearer is not None:
        headers["authorization"] = f"Bearer {bearer}"
    done = asked.served.ask("GET", place, headers=headers)
    return done.status, done.headers.get("www-authenticate", "")


def test_a_valid_token_passes_and_is_told(asked: Asked, live: str) -> None:
    done = asked.served.ask("GET", PLACE, headers={"authorization": f"bearer {live}"})
    assert done.status == 200
    told = {name: done.headers[f"x-jitid-{name}"] for name in ("agent", "delegator", "task", "scopes")}
    assert told == {
        "agent": "planner",
        "delegator": "user:alice",
        "task": "T-1",
        "scopes": "http:GET:/repo/*",
    }


def test_what_does_not_pass_is_challenged(asked: Asked, live: str) -> None:
    """RFC 6750, section 3."""
    metadata = f"{ISSUER}/.well-known/oauth-protected-resource?resource=https%3A%2F%2Fapi.example"
    assert ask(asked, PLACE, None) == (401, f'Bearer realm="jitid", resource_metadata="{metadata}"')
    for bearer in ("nonsense", live[:-4], "jitid_" + "0" * 38):
        status, said = ask(asked, PLACE, bearer)
        assert (status, 'error="invalid_token"' in said) == (401, True)
        assert bearer not in said
    status, said = ask(asked, "/forward-auth", live)
    assert (status, "another audience" in said) == (401, True)
    status, said = ask(asked, f"{PLACE}&scope=repo:write", live)
    assert (status, 'error="insufficient_scope"' in said, 'scope="repo:write"' in said) == (403, True, True)
    assert ask(asked, f"{PLACE}&scope=http:GET:/repo/x", live)[0] == 200
    dead = asked.token()
    asked.form("/revoke", token=dead)
    assert ask(asked, PLACE, dead)[0] == 401


def test_an_action_is_decided_by_its_path_and_recorded_without_its_query(asked: Asked, live: str) -> None:
    place = f"{PLACE}&action=http:GET"
    query = "?secret=abc"
    assert ask(asked, place, live, **{"X-Original-URI": f"/repo/web{query}"})[0] == 200
    assert ask(asked, place, live, **{"X-Forwarded-Uri": f"/repo/web{query}"})[0] == 200
    assert ask(asked, place, live, **{"X-Original-URI": "/other"})[0] == 403
    # Without a path, the action cannot be decided.
    assert ask(asked, place, live)[0] == 403
    kept = b"".join(path.read_bytes() for path in asked.shell.ledger.iterdir() if path.is_file())
    assert b"/repo/web" in kept
    assert b"secret=abc" not in kept


def test_a_path_is_decided_on_in_one_spelling(asked: Asked) -> None:
    """Otherwise a rule about a path would not apply to another spelling of the same path."""
    place, live = f"{PLACE}&action=http:GET", asked.token(scope="http:GET")
    for path in ("/repo/%70lain%2Dsp%65lling/", "/repo/plain-spelling/%7b%40", "/repo/a%20b%7B@"):
        assert ask(asked, place, live, **{"X-Original-URI": path})[0] == 200
    kept = b"".join(path.read_bytes() for path in asked.shell.ledger.iterdir() if path.is_file())
    assert b"/repo/plain-spelling/" in kept
    assert b"/repo/plain-spelling/%7B@" in kept
    assert b"/repo/a%20b%7B@" in kept
    assert b"%70lain" not in kept
    assert b"%7b" not in kept


AMBIGUOUS = {
    "an empty segment": ("//repo/web", "/repo//web"),
    "an encoded separator": (
        "/repo%2fweb",
        "/repo%2Fweb",
        "/repo%5cweb",
        "/repo/..%2fother",
        "/repo/..%5cother",
    ),
    "an encoded dot": ("/repo/%2e%2E/other",),
    "an encoded percent sign": ("/repo/%252e%252e/other",),
    "an encoded question mark or hash": ("/repo/web%3fx", "/repo/web%23x"),
    "an encoded control character": ("/repo/web%00",),
    "a character that must be percent-encoded": (
        "/repo\\web",
        "/repo;x/web",
        "/repo/web#",
        "/repo/web#/../../other",
        "/repo/web?#",
        "/repo/w\xe9b",
        "/repo/web%",
        "/repo/..;x/other",
    ),
    "a segment `.` or `..`": ("/repo/../other", "/repo/./web", "/repo/.."),
    "a segment that ends in a dot or a space": ("/repo/web.", "/repo/..%20/other", "/repo/web%20"),
    "encoded bytes that are not UTF-8": ("/repo/%c0%ae%c0%ae/other",),
    "text that is not in the form NFKC": ("/repo/%ef%bc%8e%ef%bc%8e/other", "/repo/e%cc%81"),
    "a non-ASCII character that is neither a letter nor a digit": ("/repo/%e2%80%ae",),
}
"""Paths that servers read in different ways, by the reason for the refusal."""


@pytest.mark.parametrize(("why", "path"), [(why, path) for why, paths in AMBIGUOUS.items() for path in paths])
def test_a_path_that_servers_read_in_different_ways_passes_nowhere(
    asked: Asked, live: str, why: str, path: str
) -> None:
    status, said = ask(asked, f"{PLACE}&action=http:GET", live, **{"X-Original-URI": path})
    assert (status, f"has {why}" in said, "interpret it differently" in said) == (403, True, True), said


def test_a_path_with_dots_that_is_no_other_one_passes(asked: Asked, live: str) -> None:
    place = f"{PLACE}&action=http:GET"
    assert ask(asked, place, live, **{"X-Original-URI": "/repo/a..b/..c?x=../y"})[0] == 200


def test_letters_of_every_script_pass(asked: Asked) -> None:
    place, live = f"{PLACE}&action=http:GET", asked.token(scope="http:GET")
    for path in ("/repo/caf%C3%A9", "/repo/%e6%97%a5%e6%9c%ac", "/repo/%D0%BF%d1%83%d1%82%d1%8c/1"):
        assert ask(asked, place, live, **{"X-Original-URI": path})[0] == 200


def test_a_client_cannot_say_by_the_other_header_what_is_decided_on(asked: Asked, live: str) -> None:
    """A proxy sets one of the headers, and forwards all other headers of its client."""
    place = f"{PLACE}&action=http:GET"
    both = {"X-Original-URI": "/repo/web", "X-Forwarded-Uri": "/other"}
    status, said = ask(asked, place, live, **both)
    assert (status, "two different paths" in said) == (403, True)
    assert ask(asked, place, live, **{**both, "X-Forwarded-Uri": "/repo/web"})[0] == 200


def test_nobody_fills_the_ledger_with_what_is_not_valid(asked: Asked) -> None:
    before = asked.shell.good("audit", "log", "--operation", "use")
    for _ in range(3):
        done = ask(asked, f"{PLACE}&action=http:GET", "nonsense", **{"X-Original-URI": "/repo/web"})
        assert done[0] == 401
    assert asked.shell.good("audit", "log", "--operation", "use") == before


@pytest.mark.parametrize(
    "query",
    [
        "audienc=x",
        "audience=a b",
        "scope=%ff",
        "scope=a" + "%20a" * 128,
        "scope=a" + "&scope=a" * 128,
        "action=http:*",
        "action=a&action=b",
    ],
)
def test_a_proxy_that_is_set_up_wrongly_lets_nobody_through(asked: Asked, live: str, query: str) -> None:
    """Every status except 401 and 403 becomes 500 at nginx."""
    assert ask(asked, f"/forward-auth?{query.replace(' ', '%20')}", live)[0] == 400


def test_nginx_asks_before_it_serves(tmp_path: Path, asked: Asked, live: str) -> None:
    locations = f"""
        location / {{
            auth_request /check;
            auth_request_set $agent $upstream_http_x_jitid_agent;
            auth_request_set $delegator $upstream_http_x_jitid_delegator;
            try_files /nothing @behind;
        }}
        location @behind {{
            add_header X-Seen "$agent for $delegator";
            return 200 "behind";
        }}
        location = /check {{
            internal;
            proxy_pass http://unix:{asked.served.socket}:/forward-auth?audience={API}&action=http:$request_method;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Original-URI $request_uri;
            proxy_set_header X-Forwarded-Uri "";
        }}
    """
    with nginx(tmp_path, locations) as address:
        status, headers, body = get(f"{address}/repo/web?a=b", Authorization=f"Bearer {live}")
        assert (status, body, headers["X-Seen"]) == (200, "behind", "planner for user:alice")
        assert get(f"{address}/other", Authorization=f"Bearer {live}")[0] == 403
        assert get(f"{address}/repo/web")[0] == 401
        assert get(f"{address}/repo/web", Authorization="Bearer nonsense")[0] == 401
