"""A real Apache with a module that checks tokens, on the loopback interface, for the length of a block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from urllib.error import URLError

from tests.nginx import get
from tests.real import free_port, missing, need, reachable, until

_MODULES = Path("/usr/lib/apache2/modules")
_NEEDED = ("mpm_event", "authz_core", "authn_core", "authz_user", "dir")
_CONFIGURATION = """
ServerRoot {folder}
PidFile {folder}/pid
Listen 127.0.0.1:{port}
ServerName 127.0.0.1
ErrorLog {folder}/error.log
{modules}
{user}
DocumentRoot {folder}/pages
DirectoryIndex page
{settings}
"""


@contextmanager
def apache(
    folder: Path,
    settings: str,
    *paths: str,
    module: str = "auth_openidc",
    texts: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """Run Apache with a module, its settings and a page at each path, and yield its address.

    `PORT` in the settings is replaced by the port. `texts` are the texts of more pages.
    """
    program = need("apache2")
    modules = {name: _MODULES / f"mod_{name}.so" for name in (*_NEEDED, module)}
    for name, file in modules.items():
        if not file.exists():
            missing(f"the module {name} of Apache is not installed")
    with reachable(folder) as server_folder:
        for path, text in ({path: f"the page of {path}" for path in paths} | dict(texts)).items():
            (server_folder / "pages" / path).mkdir(parents=True)
            (server_folder / "pages" / path / "page").write_text(text)
        if module == "auth_openidc":
            settings = f"OIDCCryptoPassphrase {os.urandom(16).hex()}\n{settings}"
        port = free_port()
        (server_folder / "apache.conf").touch(0o600)
        (server_folder / "apache.conf").write_text(
            _CONFIGURATION.format(
                folder=server_folder,
                port=port,
                modules="\n".join(f"LoadModule {name}_module {file}" for name, file in modules.items()),
                # Apache refuses to answer as root.
                user="User nobody\nGroup nogroup" if os.geteuid() == 0 else "",
                settings=settings.replace("PORT", str(port)),
            )
        )
        process = subprocess.Popen(
            [
                need("setpriv"),
                "--pdeathsig",
                "TERM",
                program,
                "-DFOREGROUND",
                "-f",
                str(server_folder / "apache.conf"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        address = f"http://127.0.0.1:{port}"
        log = server_folder / "error.log"
        try:
            until(lambda: process.poll() is not None or _answers(address), "Apache does not answer")
            assert process.poll() is None, log.read_text()
            yield address
        finally:
            process.terminate()
            process.wait()


def _answers(address: str) -> bool:
    try:
        return get(address)[0] > 0
    except URLError:
        return False
