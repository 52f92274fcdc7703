"""The OAuth endpoints according to the RFCs: grants, refusals, and error codes."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.crypto.loopback import Answer as Web
from tests.crypto.loopback import serve
from tests.crypto.signed import ED25519, token
from tests.real import until
from tests.server.asking import API, EXCHANGE, FORM, IDP, ISSUER, TYPE, Asked, asking, grant, id_token
from tests.serving import serving

LOGIN = getpass.getuser()
OTHER = "https://machines.example"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user without any role."""
    with asking(tmp_path_factory.mktemp("plain")) as asked:
        yield asked


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user as issuer, verifier and responder."""
    with asking(tmp_path_factory.mktemp("full"), "issuer", "verifier", "responder") as asked:
        yield asked


def test_the_metadata_names_the_endpoints(plain: Asked) -> None:
    """RFC 8414, section 2; the same for OpenID Connect Discovery."""
    found = plain.served.ask("GET", "/.well-known/oauth-authorization-server")
    assert found.json["issuer"] == ISSUER
    assert EXCHANGE in found.json["grant_types_supported"]
    assert found.json == plain.served.ask("GET", "/.well-known/openid-configuration").json
    (key,) = plain.served.ask("GET", "/jwks").json["keys"]
    assert "d" not in key


def test_the_metadata_names_no_method_that_its_registry_does_not_have(plain: Asked) -> None:
    """RFC 8414, section 2: a type of access token is an authentication method only at an introspection endpoint."""
    found = plain.served.ask("GET", "/.well-known/oauth-authorization-server").json
    methods = {name: found[f"{name}_endpoint_auth_methods_supported"] for name in ("token", "revocation")}
    expected = ["private_key_jwt", "client_secret_basic", "client_secret_post"]
    assert methods == {"token": expected, "revocation": expected}
    assert found["introspection_endpoint_auth_methods_supported"] == [*expected, "Bearer"]


_CODE = "response_type=code&client_id=system:ci&redirect_uri=https://evil.example/cb&state=s3"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "invalid_request"),
        (f"{_CODE}&code_challenge={'x' * 43}&code_challenge_method=S256", "unauthorized_client"),
        (_CODE, "invalid_request"),
        (f"{_CODE}&code_challenge={'x' * 43}", "invalid_request"),
        (f"{_CODE}&code_challenge={'x' * 43}&code_challenge_method=plain", "invalid_request"),
        (
            "response_type=token&redirect_uri=javascript:alert(1)&state=%3Cscript%3E",
            "unsupported_response_type",
        ),
        ("response_type=id_token&state=evil", "unsupported_response_type"),
        ("response_type=code%20token&state=evil", "unsupported_response_type"),
        ("redirect_uri=//evil.example%0d%0aLocation:%20https://evil.example&%zz", "invalid_request"),
        ("response_type=code&response_type=code&state=evil", "invalid_request"),
        ("&".join(f"evil{number}=1" for number in range(100)), "invalid_request"),
    ],
    ids=["empty", "code", "bare", "no-method", "plain", "script", "id", "hybrid", "broken", "twice", "many"],
)
def test_the_authorization_endpoint_refuses_and_leads_nowhere(
    plain: Asked, method: str, query: str, code: str
) -> None:
    """RFC 6749, section 4.1.2.1: no redirection URI is registered, so none is followed, and nothing is repeated."""
    found = plain.served.ask("GET", "/.well-known/oauth-authorization-server").json
    assert found["response_types_supported"] == ["code"]
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert "authorization_code" not in found["grant_types_supported"]
    path = urlsplit(found["authorization_endpoint"]).path
    if method == "POST":
        done = plain.served.ask(method, path, query.encode(), FORM)
    else:
        done = plain.served.ask(method, f"{path}?{query}" if query else path)
    assert (done.status, done.json["error"]) == (400, code)
    assert done.headers["content-type"] == "application/json"
    assert "location" not in done.headers
    assert not re.search(rb"evil|<|s3|%", done.body)


def test_a_ledger_whose_issuer_is_no_address_says_what_to_do(tmp_path: Path) -> None:
    """RFC 8414, section 3.3: clients compare the issuer with the address of the metadata."""
    with serving(tmp_path) as served:
        for path in ("oauth-authorization-server", "openid-configuration"):
            refused = served.ask("GET", f"/.well-known/{path}")
            assert refused.status == 404
            assert "jitid ledger issuer set URL" in refused.json["error_description"]
        assert served.ask("GET", "/jwks").json["keys"]


def test_an_exchange_names_delegator_and_actor(full: Asked) -> None:
    """RFC 8693, section 2.2.1; RFC 9068, section 2.2."""
    done = full.exchange(scope="repo:read", jitid_task="T-1", jitid_agent="planner")
    assert done.status == 200, done.body
    assert (done.headers["cache-control"], done.headers["pragma"]) == ("no-store", "no-cache")
    told = done.json
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 900, "repo:read")
    assert told["issued_token_type"] == f"{TYPE}access_token"
    claims = full.form("/introspect", token=told["access_token"]).json
    assert claims["active"] is True
    expected = ("user:alice", "planner", API, "repo:read", "T-1", "oidc")
    assert (
        tuple(claims[name] for name in ("sub", "client_id", "aud", "scope", "txn", "delegator_proof"))
        == expected
    )
    assert claims["act"]["sub"].startswith("spiffe://jitid.local/ephemeral/planner/T-1/jid_")


def test_without_an_actor_the_client_acts_on_a_task_of_its_own(plain: Asked) -> None:
    tasks = {plain.exchange().json["jitid"]["task"] for _ in range(2)}
    assert len(tasks) == 2
    assert all(task.startswith(f"{LOGIN}-") for task in tasks)
    refused = plain.exchange(jitid_agent="planner")
    assert (refused.status, refused.json["error"]) == (400, "unauthorized_client")


def test_a_token_of_ours_is_delegated_and_the_chain_is_told(full: Asked) -> None:
    """RFC 8693, section 4.1: the outermost `act` acts now."""
    parent = full.identity("planner", "--scope", "repo:read", "--scope", "repo:write")
    child = full.exchange(parent, "access_token", scope="repo:read", jitid_agent="coder")
    assert child.status == 200, child.body
    claims = full.form("/introspect", token=child.json["access_token"]).json
    assert "/ephemeral/coder/" in claims["act"]["sub"]
    assert "/ephemeral/planner/" in claims["act"]["act"]["sub"]
    assert "act" not in claims["act"]["act"]
    actor = full.identity("builder", task="T-7")
    done = full.exchange(actor_token=actor, actor_token_type=f"{TYPE}jwt")
    assert done.json["jitid"]["task"] == "T-7"
    wider = full.exchange(parent, "access_token", scope="repo:delete")
    assert (wider.status, wider.json["error"]) == (400, "invalid_scope")
    elsewhere = full.exchange(parent, "access_token", audience="https://other.example")
    assert (elsewhere.status, elsewhere.json["error"]) == (400, "invalid_target")


def test_an_opaque_token_is_introspected_like_any(full: Asked) -> None:
    opaque = full.token(jitid_kind="opaque", scope="repo:read")
    assert opaque.startswith("jitid_")
    claims = full.form("/introspect", token=opaque).json
    assert (claims["active"], claims["scope"], claims["jitid"]["kind"]) == (True, "repo:read", "opaque")
    refused = full.exchange(requested_token_type=f"{TYPE}jwt", jitid_kind="opaque")
    assert refused.json["error"] == "invalid_request"
    signed = full.exchange(requested_token_type=f"{TYPE}jwt")
    assert signed.json["issued_token_type"] == f"{TYPE}jwt"


def test_details_are_granted_and_told(full: Asked) -> None:
    """RFC 9396, sections 7 and 9."""
    details = [{"type": "payment", "amount": {"value": "5", "currency": "EUR"}}]
    done = full.exchange(authorization_details=json.dumps(details))
    assert done.json["authorization_details"] == details
    claims = full.form("/introspect", token=done.json["access_token"]).json
    assert claims["authorization_details"] == details
    parent = full.identity("planner", "--detail", json.dumps(details[0]))
    told = full.exchange(parent, "access_token", authorization_details=json.dumps(details))
    assert told.json["authorization_details"] == details
    wider = full.exchange(parent, "access_token", authorization_details='[{"type": "payment"}]')
    assert wider.json["error"] == "invalid_authorization_details"


def test_several_resources_and_audiences_are_all_meant(full: Asked) -> None:
    """RFC 8707, section 2; RFC 8693, section 2.1."""
    pairs = [("resource", "https://a.example/"), ("resource", "https://b.example/"), ("audience", "c")]
    done = full.form(
        "/token",
        *pairs,
        grant_type=EXCHANGE,
        subject_token=id_token(),
        subject_token_type=f"{TYPE}id_token",
    )
    claims = full.form("/introspect", token=done.json["access_token"]).json
    assert claims["aud"] == ["https://a.example/", "https://b.example/", "c"]


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"audience": ""}, "invalid_target"),
        ({"audience": "", "resource": "/relative"}, "invalid_target"),
        ({"audience": "", "resource": "https://a.example/#fragment"}, "invalid_target"),
        ({"audience": "a b"}, "invalid_target"),
        ({"scope": "repo:read  repo:write"}, "invalid_scope"),
        ({"scope": " ".join(["a"] * 129)}, "invalid_scope"),
        ({"scope": "repo:<script>"}, "invalid_scope"),
        ({"authorization_details": "{}"}, "invalid_authorization_details"),
        ({"authorization_details": "[]"}, "invalid_authorization_details"),
        ({"authorization_details": '[{"type":1}]'}, "invalid_authorization_details"),
        ({"authorization_details": '[{"type":"a","type":"b"}]'}, "invalid_authorization_details"),
        ({"requested_token_type": f"{TYPE}refresh_token"}, "invalid_request"),
        ({"requested_token_type": f"{TYPE}saml2"}, "invalid_request"),
        ({"subject_token_type": ""}, "invalid_request"),
        ({"subject_token_type": f"{TYPE}saml2"}, "invalid_request"),
        ({"subject_token_type": f"{TYPE}access_token"}, "invalid_request"),
        ({"actor_token_type": f"{TYPE}jwt"}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"actor_token": "x", "actor_token_type": f"{TYPE}jwt"}, "invalid_request"),
        ({"jitid_ttl": "soon"}, "invalid_request"),
        ({"jitid_task": "a b"}, "invalid_request"),
        ({"jitid_sensitivity": "secret"}, "invalid_request"),
        ({"jitid_kind": "x509-svid"}, "invalid_request"),
        ({"jitid_kind": "exec:shop"}, "invalid_request"),
        ({"jitid_purpos": "a typing mistake"}, "invalid_request"),
        ({"jitid_allow_narrower": "yes"}, "invalid_request"),
        ({"jitid_sensitivity": "high"}, "access_denied"),
        ({"client_id": "somebody"}, "invalid_client"),
        ({"client_secret": "hunter2"}, "invalid_client"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_cannot_be_had_is_told_by_its_code(full: Asked, changed: dict[str, str], error: str) -> None:
    """RFC 6749, section 5.2; RFC 8693, section 2.2.2; RFC 8707, section 2; RFC 9396, section 5."""
    done = full.exchange(**changed)
    assert (done.json["error"], done.status) == (error, 401 if error == "invalid_client" else 400)
    assert set(done.json) == {"error", "error_description"}
    assert done.headers["cache-control"] == "no-store"
    assert "hunter2" not in done.body.decode()


def test_a_policy_that_refuses_is_named(full: Asked) -> None:
    """The description names the rule, and has only characters that RFC 6749 permits."""
    refused = full.exchange(jitid_sensitivity="high")
    assert "high-needs-purpose" in refused.json["error_description"]


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000},
        {"iss": "https://evil.example"},
        {"aud": "other"},
        {"aud": ["jitid", "other"]},
        {"nbf": 1 << 40},
        {"sub": ""},
        {"may_act": "nobody"},
        {"iss": ISSUER},
    ],
    ids=str,
)
def test_a_subject_token_that_is_not_valid_is_an_invalid_request(full: Asked, claims: dict[str, Any]) -> None:
    """RFC 8693, section 2.2.2; the answer never repeats the token."""
    subject = id_token(**claims)
    done = full.exchange(subject)
    assert (done.status, done.json["error"]) == (400, "invalid_request")
    assert subject.split(".")[1] not in done.body.decode()


@pytest.mark.parametrize(
    "claims",
    [
        {"may_act": {"sub": "nobody"}},
        {"azp": "another-app"},
        {"client_id": "system:another"},
        {"cnf": {"jkt": "a"}},
    ],
    ids=str,
)
def test_a_subject_token_for_another_client_is_an_invalid_grant(full: Asked, claims: dict[str, Any]) -> None:
    """RFC 6749, section 5.2: "was issued to another client"; the answer never repeats the token."""
    subject = id_token(**claims)
    done = full.exchange(subject)
    assert (done.status, done.json["error"]) == (400, "invalid_grant")
    assert subject.split(".")[1] not in done.body.decode()


def test_a_subject_token_counts_for_its_first_presenter(full: Asked) -> None:
    """If many callers present it at once, exactly one of them is the first."""
    names = [f"system:app-{number}" for number in range(6)]
    bearers = [grant(full.shell, name) for name in names]
    subject = id_token(jti=os.urandom(8).hex())
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda bearer: full.exchange(subject, bearer=bearer), bearers))
    assert sorted(one.status for one in done) == [200] + [400] * 5
    assert {one.json.get("error") for one in done} == {None, "invalid_grant"}
    first = [one.status for one in done].index(200)
    assert [full.exchange(subject, bearer=each).status for each in bearers] == [one.status for one in done]
    denials = full.shell.good("audit", "log", "--operation", "denial", "--format", "jsonl").splitlines()
    refused = [
        denial for denial in map(json.loads, denials) if "presented this token before" in denial["reason"]
    ]
    assert {denial["by"] for denial in refused} == {*names} - {names[first]}
    assert full.shell.run("audit", "verify").returncode == 0


def test_a_client_of_the_issuer_is_the_caller_that_the_configuration_names(tmp_path: Path) -> None:
    more = (
        f'[oidc."{OTHER}"]\njwks = "{tmp_path}/jwks.json"\naudience = "jitid"\nkind = "system"\n'
        'clients = { "0oa.1" = "system:app" }\n'
    )
    with asking(tmp_path, more=more) as asked:
        app, eve = (grant(asked.shell, name) for name in ("system:app", "system:eve"))
        subject = id_token(iss=OTHER, sub="ci", azp="0oa.1")
        assert [asked.exchange(subject, bearer=each).status for each in (eve, app, eve, app)] == [
            400,
            200,
        ] * 2
        named = id_token(azp="system:app")
        assert [asked.exchange(named, bearer=each).status for each in (eve, app)] == [400, 200]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "k"},
        {"alg": "HS256", "kid": "k"},
        {"alg": "EdDSA", "kid": "k"},
        {"alg": "ES256", "kid": "other"},
        {"alg": "ES256", "kid": "k", "crit": ["x"], "x": 1},
    ],
    ids=str,
)
def test_a_header_chooses_no_algorithm(full: Asked, header: dict[str, object]) -> None:
    """RFC 8725, section 3.1."""
    now = int(time.time())
    claims = {"iss": IDP, "aud": "jitid", "sub": "alice", "iat": now, "exp": now + 300}
    done = full.exchange(token(header, claims, ED25519))
    assert (done.status, done.json["error"]) == (400, "invalid_request")


def test_whom_the_subject_lets_act_may(plain: Asked) -> None:
    """RFC 8693, section 4.4."""
    assert plain.exchange(id_token(may_act={"sub": LOGIN})).status == 200
    assert plain.exchange(id_token(may_act={"sub": "planner"})).status == 400


def test_a_revoked_token_is_inactive_and_nothing_more(full: Asked) -> None:
    """RFC 7009, section 2.2; RFC 7662, section 2.2. Its descendants are inactive too."""
    parent = full.identity("planner", "--scope", "repo:read")
    child = full.token(subject=parent, sort="access_token", scope="repo:read")
    done = full.form("/revoke", token=parent, token_type_hint="refresh_token")
    assert (done.status, done.json) == (200, {})
    for dead in (parent, child, "nonsense", "jitid_" + "0" * 38, parent[:-2] + "xx"):
        told = full.form("/introspect", token=dead)
        assert (told.status, told.json) == (200, {"active": False})
        assert full.form("/revoke", token=dead).status == 200


def test_what_was_renewed_expires_with_its_overlap(full: Asked) -> None:
    """A service that caches the answer until `exp` would accept the predecessor longer than the ledger does."""
    first = full.identity("planner", "--scope", "repo:read", task="T-renewed")
    before = full.form("/introspect", token=first).json["exp"]
    second = full.shell.run("renew", stdin=first).stdout.strip()
    after = full.form("/introspect", token=first).json
    assert after["active"] is True
    assert after["exp"] < before
    assert after["exp"] < full.form("/introspect", token=second).json["exp"]


def test_who_is_no_verifier_is_told_nothing(plain: Asked) -> None:
    own = plain.token()
    refused = plain.form("/introspect", token=own)
    assert (refused.status, refused.json["error"]) == (403, "unauthorized_client")
    assert plain.form("/revoke", token=own).status == 200


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
def test_a_request_that_can_be_read_in_two_ways_is_refused(full: Asked, path: str) -> None:
    live = full.token()
    form = {"content-type": "application/x-www-form-urlencoded"}
    asked = [
        ("POST", path, f"token={live}&token={live}", form, 400),
        ("POST", f"{path}?token={live}", f"token={live}", form, 400),
        ("POST", path, f"token={live}", {"content-type": "application/json"}, 400),
        ("POST", path, f"token={live}", {"content-type": "multipart/form-data; boundary=x"}, 400),
        ("POST", path, f"token={live}", {}, 400),
        ("POST", path, "", form, 400),
        ("POST", path, "token=&grant_type=", form, 400),
        ("POST", path, "token=%ff", form, 400),
        ("POST", path, "a=" + "b" * 300_000, form, 413),
        ("GET", f"{path}?token={live}", "", {}, 405),
        ("PUT", path, f"token={live}", form, 405),
    ]
    for method, place, body, headers, status in asked:
        done = full.served.ask(method, place, body.encode(), headers)
        assert done.status == status, (method, place, headers, done.body)
        assert live not in done.body.decode()
    assert full.form("/introspect", token=live).json["active"] is True


def test_a_bearer_that_is_none_is_an_invalid_client(full: Asked) -> None:
    """RFC 6749, section 5.2: with 401 and the scheme that the client used."""
    for bearer in ("nonsense", full.token(), "jitid_" + "0" * 38):
        done = full.form("/introspect", token="x", bearer=bearer)
        assert (done.status, done.json["error"]) == (401, "invalid_client")
        assert done.headers["www-authenticate"].startswith("Bearer")


def test_nobody_finds_a_secret_in_the_log(full: Asked) -> None:
    live, subject = full.token(), id_token()
    full.exchange(subject)
    full.form("/introspect", token=live)
    full.form("/revoke", token=live)
    log = full.served.log.read_text()
    assert live.split(".")[2] not in log
    assert subject.split(".")[1] not in log


def test_a_verifier_does_not_end_what_it_was_shown(full: Asked) -> None:
    """RFC 7009, section 2.1: the status is 403, and the token stays valid."""
    gate = grant(full.shell, "system:gate", "verifier")
    live = full.token()
    assert full.form("/introspect", token=live, bearer=gate).json["active"] is True
    refused = full.form("/revoke", token=live, bearer=gate)
    assert (refused.status, refused.json["error"]) == (403, "unauthorized_client")
    assert full.form("/introspect", token=live, bearer=gate).json["active"] is True
    responder = grant(full.shell, "system:irt", "responder")
    assert full.form("/revoke", token=live, bearer=responder).status == 200
    assert full.form("/introspect", token=live, bearer=gate).json == {"active": False}


def test_a_system_is_issued_what_it_asks_for_itself(full: Asked) -> None:
    """RFC 6749, section 4.4; for people and agents there are other grants."""
    asked = {"grant_type": "client_credentials", "resource": "https://api.example/", "scope": "repo:read"}
    system = grant(full.shell, "system:ci")
    done = full.form("/token", bearer=system, **asked)
    assert done.status == 200, done.body
    assert "issued_token_type" not in done.json
    claims = full.form("/introspect", token=done.json["access_token"]).json
    assert (claims["sub"], claims["client_id"], claims["delegator_proof"]) == (
        "system:ci",
        "ci",
        "credential",
    )
    assert full.form("/token", bearer=system, client_id="system:ci", **asked).status == 200
    for refused in (
        full.form("/token", bearer=grant(full.shell, "user:bob"), **asked),
        full.form("/token", bearer=full.identity(), **asked),
        full.form("/token", bearer=system, jitid_agent="other", **asked),
    ):
        assert (refused.status, refused.json["error"]) == (400, "unauthorized_client")


def test_an_agents_own_token_is_its_bearer(full: Asked) -> None:
    """The agent narrows its rights for the next service, and revokes its own token."""
    own = full.identity("planner", "--scope", "repo:read", "--scope", "repo:write")
    child = full.form(
        "/token",
        bearer=own,
        grant_type=EXCHANGE,
        subject_token=own,
        subject_token_type=f"{TYPE}access_token",
        audience=API,
        scope="repo:read",
    )
    assert child.status == 200, child.body
    assert full.form("/introspect", token=child.json["access_token"]).json["client_id"] == "planner"
    # A token for a service is not a right here, and another agent's token does not permit this revocation.
    assert full.form("/revoke", token=own, bearer=child.json["access_token"]).status == 401
    assert full.form("/revoke", token=own, bearer=full.identity("coder", task="T-9")).status == 403
    assert full.form("/revoke", token=own, bearer=own).status == 200
    assert full.form("/introspect", token=child.json["access_token"]).json == {"active": False}


def test_what_was_lost_on_the_way_is_not_issued_twice(full: Asked) -> None:
    """The repeated key revokes the token of the first answer."""
    body = urlencode(
        {
            "grant_type": EXCHANGE,
            "subject_token": id_token(),
            "subject_token_type": f"{TYPE}id_token",
            "audience": API,
            "jitid_task": "T-twice",
        }
    ).encode()
    tokens = []
    for _ in range(2):
        done = full.served.ask("POST", "/token", body, {**FORM, "Idempotency-Key": "k-1"})
        assert done.status == 200, done.body
        tokens.append(done.json["access_token"])
    states = [full.form("/introspect", token=one).json["active"] for one in tokens]
    assert states == [False, True]


def test_a_ledger_that_is_away_is_told_as_a_failure_that_passes(tmp_path: Path) -> None:
    """The status is 503, with a time for the next try; the answer has neither a token nor a verdict."""
    with asking(tmp_path, "verifier") as asked:
        live = asked.token()
        asked.shell.ledger.rename(tmp_path / "away")

        def away() -> bool:
            return asked.form("/introspect", token=live).status == 503

        until(away, "the ledger is not missed")
        for done in (
            asked.exchange(),
            asked.form("/introspect", token=live),
            asked.form("/revoke", token=live),
        ):
            assert (done.status, done.json["error"]) == (503, "temporarily_unavailable")
            assert done.headers["retry-after"].isdigit()
        (tmp_path / "away").rename(asked.shell.ledger)
        until(lambda: asked.form("/introspect", token=live).status == 200, "the ledger is not found again")
        assert asked.form("/introspect", token=live).json["active"] is True


def test_the_metadata_of_an_issuer_with_a_path_is_where_clients_look(tmp_path: Path) -> None:
    """RFC 8414, section 3.1: before the path; OpenID Connect Discovery, section 4: behind it."""
    issuer = f"{ISSUER}/tenant/one"
    with serving(tmp_path, more={"JITID_ISSUER": issuer}) as served:
        for place in (
            "/.well-known/oauth-authorization-server/tenant/one",
            "/tenant/one/.well-known/openid-configuration",
        ):
            assert served.ask("GET", place).json["issuer"] == issuer
        assert served.ask("GET", "/.well-known/oauth-authorization-server").status == 404


@pytest.mark.deep
def test_an_issuer_that_hangs_or_redirects_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    """Only the issuer's own tokens fail, after a while; all other requests are answered."""
    moved = {"/keys": Web(status=302, location="http://127.0.0.1:1/keys")}
    with socket.create_server(("127.0.0.1", 0)) as silent, serve(moved) as redirecting:
        hanging = f"http://127.0.0.1:{silent.getsockname()[1]}/keys"
        places = {"https://hangs.example": hanging, "https://moved.example": f"{redirecting}/keys"}
        tables = "".join(
            f'[oidc."{name}"]\njwks = "{place}"\naudience = "jitid"\nkind = "system"\nnames = "{number}-*"\n'
            for number, (name, place) in enumerate(places.items())
        )
        with asking(tmp_path, "verifier", more=f'timeout = "3s"\n{tables}') as asked:
            live = asked.token()
            with ThreadPoolExecutor(12) as pool:
                waiting = [
                    pool.submit(asked.exchange, id_token(iss="https://hangs.example", sub="0-x"))
                    for _ in range(12)
                ]
                visitor = silent.accept()[0]
                assert asked.form("/introspect", token=live).json["active"] is True
                for one in waiting:
                    assert one.result().json["error"] == "temporarily_unavailable"
                visitor.close()
            refused = asked.exchange(id_token(iss="https://moved.example", sub="1-x"))
            assert (refused.status, "status 302" in refused.json["error_description"]) == (503, True)
