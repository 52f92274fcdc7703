"""A request with a credential is judged by it alone, in every spelling, and always gets its own answer."""

from __future__ import annotations

import json
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from urllib.parse import quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jitid.capabilities.access import authenticate
from jitid.errors import UnauthenticatedError
from jitid.server.oauth_form import MAX_FORM, OAuthError, OAuthForm, credentials_of, parse_form
from tests.server.asking import API, EXCHANGE, FORM, TYPE, Asked, asking, grant
from tests.server.waiting import eventually
from tests.serving import Answer, Served, serving

OAUTH = ("/token", "/introspect", "/revoke")
NAMES = ("client_id", "client_secret", "client_assertion", "client_assertion_type", "access_token")
PROOFS = tuple(name for name in NAMES if name != "client_id")
# Readable, not readable, empty.
VALUES = (
    "x",
    "%zz",
    "%",
    "%4",
    "%ff",
    "%c0%af",
    "%00",
    "a%0d%0ab",
    "\xe4",
    "\0",
    "+",
    "a;b",
    "x" * 70_000,
    "",
)
REST = ("", "&token=x", "&token=%zz", "&token=x&token=y", "&a", "&=b", "&a=%ff", "&a=b" * 80)
SPELT: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: name.replace("_", "%5F"),
    lambda name: name.replace("_", "%5f"),
    lambda name: "".join(f"%{ord(each):02x}" for each in name),
    str.upper,
    lambda name: f"+{name}",
    lambda name: f"{name}[]",
)
KINDS = (
    None,
    "text/plain",
    "application/json",
    "application/x-www-form-urlencoded; charset=utf-16",
    "multipart/form-data; boundary=x",
)


def bodies() -> Iterator[tuple[str | None, bytes]]:
    """Yield bodies that show a credential, with their content types."""
    kind = FORM["content-type"]
    for name in NAMES:
        # A client's name alone may mean the user of the socket; another user's name is refused.
        for value in VALUES:
            yield kind, f"{name}={value}&token=%zz".encode("latin-1")
        for spelt in SPELT:
            yield kind, f"token=x&{spelt(name)}=%zz".encode()
            yield kind, f"token=x&{spelt(name)}=x&{name}=x".encode()
        for rest in REST:
            yield kind, f"{name}=x{rest}".encode()
            yield kind, f"{rest[1:]}&{name}=x".encode()
        yield kind, b"a=" + b"b" * MAX_FORM + f"&{name}=x".encode()
        yield kind, f"{name}\0=x&token=x".encode()
        yield kind, f"{name}=x&token=x".encode("utf-16")
        for other in KINDS:
            yield other, f"{name}=x&token=x".encode()
        yield KINDS[2], json.dumps({name: "x", "token": "x"}).encode()
        yield KINDS[2], json.dumps({name: "x", "token": "x"}).replace("_", "\\u005f").encode()
        yield KINDS[4], f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nx\r\n--x--\r\n'.encode()


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve over a network, where every caller needs a credential."""
    with serving(tmp_path_factory.mktemp("nobody")) as served:
        yield served


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Serve this user over a socket in all roles that these endpoints need."""
    with asking(tmp_path_factory.mktemp("socket"), "issuer", "verifier", "responder") as made:
        yield made


def refused(answer: Answer) -> str:
    """Return the code of an OAuth error (RFC 6749, section 5.2)."""
    assert 400 <= answer.status < 500, (answer.status, answer.body)
    assert answer.headers["content-type"] == "application/json"
    assert (answer.status == 401) == ("www-authenticate" in answer.headers)
    return str(answer.json["error"])


class Traced:
    """A client of the socket that looks up the caller of each of its requests in the log."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._traces: list[str] = []

    def ask(self, place: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Post a request."""
        self._traces.append(os.urandom(16).hex())
        trace = {"traceparent": f"00-{self._traces[-1]}-{'1' * 16}-01"}
        return self._served.ask("POST", place, body, headers | trace)

    def callers(self) -> list[str | None]:
        """Return the callers, in the order of the requests."""
        found: dict[str, str | None] = {}

        def logged() -> bool:
            found.update({line["trace"]: line["caller"] for line in self._served.lines() if "trace" in line})
            return found.keys() >= set(self._traces)

        assert eventually(logged)
        return [found[trace] for trace in self._traces]


