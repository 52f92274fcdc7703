"""Real programs and real processes: programs that a test needs, and the command line as a process."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import jitid
from jitid.policy.default import default_files
from tests.builders import KINDS

LIBFAKETIME = next(
    (
        path
        for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/local/lib")
        if (path := Path(folder, "faketime", "libfaketime.so.1")).exists()
    ),
    None,
)
"""The path of libfaketime, if it is installed."""


def missing(reason: str) -> None:
    """Skip the test with that reason; fail it under JITID_REQUIRE_ALL=1."""
    if os.environ.get("JITID_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def need(program: str) -> str:
    """Return the path of a program; without it, skip the test, or fail it under JITID_REQUIRE_ALL=1."""
    found = shutil.which(program)
    if found is None:
        missing(f"{program} is not installed")
    return str(found)


def openssl(*arguments: str, given: str = "") -> str:
    """Return the standard output of a command of OpenSSL."""
    command = [need("openssl"), *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout


def dsa_key(bits: int) -> str:
    """Return a private key (PEM, PKCS #8) of DSA, which new versions of `cryptography` still read, but do not make."""
    return openssl("dsaparam", "-genkey", "-noout", str(bits))


def libfaketime() -> str:
    """Return the path of libfaketime; without it, skip the test, or fail it under JITID_REQUIRE_ALL=1."""
    if LIBFAKETIME is None:
        missing("libfaketime is not installed")
    return str(LIBFAKETIME)


def faked(time: str) -> list[str]:
    """Return the prefix that runs a command at another time, in the format of `faketime -f`."""
    # The program `faketime` names a semaphore after its process id. If it is killed, the semaphore stays, and the next
    # process with that id fails. The shared memory of the library is named in the same way, so it is disabled.
    return ["env", f"LD_PRELOAD={libfaketime()}", f"FAKETIME={time}", "FAKETIME_DISABLE_SHM=1"]


def free_port() -> int:
    """Return a TCP port of the loopback interface that is free now; another process may take it before its use."""
    # The range is below the ports that Linux gives to outgoing connections (32768 and above), so that none of them
    # takes it.
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def until(ready: Callable[[], bool], otherwise: str, patience: float = 60.0) -> None:
    """Poll until `ready` returns true; an exception counts as "not yet"."""
    end = time.monotonic() + patience
    trouble: Exception | None = None
    while time.monotonic() < end:
        try:
            if ready():
                return
            trouble = None
        except Exception as error:  # noqa: BLE001 - any failure here is a failure to start
            trouble = error
        time.sleep(0.02)
    raise AssertionError(f"{otherwise}: {trouble}" if trouble else otherwise)


def module(name: str, extra: str = "test-real") -> Any:
    """Return a module; without it, skip the test, or fail it under JITID_REQUIRE_ALL=1."""
    try:
        return import_module(name)
    except ImportError:
        missing(f"{name} is not installed: pip install '.[{extra}]'")


def need_root() -> None:
    """Skip a test that only root can run; fail it under JITID_REQUIRE_ALL=1."""
    if os.geteuid() != 0:
        missing("only root may do this")


def other_user() -> list[str]:
    """Return the prefix that runs a command as another user; skip the test where that is impossible."""
    need_root()
    prefix = [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups"]
    tried = subprocess.run([*prefix, *command("--version")], capture_output=True, text=True, cwd="/")
    if tried.returncode:
        missing(f"another user cannot run this checkout: {tried.stderr.strip()[-200:]}")
    return prefix


@contextmanager
def reachable(folder: Path) -> Iterator[Path]:
    """Make a folder that other users may enter: the parents of pytest's own folders are closed to them."""
    with tempfile.TemporaryDirectory(prefix=folder.name) as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small memory disk at `folder` for the length of the block."""
    need_root()
    need("mount")
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        missing(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def unfolded(shown: str) -> str:
    """Return the output at a terminal with each message of jitid on one line: it ends lines between words."""
    return re.sub(
        r"^jitid: [^\r\n]*(?:\r?\n  \S[^\r\n]*)+",
        lambda message: re.sub(r"\r?\n  ", " ", message[0]),
        shown,
        flags=re.MULTILINE,
    )


def surroundings(home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a user whose home is `home`, without other variables of the test run."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    # The same code that pytest has loaded, even if another version is installed.
    root = str(Path(jitid.__file__).parent.parent)
    return {**kept, "HOME": str(home), "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", **more}


def command(*arguments: str) -> list[str]:
    """Return the command line that runs jitid as a separate process."""
    return [sys.executable, "-m", "jitid", *arguments]


def permitting_kinds(folder: Path) -> Path:
    """Make a folder with the default policy and a rule that names every kind; return it."""
    folder.mkdir(mode=0o700)
    for name, text in (*default_files(), ("kinds.cedar", KINDS)):
        (folder / name).touch(0o600)
        (folder / name).write_text(text)
    return folder


class Shell:
    """Runs jitid over the ledger in one folder."""

    def __init__(self, home: Path, ledger: Path | None = None) -> None:
        self.home = home
        self.ledger = ledger or home / "ledger"
        self.environment = surroundings(home, JITID_LEDGER=str(self.ledger))
        self.options: tuple[str, ...] = ()
        """Global options of each command."""

    def choose_settings(self) -> None:
        """State the file of the settings on each command line: the environment has chosen the home folder."""
        path = self.home / "own.toml"
        path.touch(0o600)
        self.options = ("--config", str(path))

    def hinted(self, words: str) -> str:
        """Return a command as a hint shows it, with the global options."""
        return " ".join(("jitid", *self.options, words))

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        before: Sequence[str] = (),
        more: Mapping[str, str] | None = None,
        umask: int = -1,
    ) -> subprocess.CompletedProcess[str]:
        """Run it and return the outcome, for any exit status."""
        return subprocess.run(
            [*before, *command(*self.options, *arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            env={**self.environment, **(more or {})},
            cwd=self.home,
            umask=umask,
            timeout=120,
        )

    def permit_kinds(self) -> Path:
        """Use a policy that names every kind beside the default one, and return its folder."""
        folder = permitting_kinds(self.home / "rules")
        self.environment["JITID_POLICY"] = str(folder)
        return folder

    def start(self, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen[str]:
        """Start it and return the process."""
        return subprocess.Popen(
            [*before, *command(*self.options, *arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
            cwd=self.home,
        )

    def good(self, *arguments: str, stdin: str = "") -> str:
        """Run it, assert that it succeeds, and return its standard output."""
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout
