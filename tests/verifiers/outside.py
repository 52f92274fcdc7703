"""Verifiers in other languages: one process verifies all tokens of an algorithm."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.node import Node
from tests.real import missing, need
from tests.verifiers.cases import AUDIENCE, ISSUER
from tests.verifiers.inside import Verdicts

NODE_PACKAGES = ("jose@^6.2", "jsonwebtoken@^9.0", "fast-jwt@^6.0")

_NODE = {
    "jose": """
const { jwtVerify, createLocalJWKSet } = await import("jose");
const keys = createLocalJWKSet(given.jwks);
const verify = (token) => jwtVerify(token, keys, {
    algorithms: [given.algorithm], issuer: given.issuer, audience: given.audience, typ: "at+jwt",
    requiredClaims: ["exp", "iat"],
});
""",
    "jsonwebtoken": """
const { default: jsonwebtoken } = await import("jsonwebtoken");
const { createPublicKey } = await import("node:crypto");
const keys = new Map(given.jwks.keys.map((key) => [key.kid, createPublicKey({ key, format: "jwk" })]));
const verify = (token) => {
    const { header } = jsonwebtoken.decode(token, { complete: true });
    if (header.typ !== "at+jwt") throw new Error("typ");
    const claims = jsonwebtoken.verify(token, keys.get(header.kid), {
        algorithms: [given.algorithm], issuer: given.issuer, audience: given.audience });
    if (claims.exp === undefined || claims.iat === undefined) throw new Error("times");
};
""",
    "fast-jwt": """
