"""The surface of jitid as files: each help text, page and completion script, and the OpenAPI document.

`python -m tests.surface FOLDER` writes them. The folders of two versions are compared with `diff -r`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket

_VERBS = re.compile(r"^  (\w[\w-]*) {2,}\S", re.MULTILINE)


def write(tree: Path, folder: Path) -> None:
    """Write the surface of the version in `tree` into a new folder."""
    folder.mkdir(parents=True)
    (folder / "help").mkdir()
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(tree), "COLUMNS": "80"}
        for words, text in _helps((), environ):
            (folder / "help" / f"{'-'.join(('jitid', *words))}.txt").write_text(text, encoding="utf-8")
        document = json.dumps(_openapi(Path(home), environ), indent=1, sort_keys=True)
        (folder / "openapi.json").write_text(document + "\n", encoding="utf-8")
    for name in ("man", "completions"):
        shutil.copytree(tree / name, folder / name)


def _helps(words: tuple[str, ...], environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the help of a verb or of a group, and of each verb in the group."""
    command = [sys.executable, "-m", "jitid", *words, "--help"]
    done = subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=True)
    yield words, done.stdout
    _, verbs, after = done.stdout.partition("\nVerbs:\n")
    if verbs:
        for name in _VERBS.findall("\n" + after.partition("\n\n")[0]):
            yield from _helps((*words, name), environ)


def _openapi(home: Path, environ: Mapping[str, str]) -> object:
    """Return the document that an authority serves."""
    issue = [sys.executable, "-m", "jitid", "-q", "issue", "--task", "T1", "--delegator", "alice"]
    subprocess.run(issue, env=environ, cwd="/", stdout=subprocess.DEVNULL, check=True)
    path = str(home / "socket")
    serve = [sys.executable, "-m", "jitid", "serve", "--socket", path]
    with subprocess.Popen(serve, env=environ, cwd="/", stderr=subprocess.DEVNULL) as server:
        try:
            while not Path(path).exists():
                assert server.poll() is None, "the server ended"
                time.sleep(0.05)
            connection = HTTPConnection("localhost")
            connection.sock = socket(AF_UNIX)
            connection.sock.connect(path)
            connection.request("GET", "/v1/openapi.json")
            return json.loads(connection.getresponse().read())
        finally:
            server.terminate()


if __name__ == "__main__":
    write(Path(__file__).parent.parent, Path(sys.argv[1]))
