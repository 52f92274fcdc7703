import json
import os
import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from jitid.capabilities.access import key_sets, oidc
from jitid.capabilities.access.key_sets import key_set, read_key_set
from jitid.capabilities.access.oidc import verify_token
from jitid.crypto import jws
from jitid.errors import ConfigurationError, InvalidCredentialError, StorageError
from jitid.model.access import OidcIssuer
from tests.crypto.loopback import Answer, certificate, serve
from tests.crypto.signed import ED25519, NOW, P256, encode, jwk, token
from tests.crypto.vectors import jws_cases, ranges

KEYS = [jwk(ED25519, kid="k1", alg="EdDSA"), jwk(P256, kid="k2")]
KEY_SET = json.dumps({"keys": KEYS}).encode()


def written(folder: Path, content: bytes = KEY_SET, mode: int = 0o644) -> Path:
    """Write a key set and return its path."""
    path = folder / "keys.json"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_keys_come_from_a_file_or_a_link_to_it(tmp_path: Path) -> None:
    """Mounted configuration is often a symbolic link."""
    path = written(tmp_path, mode=0o400)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_key_set(str(path), 1) == read_key_set(str(link), 1) == KEYS


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not parse"),
        (b"[]", "not a JSON object with a list of keys"),
        (b"{}", "not a JSON object with a list of keys"),
        (b'{"keys":{}}', "not a JSON object with a list of keys"),
        (b'{"keys":[1]}', "not a JSON object with a list of keys"),
        (b'{"keys":[],"keys":[]}', "two members with the same name"),
        (b'{"keys":[{"kid":"a"},{"kid":"a"}]}', "a duplicate key id"),
        (b'{"keys":[{"kid":1}]}', "a duplicate key id, or a key id that is not a string"),
        (b" " * (1024 * 1024) + b"{}", "larger than 1048576 bytes"),
    ],
)
def test_a_file_that_is_no_key_set_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """A defect in the keys is an error of the configuration, not of the token."""
    with pytest.raises(ConfigurationError, match=reason):
        read_key_set(str(written(tmp_path, content)), 1)


def test_a_place_that_is_no_safe_file_is_refused(tmp_path: Path) -> None:
    """Among the refused places are a pipe, which must not block, and a file that every user may write."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", ".", "keys\0.json"):
        with pytest.raises(ConfigurationError, match=r"cannot be opened|not a regular file"):
            read_key_set(f"{tmp_path}/{name}", 1)
    with pytest.raises(ConfigurationError, match="every user") as caught:
        read_key_set(str(written(tmp_path, mode=0o646)), 1)
    assert caught.value.hint == f"chmod o-w {tmp_path}/keys.json"


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "OKP", "crv": "Ed25519", "x": encode(bytes(31))},
        {"kty": "OKP", "crv": "Ed25519"},
        {"kty": "OKP", "crv": "Ed25519", "x": 5},
        {"kty": "EC", "crv": "P-256", "x": encode(bytes(32)), "y": encode(bytes(32))},
        {"kty": "EC", "crv": "P-256", "x": encode(bytes(31)), "y": encode(bytes(32))},
        {"kty": "RSA", "n": "", "e": "AQAB"},
        {"kty": "RSA", "n": ["AQAB"], "e": "AQAB"},
        jwk(generate_private_key(65537, 1024)),
        {"kty": "RSA", "n": encode(b"\xff" * 2048), "e": "AQAB"},
    ],
)
def test_a_damaged_or_weak_key_is_a_fault_of_the_configuration(members: dict[str, Any]) -> None:
    """An RSA key has at least 2048 bits (RFC 7518, section 3.3), and not too many to compute with."""
    alg = {"OKP": "EdDSA", "EC": "ES256", "RSA": "RS256"}[members["kty"]]
    key = oidc.choose_key([members], {"alg": alg}, [alg], "/keys.json")
    with pytest.raises(ConfigurationError):
        oidc.check_signature(key, b"message", bytes(64))


def test_a_private_half_published_by_mistake_is_not_loaded() -> None:
    """Verification needs no private key."""
    key = oidc.choose_key([{**KEYS[0], "d": "AA"}], {"alg": "EdDSA"}, ["EdDSA"], "/keys.json")
    assert key.members == {"kty": "OKP", "crv": "Ed25519", "x": KEYS[0]["x"]}


@pytest.mark.parametrize(
    "change", [{"use": "enc"}, {"use": 1}, {"key_ops": ["sign"]}, {"key_ops": 1}, {"alg": 7}]
)
def test_a_key_for_something_else_is_not_chosen(change: dict[str, Any]) -> None:
    """A key for another purpose is not chosen (RFC 7517, sections 4.2 to 4.4)."""
    with pytest.raises(InvalidCredentialError):
        oidc.choose_key([{**KEYS[0], **change}], {"alg": "EdDSA", "kid": "k1"}, ["EdDSA"], "/keys.json")


def test_a_token_is_verified_by_keys_from_the_network() -> None:
    """CI systems publish their keys like this. Plain http is allowed on the loopback interface only."""
    claims = {"iss": "https://ci.example", "aud": "jitid", "sub": "ci", "iat": NOW, "exp": NOW + 300}
    with serve({"/keys": Answer(KEY_SET)}) as address:
        issuer = OidcIssuer("https://ci.example", f"{address}/keys", "jitid", kind="system")
        text = token({"alg": "ES256", "kid": "k2"}, claims, P256)
        assert verify_token(text, [issuer], NOW, timeout=5).delegator == "system:ci"


def test_a_server_without_an_answer_is_a_storage_failure() -> None:
    """Another attempt may help: exit status 5."""
    answers = {
        "/broken": Answer(status=500),
        "/elsewhere": Answer(status=302, location="/keys"),
        "/keys": Answer(KEY_SET),
    }
    with serve(answers) as address:
        for path, reason in (
            ("broken", "status 500"),
            ("missing", "status 404"),
            ("elsewhere", "status 302"),
        ):
            with pytest.raises(StorageError, match=reason):
                read_key_set(f"{address}/{path}", 5)
    with pytest.raises(StorageError, match="ConnectionRefusedError"):
        read_key_set(f"{address}/keys", 5)


def test_a_server_that_never_speaks_is_given_up() -> None:
    """The caller sets the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/keys"
        with pytest.raises(StorageError):
            read_key_set(address, 0.05)