@pytest.mark.parametrize("path", OAUTH)
def test_nobody_is_told_so_in_every_spelling(nobody: Served, path: str) -> None:
    for number, (kind, body) in enumerate(bodies()):
        # Failures are counted by the client's address.
        source = f"127.{2 + OAUTH.index(path)}.0.{1 + number // 40}"
        answer = nobody.ask("POST", path, body, {} if kind is None else {"content-type": kind}, source=source)
        assert (answer.status, refused(answer)) == (401, "invalid_client"), (kind, body[:100], answer.body)
    assert not [line for line in nobody.lines() if line["event"] == "bug"]


@pytest.mark.parametrize("path", OAUTH)
def test_who_shows_a_credential_in_a_form_is_never_the_user_of_the_socket(asked: Asked, path: str) -> None:
    """A readable client name alone is not a credential: it is compared with the name of the user."""
    traced, named = Traced(asked.served), []
    for kind, body in bodies():
        named.append(re.search(rb"(?:^|&)client_id=[^%&]", body) is not None)
        answer = traced.ask(path, body, {} if kind is None else {"content-type": kind})
        assert refused(answer) in ("invalid_client", "invalid_request", "temporarily_unavailable")
        assert named[-1] or answer.status in (401, 429), (kind, body[:100], answer.body)
    found = [caller for caller, by_name in zip(traced.callers(), named, strict=True) if not by_name]
    assert len(found) > 150
    assert set(found) == {None}


@pytest.mark.parametrize("path", OAUTH)
def test_a_credential_in_an_address_is_nobodys(asked: Asked, path: str) -> None:
    """RFC 6749, section 2.3.1: it is not read there, but never ignored either."""
    traced = Traced(asked.served)
    for name in NAMES:
        for spelt in SPELT:
            for value in ("x", "%zz", ""):
                answer = traced.ask(f"{path}?{spelt(name)}={value}", b"token=x", FORM)
                assert refused(answer) == "invalid_request"
    assert set(traced.callers()) == {None}


def test_a_value_that_is_empty_is_left_out_where_a_header_tells_who_it_is(asked: Asked) -> None:
    """RFC 6749, section 3.2. Without such a header, the request is not the socket user's."""
    secret = grant(asked.shell, "system:empty", "verifier")
    basic = f"Basic {b64encode(f'system:empty:{secret}'.encode()).decode()}"
    for name in PROOFS:
        body = f"token=x&{name}=".encode()
        for header in (basic, f"Bearer {secret}"):
            answer = asked.served.ask("POST", "/introspect", body, FORM | {"authorization": header})
            assert (answer.status, answer.json) == (200, {"active": False})
            broken = asked.served.ask("POST", "/introspect", body + b"&a", FORM | {"authorization": header})
            assert refused(broken) == "invalid_request"
        assert refused(asked.served.ask("POST", "/introspect", body, FORM)) in (
            "invalid_client",
            "temporarily_unavailable",
        )


@pytest.mark.parametrize("spelt", [SPELT[0], SPELT[1], SPELT[3]])
def test_a_client_is_known_by_names_that_are_encoded(asked: Asked, spelt: Callable[[str], str]) -> None:
    """This also holds for a form that cannot be parsed as a whole."""
    name = "system:encoded"
    secret = grant(asked.shell, name, "verifier")
    # This user has many failures by now.
    for right, token, statuses in ((secret, "x", {200}), (secret, "%zz", {400}), ("x", "%zz", {401, 429})):
        body = f"token={token}&{spelt('client_id')}={quote_plus(name)}&{spelt('client_secret')}={right}"
        assert asked.served.ask("POST", "/introspect", body.encode(), FORM).status in statuses


HEADERS = [
    "",
    "x",
    "Basic",
    "Basic x",
    "Basic =",
    "Basic YQ==",
    "Basic gIA6gIA=",
    "Basic AGE6AGI=",
    "Bearer",
    "Digest x",
    *[
        f"Basic {b64encode(pair).decode()}"
        for pair in (b"%00:x", b"a:%ff", b"%ed%a0%80:%00", b"\0:\n", b"::", b"a:" + b"x" * 900)
    ],
    "Bearer " + "x" * 8_000,
    "Bearer \xff",
]


PLACES = (*OAUTH, "/v1/operations/ListTasks", "/access/v1/evaluation")


@pytest.mark.parametrize("path", PLACES)
def test_a_flood_of_what_cannot_be_read_is_slowed_down(nobody: Served, path: str) -> None:
    """It is slowed down like a flood of invalid credentials, in the form and in the header."""
    ways: list[tuple[bytes, dict[str, str]]] = [
        (b"token=x", FORM | {"authorization": one}) for one in HEADERS
    ]
    if path in OAUTH:
        shown = (b"client_id=%zz", b"client_id=a&client_id=b", b"client_secret=a", b"client_assertion=a")
        ways += [(body, FORM) for body in shown]
    for number, (body, headers) in enumerate(ways):
        source = f"127.{10 + PLACES.index(path)}.1.{1 + number}"
        answers = [nobody.ask("POST", path, body, headers, source=source) for _ in range(80)]
        assert {answer.status for answer in answers} == {401, 429}, (body, headers)
        assert all(("retry-after" in answer.headers) == (answer.status == 429) for answer in answers)
    assert not [line for line in nobody.lines() if line["event"] == "bug"]


