"""A real HTTP or HTTPS server on the loopback interface, and certificates for it."""

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Answer:
    """The server's answer at one path."""

    def __init__(self, body: bytes = b"", status: int = 200, location: str | None = None) -> None:
        self.body = body
        self.status = status
        self.location = location
        self.asked = 0
        """The number of requests."""
        self.headers: dict[str, str] = {}
        """Headers of the last request, by name in lower case."""


@contextmanager
def serve(
    answers: Mapping[str, Answer], certificate: Path | None = None, host: str = "127.0.0.1"
) -> Iterator[str]:
    """Serve the answers, over https if there is a certificate, and yield the address without a path."""

    class Visitor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path, Answer(status=404))
            answer.asked += 1
            answer.headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(answer.status)
            if answer.location:
                self.send_header("Location", answer.location)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Log nothing: the tests make clients refuse a certificate or close the connection."""

    server = Server((host, 0), Visitor)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Tunnels:
    """A proxy that supports only CONNECT, and connects every name to 127.0.0.1."""

    def __init__(self, refusal: bytes | None) -> None:
        self.heads: list[list[str]] = []
        """The lines of each request."""
        self._refusal = refusal
        self._opened: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close all connections."""
        for one in (self._listening, *self._opened):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._opened.append(client)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(1)
                lines = head.decode().splitlines()[:-1]
                self.heads.append(lines)
                if self._refusal is not None:
                    client.sendall(self._refusal)
                    client.shutdown(socket.SHUT_RDWR)
                    continue
                server = socket.create_connection(("127.0.0.1", int(lines[0].split()[1].rpartition(":")[2])))
                self._opened.append(server)
                client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def tunnels(refusal: bytes | None = None) -> Iterator[Tunnels]:
    """Run a proxy. If `refusal` is given, the proxy sends it to every client."""
    proxy = Tunnels(refusal)
    try:
        yield proxy
    finally:
        proxy.close()


def certificate(folder: Path, name: str = "127.0.0.1") -> Path:
    """Write a self-signed certificate for a host with its key, and return their file."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jitid test")])
    host = x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + signed.public_bytes(Encoding.PEM)
    )
    return path
