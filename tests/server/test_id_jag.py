"""The assertion of an identity provider (ID-JAG, RFC 7523) proves the delegator, once, for one client."""

from __future__ import annotations

import json
import os
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from tests.builders import edit
from tests.crypto.signed import ED25519, P256, encode, jwk, token
from tests.real import Shell
from tests.server.asking import API, IDP, ISSUER, Asked, asking, configured, grant, id_token
from tests.serving import Answer, serving

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
HEADER = {"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "k"}
OTHER = "https://other.example"


class Asking(Asked):
    """A service, two clients of it, and the secret of each."""

    ci: str
    mallory: str

    def present(self, assertion: str, *, client: str = "system:ci", **more: str) -> Answer:
        """Send the grant as a client."""
        secret = self.ci if client == "system:ci" else self.mallory
        fields = {"grant_type": GRANT, "assertion": assertion, "jitid_task": "T-1", **more}
        return self.form("/token", basic=f"{client}:{secret}", **{n: v for n, v in fields.items() if v})

    def refused(self, assertion: str, **more: str) -> tuple[str, str]:
        """Send the grant, and return the code of the refusal and its description."""
        done = self.present(assertion, **more)
        assert done.status == 400, done.body
        return str(done.json["error"]), str(done.json["error_description"])


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asking]:
    """Serve two clients."""
    with asking(tmp_path_factory.mktemp("jag"), "responder", "verifier") as made:
        found = Asking(made.served, made.shell)
        found.ci, found.mallory = (grant(made.shell, f"system:{name}") for name in ("ci", "mallory"))
        yield found


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of an ID-JAG; None omits a claim."""
    now = int(time.time())
    usual = {
        "iss": IDP,
        "sub": "alice",
        "aud": ISSUER,
        "client_id": "system:ci",
        "jti": os.urandom(8).hex(),
        "iat": now,
        "exp": now + 300,
        "scope": "repo:read",
        "resource": API,
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def id_jag(header: dict[str, Any] | None = None, /, **changed: Any) -> str:
    """Return a signed ID-JAG; in header and claims, None omits a member."""
    head = {name: value for name, value in {**HEADER, **(header or {})}.items() if value is not None}
    return token(head, claims(**changed), P256)


def introspected(asked: Asking, done: Answer) -> dict[str, Any]:
    """Return the claims of an issued token."""
    assert done.status == 200, done.body
    found: dict[str, Any] = asked.form("/introspect", token=done.json["access_token"]).json
    assert found["active"]
    return found


def test_the_metadata_names_the_grant(asked: Asking) -> None:
    found = asked.served.ask("GET", "/.well-known/oauth-authorization-server").json
    assert GRANT in found["grant_types_supported"]
    assert found["authorization_grant_profiles_supported"] == ["urn:ietf:params:oauth:grant-profile:id-jag"]


def test_the_assertion_proves_the_delegator_of_a_new_identity(asked: Asking) -> None:
    done = asked.present(id_jag())
    assert (done.json["token_type"], done.json["scope"]) == ("Bearer", "repo:read")
    assert "issued_token_type" not in done.json
    assert "refresh_token" not in done.json
    found = introspected(asked, done)
    expected = ("user:alice", "ci", API, "repo:read", "T-1", "oidc")
    names = ("sub", "client_id", "aud", "scope", "txn", "delegator_proof")
    assert tuple(found[name] for name in names) == expected
    assert found["jitid"]["depth"] == 0
    assert found["jitid"]["id"] != introspected(asked, asked.present(id_jag()))["jitid"]["id"]
    asked.shell.good("audit", "verify")


@pytest.mark.parametrize(
    ("changed", "more", "scope", "audience"),
    [
        ({"aud": [ISSUER], "resource": [API]}, {}, "repo:read", API),
        ({"scope": "repo:*"}, {"scope": "repo:read"}, "repo:read", API),
        ({"scope": "repo:read repo:list"}, {"scope": "repo:list"}, "repo:list", API),
        ({"scope": None}, {}, None, API),
        ({"scope": ""}, {}, None, API),
        ({"resource": [API, OTHER]}, {"resource": OTHER}, "repo:read", OTHER),
        ({"resource": [API, OTHER]}, {}, "repo:read", [API, OTHER]),
        ({}, {"audience": API}, "repo:read", API),
        (
            {"scope": "repo:read"},
            {"scope": "repo:read repo:write", "jitid_allow_narrower": "true"},
            "repo:read",
            API,
        ),
        (
            {"azp": "system:ci", "auth_time": 1_700_000_000, "amr": ["mfa"], "tenant": "t"},
            {},
            "repo:read",
            API,
        ),
    ],
)
def test_scope_and_resource_bound_the_token(
    asked: Asking, changed: dict[str, Any], more: dict[str, str], scope: str | None, audience: object
) -> None:
    found = introspected(asked, asked.present(id_jag(**changed), **more))
    assert (found.get("scope") or None, found["aud"]) == (scope, audience)


@pytest.mark.parametrize(
    ("changed", "more", "code"),
    [
        ({}, {"scope": "repo:write"}, "invalid_scope"),
        ({}, {"scope": "repo:*"}, "invalid_scope"),
        ({}, {"scope": "repo:read repo:write"}, "invalid_scope"),
        ({}, {"scope": "repo:write", "jitid_allow_narrower": "true"}, "invalid_scope"),
        ({"scope": ""}, {"scope": "repo:read"}, "invalid_scope"),
        ({}, {"resource": OTHER}, "invalid_target"),
        ({}, {"resource": f"{API}/"}, "invalid_target"),
        ({}, {"resource": f"{API}/sub"}, "invalid_target"),
        ({}, {"audience": OTHER}, "invalid_target"),
        ({"resource": []}, {"resource": API}, "invalid_target"),
        ({"resource": None}, {}, "invalid_target"),
        ({"resource": None}, {"resource": OTHER}, "invalid_target"),
        ({"resource": None}, {"audience": API}, "invalid_target"),
        ({"scope": None}, {"scope": "repo:write"}, "invalid_scope"),
        ({"scope": ""}, {"scope": "repo:read", "jitid_allow_narrower": "true"}, "invalid_scope"),
        ({}, {"authorization_details": '[{"type":"payment"}]'}, "invalid_authorization_details"),
        (
            {"authorization_details": [{"type": "payment", "limit": 1}]},
            {"authorization_details": '[{"type":"payment","limit":2}]'},
            "invalid_authorization_details",
        ),
        ({}, {"jitid_kind": "x509-svid"}, "invalid_request"),
        ({}, {"jitid_agent": "planner"}, "unauthorized_client"),
        ({}, {"scope": "repo:read", "client_id": "system:mallory"}, "invalid_client"),
    ],
)
def test_a_request_beyond_the_bounds_is_refused(
    asked: Asking, changed: dict[str, Any], more: dict[str, str], code: str
) -> None:
    done = asked.present(id_jag(**changed), **more)
    assert (done.status, done.json["error"]) == (401 if code == "invalid_client" else 400, code), done.body


def test_details_are_those_of_the_assertion(asked: Asking) -> None:
    details = [{"limit": 1, "type": "payment"}, {"type": "read"}]
    done = asked.present(id_jag(authorization_details=details), authorization_details='[{"type":"read"}]')
    assert introspected(asked, done)["authorization_details"] == [{"type": "read"}]


NOW = 1_700_000_000
LATER = 4_000_000_000


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": None},
        {"iss": OTHER},
        {"iss": f"{IDP}/"},
        {"iss": ISSUER},
        {"iss": [IDP]},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "alice bob"},
        {"sub": "user:alice\n"},
        {"aud": None},
        {"aud": OTHER},
        {"aud": "jitid"},
        {"aud": f"{ISSUER}/"},
        {"aud": f"{ISSUER}/token"},
        {"aud": []},
        {"aud": [ISSUER, OTHER]},
        {"aud": [ISSUER, ISSUER]},
        {"aud": [[ISSUER]]},
        {"aud": {"0": ISSUER}},
        {"client_id": None},
        {"client_id": ""},
        {"client_id": "system:mallory"},
        {"client_id": "ci"},
        {"client_id": "SYSTEM:CI"},
        {"client_id": ["system:ci"]},
        {"client_id": "jitid"},
        {"azp": "system:mallory"},
        {"azp": ""},
        {"azp": 1},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 257},
        {"exp": None},
        {"exp": NOW},
        {"exp": LATER},
        {"exp": "4000000000"},
        {"exp": True},
        {"iat": None},
        {"iat": LATER},
        {"iat": NOW},
        {"iat": "1"},
        {"nbf": LATER},
        {"nbf": "1"},
        {"auth_time": "1"},
        {"scope": ["repo:read"]},
        {"scope": "repo:read  repo:list"},
        {"scope": "repo read;"},
        {"scope": " ".join(f"s:{number}" for number in range(129))},
        {"resource": 7},
        {"resource": [7]},
        {"resource": {"0": API}},
        {"resource": "/relative"},
        {"resource": f"{API}/#fragment"},
        {"resource": [f"{API}/{number}" for number in range(129)]},
        {"authorization_details": {"type": "payment"}},
        {"authorization_details": [{"no": "type"}]},
        {"authorization_details": ["payment"]},
        {"act": {"sub": "system:ci"}},
        {"act": None, "cnf": {"jkt": "x"}},
        {"cnf": []},
        {"may_act": {"sub": "user:mallory"}},
        {"may_act": "system:ci"},
    ],
    ids=lambda changed: json.dumps(changed)[:40],
)
def test_an_altered_claim_is_refused(asked: Asking, changed: dict[str, Any]) -> None:
    assert asked.refused(id_jag(**changed))[0] == "invalid_grant"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": None},
        {"typ": ""},
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"typ": "OAUTH-ID-JAG+JWT"},
        {"typ": "application/oauth-id-jag+jwt"},
        {"typ": "oauth-id-jag+jwt "},
        {"typ": ["oauth-id-jag+jwt"]},
        {"typ": "client-authentication+jwt"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256"},
        {"alg": "ES384"},
        {"alg": ["ES256"]},
        {"alg": None},
        {"kid": "other"},
        {"kid": 7},
        {"crit": ["exp"]},
        {"b64": False},
        {"cty": "JWT", "typ": "JWT"},
    ],
    ids=json.dumps,
)
def test_an_altered_header_is_refused(asked: Asking, header: dict[str, Any]) -> None:
    assert asked.refused(id_jag(header))[0] == "invalid_grant"


def test_confused_algorithms_and_foreign_keys_are_refused(asked: Asking) -> None:
    import hashlib
    import hmac

    stranger = generate_private_key(SECP256R1())
    good = id_jag()
    head, body, signed = good.split(".")
    unsigned = encode(json.dumps({**HEADER, "alg": "none"}).encode())
    symmetric = encode(json.dumps({**HEADER, "alg": "HS256"}).encode())
    public = json.dumps(jwk(P256, kid="k", use="sig")).encode()
    mac = urlsafe_b64encode(hmac.new(public, f"{symmetric}.{body}".encode(), hashlib.sha256).digest())
    carried = {**HEADER, "jwk": jwk(stranger)}
    for text in (
        f"{unsigned}.{body}.",
        f"{unsigned}.{body}.{signed}",
        f"{symmetric}.{body}.{mac.decode().rstrip('=')}",
        token(HEADER, claims(), stranger),
        token(carried, claims(), stranger),
        token({**HEADER, "jku": "https://evil.example/jwks"}, claims(), stranger),
        token({**HEADER, "alg": "EdDSA"}, claims(), ED25519),
        f"{head}.{encode(json.dumps(claims(sub='root')).encode())}.{signed}",
        f"{good}.",
        f"{good}=",
        good[:-2],
        # Nested: a signed text in place of the claims, and another copy of a claim.
        token(HEADER, json.dumps(good), P256),
        token(HEADER, json.dumps(claims())[:-1] + ', "sub": "root"}', P256),
        "jitid_" + "0" * 38,
        "x" * 20_000,
        "...",
    ):
        code, said = asked.refused(text)
        assert code in ("invalid_grant", "invalid_request"), text
        assert signed not in said
    assert asked.present(good).status == 200


def test_one_kind_of_token_is_no_other(asked: Asking) -> None:
    """An ID token is not accepted as an ID-JAG, and an ID-JAG proves nothing by another grant."""
    assert asked.refused(id_token())[0] == "invalid_grant"
    assert asked.refused(token({**HEADER, "typ": "JWT"}, claims(aud="jitid"), P256))[0] == "invalid_grant"
    own = asked.shell.good("issue", "--task", "T-9", "--delegator", "alice", "--audience", API).strip()
    assert asked.refused(own)[0] == "invalid_grant"
    changed: dict[str, Any]
    for changed in ({}, {"aud": "jitid"}):
        for sort in ("id_token", "jwt", "access_token", "id-jag"):
            done = asked.exchange(id_jag(**changed), sort)
            assert (done.status, done.json["error"]) == (400, "invalid_request"), (changed, sort)
        done = asked.exchange(
            actor_token=id_jag(**changed), actor_token_type="urn:ietf:params:oauth:token-type:jwt"
        )
        assert done.status == 400
    done = asked.form(
        "/token",
        grant_type="client_credentials",
        audience=API,
        client_assertion=id_jag(sub="system:ci", iss="system:ci"),
        client_assertion_type="urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    )
    assert (done.status, done.json["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("resource", [ISSUER, [ISSUER, API]])
def test_the_token_is_never_for_the_authority(asked: Asking, resource: object) -> None:
    """Such a token would renew and delegate without a new assertion."""
    requests: list[dict[str, str]] = [{}, {"resource": ISSUER}, {"audience": ISSUER}]
    for more in requests:
        done = asked.present(id_jag(resource=resource), **more)
        assert (done.status, done.json["error"]) == (400, "invalid_request"), done.body
    for more in requests[1:]:
        assert asked.refused(id_jag(resource=None), **more)[0] == "invalid_target"


def test_a_grant_without_an_assertion_is_refused(asked: Asking) -> None:
    assert asked.refused("")[0] == "invalid_request"


def test_an_assertion_counts_for_its_client_alone(asked: Asking) -> None:
    stolen = id_jag()
    assert asked.refused(stolen, client="system:mallory")[0] == "invalid_grant"
    # The user of the socket does not have that name either.
    assert asked.form("/token", grant_type=GRANT, assertion=stolen).json["error"] == "invalid_grant"
    assert asked.present(stolen).status == 200


def test_an_assertion_counts_once(asked: Asking) -> None:
    text = id_jag()
    # A refusal by its bounds leaves it unused.
    assert asked.refused(text, scope="repo:write")[0] == "invalid_scope"
    assert asked.present(text).status == 200
    code, said = asked.refused(text)
    assert (code, "was used before" in said) == ("invalid_grant", True)
    # Neither another task nor another spelling of the signature, nor another token with the same id.
    assert asked.refused(text, jitid_task="T-2")[0] == "invalid_grant"
    again = claims(jti=json.loads(_payload(text))["jti"])
    assert asked.refused(token(HEADER, again, P256))[0] == "invalid_grant"
    asked.shell.good("audit", "verify")


def _payload(text: str) -> bytes:
    from base64 import urlsafe_b64decode

    body = text.split(".")[1]
    return urlsafe_b64decode(body + "=" * (-len(body) % 4))


def test_of_parallel_uses_one_succeeds(asked: Asking) -> None:
    for _ in range(3):
        text = id_jag()
        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda _, text=text: asked.present(text), range(8)))
        assert sorted(answer.status for answer in done) == [200] + [400] * 7
    asked.shell.good("audit", "verify")


def test_of_parallel_uses_over_postgresql_one_succeeds(postgres_url: str, tmp_path: Path) -> None:
    """Writers are not serial there: a use that loses the race is refused, or has to be repeated and is refused then."""
    shell = configured(tmp_path, ("responder", "verifier"))
    shell.environment["JITID_LEDGER"] = postgres_url
    with serving(tmp_path, "--socket", str(tmp_path / "jitid.sock"), ledger=postgres_url) as served:
        asked = Asking(served, shell)
        asked.ci = grant(shell, "system:ci")
        for _ in range(3):
            text = id_jag()
            with ThreadPoolExecutor(8) as pool:
                done = list(pool.map(lambda _, text=text: asked.present(text), range(8)))
            assert [answer.status for answer in done].count(200) == 1
            assert {answer.status for answer in done} <= {200, 400, 503}
            assert asked.refused(text)[0] == "invalid_grant"
    shell.good("audit", "verify")


def test_a_repetition_with_its_key_uses_nothing_twice(asked: Asking) -> None:
    """A client whose answer was lost gets a new assertion."""
    from urllib.parse import urlencode

    text, headers = id_jag(), {"content-type": "application/x-www-form-urlencoded", "idempotency-key": "k1"}
    body = urlencode(
        {
            "grant_type": GRANT,
            "assertion": text,
            "client_id": "system:ci",
            "client_secret": asked.ci,
            "jitid_task": "T-1",
        }
    ).encode()
    first, second = (asked.served.ask("POST", "/token", body, headers) for _ in range(2))
    assert (first.status, second.status, second.json["error"]) == (200, 400, "invalid_grant")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Asking, Shell]]:
    """Serve a ledger of the test."""
    with asking(tmp_path / "own", "responder", "verifier") as made:
        found = Asking(made.served, made.shell)
        found.ci = grant(made.shell, "system:ci")
        yield found, made.shell


def test_an_assertion_from_before_the_last_disabling_is_refused(own: tuple[Asking, Shell]) -> None:
    asked, shell = own
    now = int(time.time())
    before = id_jag(iat=now - 5)
    old_login = id_jag(iat=now + 30, auth_time=now - 1000)
    shell.good("delegator", "add", "user:alice")
    shell.good("delegator", "disable", "user:alice")
    assert asked.present(id_jag(iat=now + 30)).status == 400
    shell.good("delegator", "enable", "user:alice")
    for text in (before, old_login):
        done = asked.present(text)
        assert done.status == 400, done.body
    assert asked.present(id_jag(iat=now + 30)).status == 200


def test_an_edited_mark_of_a_use_is_found(own: tuple[Asking, Shell]) -> None:
    asked, shell = own
    assert asked.present(id_jag()).status == 200
    edit(shell.ledger, "DELETE FROM presented")
    assert shell.run("audit", "verify").returncode == 7


def test_an_issuer_proves_only_its_names(tmp_path: Path) -> None:
    """And its names for clients are mapped to callers of the authority."""
    shell = configured(tmp_path, ("verifier",))
    path = tmp_path / ".config/jitid/config.toml"
    text = path.read_text().replace(
        'audience = "jitid"\n',
        'audience = "jitid"\nclaim = "email"\nnames = ["*@example.com"]\n'
        f'[oidc."{IDP}".clients]\nwiki = "system:ci"\n',
    )
    path.write_text(text)
    with serving(tmp_path, "--socket", str(tmp_path / "jitid.sock"), ledger=shell.ledger) as served:
        asked = Asking(served, shell)
        asked.ci = grant(shell, "system:ci")
        mail: dict[str, Any] = {"email": "alice@example.com", "email_verified": True}
        done = asked.present(id_jag(client_id="wiki", **mail))
        assert introspected(asked, done)["sub"] == "user:alice@example.com"
        changed: dict[str, Any]
        for changed in (
            {"email": "alice@evil.example", "email_verified": True},
            {"email": "alice@example.com", "email_verified": False},
            {"email": "alice@example.com"},
            {"email": None},
        ):
            assert asked.refused(id_jag(client_id="wiki", **changed))[0] == "invalid_grant"
        assert asked.refused(id_jag(client_id="wikis", **mail))[0] == "invalid_grant"
