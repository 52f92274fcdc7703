"""Identities in the clients of other libraries, each against a server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import pytest
import tomli_w

import jitid
from tests.api.conftest import API, User
from tests.crypto.loopback import certificate as make_certificate
from tests.moto import ACCOUNT, REGION, Moto
from tests.real import module

_roles = count(1)


class Received(NamedTuple):
    """A request that a server has received."""

    method: str
    path: str
    authorization: str | None
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


Reply = tuple[int, dict[str, str], Any]


class Place(NamedTuple):
    """A server, and the requests that it has received."""

    url: str
    received: list[Received]


@contextmanager
def server(reply: Callable[[Received], Reply], certificate: Path | None = None) -> Iterator[Place]:
    """Serve replies on loopback."""
    received: list[Received] = []

    class Visitor(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Received(self.command, self.path, self.headers.get("Authorization"), body)
            received.append(request)
            status, headers, document = reply(request)
            data = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            if "Transfer-Encoding" in self.headers:
                # The body stays unread, and another request must not follow it.
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Visitor)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        scheme = "https"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Place(f"{scheme}://127.0.0.1:{listening.server_address[1]}", received)
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def plain(_: Received) -> Reply:
    """Reply with an empty document."""
    return 200, {}, {}


@pytest.mark.parametrize("package", ["httpx", "httpx2"])
def test_a_client_of_httpx_shows_a_token_to_its_origin_alone(user: User, package: str) -> None:
    library = module(package)
    with server(plain) as other:

        def redirecting(request: Received) -> Reply:
            if request.path == "/away":
                return 307, {"Location": f"{other.url}/landed"}, {}
            return (302, {"Location": "/here"}, {}) if request.path == "/again" else (200, {}, {})

        with (
            server(redirecting) as place,
            jitid.identity(task="T1", delegator="alice", audience=[place.url, API]) as me,
        ):
            auth = me.httpx_auth() if package == "httpx" else me.httpx2_auth()
            bearer = f"Bearer {me.token(audience=place.url)}"
            with library.Client(auth=auth, follow_redirects=True) as client:
                for path in ("/", "/again", "/away"):
                    client.get(f"{place.url}{path}").raise_for_status()
                with pytest.raises(jitid.PolicyDeniedError):
                    client.get(other.url)
                with pytest.raises(jitid.UsageError):
                    client.get("http://api.example/")

            async def use() -> None:
                async with library.AsyncClient(auth=auth, follow_redirects=True) as client:
                    (await client.get(f"{place.url}/async")).raise_for_status()
                    (await client.get(f"{place.url}/away")).raise_for_status()

            asyncio.run(use())
            assert {(one.path, one.authorization) for one in place.received} == {
                (path, bearer) for path in ("/", "/again", "/here", "/away", "/async")
            }
            limited = me.httpx_auth(API) if package == "httpx" else me.httpx2_auth(API)
            with library.Client(auth=limited) as client:
                client.get(place.url)
            assert place.received[-1].authorization is None
        assert {(one.path, one.authorization) for one in other.received} == {("/landed", None)}


@pytest.mark.parametrize("package", ["httpx", "httpx2"])
def test_a_client_of_httpx_presents_another_token_once_if_one_was_refused(user: User, package: str) -> None:
    library = module(package)
    dead: set[str | None] = set()

    def refusing(request: Received) -> Reply:
        if request.path == "/moved":
            return 303, {"Location": "/closed"}, {}
        return (401 if request.path == "/closed" or request.authorization in dead else 200), {}, {}

    with (
        server(refusing) as place,
        jitid.identity(task="T1", delegator="alice", audience=place.url) as me,
        library.Client(auth=me.httpx_auth() if package == "httpx" else me.httpx2_auth()) as client,
    ):
        dead.add(f"Bearer {aged(me, place.url)}")
        assert client.post(place.url, content=b"body").status_code == 200
        first, second = place.received
        assert first.authorization in dead
        assert (second.authorization, second.body) == (f"Bearer {me.token()}", b"body")
        # The second token is a new one, and is presented once.
        assert client.get(f"{place.url}/closed").status_code == 401
        assert len(place.received) == 3
        dead.add(f"Bearer {aged(me, place.url)}")
        assert client.post(place.url, content=iter([b"a", b"b"])).status_code == 401
        assert len(place.received) == 4

        # The first request was accepted: it is not repeated.
        posted = client.post(f"{place.url}/moved", follow_redirects=True)
        assert (posted.status_code, [each.path for each in place.received[4:]]) == (
            401,
            ["/moved", "/closed"],
        )

        async def use() -> None:
            async with library.AsyncClient(auth=client.auth) as other:
                assert (await other.get(place.url)).status_code == 200

        asyncio.run(use())
        assert len(place.received) == 8


@pytest.mark.parametrize("package", ["httpx", "httpx2"])
def test_no_proxy_sees_a_token_for_this_machine(
    user: User, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    library = module(package)
    with (
        server(plain) as place,
        server(plain) as proxy,
        jitid.identity(task="T1", delegator="alice", audience=place.url) as me,
    ):
        make = me.httpx_auth if package == "httpx" else me.httpx2_auth
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with library.Client(auth=make()) as client, pytest.raises(jitid.UsageError, match="proxy"):
            client.get(place.url)
        with pytest.raises(jitid.UsageError, match="proxy"):
            me.headers(place.url)
        # Requests that get no token are sent as before.
        with library.Client(auth=make(API)) as client:
            client.get(place.url)
        assert [one.authorization for one in proxy.received] == [None]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with library.Client(auth=make()) as client:
            client.get(place.url).raise_for_status()
        assert [one.authorization for one in place.received] == [f"Bearer {me.token()}"]
        assert len(proxy.received) == 1


def aged(me: jitid.Identity, audience: str) -> str:
    """Return the shared token, as if it had been obtained a minute ago."""
    token = me.token(audience=audience)
    slot = me._entered().tokens._slots[audience]
    assert slot.held is not None
    slot.held = slot.held._replace(made=slot.held.made - 60)
    return token


def test_the_usual_port_of_a_scheme_is_no_other_origin(user: User) -> None:
    with jitid.identity(task="T1", delegator="alice", audience=API) as me:
        assert me.headers(f"{API}:443/x") == me.headers(f"{API}/x")
        with pytest.raises(jitid.PolicyDeniedError):
            me.headers(f"{API}:80/x")


def with_target(user: User, moto: Moto) -> str:
    """Configure a target at AWS with a template `deploy`, and return the name of its role."""
    role = f"python-{next(_roles)}"
    target = {
        "kind": "aws-sts",
        "region": REGION,
        "endpoint_url": moto.url,
        "credentials_file": str(moto.credentials),
        "template": {"deploy": {"role_arn": moto.role(role), "scopes": {}}},
    }
    config = user.home / "jitid.toml"
    config.touch(0o600)
    config.write_text(tomli_w.dumps({"policy": str(user.permit_kinds()), "target": {"cloud": target}}))
    user.environment["JITID_CONFIG"] = str(config)
    # Static credentials in the environment must not be used.
    user.environment |= {"AWS_ACCESS_KEY_ID": "AKIASTATIC", "AWS_SECRET_ACCESS_KEY": "static"}
    user.environment["AWS_DEFAULT_REGION"] = REGION
    return role


def test_a_session_of_botocore_has_credentials_of_a_target(user: User, moto_server: Moto) -> None:
    module("botocore")
    role = with_target(user, moto_server)
    printed = user.printed(
        """
        import datetime, jitid, sys

        def frozen():
            return session.get_credentials().get_frozen_credentials()

        def expire():
            session.get_credentials()._expiry_time -= datetime.timedelta(hours=2)

        kind, api = "aws-sts:cloud/deploy", "https://api.example"
        with jitid.identity(task="T1", delegator="alice", may_kind=kind, ttl="1h", audience=api) as me:
            me.token()
            session = me.botocore_session(template="cloud/deploy")
            client = session.create_client("sts", endpoint_url=sys.argv[1])
            print(client.get_caller_identity()["Arn"])
            first = frozen()
            expire()
            print(first.access_key != frozen().access_key)
        try:
            expire()
            frozen()
        except jitid.JitidError as error:
            print(error)
        """,
        moto_server.url,
    )
    arn, refreshed, ended = printed.splitlines()
    assert arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/")
    assert refreshed == "True"
    assert "has ended" in ended
    assert not user.rows("--task", "T1", "--live")
    assert [name for name in moto_server.policies(role) if name.startswith("jitid-denied-")]


def test_inside_of_run_the_end_reaches_the_target_too(user: User, moto_server: Moto) -> None:
    module("botocore")
    role = with_target(user, moto_server)
    program = """
