"""The base class of the outside issuers' contract tests: a real target of one kind, and ways to disturb it."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from jitid.issuers.target_issuer import OutsideIssuer
from jitid.model.target import MadeCredential, TargetRecord
from jitid.values.ids import credential_id, identity_id, new_uuid7
from tests.real import free_port

ISSUER = "urn:jitid:test"
GARBAGE = b"\x00\xff SSH-2.0-nonsense\r\n" * 20
_turns = itertools.count()


def new_jti() -> str:
    """Return the jti of a credential that does not exist."""
    return credential_id(new_uuid7(int(time.time() * 1000), os.urandom(10)))


class Place(ABC):
    """A real target of one kind, for the contract tests."""

    kind: str
    target = "there"
    template: str | None = None
    lifetime = 900
    """Lifetime of a credential in seconds."""

    @abstractmethod
    def issuer(self, timeout: float = 10.0, issuer: str = ISSUER) -> OutsideIssuer:
        """Return an issuer for a ledger with this `iss`."""

    @abstractmethod
    def exists(self, record: TargetRecord) -> bool:
        """Return whether any part of a credential exists at the target, without using the issuer."""

    @abstractmethod
    def losing(self) -> AbstractContextManager[OutsideIssuer]:
        """Yield an issuer whose `mint` completes at the target, but the answer is lost."""

    @abstractmethod
    def disturbed(self, trouble: str) -> AbstractContextManager[OutsideIssuer]:
        """Yield an issuer with a short time limit. Its target is `away`, `silent`, or answers `nonsense`."""

    def name(self, jti: str) -> str:
        """Return the credential's name at the target."""
        return "jitid_" + jti.removeprefix("jti_")

    def record(self, **more: Any) -> TargetRecord:
        """Return the record of a new credential."""
        jti = new_jti()
        now = int(time.time())
        record = TargetRecord(
            jti=jti,
            id=identity_id(new_uuid7(now * 1000, os.urandom(10))),
            kind=self.kind,
            target=self.target,
            template=self.template,
            name=self.name(jti),
            reference=None,
            agent="build-bot",
            task=f"INC-{next(_turns)}",
            delegator="user:alice@example.com",
            purpose="a test",
            sensitivity="moderate",
            scopes=("repo:read",),
            audiences=("urn:example:api",),
            issued_at=now,
            expires_at=now + self.lifetime,
            task_opener="user:alice@example.com",
        )
        return record._replace(**more)

    def known(self) -> TargetRecord:
        """Return the record of a credential that, to the ledger's knowledge, may exist at the target."""
        return self.record()


def some(**more: Any) -> TargetRecord:
    """Return the record of a credential of an arbitrary target."""
    record = TargetRecord(
        *("jti_x", "jid_x", "exec", "shop", None, "jitid_x", None, "build-bot", "INC-1", "user:alice", None),
        *("moderate", ("repo:read",), (), 0, 900),
        task_opener="user:alice",
    )
    return record._replace(**more)


def make(issuer: OutsideIssuer, record: TargetRecord) -> tuple[TargetRecord, MadeCredential]:
    """Make a credential, and return its record as the ledger has it afterwards."""
    kept: list[str] = []
    made = issuer.mint(record, kept.append)
    reference = made.reference or (kept[-1] if kept else None)
    return record._replace(reference=reference), made


def try_to_make(issuer: OutsideIssuer, record: TargetRecord) -> tuple[TargetRecord, Exception | None]:
    """Try to make a credential; return its record as far as the ledger has it, and the error raised, if any."""
    kept: list[str] = []
    raised = None
    try:
        issuer.mint(record, kept.append)
    except Exception as error:  # noqa: BLE001 - the test checks the type of the error
        raised = error
    return record._replace(reference=kept[-1] if kept else record.reference), raised


@contextmanager
def troubled_port(trouble: str) -> Iterator[int]:
    """Yield a port of the loopback interface: closed (`away`), never answering (`silent`), or answering `nonsense`."""
    if trouble == "away":
        yield free_port()
        return
    listening = socket.create_server(("127.0.0.1", 0))
    met: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listening.accept()
                met.append(client)
                if trouble == "nonsense":
                    with suppress(OSError):
                        client.sendall(GARBAGE)
                        client.close()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        for one in (listening, *met):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        thread.join(10)


def live_names(issuer: OutsideIssuer, known: Sequence[str] = ()) -> set[str]:
    """Return the names in the inventory that the target accepts now; `known` are the names that the ledger has."""
    issuer.expect(known)
    return {each.name for each in issuer.inventory() if each.live}
