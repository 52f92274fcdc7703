"""`jitid serve` from start to end: its addresses, its log, and its shutdown."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real import Shell, need
from tests.server.waiting import eventually
from tests.serving import Served, serving


def test_it_listens_answers_and_ends_with_0(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as served:
        assert served.ask("GET", "/healthz").body == b"ok\n"
        assert served.ask("GET", "/readyz").json == {"ready": True, "issues": True, "error": None}
        assert len(served.workers()) == 2
        assert served.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(served.address)


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        (first,) = served.workers()
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: served.workers() not in ([], [first]))
        assert served.ask("GET", "/healthz").status == 200
        assert any(line["event"] == "worker ended" for line in served.lines())


@pytest.mark.deep
def test_a_worker_that_hangs_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('serve_hung = "3s"\n')
    with serving(tmp_path, "--config", str(tmp_path / "config.toml"), "--workers", "2") as served:
        first = served.workers()
        # The stopped worker still exists: it keeps the connections that it accepts, and answers none.
        os.kill(first[0], signal.SIGSTOP)
        assert eventually(lambda: len(served.workers()) == 2 and first[0] not in served.workers(), 60)
        assert eventually(lambda: served.ask("GET", "/healthz").status == 200)
        told = [line for line in served.lines() if line["event"] == "worker hung"]
        assert [line["worker"] for line in told] == [first[0]]
        assert served.stop() == 0


def test_workers_do_not_outlive_the_one_that_watches(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        (worker,) = served.workers()
        served.process.kill()
        served.process.wait()
        assert eventually(lambda: not Path(f"/proc/{worker}").exists() or _is_zombie(worker))


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_the_counters_of_all_workers_are_added_up(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as served:
        for _ in range(20):
            served.ask("GET", "/healthz")
        counted = b'jitid_http_requests_total{route="/healthz",status="200"} 20\n'
        assert eventually(lambda: counted in served.ask("GET", "/metrics").body)
        assert b"jitid_worker_starts_total 2\n" in served.ask("GET", "/metrics").body


@pytest.mark.parametrize("place", ["0.0.0.0:0", "[::]:0", "[::1234]:0", "192.0.2.1:0"])
def test_without_tls_it_listens_on_loopback_alone(tmp_path: Path, place: str) -> None:
    done = Shell(tmp_path).run("serve", "--bind", place)
    assert done.returncode == 2
    assert "is not loopback, and requires TLS" in done.stderr


def test_a_port_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        port = served.address[1]
        done = Shell(tmp_path).run("serve", "--bind", f"127.0.0.1:{port}")
        assert done.returncode == 5
        assert f"another process listens on 127.0.0.1, port {port}" in done.stderr


def test_a_request_is_a_line_of_the_log_without_its_path(tmp_path: Path) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    with serving(tmp_path) as served:
        served.ask("GET", "/secret-in-a-path", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
        served.stop()
    (line,) = [line for line in served.lines() if line["event"] == "request"]
    assert (line["method"], line["route"], line["status"], line["trace"]) == ("GET", "none", 404, trace)
    assert "secret-in-a-path" not in served.log.read_text()


def test_a_damaged_ledger_is_told_before_anything_listens(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.good("issue", "--task", "T-1", "--delegator", "alice")
    (shell.ledger / "ledger.db").write_bytes(b"nothing of ours" * 1000)
    done = shell.run("serve", "--bind", "127.0.0.1:0")
    assert done.returncode == 7


def test_served_names_its_socket(tmp_path: Path) -> None:
    place = tmp_path / "jitid.sock"
    with serving(tmp_path, "--socket", str(place)) as served:
        assert (served.url, served.socket) == ("", str(place))
        assert served.ask("GET", "/healthz").status == 200
        assert isinstance(served, Served)
        assert served.stop() == 0
    assert not place.exists()


def test_prometheus_takes_the_metrics(tmp_path: Path) -> None:
    with serving(tmp_path, "--workers", "2") as served:
        for path in ("/healthz", "/readyz", "/nothing", "/jwks"):
            served.ask("GET", path)
        found = served.ask("GET", "/metrics")
    done = subprocess.run(
        [need("promtool"), "check", "metrics"], input=found.body, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [line for line in found.body.decode().splitlines() if not line.startswith("#")]
    # The metrics contain neither callers nor requested paths.
    assert not [line for line in samples if "nothing" in line]


def test_counters_go_on_when_a_worker_is_replaced(tmp_path: Path) -> None:
    def counted(number: int) -> bool:
        # A request is counted once it is answered.
        return b'{route="/healthz",status="200"} %d\n' % number in served.ask("GET", "/metrics").body

    with serving(tmp_path) as served:
        served.ask("GET", "/healthz")
        assert eventually(lambda: counted(1))
        (first,) = served.workers()
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: served.workers() not in ([], [first]))
        served.ask("GET", "/healthz")
        assert eventually(lambda: counted(2))


def test_without_its_libraries_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "httptools.py").write_text("raise ModuleNotFoundError('no', name='httptools')\n")
    shell = Shell(tmp_path)
    path = f"{tmp_path}{os.pathsep}{shell.environment['PYTHONPATH']}"
    done = shell.run("serve", more={"PYTHONPATH": path})
    assert done.returncode == 2
    (hint,) = (line for line in done.stderr.splitlines() if "hint" in line)
    assert f"{sys.executable} -m pip install " in hint
    assert all(f"{name}>=" in hint for name in ("starlette", "httptools", "uvloop"))
    assert not shell.ledger.exists()
