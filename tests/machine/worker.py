"""A process that runs command lines of jitid: it has all modules loaded, and forks for each command line.

libfaketime starts it, so that one file sets the clock of all its children. It reads a JSON object a line and answers
with one: see `Worker` in `drivers.py`.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import sys

import jitid
from jitid import __main__ as command_line

_PR_SET_PDEATHSIG = 1


def _load() -> None:
    """Import the modules that a command line imports on demand: each fork then has them."""
    for name in ("jwt", "json", "sqlite3", "typer", "cedarpy", "cryptography.x509", "httptools", "psycopg"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    for module in pkgutil.walk_packages(jitid.__path__, "jitid."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _run(order: dict[str, object]) -> dict[str, object]:
    """Run one command line in a fork, and return its status and output; a service keeps running."""
    service = order.get("log")
    out = os.memfd_create("out")
    err = os.open(str(service), os.O_WRONLY | os.O_CREAT, 0o600) if service else os.memfd_create("err")
    pid = os.fork()
    if pid == 0:
        _become(order, out, err)
    if service:
        os.close(out)
        os.close(err)
        return {"pid": pid}
    _, status = os.waitpid(pid, 0)
    return {"status": os.waitstatus_to_exitcode(status), "out": _read(out), "err": _read(err)}


def _become(order: dict[str, object], out: int, err: int) -> None:
    try:
        os.chdir(str(order["folder"]))
        environment = order["environment"]
        assert isinstance(environment, dict)
        os.environ.update(environment)
        stdin = os.open(str(order.get("stdin") or os.devnull), os.O_RDONLY)
        for descriptor, number in ((stdin, 0), (out, 1), (err, 2)):
            os.dup2(descriptor, number)
        if order.get("log"):
            # A separate session lets the driver kill a service with all of its processes; the service ends with its
            # parent.
            os.setsid()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        arguments = order["arguments"]
        assert isinstance(arguments, list)
        sys.argv = ["jitid", *map(str, arguments)]
        command_line.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(99)


def _read(descriptor: int) -> str:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    text = os.pread(descriptor, size, 0).decode(errors="replace")
    os.close(descriptor)
    return text


def main() -> None:
    """Answer orders until the end of standard input."""
    _load()
    answers = os.fdopen(os.dup(1), "w")
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(_run(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
