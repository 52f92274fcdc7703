"""Signing keys that never leave OpenBao or Vault: its transit engine signs, and jitid verifies each signature."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jitid.crypto import jws
from jitid.errors import ConfigurationError, IntegrityError
from jitid.issuers.openbao.bao import BaoCall, OpenBao, plain, unclear
from jitid.keys.keyring import Version, modulus
from jitid.model.target import Target

_TYPES = {"EdDSA": "ed25519", "ES256": "ecdsa-p256", "RS256": "rsa-2048"}
"""By algorithm: the engine's name of the key type."""
_BATCH = 200
"""Number of messages in one request for signatures; OpenBao accepts at most a thousand."""
_MAX_VERSIONS = 8
"""Maximum number of versions that are tried to find an unused one."""


class Transit:
    """The transit engine of one target."""

    def __init__(self, target: Target, timeout: float) -> None:
        """Raise ConfigurationError if the target's table is invalid."""
        self._target = target
        self._bao = OpenBao(target, timeout)
        self._pid = os.getpid()
        self._mount = plain(target.options.get("transit_mount", "transit"), "transit_mount", target)

    def choose(self, key: str, algorithm: str, taken: Callable[[bytes], bool]) -> Version:
        """Return the newest version of a key that is not `taken`; make the key or a new version if needed.

        Raises:
            ConfigurationError: the key is of another type, or may leave the engine.
            RefusedError: the target's policy does not permit it.
            StorageError: the target is unreachable.

        """
        path = f"{self._mount}/keys/{plain(key, 'the key', self._target)}"
        with self._bao.call() as call:
            for _ in range(_MAX_VERSIONS):
                version = self._newest(call, path, key, algorithm)
                if not taken(version.public):
                    return version
                reply = call.request("POST", f"{path}/rotate", {})
                if not reply.good:
                    raise call.refused(reply, f"to rotate {key}", f"{path}/rotate", ("update",))
        raise unclear(self._target, "the key did not change when it was rotated")

    def sign(
        self, key: str, version: int, algorithm: str, public: bytes, messages: Sequence[bytes]
    ) -> list[bytes]:
        """Return the signature of each message in JWS format, verified with the public key.

        Raises:
            IntegrityError: a signature is not by that key.
            RefusedError: the target's policy does not permit it, or the key is gone.
            StorageError: the target is unreachable.

        """
        path = f"{self._mount}/sign/{plain(key, 'the key', self._target)}"
        signatures: list[bytes] = []
        with self._bao.call() as call:
            for start in range(0, len(messages), _BATCH):
                signatures += self._signed(call, path, version, algorithm, messages[start : start + _BATCH])
        verify = jws.verifier(algorithm, public)
        for message, signature in zip(messages, signatures, strict=True):
            if not verify(message, signature):
                raise IntegrityError(
                    f"a signature of the target {self._target.name} does not match the ledger's public key; "
                    "nothing was changed",
                    "run: jitid doctor; to make a new key: jitid keys rotate",
                )
        return signatures

    def close(self) -> None:
        """Revoke the login, unless it belongs to the process that this one was forked from."""
        if self._pid == os.getpid():
            self._bao.close()

    def _newest(self, call: BaoCall, path: str, key: str, algorithm: str) -> Version:
        reply = call.request("GET", path)
        if reply.status == 404:
            creation = call.request(
                "POST",
                path,
                {"type": _TYPES[algorithm], "exportable": False, "allow_plaintext_backup": False},
            )
            if not creation.good:
                raise call.refused(creation, f"to make the key {key}", path, ("create", "update"))
            reply = call.request("GET", path)
        if not reply.good:
            raise call.refused(reply, f"to read the key {key}", path, ("read",))
        data = reply.data
        if data.get("type") != _TYPES[algorithm] or data.get("derived") is not False:
            raise ConfigurationError(
                f"the key {key} of the target {self._target.name} is not a key for {algorithm}; nothing was changed",
                f"name a key of the type {_TYPES[algorithm]}, or use a new name",
            )
        if data.get("exportable") is not False or data.get("allow_plaintext_backup") is not False:
            raise ConfigurationError(
                f"the key {key} of the target {self._target.name} can be exported; nothing was changed",
                "name a key without `exportable` and `allow_plaintext_backup`, or use a new name",
            )
        latest, versions = data.get("latest_version"), data.get("keys")
        entry = versions.get(str(latest)) if isinstance(versions, dict) else None
        public = _public(algorithm, entry.get("public_key")) if isinstance(entry, dict) else None
        if type(latest) is not int or public is None:
            raise unclear(self._target, "a key without a valid public key")
        return Version(latest, public)

    def _signed(
        self, call: BaoCall, path: str, version: int, algorithm: str, messages: Sequence[bytes]
    ) -> Iterator[bytes]:
        body: dict[str, Any] = {
            "batch_input": [{"input": base64.b64encode(message).decode()} for message in messages],
            "key_version": version,
            "hash_algorithm": "sha2-256",
            "marshaling_algorithm": "jws",
        }
        if algorithm == "RS256":
            body["signature_algorithm"] = "pkcs1v15"
        reply = call.request("POST", path, body, most=_LARGE)
        if not reply.good:
            raise call.refused(reply, "to sign", path, ("update",))
        results = reply.data.get("batch_results")
        if type(results) is not list or len(results) != len(messages):
            raise unclear(self._target, "expected a signature for each message")
        for result in results:
            text = result.get("signature") if isinstance(result, Mapping) else None
            signature = _signature(text, version)
            if signature is None:
                raise unclear(self._target, "expected a signature for each message")
            yield signature


_LARGE = 4 << 20


def _signature(text: object, version: int) -> bytes | None:
    """Return the bytes of `vault:vVERSION:BASE64`; None for anything else."""
    start = f"vault:v{version}:"
    if type(text) is not str or not text.startswith(start):
        return None
    # Ed25519 signatures are in plain base64, ECDSA signatures in base64url as in a JWS.
    encoded = text.removeprefix(start).translate(str.maketrans("-_", "+/"))
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _public(algorithm: str, text: object) -> bytes | None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        if algorithm == "EdDSA":
            raw = base64.b64decode(str(text), validate=True)
            return raw if len(raw) == 32 else None
        key = load_pem_public_key(str(text).encode())
        if isinstance(key, RSAPublicKey):
            return modulus(key)
        if not isinstance(key, EllipticCurvePublicKey):
            return None
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    except ValueError:
        return None
