"""SSH certificates: in one process against `cryptography` alone, and as whole processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from itertools import count

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)

from jitid.authority.local import LocalAuthority
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, at_most, duration, in_turns, per_second, rate

_MANY = 1_000


def rows(place: Ground) -> Iterator[Row]:
    """Measure issues of certificates, each with a key pair."""
    folder = place.new("ssh-cert")
    authority = ground.authority(folder / "ledger")
    command = ground.Command(folder)
    jitid = partial(peers.process, environment=command.environment, folder=folder)
    numbers = count()
    line = ("issue", "--task", "INC-4821", "--delegator", "alice", "--kind")
    found = in_turns(
        place.rounds,
        {
            "bare": lambda: rate(_MANY, bare(_MANY)),
            "copies": lambda: rate(_MANY, lambda: _copies(authority)),
            "decided": lambda: rate(_MANY, lambda: _decided(authority, numbers)),
        },
    )
    authority.close()
    bare_rate = Series("a key, `SSHCertificateBuilder`, and both written", found["bare"], per_second)
    for what, name in (("copies of one", "copies"), ("a decision each", "decided")):
        yield Row(
            f"{_MANY:,} `ssh-cert` in one transaction, {what}",
            Series(name, found[name], per_second),
            bare_rate,
            at_least(0.5),
        )
    processes = in_turns(
        place.rounds * 3,
        {kind: partial(jitid, command(*line, kind)) for kind in ("jwt", "ssh-cert")},
    )
    yield Row(
        "`jitid issue --kind ssh-cert`, whole process",
        Series("ssh-cert", processes["ssh-cert"], duration),
        Series("`jitid issue --kind jwt`", processes["jwt"], duration),
        at_most(1.25),
    )


def bare(many: int) -> partial[None]:
    """Return a function that makes keys and certificates as text with `cryptography` alone."""
    return partial(_bare, many, Ed25519PrivateKey.generate())


def _bare(many: int, authority: Ed25519PrivateKey) -> None:
    now = int(time.time())
    for number in range(many):
        key = Ed25519PrivateKey.generate()
        certificate = (
            SSHCertificateBuilder()
            .public_key(key.public_key())
            .serial(number + 1)
            .type(SSHCertificateType.USER)
            .key_id(b"jti_00000000000000000000000000")
            .valid_principals([b"agent:fixer", b"task:INC-4821"])
            .valid_after(now - 60)
            .valid_before(now + 900)
            .sign(authority)
        )
        certificate.public_bytes()
        key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def _copies(authority: LocalAuthority) -> None:
    ground.issue(authority, [ground.request(0, "ssh-cert")._replace(copies=_MANY)])


def _decided(authority: LocalAuthority, numbers: Iterator[int]) -> None:
    ground.issue(authority, [ground.request(next(numbers), "ssh-cert") for _ in range(_MANY)])