const { createVerifier } = await import("fast-jwt");
const { createPublicKey } = await import("node:crypto");
const keys = new Map(given.jwks.keys.map((key) =>
    [key.kid, createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" })]));
const check = createVerifier({
    key: async ({ header }) => keys.get(header.kid), algorithms: [given.algorithm], checkTyp: "at+jwt",
    allowedIss: given.issuer, allowedAud: given.audience, requiredClaims: ["exp", "iat", "iss", "aud"], cache: false,
});
const verify = (token) => check(token);
""",
}
_NODE_LOOP = """
const verdicts = [];
for (const token of given.tokens) {
    try { await verify(token); verdicts.push(null); }
    catch (error) { verdicts.push(`${error.name}: ${error.message}`); }
}
answer(verdicts);
"""

_PERL = """
use strict; use warnings; use JSON::PP; use Crypt::JWT qw(decode_jwt);
local $/; my $given = JSON::PP->new->utf8->decode(<STDIN>); my @verdicts;
for my $token (@{$given->{tokens}}) {
    eval {
        my ($header, $claims) = decode_jwt(token => $token, kid_keys => $given->{jwks},
            accepted_alg => $given->{algorithm}, decode_header => 1, verify_exp => 1, verify_iat => 1,
            verify_iss => sub { $_[0] eq $given->{issuer} },
            verify_aud => sub { my @aud = ref $_[0] eq 'ARRAY' ? @{$_[0]} : ($_[0]);
                                grep { defined && $_ eq $given->{audience} } @aud });
        die "typ\\n" unless ($header->{typ} // '') eq 'at+jwt'; 1;
    } ? push(@verdicts, undef) : push(@verdicts, "$@");
}
print JSON::PP->new->ascii->encode(\\@verdicts);
"""

_RUBY = """
require "json"; require "jwt"
given = JSON.parse($stdin.read); algorithm = given["algorithm"]
set = begin JWT::JWK::Set.new(given["jwks"]) rescue nil end
verdicts = given["tokens"].map do |token|
  begin
    raise "no key" if set.nil?
    _, header = JWT.decode(token, nil, true, algorithms: [algorithm], jwks: set, iss: given["issuer"], verify_iss: true,
      aud: given["audience"], verify_aud: true, verify_iat: true, required_claims: ["exp", "iat"])
    raise "typ" unless header["typ"] == "at+jwt"
    nil
  rescue Exception => error
    "#{error.class}: #{error.message}".encode("UTF-8", invalid: :replace, undef: :replace)[0, 200]
  end
end
puts JSON.generate(verdicts)
"""

_GO = """
package main

import (
    "context"
    "encoding/json"
    "errors"
    "fmt"
    "os"
    "strings"
    "time"

    "github.com/coreos/go-oidc"
    "github.com/go-jose/go-jose"
    "github.com/go-jose/go-jose/jwt"
    old "gopkg.in/square/go-jose.v2"
)

type given struct {
    Algorithm, Issuer, Audience string
    Jwks                        json.RawMessage
    Tokens                      []string
}

type keySet struct{ keys old.JSONWebKeySet }

func (set *keySet) VerifySignature(_ context.Context, token string) ([]byte, error) {
    parsed, err := old.ParseSigned(token)
    if err != nil {
        return nil, err
    }
    if typ, _ := parsed.Signatures[0].Header.ExtraHeaders[old.HeaderType].(string); typ != "at+jwt" {
        return nil, errors.New("typ")
    }
    keys := set.keys.Key(parsed.Signatures[0].Header.KeyID)
    if len(keys) != 1 {
        return nil, errors.New("kid")
    }
    return parsed.Verify(&keys[0])
}

func withGoOidc(in given) func(string) error {
    set := &keySet{}
    if err := json.Unmarshal(in.Jwks, &set.keys); err != nil {
        panic(err)
    }
    config := &oidc.Config{ClientID: in.Audience, SupportedSigningAlgs: []string{in.Algorithm}}
    verifier := oidc.NewVerifier(in.Issuer, set, config)
    return func(token string) error {
        _, err := verifier.Verify(context.Background(), token)
        return err
    }
}

func withGoJose(in given) func(string) error {
    set := jose.JSONWebKeySet{}
    if err := json.Unmarshal(in.Jwks, &set); err != nil {
        panic(err)
    }
    return func(token string) error {
        parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(in.Algorithm)})
        if err != nil {
            return err
        }
        header := parsed.Headers[0]
        if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != "at+jwt" {
            return errors.New("typ")
        }
        keys := set.Key(header.KeyID)
        if len(keys) != 1 {
            return errors.New("kid")
        }
        claims := jwt.Claims{}
        if err := parsed.Claims(keys[0], &claims); err != nil {
            return err
        }
        if claims.Expiry == nil || claims.IssuedAt == nil {
            return errors.New("times")
        }
        expected := jwt.Expected{Issuer: in.Issuer, AnyAudience: jwt.Audience{in.Audience}, Time: time.Now()}
        return claims.ValidateWithLeeway(expected, 0)
    }
}

func main() {
    var in given
    if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
        panic(err)
    }
    make := withGoOidc
    if os.Args[1] == "go-jose" {
        make = withGoJose
    }
    verify, verdicts := make(in), []*string{}
    for _, token := range in.Tokens {
        verdicts = append(verdicts, nil)
        if err := verify(token); err != nil {
            text := strings.ToValidUTF8(fmt.Sprint(err), "?")
            verdicts[len(verdicts)-1] = &text
        }
    }
    json.NewEncoder(os.Stdout).Encode(verdicts)
}
"""
NAMES = (*_NODE, "Crypt::JWT", "ruby-jwt", "go-oidc", "go-jose")
_GO_SOURCES = Path("/usr/share/gocode")


class Outside:
    """The verifiers of other languages, installed and built into a folder at their first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._node: Node | None = None
        self._program: Path | None = None

    def verifiers(self) -> dict[str, Callable[[str, dict[str, Any], Sequence[str]], Verdicts]]:
        """Return the verifiers by name."""
        return {
            **{name: self._of_node(name) for name in _NODE},
            "Crypt::JWT": self._of(lambda: [need("perl"), "-MCrypt::JWT", "-e", _PERL], "libcrypt-jwt-perl"),
            "ruby-jwt": self._of(lambda: [need("ruby"), "-rjwt", "-e", _RUBY], "ruby-jwt"),
            "go-oidc": self._of(lambda: [str(self._built()), "go-oidc"], ""),
            "go-jose": self._of(lambda: [str(self._built()), "go-jose"], ""),
        }

    def _of_node(self, name: str) -> Callable[[str, dict[str, Any], Sequence[str]], Verdicts]:
        def verify(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
            if self._node is None:
                folder = self._folder / "node"
                folder.mkdir()
                self._node = Node(folder, *NODE_PACKAGES)
            return list(self._node.run(_NODE[name] + _NODE_LOOP, **_given(algorithm, jwks, tokens)))

        return verify

    def _of(
        self, command: Callable[[], list[str]], package: str
    ) -> Callable[[str, dict[str, Any], Sequence[str]], Verdicts]:
        def verify(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> Verdicts:
            done = subprocess.run(
                command(),
                input=json.dumps(_given(algorithm, jwks, tokens)),
                capture_output=True,
                text=True,
                timeout=300,
            )
            if done.returncode and package:
                missing(f"{package} is not installed: {done.stderr.strip()[-200:]}")
            assert done.returncode == 0, done.stderr
            return list(json.loads(done.stdout))

        return verify

    def _built(self) -> Path:
        """Return the program of the two libraries in Go, built from Debian's packages."""
        if self._program is None:
            go = need("go")
            if not (_GO_SOURCES / "src/github.com/coreos/go-oidc").is_dir():
                missing("golang-github-coreos-go-oidc-dev is not installed")
            source, self._program = self._folder / "verify.go", self._folder / "verify"
            source.write_text(_GO)
            done = subprocess.run(
                [go, "build", "-o", str(self._program), str(source)],
                env={
                    **os.environ,
                    "GOPATH": str(_GO_SOURCES),
                    "GOCACHE": str(self._folder / "cache"),
                    "GO111MODULE": "off",
                },
                capture_output=True,
                text=True,
                timeout=600,
            )
            assert done.returncode == 0, done.stderr
        return self._program


def _given(algorithm: str, jwks: dict[str, Any], tokens: Sequence[str]) -> dict[str, Any]:
    return {
        "algorithm": algorithm,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "jwks": jwks,
        "tokens": list(tokens),
    }
