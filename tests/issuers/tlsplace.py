"""Mutual TLS on the loopback interface, with Python's `ssl`: the peers' identities and refusals."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jitid.values.secret import Secret


class Peer(NamedTuple):
    """One side of a connection."""

    svid: Secret
    roots: str
    """The trusted roots in PEM."""
    lists: str = ""
    """The revocation lists to check against, in PEM; if empty, the peer checks none."""


def context(peer: Peer, folder: Path, protocol: int) -> ssl.SSLContext:
    """Return the TLS context of one side; each side requires a certificate of the other."""
    made = ssl.SSLContext(protocol)
    made.verify_mode = ssl.CERT_REQUIRED
    made.check_hostname = False
    # The strictest check that a program may choose: all rules of RFC 5280.
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_verify_locations(cadata=peer.roots)
    path = folder / f"{protocol}.pem"
    path.write_text(peer.svid.reveal("certificate") + peer.svid.reveal("key"))
    made.load_cert_chain(path)
    if peer.lists:
        lists = folder / f"{protocol}.crl"
        lists.write_text(peer.lists)
        made.load_verify_locations(cafile=lists)
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return made


def meet(server: Peer, client: Peer, folder: Path) -> tuple[str, str]:
    """Connect two sides, and return the URI that each sees of the other.

    Raises ssl.SSLError of the side that refuses.
    """
    serving = context(server, folder, ssl.PROTOCOL_TLS_SERVER)
    asking = context(client, folder, ssl.PROTOCOL_TLS_CLIENT)
    here, there = socket.socketpair()
    for one in (here, there):
        one.settimeout(30)

    def serve() -> str:
        with here, serving.wrap_socket(here, server_side=True) as tls:
            tls.sendall(b"x")
            return _uri(tls)

    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(serve)
        try:
            with there, asking.wrap_socket(there) as tls:
                # With TLS 1.3 a client learns that it was refused when it reads.
                tls.recv(1)
                seen = _uri(tls)
        except (OSError, ssl.SSLError) as error:
            refused = served.exception()
            raise (refused if isinstance(refused, ssl.SSLCertVerificationError) else error) from None
        return served.result(), seen


def _uri(tls: ssl.SSLSocket) -> str:
    shown = tls.getpeercert()
    assert shown
    names: tuple[tuple[str, str], ...] = shown["subjectAltName"]  # type: ignore[assignment]
    (uri,) = [value for sort, value in names if sort == "URI"]
    return uri
