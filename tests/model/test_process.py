"""When a recorded process counts as gone, and when its state is unknown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jitid.capabilities.identity.filter_store import Filter
from jitid.capabilities.inventory.operations import ListCredentials
from jitid.capabilities.issue.operations import Attach, Renew
from jitid.model.process import FIRST_NAMESPACE, Liveness, Process
from jitid.model.request import AttachRequest, RenewRequest
from jitid.system.processes import liveness, orphans, this_process
from jitid.values.secret import Secret
from tests.builders import NOW, World
from tests.real import missing, need

HERE = this_process()


def started_at(pid: int) -> int:
    """Return field 22 of /proc/PID/stat."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_this_process_is_alive_to_itself() -> None:
    assert liveness(HERE, HERE) is Liveness.ALIVE


def test_a_number_that_another_process_has_now_is_gone() -> None:
    assert liveness(HERE._replace(started=HERE.started + 1), HERE) is Liveness.GONE


def test_what_has_ended_is_gone_even_before_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    started = started_at(child.pid)
    waiting = HERE._replace(pid=child.pid, started=started)
    assert liveness(waiting, HERE) is Liveness.GONE
    child.communicate()
    assert liveness(waiting, HERE) is Liveness.GONE


def test_a_name_with_spaces_and_parentheses_is_no_obstacle() -> None:
    script = "import sys; open('/proc/self/comm', 'w').write(') S 1 (x'); print(flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    try:
        assert liveness(HERE._replace(pid=child.pid, started=1), HERE) is Liveness.GONE
        started = started_at(child.pid)
        assert liveness(HERE._replace(pid=child.pid, started=started), HERE) is Liveness.ALIVE
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(
    "elsewhere", [{"host": "another"}, {"namespace": 1}, {"boot": "another", "namespace": 4026532000}]
)
def test_nothing_is_known_of_other_machines_and_containers(elsewhere: dict[str, object]) -> None:
    assert liveness(HERE._replace(**elsewhere, pid=1 << 22), HERE) is Liveness.UNKNOWN  # type: ignore[arg-type]


def test_a_boot_ends_all_that_ran_before_it() -> None:
    here = Process("build-7", "second", FIRST_NAMESPACE, 9, 1, kept=False)
    assert liveness(here._replace(boot="first"), here) is Liveness.GONE


def test_a_container_of_the_same_name_may_be_on_a_machine_that_was_not_booted() -> None:
    here = Process("agent", "second", 4026532000, 9, 1, kept=False)
    assert liveness(here._replace(boot="first"), here) is Liveness.UNKNOWN


def test_without_a_start_the_number_alone_proves_nothing() -> None:
    assert liveness(HERE._replace(started=0), HERE) is Liveness.UNKNOWN


def test_where_times_are_told_otherwise_nothing_is_known() -> None:
    """In another time namespace, a process would seem to be a different process."""
    script = "from jitid.system.processes import this_process; print(this_process().started)"
    apart = [need("unshare"), "--time", "--boottime", "100000", "--fork"]
    done = subprocess.run(
        [*apart, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode:
        missing(f"no time namespace can be made here: {done.stderr.strip()}")
    assert done.stdout == "0\n"
    assert liveness(HERE, HERE._replace(started=0)) is Liveness.UNKNOWN


def test_an_identity_is_one_orphan_however_many_credentials_it_holds(tmp_path: Path) -> None:
    with World(tmp_path / "ledger") as world:
        gone = HERE._replace(started=1)
        made = world.issue(process=gone, may_audience=("urn:a",))
        world.issue(process=gone._replace(kept=True))
        world.issue(process=HERE)
        held = Secret.single(made.token)
        further = AttachRequest(held, "opaque", audiences=("urn:a",), ttl=60)
        world.authority.perform(Attach(request=further))
        world.authority.perform(Renew(request=RenewRequest(held, 600)))
        page = world.authority.perform(
            ListCredentials(
                chosen=Filter(live=True, bound=True),
                sort="issued_at",
                descending=False,
                after=None,
                limit=99,
            )
        )
        assert len(page.credentials) == 5
        assert [(row.id, row.expires_at) for row in orphans(page.credentials, page.now)] == [
            (made.id, NOW + 600)
        ]