pieces = st.sampled_from(
    [
        *NAMES,
        *[spelt(name) for name in NAMES for spelt in SPELT],
        *[
            "token",
            "grant_type",
            "=",
            "=",
            "=",
            "&",
            "&",
            "&",
            "%",
            "%zz",
            "%00",
            "+",
            ";",
            "x",
            "system:ci",
            "\0",
            "é",
        ],
    ]
)
forms = st.one_of(
    st.binary(max_size=60), st.lists(pieces, max_size=14).map(lambda some: "".join(some).encode())
)


def read(body: bytes) -> OAuthForm | None:
    """Return a form as the endpoints parse it; None if they refuse it."""
    try:
        return parse_form(body)
    except OAuthError:
        try:
            return credentials_of(body)
        except UnauthenticatedError:
            return None


@given(forms, st.sampled_from(PROOFS), st.sampled_from(SPELT), forms)
def test_what_shows_a_credential_is_read_refused_or_doubtful(
    before: bytes, name: str, spelt: Callable[[str], str], after: bytes
) -> None:
    form = read(before + b"&" + spelt(name).encode() + b"=" + after)
    if form is not None and not form.doubtful:
        assert form.one("client_secret") or form.one("client_assertion") or form.one("client_assertion_type")


others = st.text(min_size=1, max_size=9).filter(lambda text: "_" not in text)


@given(st.dictionaries(others, others, max_size=5))
def test_a_form_that_shows_none_is_not_doubtful(pairs: dict[str, str]) -> None:
    body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs.items()).encode()
    for form in (read(body), credentials_of(body + b"&a"), credentials_of(body + b"&client_id=me")):
        assert form is not None
        assert not form.doubtful


@given(st.sampled_from(OAUTH), forms, st.sampled_from([*KINDS[:3], FORM["content-type"]]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_form_makes_an_endpoint_fail(asked: Asked, path: str, body: bytes, kind: str | None) -> None:
    answer = asked.served.ask("POST", path, body, {} if kind is None else {"content-type": kind})
    assert answer.status < 500, answer.body
    if answer.status != 200:
        refused(answer)


PARAMETERS = [
    *NAMES,
    *("token", "token_type_hint", "grant_type", "scope", "audience", "resource", "authorization_details"),
    *("subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type"),
    *[
        f"jitid_{name}"
        for name in ("task", "purpose", "sensitivity", "ttl", "kind", "agent", "allow_narrower", "x")
    ],
]
MEANT = [
    *(
        "client_credentials",
        EXCHANGE,
        f"{TYPE}access_token",
        f"{TYPE}jwt",
        authenticate.TYPE,
        API,
        "repo:read",
        "system:all",
    ),
    *(
        "9" * 5_000,
        "1h",
        "1e9",
        "-1",
        "opaque",
        "jwt",
        "true",
        "[" * 5_000,
        '[{"type":"x"}]',
        '[{"type":"\\ud800"}]',
        "[1e999]",
    ),
    *(
        "a.b.c",
        "e30.e30.e30",
        "é.é.é",
        "jitid_" + "0" * 38,
        "http://[",
        "urn:a#b",
        "//",
        "\ud7ff\ue000\uffff",
        "😀",
    ),
]
said = st.dictionaries(
    st.sampled_from(PARAMETERS), st.one_of(st.sampled_from(MEANT), st.text(max_size=20)), max_size=9
)


@pytest.fixture(scope="module")
def bearer(asked: Asked) -> str:
    """Return the access token of a system with all roles of these endpoints."""
    return grant(asked.shell, "system:all", "issuer", "verifier", "responder")


@given(st.sampled_from(OAUTH), said, st.booleans())
@settings(max_examples=200)
def test_no_value_makes_an_endpoint_fail(
    asked: Asked, bearer: str, path: str, fields: dict[str, str], shown: bool
) -> None:
    """The form is readable, but its values are arbitrary."""
    answer = asked.form(path, *fields.items(), bearer=bearer if shown else None)
    assert answer.status < 500, answer.body
    if answer.status != 200:
        refused(answer)
