"""How a key set is fetched: proxies, TLS, answers that are cut or slow, and the request itself."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote

import pytest

from jitid.capabilities.access.key_sets import MAX_KEY_SET, read_key_set
from jitid.errors import ConfigurationError, StorageError
from jitid.system.http import proxy_for
from tests.crypto.loopback import Answer, certificate, serve, tunnels
from tests.crypto.signed import ED25519, jwk

KEYS = [jwk(ED25519, kid="k1", alg="EdDSA")]
KEY_SET = json.dumps({"keys": KEYS}).encode()
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxy settings that the tests' own environment has."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def raw(answer: bytes, *, drip: bytes = b"", silent: bool = False) -> Iterator[int]:
    """Send bytes to the first client, and yield the port.

    Then close the connection, or send `drip` every 50 ms, or send nothing more.
    """
    gone = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            visitor, _ = server.accept()
            with visitor, suppress(OSError):
                if answer:
                    visitor.recv(65_536)
                    visitor.sendall(answer)
                while drip and not gone.wait(0.05):
                    visitor.sendall(drip)
                if silent:
                    gone.wait(30)

        thread = Thread(target=talk)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            gone.set()
            thread.join()


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
@pytest.mark.parametrize("form", ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "127.0.0.1:{}"])
def test_an_https_issuer_is_reached_through_the_proxy(
    name: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees only a tunnel, and the TLS certificate proves the issuer's name."""
    pem = certificate(tmp_path, "issuer.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    answer = Answer(KEY_SET)
    with serve({"/keys": answer}, pem) as issuer, tunnels() as proxy:
        port = issuer.rpartition(":")[2]
        monkeypatch.setenv(name, form.format(proxy.port))
        assert read_key_set(f"https://issuer.example:{port}/keys", 5) == KEYS
    ((line, *headers),) = proxy.heads
    assert line.startswith(f"CONNECT issuer.example:{port} HTTP/1.")
    assert not [header for header in headers if "authorization" in header.lower()]
    assert answer.headers["host"] == f"issuer.example:{port}"


def test_the_proxy_alone_gets_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the proxy gets the password (RFC 9110, section 11.7.2). The setting has it percent-encoded."""
    pem = certificate(tmp_path, "issuer.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    answer = Answer(KEY_SET)
    with serve({"/keys": answer}, pem) as issuer, tunnels() as proxy:
        monkeypatch.setenv("https_proxy", f"http://alice:p%40ss@127.0.0.1:{proxy.port}")
        assert read_key_set(f"https://issuer.example:{issuer.rpartition(':')[2]}/keys", 5) == KEYS
    expected = f"proxy-authorization: basic {b64encode(b'alice:p@ss').decode().lower()}"
    assert expected in [line.lower() for line in proxy.heads[0]]
    assert "proxy-authorization" not in answer.headers


@pytest.mark.parametrize("password", ["p/x", "p?x", "123#x", "p@x", "p%2Fx"])
def test_a_password_of_a_proxy_may_have_any_character(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", f"http://alice:{password}@proxy.example:3128/")
    found = proxy_for("https", "issuer.example")
    assert found is not None
    assert (found.host, found.port) == ("proxy.example", 3128)
    expected = b64encode(f"alice:{unquote(password)}".encode()).decode()
    assert found.authorization == f"Basic {expected}"


def test_a_proxy_cannot_pass_for_the_issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate for another host does not help the proxy."""
    pem = certificate(tmp_path, "other.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with serve({"/keys": Answer(KEY_SET)}, pem) as issuer, tunnels() as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(StorageError, match="cannot be fetched: SSLCertVerificationError"):
            read_key_set(f"https://issuer.example:{issuer.rpartition(':')[2]}/keys", 5)


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "OSError"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1/\r\n\r\n", "OSError"),
        (b"no HTTP\r\n\r\n", "BadStatusLine"),
        (b"", "RemoteDisconnected"),
    ],
)
def test_a_proxy_that_refuses_is_a_storage_failure(
    refusal: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later attempt may reach the issuer."""
    with tunnels(refusal) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(StorageError, match=f"cannot be fetched: {reason}$"):
            read_key_set("https://issuer.example/keys", 5)


@pytest.mark.parametrize(
    ("exempt", "proxied"),
    [("127.0.0.2", False), ("*", False), ("other.example, 127.0.0.2", False), ("other.example", True)],
)
def test_no_proxy_names_hosts_that_are_reached_directly(
    exempt: str, proxied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.2 is not one of the names that are always reached without a proxy."""
    pem = certificate(tmp_path, "127.0.0.2")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with serve({"/keys": Answer(KEY_SET)}, pem, "127.0.0.2") as issuer, tunnels(b"") as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", exempt)
        if proxied:
            with pytest.raises(StorageError, match="RemoteDisconnected"):
                read_key_set(f"{issuer}/keys", 5)
        else:
            assert read_key_set(f"{issuer}/keys", 5) == KEYS
    assert bool(proxy.heads) == proxied


@pytest.mark.parametrize("secure", [False, True])
def test_this_machine_is_reached_without_a_proxy(
    secure: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This also holds if TLS would protect the keys."""
    pem = certificate(tmp_path) if secure else None
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with serve({"/keys": Answer(KEY_SET)}, pem) as address:
        assert read_key_set(f"{address}/keys", 5) == KEYS


def test_the_certificate_has_the_name_of_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trusted certificate for another address is refused."""
    pem = certificate(tmp_path, "127.0.0.3")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with (
        serve({"/keys": Answer(KEY_SET)}, pem) as address,
        pytest.raises(StorageError, match="cannot be fetched: SSLCertVerificationError"),
    ):
        read_key_set(f"{address}/keys", 5)


def test_a_server_without_tls_is_not_taken_for_one() -> None:
    """Nothing is sent to such a server in clear text."""
    with serve({"/keys": Answer(KEY_SET)}) as address:
        secure = address.replace("http://", "https://")
        with pytest.raises(StorageError, match="cannot be fetched: SSLError"):
            read_key_set(f"{secure}/keys", 5)


def test_the_request_names_the_host_and_asks_for_json() -> None:
    """The request contains the query of the address, but never its fragment (RFC 9110, section 4.2.5)."""
    answer = Answer(KEY_SET)
    with serve({"/a/keys?use=sig&x=%20": answer, "/": answer}) as address:
        assert read_key_set(f"{address}/a/keys?use=sig&x=%20#part", 5) == KEYS
        assert read_key_set(address, 5) == KEYS
        host = address.removeprefix("http://")
    assert answer.headers["host"] == host
    assert answer.headers["accept"] == "application/json"
    assert answer.headers["accept-encoding"] == "identity"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX: x", "/a\x00b", "/k\xe4ys"])
def test_an_address_that_no_request_can_name_is_not_asked(path: str) -> None:
    """Such an address could break out of the request line."""
    answer = Answer(KEY_SET)
    with serve(dict.fromkeys(("/a", "/a b", "/aX: x", path), answer)) as address:
        with pytest.raises(StorageError, match="cannot be fetched: "):
            read_key_set(address + path, 5)
        assert not answer.asked


def test_a_host_without_an_address_is_a_storage_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", find)
    with pytest.raises(StorageError, match=r"cannot be fetched: gaierror$"):
        read_key_set("https://issuer.example/keys", 5)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"\n", "BadStatusLine"),
        (b"no HTTP\r\n\r\n", "BadStatusLine"),
        (OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "LineTooLong"),
        (OK + b"X: x\r\n" * 101 + b"\r\n", "HTTPException"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", "IncompleteRead"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nx\r\n", "IncompleteRead"),
    ],
)
def test_an_answer_that_breaks_off_is_a_storage_failure(answer: bytes, reason: str) -> None:
    """Another attempt may help."""
    with raw(answer) as port, pytest.raises(StorageError, match=f"cannot be fetched: {reason}$"):
        read_key_set(f"http://127.0.0.1:{port}/keys", 5)


