"""`client_secret_basic` and `client_secret_post`: an access token is the secret of the caller that has it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from itertools import combinations, product
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from tests.crypto.signed import P256, jwk
from tests.server.asking import API, FORM, Asked, asking, grant
from tests.serving import Answer

PATHS = ("/token", "/introspect", "/revoke")
NAMES = ("system:ci", "user:alice@example.com", "user:alice+ops/x@example.com", "system:a.b-c_d")


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer and verifier: the caller of a request without credentials at the socket."""
    with asking(tmp_path_factory.mktemp("secrets"), "issuer", "verifier") as made:
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Asked]:
    """Serve one test that fails often: a service counts the failures of each client."""
    with asking(tmp_path, "issuer", "verifier") as made:
        yield made


def basic(asked: Asked, path: str, pair: str, **more: str) -> Answer:
    """Send a request with the header `Authorization: Basic`."""
    return asked.form(path, basic=pair, **fields(path, more))


def post(asked: Asked, path: str, client: str, secret: str, **more: str) -> Answer:
    """Send a request with name and secret in the body."""
    return asked.form(path, **fields(path, more), client_id=client, client_secret=secret)


def fields(path: str, more: dict[str, str]) -> dict[str, str]:
    """Return the fields that an endpoint requires."""
    own = {"grant_type": "client_credentials", "audience": API} if path == "/token" else {"token": "x"}
    return {**own, **more}


def every_character(text: str) -> str:
    """Return a text with each character percent-encoded."""
    return "".join(f"%{character:02x}" for character in text.encode())


@pytest.mark.parametrize("encode", [str, quote_plus, lambda text: quote(text, safe=""), every_character])
@pytest.mark.parametrize("name", NAMES)
def test_a_client_is_known_by_its_name_and_its_access_token(
    asked: Asked, name: str, encode: Callable[[str], str]
) -> None:
    """RFC 6749, section 2.3.1, encodes both, and many clients encode neither."""
    secret = grant(asked.shell, name, "verifier")
    for done in (
        basic(asked, "/introspect", f"{encode(name)}:{encode(secret)}"),
        post(asked, "/introspect", name, secret),
    ):
        assert (done.status, done.json) == (200, {"active": False})


def test_a_system_is_issued_a_token_verifies_and_revokes_it(asked: Asked) -> None:
    secret = grant(asked.shell, "system:deploy", "verifier")
    ways: list[Callable[..., Answer]] = [
        lambda path, **more: basic(asked, path, f"system:deploy:{secret}", **more),
        lambda path, **more: basic(asked, path, f"system%3Adeploy:{secret}", **more),
        lambda path, **more: post(asked, path, "system:deploy", secret, **more),
    ]
    for ask in ways:
        made = ask("/token", scope="repo:read")
        assert made.status == 200, made.body
        token = made.json["access_token"]
        found = ask("/introspect", token=token).json
        assert (found["active"], found["sub"], found["delegator_proof"]) == (
            True,
            "system:deploy",
            "credential",
        )
        assert ask("/revoke", token=token).status == 200
        assert ask("/introspect", token=token).json == {"active": False}


def test_the_id_of_an_access_credential_is_a_name_without_a_colon(asked: Asked) -> None:
    secret = grant(asked.shell, "system:by-id", "verifier")
    (own,) = asked.shell.good("access", "list", "--name", "system:by-id", "--field", "id").split()
    assert basic(asked, "/introspect", f"{own}:{secret}").status == 200


def test_a_failed_secret_is_an_invalid_client_with_the_challenge_of_its_scheme(alone: Asked) -> None:
    """RFC 6749, section 5.2. Over the socket, the user named by the kernel does not replace a stated client."""
    secret = grant(alone.shell, "system:right", "verifier")
    other = grant(alone.shell, "system:other", "verifier")
    wrong = [
        ("system:wrong", secret),
        ("system:right", other),
        ("right", secret),
        ("SYSTEM:RIGHT", secret),
        ("system%253Aright", secret),
        ("system:right%", secret),
        ("system:right\x00", secret),
        ("system:right:", secret),
        ("system:right", secret[:-1]),
        ("system:right", secret + "0"),
        ("system:right", secret.swapcase()),
        ("system:right", "jitid_" + "0" * 38),
        ("system:right", "%"),
        ("", secret),
        ("system:right", ""),
    ]
    for path, (client, shown) in [("/introspect", pair) for pair in wrong] + list(product(PATHS, wrong[:2])):
        done = basic(alone, path, f"{client}:{shown}")
        assert (done.status, done.json["error"]) == (401, "invalid_client"), (client, done.body)
        assert done.headers["www-authenticate"] == 'Basic realm="jitid", charset="UTF-8"'
        assert secret not in done.body.decode()
    for path, (client, shown) in product(PATHS, wrong[:6]):
        done = post(alone, path, client, shown)
        assert (done.status, done.json["error"]) == (401, "invalid_client"), (client, done.body)
        assert secret not in done.body.decode()


@pytest.mark.parametrize("value", ["", "!", "bm9jb2xvbg==", "c3lzdGVt", "Y2k6w7w=", "YTpi YTpi", "A" * 4_000])
def test_a_malformed_basic_header_is_an_invalid_client(asked: Asked, value: str) -> None:
    done = asked.served.ask("POST", "/introspect", b"token=x", {**FORM, "authorization": f"Basic {value}"})
    assert (done.status, done.json["error"]) == (401, "invalid_client")
    assert done.headers["www-authenticate"].startswith("Basic ")