def test_an_answer_without_end_is_refused() -> None:
    """At most one megabyte is read, however much the server sends."""
    with (
        serve({"/keys": Answer(b" " * 3_000_000)}) as address,
        pytest.raises(ConfigurationError, match="larger"),
    ):
        read_key_set(f"{address}/keys", 5)


def test_no_proxy_stands_between_us_and_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy could insert its own keys into an answer that TLS does not protect."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serve({"/keys": Answer(KEY_SET)}) as address:
        assert read_key_set(f"{address}/keys", 5) == KEYS


def test_an_unknown_certificate_is_refused_and_a_trusted_one_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS certificates are verified by the rules of the system."""
    pem = certificate(tmp_path)
    with serve({"/keys": Answer(KEY_SET)}, pem) as secure:
        with pytest.raises(StorageError, match="SSLCertVerificationError"):
            read_key_set(f"{secure}/keys", 5)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        assert read_key_set(f"{secure}/keys", 5) == KEYS


def test_no_redirection_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirection could lead into a network that only jitid can reach, even if TLS protects it."""
    pem = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with serve({"/keys": Answer(KEY_SET)}, pem) as secure:
        answers = {
            f"/{status}": Answer(status=status, location=f"{secure}/keys")
            for status in (301, 302, 303, 307, 308)
        }
        with serve(answers, pem) as other:
            for path in answers:
                with pytest.raises(StorageError, match=f"status {path[1:]}"):
                    read_key_set(other + path, 5)


@pytest.mark.deep
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then_is_given_up(begun: bytes) -> None:
    """Each byte restarts a socket's timeout, but the whole fetch has one deadline."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            visitor, _ = server.accept()
            with visitor, suppress(OSError):
                visitor.sendall(begun)
                while True:
                    visitor.sendall(b" ")
                    gone.wait(0.05)

        gone = Event()
        thread = Thread(target=trickle)
        thread.start()
        with pytest.raises(StorageError, match=r"not fetched within 0\.4 seconds"):
            read_key_set(f"http://127.0.0.1:{server.getsockname()[1]}/keys", 0.4)
        # The thread ends by itself, because jitid has closed its side of the connection.
        thread.join()


def test_keys_are_fetched_once_for_many_tokens_and_again_for_a_new_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The issuer's key rotation is followed. Invented key ids do not cause a fetch for each token."""
    answer = Answer(KEY_SET)
    answers = {"/keys": answer}
    with serve(answers) as address:
        place = f"{address}/keys"
        for _ in range(3):
            assert key_set(place, 5, "k1") == KEYS
        rotated = [jwk(P256, kid="k3")]
        answer.body = json.dumps({"keys": rotated}).encode()
        # The keys were fetched just before: an unknown key id has to wait.
        assert key_set(place, 5, "k3") == KEYS
        assert answer.asked == 1
        monkeypatch.setattr(key_sets, "AGAIN", 0.0)
        monkeypatch.setattr(key_sets, "PAUSE", 0.0)
        assert key_set(place, 5, "k1") == KEYS
        assert key_set(place, 5, "k3") == rotated
        assert answer.asked == 2
        # The issuer fails: the fetched keys are used until they are too old, and then no longer.
        answer.status = 500
        monkeypatch.setattr(key_sets, "FRESH", 0.0)
        with pytest.raises(StorageError, match="status 500"):
            key_set(place, 5, "k3")


