"""A program for kinds `exec:NAME`: it keeps credentials in a folder, and fails as the file `mode` says."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jitid.model.target import StatedTarget

_SHOP = f"""#!{sys.executable} -I
import json, os, subprocess, sys, time
from pathlib import Path

request = json.load(sys.stdin)
shop = Path(request["options"]["shop"])
operation = request["operation"]
new = shop / f"new-{{os.getpid()}}"
new.write_text(json.dumps(request))
# A file appears whole: tests look at the folder while the program works.
new.rename(shop / f"asked-{{operation}}")
mode = (shop / "mode").read_text() if (shop / "mode").exists() else ""
what, _, when = mode.partition("@")
if when not in ("", operation):
    what = ""

def made():
    found = []
    for path in sorted(path for path in shop.iterdir() if path.suffix == ".made"):
        # Another process of this program may revoke a credential meanwhile.
        try:
            found.append({{"name": path.stem, "live": True, "created_at": int(path.stat().st_mtime)}})
        except FileNotFoundError:
            continue
    return found

def answer(**told):
    print(json.dumps({{"version": 1, **told}}))

if what == "down":
    sys.exit(5)
if what == "refuse":
    sys.exit(6)
if what == "lack":
    sys.exit(2)
if what == "hang":
    time.sleep(600)
if what == "wait":
    while not (shop / "go").exists():
        time.sleep(0.01)
if what == "garbage":
    print("{{]")
    sys.exit(0)
if what == "flood":
    while True:
        os.write(1, b"x" * 65536)
if what == "once" and not (shop / "once").exists():
    (shop / "once").touch()
    sys.exit(5)
if what == "fork":
    subprocess.Popen(["sleep", "600"])
if what == "spill":
    sys.stderr.write("hunter2-hunter2")

if operation == "mint":
    credential = request["credential"]
    if what == "late":
        # Whoever asked is killed before the answer comes.
        os.kill(os.getppid(), 9)
    secret = {{"token": "shop-" + os.urandom(16).hex()}}
    if request["template_options"].get("parts"):
        secret = {{"user": credential["name"], "password": os.urandom(16).hex()}}
    if request["template_options"].get("token"):
        secret = {{"token": request["template_options"]["token"]}}
    new.write_text(json.dumps(secret))
    new.rename(shop / (credential["name"] + ".made"))
    if what == "lost":
        sys.exit(5)
    answer(secret=secret, reference="ref-" + credential["name"], facts={{"where": "shop"}})
elif operation == "revoke":
    outcomes = {{}}
    for credential in request["credentials"]:
        path = shop / (credential["name"] + ".made")
        if what != "pretend":
            path.unlink(missing_ok=True)
        outcomes[credential["jti"]] = {{"settlement": what if what in ("stuck", "unsupported") else "done",
                                       "proof": "the shelf is empty"}}
    answer(outcomes=outcomes)
elif operation == "probe":
    path = shop / (request["credential"]["name"] + ".made")
    live = what != "deny" and path.exists() and request["secret"] in (None, json.loads(path.read_text()))
    shown = f" with {{list(request['secret'].values())}}" if what == "echo" else ""
    answer(life="live" if live else "dead", seen=f"looked for {{path.name}}{{shown}}")
elif operation == "inventory":
    answer(existing=made())
else:
    sys.exit(2)
"""


class Shop:
    """The folder with the program and the credentials that it has made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o755)
        self.program = folder / "shop.py"
        self.program.write_text(_SHOP)
        self.program.chmod(0o755)

    def target(self, name: str = "shop", **more: Any) -> StatedTarget:
        """Return the target as the configuration would state it."""
        table = {
            "kind": "exec",
            "program": str(self.program),
            "timeout": 20,
            "options": {"shop": str(self.folder)},
            "template": {"parts": {"options": {"parts": "yes"}}},
            **more,
        }
        return StatedTarget(name, table, "/", "user test")

    def fail(self, mode: str, operation: str = "") -> None:
        """Let the program fail in a mode, perhaps at one operation alone; `""` restores normal work."""
        (self.folder / "mode").write_text(f"{mode}@{operation}")

    @property
    def made(self) -> Mapping[str, Mapping[str, str]]:
        """The credentials that exist now, by name."""
        found = {}
        for path in self.folder.glob("*.made"):
            # The program may revoke a credential between the listing and the reading.
            with suppress(FileNotFoundError):
                found[path.stem] = json.loads(path.read_text())
        return found

    def asked(self, operation: str) -> dict[str, Any]:
        """Return the last request of an operation."""
        found: dict[str, Any] = json.loads((self.folder / f"asked-{operation}").read_text())
        return found