def test_a_body_that_breaks_off_does_not_parse() -> None:
    """The beginning of a key set is not a key set."""
    with raw(OK + b"Content-Length: 500\r\n\r\n" + KEY_SET[:40]) as port:  # noqa: SIM117
        with pytest.raises(ConfigurationError, match="does not parse"):
            read_key_set(f"http://127.0.0.1:{port}/keys", 5)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(OK + b"\r\n", id="ended by the connection"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n", id="after an interim answer"),
        pytest.param(b"HTTP/1.1 203 Changed\r\n\r\n", id="another status of success"),
        pytest.param(OK + b"Content-Encoding: none\r\n\r\n", id="an unusual coding"),
    ],
)
def test_a_whole_answer_is_accepted(head: bytes) -> None:
    with raw(head + KEY_SET) as port:
        assert read_key_set(f"http://127.0.0.1:{port}/keys", 5) == KEYS


def test_a_key_set_in_pieces_is_put_together() -> None:
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in KEY_SET) + b"0\r\n\r\n"
    with raw(OK + b"Transfer-Encoding: chunked\r\n\r\n" + pieces) as port:
        assert read_key_set(f"http://127.0.0.1:{port}/keys", 5) == KEYS


def test_the_largest_key_set_is_accepted_and_one_byte_more_is_not() -> None:
    whole = KEY_SET.ljust(MAX_KEY_SET)
    with serve({"/whole": Answer(whole), "/more": Answer(whole + b" ")}) as address:
        assert read_key_set(f"{address}/whole", 20) == KEYS
        with pytest.raises(ConfigurationError, match="is larger than 1048576 bytes"):
            read_key_set(f"{address}/more", 20)


@pytest.mark.parametrize(
    ("scheme", "answer", "drip"),
    [
        pytest.param("http", b"", b"", id="silent"),
        pytest.param("https", b"", b"", id="no handshake"),
        pytest.param("http", OK + b"X: ", b" ", id="dripping headers"),
        pytest.param("http", OK + b"\r\n", b" ", id="dripping body"),
        pytest.param("http", OK + b"Content-Length: 999\r\n\r\n", b" ", id="dripping body of known length"),
        pytest.param("http", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="dripping pieces"),
    ],
)
def test_all_of_a_fetch_has_one_time(scheme: str, answer: bytes, drip: bytes) -> None:
    with (
        raw(answer, drip=drip, silent=True) as port,
        pytest.raises(
            StorageError, match=r"was not fetched within 0\.3 seconds|cannot be fetched: TimeoutError"
        ),
    ):
        read_key_set(f"{scheme}://127.0.0.1:{port}/keys", 0.3)


@pytest.mark.parametrize(("answer", "drip"), [(b"", b""), (OK + b"X: ", b" "), (OK, b"X: x\r\n")])
def test_a_slow_proxy_has_that_time_too(answer: bytes, drip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw(answer, drip=drip, silent=True) as port:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(
            StorageError, match=r"was not fetched within 0\.3 seconds|cannot be fetched: TimeoutError"
        ):
            read_key_set("https://issuer.example/keys", 0.3)