import jitid, sys
with jitid.identity(may_kind="aws-sts:cloud/deploy") as me:
    session = me.botocore_session(template="cloud/deploy")
    print(session.create_client("sts", endpoint_url=sys.argv[1]).get_caller_identity()["Arn"])
print("ended")
"""
    kinds = ["--may-kind", "jwt", "--may-kind", "aws-sts:cloud/deploy"]
    options = ["--task", "T1", "--delegator", "alice", "--ttl", "1h", *kinds]
    done = user.run("run", *options, "--", sys.executable, "-c", program, moto_server.url)
    assert done.returncode == 0, done.stderr
    arn, ended = done.stdout.splitlines()
    assert (role in arn, ended) == (True, "ended")
    assert [name for name in moto_server.policies(role) if name.startswith("jitid-denied-")]
    # The run has nothing left to end there.
    assert "may still work" not in done.stderr


def test_a_session_of_botocore_has_credentials_of_a_web_identity(user: User, moto_server: Moto) -> None:
    module("botocore")
    arn = moto_server.role(f"web-{next(_roles)}")
    more = {"AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL_STS": moto_server.url}
    # moto fails at a request without a signature while it checks signatures.
    moto_server.enforce(enforced=False)
    try:
        printed = user.printed(
            """
            import jitid, sys
            with jitid.identity(task="T1", delegator="alice", audience="sts.amazonaws.com") as me:
                session = me.botocore_session(role_arn=sys.argv[1], endpoint_url=sys.argv[2])
                print(session.create_client("sts").get_caller_identity()["Arn"], me.id)
                for options in ({}, {"template": "a", "role_arn": "b"}, {"template": "a", "endpoint_url": "b"}):
                    try:
                        me.botocore_session(**options)
                    except jitid.UsageError as error:
                        print(error)
            """,
            arn,
            moto_server.url,
            more=more,
        )
    finally:
        moto_server.enforce(enforced=True)
    first, *refused = printed.splitlines()
    session, id_ = first.split()
    assert session.endswith(f"/{id_}")
    assert refused == [
        *["state either a template or a role"] * 2,
        "the argument `endpoint_url` requires `role_arn`: the target states its own",
    ]


class StoppedError(Exception):
    """Raised in place of a request to another machine."""


def test_no_variable_chooses_the_receiver_of_a_token_for_aws(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    botocore, http = module("botocore"), module("botocore.httpsession")
    evil = "evil.example"
    for name in ("endpoints.json", "partitions.json", "sts/2011-06-15/endpoint-rule-set-1.json.gz"):
        data = Path(botocore.__file__).parent / "data" / name
        text = gzip.decompress(data.read_bytes()) if data.suffix == ".gz" else data.read_bytes()
        for place in (user.home / "data", user.home / ".aws/models"):
            copied = (place / name).with_suffix("") if data.suffix == ".gz" else place / name
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(text.replace(b"amazonaws.com", evil.encode()))
    config = user.home / "aws"
    config.write_text(
        f"[default]\nendpoint_url = http://{evil}\nservices = own\n"
        f"[services own]\nsts =\n  endpoint_url = http://{evil}\n"
    )
    asked = []

    def send(_: object, request: Any) -> None:
        asked.append(request.url)
        raise StoppedError

    monkeypatch.setattr(http.URLLib3Session, "send", send)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    inherited = {
        "AWS_ENDPOINT_URL": f"http://{evil}",
        "AWS_ENDPOINT_URL_STS": f"http://{evil}",
        "AWS_DATA_PATH": str(user.home / "data"),
        "AWS_CONFIG_FILE": str(config),
    }
    with jitid.identity(task="T1", delegator="alice", audience="sts.amazonaws.com") as me:
        for name, value in inherited.items():
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                session = me.botocore_session(role_arn="arn:aws:iam::123456789012:role/x")
                with pytest.raises(StoppedError):
                    session.get_credentials().get_frozen_credentials()
    assert asked == [f"https://sts.{REGION}.amazonaws.com/"] * len(inherited)


def test_no_variable_chooses_the_receiver_of_a_token_for_azure(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    module("azure.identity")
    transport = module("azure.core.pipeline.transport")
    asked = []

    def send(_: object, request: Any, **__: object) -> None:
        asked.append(request.url)
        raise StoppedError

    monkeypatch.setattr(transport.RequestsTransport, "send", send)
    audience = "api://AzureADTokenExchange"
    with jitid.identity(task="T1", delegator="alice", audience=audience) as me:
        for name, value in {
            "AZURE_AUTHORITY_HOST": "https://evil.example",
            "AZURE_REGIONAL_AUTHORITY_NAME": "evil.example/x",
        }.items():
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                credential = me.azure_credential(tenant_id="tenant", client_id="client")
                with pytest.raises(StoppedError):
                    credential.get_token("https://vault.azure.net/.default")
    assert asked == ["https://login.microsoftonline.com/tenant/oauth2/v2.0/token"] * 2


def test_a_credential_of_azure_presents_a_new_token_each_time(user: User, tmp_path: Path) -> None:
    module("azure.identity")
    certificate = make_certificate(tmp_path)

    def entra(request: Received) -> Reply:
        if request.method == "GET":
            base = f"https://{'127.0.0.1'}:{place.url.rpartition(':')[2]}/tenant"
            return (
                200,
                {},
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                },
            )
        return 200, {}, {"access_token": "of-azure", "expires_in": 3600, "token_type": "Bearer"}

    audience = "api://AzureADTokenExchange"
    with (
        server(entra, certificate) as place,
        jitid.identity(task="T1", delegator="alice", audience=audience) as me,
    ):
        credential = me.azure_credential(
            tenant_id="tenant",
            client_id="client",
            authority=place.url,
            disable_instance_discovery=True,
            connection_verify=str(certificate),
        )
        assert credential.get_token("https://vault.azure.net/.default").token == "of-azure"
        assert credential.get_token("https://management.azure.com/.default").token == "of-azure"
        forms = [one.form for one in place.received if one.method == "POST"]
        proved = [jitid.verify(form["client_assertion"], audience=audience) for form in forms]
        assert len({one.jti for one in proved}) == len(forms) == 2
        assert {form["client_id"] for form in forms} == {"client"}


def test_the_supplier_of_google_presents_a_new_token_each_time(user: User) -> None:
    identity_pool = module("google.auth.identity_pool")
    transport = module("google.auth.transport.requests")

    def sts(request: Received) -> Reply:
        document = {"access_token": "of-google", "expires_in": 3600, "token_type": "Bearer"}
        return 200, {}, {**document, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}

    pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/jitid"
    with server(sts) as place, jitid.identity(task="T1", delegator="alice", audience=pool) as me:
        credentials = identity_pool.Credentials(
            audience=pool,
            subject_token_type="urn:ietf:params:oauth:token-type:jwt",
            token_url=f"{place.url}/v1/token",
            subject_token_supplier=me.google_supplier(),
        )
        for _ in range(2):
            credentials.refresh(transport.Request())
        assert credentials.token == "of-google"
        proved = [jitid.verify(one.form["subject_token"], audience=pool) for one in place.received]
        assert len({one.jti for one in proved}) == len(place.received) == 2


def test_a_client_of_mcp_presents_an_assertion_for_the_authorization_server(user: User) -> None:
    library, providers = module("httpx2"), module("mcp.client.auth.extensions.client_credentials")

    def both(request: Received) -> Reply:
        if request.path == "/token":
            return 200, {}, {"access_token": "of-server", "expires_in": 3600, "token_type": "Bearer"}
        if "oauth-protected-resource" in request.path:
            return 200, {}, {"resource": f"{place.url}/mcp", "authorization_servers": [place.url]}
        if "well-known" in request.path:
            return (
                200,
                {},
                {
                    "issuer": place.url,
                    "authorization_endpoint": f"{place.url}/authorize",
                    "token_endpoint": f"{place.url}/token",
                    "response_types_supported": ["code"],
                    "grant_types_supported": ["client_credentials"],
                    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                },
            )
        return (200, {}, {}) if request.authorization == "Bearer of-server" else (401, {}, {})

    class Storage:
        tokens: Any = None
        client: Any = None

        async def get_tokens(self) -> Any:
            return self.tokens

        async def set_tokens(self, tokens: Any) -> None:
            self.tokens = tokens

        async def get_client_info(self) -> Any:
            return self.client

        async def set_client_info(self, client: Any) -> None:
            self.client = client

    with server(both) as place, jitid.identity(task="T1", delegator="alice", audience=place.url) as me:
        auth = providers.PrivateKeyJWTOAuthProvider(
            server_url=f"{place.url}/mcp",
            storage=Storage(),
            client_id="agent",
            assertion_provider=me.mcp_assertion(),
            issuer=place.url,
        )

        async def use() -> int:
            async with library.AsyncClient(auth=auth) as client:
                return int((await client.post(f"{place.url}/mcp", json={})).status_code)

        assert asyncio.run(use()) == 200
        (exchange,) = [one for one in place.received if one.path == "/token"]
        assert jitid.verify(exchange.form["client_assertion"], audience=place.url).agent == "agent"
        # A server that names another authorization server gets no token for it.
        with pytest.raises(jitid.PolicyDeniedError):
            asyncio.run(me.mcp_assertion()("https://evil.example"))  # type: ignore[arg-type]


def test_a_missing_library_is_named_with_the_command_that_adds_it(user: User) -> None:
    printed = user.printed(
        """
        import jitid, sys
        for name in ("httpx", "httpx2", "botocore", "azure.identity", "google.auth.identity_pool"):
            sys.modules[name] = None
        with jitid.identity(task="T1", delegator="alice") as me:
            for use in (
                me.httpx_auth,
                me.httpx2_auth,
                lambda: me.botocore_session(template="a"),
                lambda: me.azure_credential(tenant_id="a", client_id="b"),
                me.google_supplier,
            ):
                try:
                    use()
                except jitid.ConfigurationError as error:
                    print(error, "|", error.hint)
        """
    )
    packages = ["httpx", "httpx2", "botocore", "azure-identity", "google-auth"]
    for package, line in zip(packages, printed.splitlines(), strict=True):
        assert line.startswith(f"the package {package} is not installed | ")
        assert line.endswith(f" {package}")
        assert "install" in line
