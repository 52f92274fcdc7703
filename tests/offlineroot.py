"""An offline root that certifies an authority from its certificate request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from jitid.crypto.x509 import key_usage


def certified(request: str, now: int) -> str:
    """Return the chain, in PEM, that certifies the key of a request as an authority under a new root."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "offline root")])
    csr = x509.load_pem_x509_csr(request.encode())
    start = datetime.fromtimestamp(now, UTC)

    def signed(subject: x509.Name, public: ec.EllipticCurvePublicKey, depth: int) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
            .add_extension(key_usage(certificates=True), critical=True)
        )
        return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)

    public = csr.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return (signed(csr.subject, public, 0) + signed(name, key.public_key(), 1)).decode()
