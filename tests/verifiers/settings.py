"""The settings of the verifiers that are servers: names in capitals stand for values.

The limits of the length of a header are raised, so that the verifier sees long tokens too.
"""

HAPROXY_KEY = """
node -e '
const { keys: [key] } = JSON.parse(require("fs").readFileSync("jwks.json"));
const spki = { type: "spki", format: "pem" };
console.log(crypto.createPublicKey({ key, format: "jwk" }).export(spki));
' >key.pem
"""

HAPROXY = """
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
    http-request deny if { req.hdr_cnt(authorization) gt 1 }
    http-request return status 200
"""

NJS = r"""
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
    && claims.iss === 'ISSUER'
    && [].concat(claims.aud).includes('AUDIENCE')
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
NGINX = """
location = /verify { internal; js_content verify.token; }
location / { auth_request /verify; empty_gif; }
"""
NGINX_AROUND = """
js_path FOLDER;
js_import verify.js;
client_header_buffer_size 1m;
large_client_header_buffers 4 1m;
"""

ENVOY = """
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
                  from_headers: [{ name: Authorization, value_prefix: "Bearer " }]
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
                                - list_match:
                                    one_of: { string_match: { exact: AUDIENCE } }
          - name: envoy.filters.http.router
            typed_config: { "@type": TYPES.http.router.v3.Router }
"""
ENVOY_TYPES = "type.googleapis.com/envoy.extensions.filters"

OAUTH2 = r"""
LimitRequestFieldSize 1000000
Define times verify.exp=required&verify.iat=required&expiry=0
Define slack verify.iat.slack_before=43200&verify.iat.slack_after=0
OAuth2TokenVerify jwks_uri http://127.0.0.1:PORT/keys/ ${times}&${slack}
<Location /api>
    AuthType oauth2
    <RequireAll>
        Require oauth2_claim iss~^ISSUER$
        Require oauth2_claim aud~^AUDIENCE$
        Require expr %{HTTP:Authorization} =~ /^Bearer ([^.]+)/ && \
            unbase64($1) =~ /(?s)^(?=.*"alg": ?"ALGORITHM")(?!.*"crit")/
        Require expr %{HTTP:Authorization} =~ /^Bearer ([^.]+)/ && \
            unbase64($1) =~ /"typ": ?"at\+jwt"/
    </RequireAll>
</Location>
"""

OPENIDC = r"""
LimitRequestFieldSize 1000000
OIDCOAuthVerifyJwksUri http://127.0.0.1:PORT/keys/
<Location /api>
    AuthType oauth20
    <RequireAll>
        Require claim iss~^ISSUER$
        Require claim aud~^AUDIENCE$
        Require expr %{HTTP:Authorization} =~ /^Bearer ([^.]+)/ && \
            unbase64($1) =~ /(?s)^(?=.*"alg": ?"ALGORITHM")(?!.*"crit")/
        Require expr %{HTTP:Authorization} =~ /^Bearer ([^.]+)/ && \
            unbase64($1) =~ /"typ": ?"at\+jwt"/
    </RequireAll>
</Location>
"""