def test_what_was_fetched_serves_while_the_issuer_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetched keys are used for at most twice the time for which they are fresh."""
    answer = Answer(KEY_SET)
    with serve({"/keys": answer}) as address:
        assert key_set(f"{address}/keys", 5) == KEYS
        answer.status = 500
        clock = time.monotonic
        for later, reason in ((key_sets.FRESH + 1, None), (2 * key_sets.FRESH + 20, "status 500")):
            monkeypatch.setattr(key_sets, "monotonic", lambda later=later: clock() + later)
            if reason is None:
                assert key_set(f"{address}/keys", 5) == KEYS
            else:
                with pytest.raises(StorageError, match=reason):
                    key_set(f"{address}/keys", 5)
        # A fetch that has just failed is not repeated for each request.
        asked = answer.asked
        with pytest.raises(StorageError, match="status 500"):
            key_set(f"{address}/keys", 5)
        assert answer.asked == asked


# Each key has one algorithm, and jitid accepts only RS256, PS256, ES256 and EdDSA.
WYCHEPROOF: dict[str | None, str] = {
    None: "18 33 260-263 273-275 287-288 345 349 378",
    "the ID token's signature does not verify": "19 22 32 34 37 46-258 276-286 289-319 379-401",
    "the ID token's `kid` is not a signing key that its issuer publishes": "1-2 5 8 25 40 265-267 269-271 321-324"
    " 326-340 347-348 351-359 367 370 376-377",
    "the ID token's algorithm is not that of its key": "31 346 350",
    "not a JWT: one of its parts is empty": "3 6 9 11 16 20 23 26 28 35 38 41 43 259 264 268 272 320 325 341-344",
    "not a JWT: expected three dot-separated parts": "4 7 10 12-15 17 21 24 27 29-30 36 39 42 44-45",
    "the token's signature is not canonical base64url": "360-364",
    "the token's header is not canonical base64url": "365-366 372",
    "the token's payload is not canonical base64url": "368-369 371 373-375",
}
# Valid tokens that jitid does not accept: other algorithms (HS256, RS384, RS512, PS384, PS512), and empty payloads.
NOT_OURS = ranges("1 265-267 269-271 321-323 326-328 348 352 357-359 367 370 376-377 259 264 268 272 320 325")


def judge(text: str, keys: Iterable[dict[str, Any]]) -> str | None:
    """Return the reason for refusing a signed message whose claims do not matter; None if it is valid."""
    try:
        header, payload, signature = jws.split(text)
        members = jws.decode_object(header, "header")[1]
        jws.decode_part(payload, "payload")
        raw = jws.decode_part(signature, "signature")
        key = oidc.choose_key(list(keys), members, OidcIssuer("", "", "").algorithms, "/keys.json")
        oidc.check_signature(key, f"{header}.{payload}".encode(), raw)
    except InvalidCredentialError as error:
        return error.message
    return None


def test_each_wycheproof_token_is_judged_for_its_reason() -> None:
    """No token labelled invalid is accepted. Each valid token with a supported algorithm is accepted."""
    expected = {number: reason for reason, text in WYCHEPROOF.items() for number in ranges(text)}
    assert {number: judge(text, [key]) for number, _, text, key in jws_cases()} == expected
    labels = {number: label for number, label, _, _ in jws_cases()}
    assert {number for number, label in labels.items() if label == "valid"} == (
        ranges(WYCHEPROOF[None]) | NOT_OURS
    )


def test_only_one_waits_for_an_issuer_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other callers get an error soon, so that their threads can serve requests that need no issuer."""
    monkeypatch.setattr(key_sets, "WAITING", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(4) as pool:
        place = f"http://127.0.0.1:{server.getsockname()[1]}/keys"
        first = pool.submit(key_set, place, 30)
        visitor, _ = server.accept()
        with visitor:
            for other in [pool.submit(key_set, place, 30) for _ in range(3)]:
                with pytest.raises(StorageError, match="is still being fetched"):
                    other.result()
            assert not first.done()
            visitor.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(KEY_SET) + KEY_SET
            )
        assert first.result() == KEYS
    assert key_set(place, 30) == KEYS
