"""A real sshd on the loopback interface, which accepts the certificates of chosen authorities."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.real import free_port, need, until


def need_sshd() -> str:
    """Return the path of sshd, which is not in the PATH of users."""
    if Path("/usr/sbin/sshd").exists():
        return "/usr/sbin/sshd"
    return need("sshd")


class Sshd(NamedTuple):
    """A listening sshd. Its trusted authorities, principals and revocations are in files that a test may replace."""

    folder: Path
    port: int

    @property
    def authorities(self) -> Path:
        """The public keys of authorities (TrustedUserCAKeys)."""
        return self.folder / "authorities"

    @property
    def principals(self) -> Path:
        """The accepted principals (AuthorizedPrincipalsFile)."""
        return self.folder / "principals"

    @property
    def revoked(self) -> Path:
        """The revocation list (RevokedKeys)."""
        return self.folder / "revoked.krl"

    @property
    def log(self) -> str:
        """Its log so far."""
        return (self.folder / "log").read_text()

    def command(self, *words: str, options: Sequence[str] = ()) -> list[str]:
        """Return the command line that runs a command there as the user of the tests."""
        settings = {
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "IdentitiesOnly": "no",
            "Port": str(self.port),
        }
        stated = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        # Before the usual settings: ssh uses the first value of an option.
        return [need("ssh"), "-F", "none", *options, *stated, f"{getpass.getuser()}@127.0.0.1", *words]

    def run(self, key: Path, *words: str, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a command there with a key whose certificate is in the same folder."""
        chosen = ["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-i", str(key)]
        return subprocess.run(
            self.command(*words, options=[*chosen, *options]),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )


@contextmanager
def sshd(folder: Path, *, principals: bool = True) -> Iterator[Sshd]:
    """Start an sshd that trusts no authority yet and revokes nothing.

    Without `principals` it has no file of principals: a principal that equals a login name permits that login.
    """
    program, keygen = need_sshd(), need("ssh-keygen")
    with suppress(OSError):
        # The folder into which sshd locks itself before a login. Only root can make it, and only root needs it.
        Path("/run/sshd").mkdir(exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    host = folder / "host"
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(host)], check=True)
    server = Sshd(folder, free_port())
    server.authorities.touch()
    server.principals.touch()
    server.revoked.touch()
    public = " ".join((folder / "host.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {public}\n")
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"""ListenAddress 127.0.0.1
Port {server.port}
HostKey {host}
PidFile none
TrustedUserCAKeys {server.authorities}
AuthorizedPrincipalsFile {server.principals if principals else "none"}
AuthorizedKeysFile none
RevokedKeys {server.revoked}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
LogLevel VERBOSE
PerSourcePenalties no
"""
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(configuration)], stdout=log, stderr=log)
        try:
            until(
                lambda: "Server listening" in server.log or process.poll() is not None, "sshd does not listen"
            )
            assert process.poll() is None, server.log
            yield server
        finally:
            process.terminate()
            process.wait(30)
