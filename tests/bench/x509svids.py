"""X.509-SVIDs: in one process against `cryptography` alone, and as whole processes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jitid.authority.local import LocalAuthority
from jitid.crypto.x509 import authority_name, key_usage
from tests.bench import ground, peers
from tests.bench.ground import Ground
from tests.bench.measure import Row, Series, at_least, at_most, duration, in_turns, per_second, rate

_MANY = 1_000


def rows(place: Ground) -> Iterator[Row]:
    """Measure issues of certificates, each with a key pair."""
    folder = place.new("x509-svid")
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
    bare_rate = Series("a key, `CertificateBuilder`, and both written", found["bare"], per_second)
    for what, name in (("copies of one", "copies"), ("a decision each", "decided")):
        yield Row(
            f"{_MANY:,} `x509-svid` in one transaction, {what}",
            Series(name, found[name], per_second),
            bare_rate,
            at_least(0.5),
        )
    processes = in_turns(
        place.rounds * 3,
        {kind: partial(jitid, command(*line, kind)) for kind in ("jwt", "x509-svid")},
    )
    yield Row(
        "`jitid issue --kind x509-svid`, whole process",
        Series("x509-svid", processes["x509-svid"], duration),
        Series("`jitid issue --kind jwt`", processes["jwt"], duration),
        at_most(1.25),
    )


def bare(many: int) -> partial[None]:
    """Return a function that makes keys and certificates as text with `cryptography` alone."""
    return partial(_bare, many, ec.generate_private_key(ec.SECP256R1()))


def _bare(many: int, authority: ec.EllipticCurvePrivateKey) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    name = authority_name("a" * 43)
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    uri = x509.UniformResourceIdentifier("spiffe://jitid.local/agent/fixer/INC-4821/jid_" + "0" * 26)
    for number in range(many):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jti_" + "0" * 26)]))
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(number + 1)
            .not_valid_before(now - timedelta(seconds=60))
            .not_valid_after(now + timedelta(seconds=899))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(certificates=False), critical=True)
            .add_extension(usages, critical=False)
            .add_extension(key_id, critical=False)
            .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
            .sign(authority, SHA256())
        )
        certificate.public_bytes(Encoding.PEM)
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _copies(authority: LocalAuthority) -> None:
    ground.issue(authority, [ground.request(0, "x509-svid")._replace(copies=_MANY)])


def _decided(authority: LocalAuthority, numbers: Iterator[int]) -> None:
    ground.issue(authority, [ground.request(next(numbers), "x509-svid") for _ in range(_MANY)])
