"""A real nginx on the loopback interface, for the length of a block."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.real import free_port, missing, need, until

_MODULES = Path("/usr/lib/nginx/modules")
_CONFIGURATION = """
{modules}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {around}
    server {{
        listen 127.0.0.1:{port};
        location = /nginx-is-ready {{ return 204; }}
{locations}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, locations: str, around: str = "", modules: Sequence[str] = ()) -> Iterator[str]:
    """Run nginx with these `location` blocks, and yield its address without a path.

    `around` is configuration outside of the server block, such as an `upstream`. `modules` are dynamic
    modules of nginx.
    """
    program = need("nginx")
    for name in modules:
        if not (_MODULES / f"ngx_{name}_module.so").exists():
            missing(f"the module {name} of nginx is not installed")
    loaded = "\n".join(f"load_module {_MODULES}/ngx_{name}_module.so;" for name in modules)
    # The workers would run as a user who may not enter the folders of pytest.
    user = "user root;" if os.geteuid() == 0 else ""
    for _ in range(5):
        port = free_port()
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder, port=port, locations=locations, around=around, user=user, modules=loaded
            )
        )
        options = ["-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")]
        process = subprocess.Popen(
            [need("setpriv"), "--pdeathsig", "TERM", program, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: process.poll() is not None or _ready(address), "nginx does not answer")  # noqa: B023
            if process.poll() is not None and "Address already in use" in (folder / "error.log").read_text():
                continue
            assert process.poll() is None, (folder / "error.log").read_text()
            yield address
            return
        finally:
            process.terminate()
            process.wait()
    raise AssertionError("nginx finds no free port")


def _ready(address: str) -> bool:
    with urlopen(f"{address}/nginx-is-ready", timeout=5) as answer:
        return bool(answer.status == 204)


def get(
    address: str, *, method: str = "GET", data: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    """Make a request, by default a GET, and return the status, headers and body of the answer, also of an error."""
    try:
        with urlopen(Request(address, data, headers, method=method), timeout=30) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, dict(refused.headers), refused.read().decode()