def test_only_an_access_token_is_a_secret(alone: Asked) -> None:
    """Promise 14: neither a shown token nor an agent's token is a client's secret, for any client name."""
    assert grant(alone.shell, "system:signer", "verifier", key=jwk(P256)) == ""
    agent = alone.identity("planner")
    held = alone.identity("planner", "--kind", "opaque", task="T-opaque")
    assert alone.form("/revoke", token="x", bearer=held).status == 200
    service, shown = alone.token(), alone.token(jitid_kind="opaque")
    for token, client in product(
        (agent, held, service, shown), ("agent:planner", "planner", "system:signer")
    ):
        for done in (
            basic(alone, "/introspect", f"{quote(client, safe='')}:{token}"),
            post(alone, "/introspect", client, token),
        ):
            assert (done.status, done.json["error"]) == (401, "invalid_client"), client
    for path in PATHS:
        assert basic(alone, path, f"planner:{held}").status == 401


def test_failures_of_one_client_are_bounded(alone: Asked) -> None:
    """They are bounded like failures of bearer tokens; a client with the right secret is still served."""
    secret = grant(alone.shell, "system:right", "verifier")
    statuses = {basic(alone, "/introspect", f"system:right:{secret[:-1]}").status for _ in range(200)}
    assert statuses == {401, 429}
    # On a busy machine, some of them come after the limit has been raised again by the time that passed.
    assert 429 in {post(alone, "/introspect", "system:wrong", secret).status for _ in range(200)}
    assert basic(alone, "/introspect", f"system:right:{secret}").status == 200


def test_a_bootstrap_credential_is_worth_no_more_as_a_secret(asked: Asked, tmp_path: Path) -> None:
    place = tmp_path / "bootstrap"
    asked.shell.good("access", "bootstrap", str(place))
    for path, status in (("/token", 400), ("/introspect", 403)):
        done = basic(asked, path, f"system:bootstrap:{place.read_text().strip()}")
        assert (done.status, done.json["error"]) == (status, "unauthorized_client"), done.body


def test_two_ways_at_once_are_refused(asked: Asked) -> None:
    """RFC 6749, section 2.3: this holds even if each of them would be valid alone."""
    secret = grant(asked.shell, "system:twice", "verifier")
    ways: dict[str, dict[str, Any]] = {
        "basic": {"basic": f"system:twice:{secret}"},
        "bearer": {"bearer": secret},
        "post": {"client_id": "system:twice", "client_secret": secret},
        "assertion": {"client_assertion": "x", "client_assertion_type": "y"},
    }
    for path in PATHS:
        for one, other in combinations(ways, 2):
            if {one, other} == {"basic", "bearer"}:
                # Both use the same header.
                continue
            done = asked.form(path, **fields(path, {}), **{**ways[one], **ways[other]})
            assert (done.status, done.json["error"]) == (400, "invalid_request"), (path, one, other)
        query = f"{path}?client_id=system%3Atwice&client_secret={secret}"
        done = asked.served.ask("POST", query, b"token=x", FORM)
        assert (done.status, done.json["error"]) == (400, "invalid_request")


def test_a_client_id_that_names_another_caller_is_refused(asked: Asked) -> None:
    secret = grant(asked.shell, "system:one", "verifier")
    grant(asked.shell, "system:two", "verifier")
    for path in PATHS:
        done = basic(asked, path, f"system:one:{secret}", client_id="system:two")
        assert (done.status, done.json["error"]) == (401, "invalid_client")
        assert done.headers["www-authenticate"].startswith("Basic ")
        assert basic(asked, path, f"system:one:{secret}", client_id="system:one").status == 200


def test_a_secret_without_its_name_is_refused(asked: Asked) -> None:
    secret = grant(asked.shell, "system:nameless", "verifier")
    done = asked.form("/introspect", token="x", client_secret=secret)
    assert (done.status, done.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("way", ["bearer", "basic", "post"])
def test_a_secret_ends_with_its_access_whatever_the_way(asked: Asked, way: str) -> None:
    """RFC 7009, section 2.1: a client may revoke its own access token; the token is then invalid in every way."""
    name = f"system:ends-{way}"
    secret = grant(asked.shell, name, "verifier")

    def ask(path: str, how: str, token: str) -> Answer:
        if how == "post":
            return post(asked, path, name, secret, token=token)
        if how == "basic":
            return basic(asked, path, f"{name}:{secret}", token=token)
        return asked.form(path, token=token, bearer=secret)

    other = grant(asked.shell, name, "verifier")
    assert ask("/revoke", way, other).status == 200
    assert asked.form("/introspect", token="x", bearer=other).status == 200
    assert ask("/revoke", way, secret).status == 200
    for how in ("bearer", "basic", "post"):
        assert ask("/introspect", how, "x").status == 401


def test_a_disabled_caller_and_a_replaced_token_are_no_clients(asked: Asked) -> None:
    secret = grant(asked.shell, "system:leaver", "verifier")
    asked.shell.good("delegator", "add", "system:leaver")
    assert basic(asked, "/introspect", f"system:leaver:{secret}").status == 200
    asked.shell.good("delegator", "disable", "system:leaver")
    assert basic(asked, "/introspect", f"system:leaver:{secret}").status == 401
    assert post(asked, "/introspect", "system:leaver", secret).status == 401


def test_secrets_are_written_nowhere(asked: Asked) -> None:
    secret = grant(asked.shell, "system:quiet", "verifier")
    pair = f"system:quiet:{secret}"
    assert basic(asked, "/introspect", pair).status == 200
    assert post(asked, "/token", "system:quiet", secret).status == 200
    assert basic(asked, "/introspect", f"x{pair}").status == 401
    encoded = b64encode(pair.encode()).decode()
    told = asked.served.log.read_text() + asked.shell.good(
        "audit", "log", "--format", "jsonl", "--limit", "1000"
    )
    assert '"caller":"system:quiet"' in told.replace('": "', '":"')
    assert secret not in told
    assert encoded not in told
