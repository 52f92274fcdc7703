"""`jitid authorize --batch`: each line gets an answer, in order, and no answer is printed before its record."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jitid.capabilities.use.authorization import UseRequest
from jitid.capabilities.use.operations import Authorize, ListUses
from jitid.cli.input_lines import LONGEST, MOST
from jitid.errors import ClockError
from jitid.model.use import UseFilter
from jitid.values.scope import Scope
from jitid.values.secret import Secret
from tests.builders import DAY, World
from tests.cli.test_terminal import Terminal
from tests.real import Shell, command, need

BATCH = ("authorize", "--batch")


class Scene(NamedTuple):
    """A ledger with two tokens."""

    shell: Shell
    planner: str
    """It may read any repository."""
    reader: str
    """The planner issued it, and it may read only logs."""

    def line(self, resource: str = "acme", **more: Any) -> str:
        """Return a line that requests permission for the planner to read a repository."""
        plain = {"token": self.planner, "action": "repo:read", "resource": resource}
        return json.dumps({**plain, **more}) + "\n"

    def recorded(self, **chosen: Any) -> list[tuple[str, bool]]:
        """Verify the ledger, and return the resource and the outcome of each recorded action."""
        with World(self.shell.ledger, now=int(time.time())) as world:
            world.check()
            uses = world.authority.perform(ListUses(chosen=UseFilter(**chosen), limit=1 << 30)).uses
        return [(one.resource, one.allowed) for one in uses]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return a ledger that the tests copy."""
    shell = Shell(tmp_path_factory.mktemp("home"))
    scopes = ("--scope", "repo:*", "--scope", "log:*")
    planner = shell.good("-q", "issue", "--task", "T1", "--delegator", "alice", "--agent", "planner", *scopes)
    (shell.home / "planner").write_text(planner)
    reader = shell.good(
        "issue", "--parent-file", "planner", "--agent", "reader", "--scope", "log:read", "--kind", "opaque"
    )
    return Scene(shell, planner.strip(), reader.strip())


@pytest.fixture
def scene(template: Scene, tmp_path: Path) -> Scene:
    """Return a separate scene for each test."""
    shutil.copytree(template.shell.ledger, tmp_path / "ledger")
    (tmp_path / "ledger").chmod(0o700)
    (tmp_path / "planner").write_text(template.planner)
    return template._replace(shell=Shell(tmp_path))


class Partner:
    """A client that writes lines to a running batch and reads its answers."""

    def __init__(self, scene: Scene, *more: str) -> None:
        self.process = subprocess.Popen(
            command(*BATCH, *more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=scene.shell.environment,
            cwd=scene.shell.home,
        )

    def write(self, text: str) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """Wait for an answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, text: str) -> dict[str, Any]:
        """Write a line and wait for its answer."""
        self.write(text)
        return self.read()

    def end(self) -> tuple[int, str]:
        """Close its standard input, and return the exit status and standard error."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said.decode()


@contextlib.contextmanager
def partner(scene: Scene, *more: str) -> Iterator[Partner]:
    """Start a batch, and stop it after the block."""
    one = Partner(scene, *more)
    with one.process:
        try:
            yield one
        finally:
            one.process.kill()


def answers(scene: Scene, text: str | bytes, status: int = 0) -> list[dict[str, Any]]:
    """Send lines to a batch, all at once, and return its answers."""
    done = subprocess.run(
        command(*BATCH),
        input=text if isinstance(text, bytes) else text.encode(),
        capture_output=True,
        env=scene.shell.environment,
        cwd=scene.shell.home,
        timeout=120,
    )
    assert done.returncode == status, done.stderr
    assert scene.planner.encode() not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_whoever_waits_for_each_answer_has_it_at_once(scene: Scene) -> None:
    with partner(scene) as other:
        for number in range(20):
            answer = other.ask(scene.line(f"r{number}", id=number))
            assert (answer["id"], answer["decision"], answer["resource"]) == (number, "allow", f"r{number}")
        assert other.end() == (0, "")
    assert scene.recorded() == [(f"r{number}", True) for number in range(20)]


def test_a_line_does_not_wait_for_the_rest_of_another(scene: Scene) -> None:
    with partner(scene) as other:
        line = scene.line("second")
        other.write(scene.line("first") + line[:100])
        assert other.read()["resource"] == "first"
        other.write(line[100:] + scene.line("third").rstrip("\n"))
        assert other.read()["resource"] == "second"
        assert other.end() == (0, "")
    assert [resource for resource, _ in scene.recorded()] == ["first", "second", "third"]


def test_what_is_there_together_is_recorded_together_and_answered_in_order(scene: Scene) -> None:
    chance = random.Random(7)
    resources = [f"r{number}" for number in range(2 * MOST + 500)]
    bad = {number for number in range(len(resources)) if chance.random() < 0.1}
    lines = [
        scene.line(resource, **({"token": "x"} if number in bad else {}))
        for number, resource in enumerate(resources)
    ]
    told = answers(scene, "".join(lines))
    assert [answer["resource"] for answer in told] == resources
    assert [answer["decision"] == "deny" for answer in told] == [n in bad for n in range(len(lines))]
    assert scene.recorded() == [(one["resource"], one["decision"] == "allow") for one in told]
    log = scene.shell.good("audit", "log", "--operation", "use", "--format", "jsonl").splitlines()
    events = [json.loads(line) for line in log]
    assert all(event["count"] <= MOST for event in events)
    assert len(events) < 100
    for event in events:
        assert event["count"] == sum(one["event"] == event["seq"] for one in told)


SPOILT: list[tuple[str, str]] = [
    ("", "is blank"),
    (" \t", "is blank"),
    ("{", "does not parse"),
    ("null", "not a JSON object"),
    ("[]", "not a JSON object"),
    ('{"action":"a","resource":"b"}', "`token`"),
    ('{"token":"","action":"a","resource":"b"}', "`token`"),
    ('{"token":1,"action":"a","resource":"b"}', "`token`"),
    ('{"token":"x","resource":"b"}', "`action`"),
    ('{"token":"x","action":"a:*","resource":"b"}', "not a single action"),
    ('{"token":"x","action":"a\\u0000","resource":"b"}', "not an action"),
    ('{"token":"x","action":"a"}', "`resource`"),
    ('{"token":"x","action":"a","resource":" "}', "blank"),
    ('{"token":"x","action":"a","resource":"a\\u0000b"}', "NUL"),
    ('{"token":"x","action":"a","resource":"\\ud800"}', "surrogate"),
    ('{"token":"x","action":"a","resource":"' + "x" * 4097 + '"}', "4097 bytes"),
    ('{"token":"x","action":"a","resource":"b","context":[]}', "not a JSON object"),
    ('{"token":"x","action":"a","resource":"b","context":{"x":"' + "y" * 4096 + '"}}', "the limit is 4096"),
    ('{"token":"x","action":"a","resource":"b","context":' + '{"x":' * 65 + "1" + "}" * 66, "65 levels deep"),
    ('{"token":"x","action":"a","resource":"b","context":{"x":1e999}}', "out of range"),
    ('{"token":"x","action":"a","resource":"b","id":{}}', "`id`"),
    ('{"token":"x","action":"a","resource":"b","id":true}', "`id`"),
    ('{"token":"x","action":"a","resource":"b","id":"' + "x" * 257 + '"}', "`id`"),
    ('{"token":"x","action":"a","resource":"b","other":1}', "unknown member `other`"),
    ('{"token":"x","token":"y","action":"a","resource":"b"}', "two members"),
    ("x" * (LONGEST + 1), "longer than"),
    ('{"x":"' + "y" * 3 * LONGEST + '"}', "longer than"),
    ("\udcff", "not UTF-8"),
]


def test_a_line_that_cannot_be_meant_is_denied_by_its_number_and_not_recorded(scene: Scene) -> None:
    lines = [text for text, _ in SPOILT]
    text = "\n".join([scene.line("before").strip(), *lines, scene.line("after").strip()])
    first, *told, last = answers(scene, text.encode("utf-8", "surrogateescape"), 9)
    assert (first["decision"], last["decision"]) == ("allow", "allow")
    for number, (answer, (line, why)) in enumerate(zip(told, SPOILT, strict=True), start=2):
        assert answer["decision"] == "deny", line[:80]
        assert answer["line"] == number
        message = answer["error"]["message"]
        assert message.startswith(f"line {number}: ")
        assert (why in message) or (why == "65 levels deep" and "64 levels deep" in message), (
            line[:80],
            message,
        )
    assert scene.recorded() == [("before", True), ("after", True)]


def test_a_token_in_a_wrong_place_is_refused_and_not_echoed(scene: Scene) -> None:
    for token in (scene.planner, scene.reader):
        for member in ("action", "resource", "id", token):
            (answer,) = answers(scene, scene.line(**{member: token}), 9)
            assert answer["decision"] == "deny"
            assert token not in json.dumps(answer)
        (answer,) = answers(scene, scene.line(context={"authorization": f"Bearer {token}"}), 9)
        assert token not in json.dumps(answer)
    assert scene.recorded() == []


def test_an_answer_repeats_the_id_that_it_was_given(scene: Scene) -> None:
    ids = [0, -1, 10**17, "", "x", "é \x1b[31m", "007"]
    told = answers(scene, "".join(scene.line(id=id_) for id_ in ids))
    assert [answer["id"] for answer in told] == ids
    (plain, null) = answers(scene, scene.line() + scene.line(id=None))
    assert "id" not in plain
    assert "id" not in null
    (answer,) = answers(scene, scene.line(id=3, action="*"), 9)
    assert (answer["id"], answer["decision"]) == (3, "deny")


def test_an_answer_says_who_and_why(scene: Scene) -> None:
    allowed, denied, foreign = answers(
        scene,
        scene.line("log", token=scene.reader, action="log:read")
        + scene.line("\x1b[31m", token=scene.reader)
        + scene.line(token="jitid_" + "0" * 38),
    )
    who = {
        "agent": "reader",
        "delegator": "user:alice",
        "chain": ["user:alice", "planner", "reader"],
        "task": "T1",
    }
    for answer in (allowed, denied):
        assert {name: answer[name] for name in who} == who
    assert (allowed["scope"], allowed["reason"], allowed["rules"]) == ("log:read", None, ["moderate"])
    assert (denied["scope"], denied["rules"]) == (None, ["scope"])
    assert denied["reason"] == "no scope of the credential covers `repo:read` on `\\x1b[31m`"
    assert denied["resource"] == "\x1b[31m"
    assert (foreign["jti"], foreign["chain"], foreign["rules"]) == (None, None, [])


def test_nothing_in_is_nothing_out(scene: Scene) -> None:
    assert answers(scene, "") == []
    assert scene.recorded() == []


# The end of a batch.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_what_was_answered_is_recorded(number: signal.Signals, scene: Scene) -> None:
    with partner(scene) as other:
        for at in range(3):
            other.ask(scene.line(f"r{at}"))
        other.process.send_signal(number)
        assert other.end() == (128 + number, "")
    assert len(scene.recorded()) == 3


def test_who_reads_no_answer_ends_it_and_what_was_asked_is_recorded(scene: Scene) -> None:
    with partner(scene) as other:
        other.ask(scene.line("first"))
        assert other.process.stdout is not None
        other.process.stdout.close()
        # The batch may notice the closed output while it waits: then it has ended and does not read this line.
        assert other.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            # Past Python's buffer, which would keep an unread line and write it again when it is closed.
            os.write(other.process.stdin.fileno(), scene.line("second").encode())
        assert other.process.wait(60) == 74
    assert scene.recorded()[0] == ("first", True)


def test_it_notices_while_it_waits_that_nobody_reads_any_more(scene: Scene) -> None:
    with partner(scene) as other:
        other.ask(scene.line("first"))
        assert other.process.stdout is not None
        other.process.stdout.close()
        assert other.process.wait(60) == 74


@pytest.mark.parametrize("where", ["/dev/full", "&-"])
def test_an_answer_that_cannot_be_written_is_no_success(where: str, scene: Scene) -> None:
    (scene.shell.home / "lines").write_text(scene.line())
    for verb in (
        "authorize --batch < lines",
        "authorize --token-file planner --action repo:read --resource acme",
    ):
        line = f"{' '.join(command(*verb.split()[:1]))} {verb.partition(' ')[2]} >{where}"
        done = subprocess.run(
            ["sh", "-c", line],
            env=scene.shell.environment,
            cwd=scene.shell.home,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 74, done.stderr
    assert scene.recorded() == [("acme", True)] * 2


# Obstacles.


@contextlib.contextmanager
def held(scene: Scene) -> Iterator[None]:
    """Hold the ledger as another writer would."""
    with (scene.shell.ledger / "lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def test_what_cannot_be_recorded_is_denied_and_the_next_is_tried_again(scene: Scene) -> None:
    with partner(scene, "--timeout", "1s") as other:
        assert other.ask(scene.line("first"))["decision"] == "allow"
        with held(scene):
            answer = other.ask(scene.line("second", id=2))
        assert (answer["decision"], answer["line"], answer["id"]) == ("deny", 2, 2)
        assert (answer["error"]["code"], answer["error"]["retryable"]) == ("storage", True)
        assert other.ask(scene.line("third"))["decision"] == "allow"
        status, said = other.end()
    assert status == 5
    assert "other writers held the ledger" in said
    assert scene.recorded() == [("first", True), ("third", True)]


def test_a_disk_that_fails_once_ends_it(scene: Scene) -> None:
    """Later answers would rest on records that may be lost, even if the disk reports success for them."""
    fault = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2"]
    done = scene.shell.run(
        *BATCH,
        before=[need("strace"), "-f", "-qq", "-o", os.devnull, *fault],
        stdin="".join(scene.line(f"r{number}") for number in range(2 * MOST + 1)),
    )
    assert done.returncode == 5
    assert "the disk failed" in done.stderr
    told = [json.loads(line)["decision"] for line in done.stdout.splitlines()]
    # The number of lines that the batch reads together from a pipe depends on the timing of both processes.
    first = told.index("deny")
    assert 0 < first <= MOST
    assert told == ["allow"] * first + ["deny"] * (len(told) - first)
    recorded = {resource for resource, allowed in scene.recorded() if allowed}
    assert {f"r{number}" for number in range(first)} <= recorded
    assert f"r{2 * MOST}" not in recorded


@pytest.mark.deep
def test_where_nothing_can_be_recorded_from_the_start_it_ends(scene: Scene) -> None:
    with held(scene), partner(scene, "--timeout", "1s") as other:
        assert other.ask(scene.line() + scene.line())["decision"] == "deny"
        assert other.read()["decision"] == "deny"
        assert other.end()[0] == 5
    with held(scene):
        line = ("--token-file", "planner", "--action", "repo:read", "--resource", "acme", "--timeout", "1s")
        done = scene.shell.run("authorize", *line)
    assert (done.returncode, done.stdout) == (5, "")
    assert scene.recorded() == []


def test_a_ledger_that_was_replaced_is_not_answered_for(scene: Scene) -> None:
    with partner(scene) as other:
        assert other.ask(scene.line("first"))["decision"] == "allow"
        shutil.move(scene.shell.ledger, scene.shell.home / "away")
        shutil.copytree(scene.shell.home / "away", scene.shell.ledger)
        answer = other.ask(scene.line("second"))
        assert (answer["decision"], answer["error"]["code"]) == ("deny", "storage")
        assert other.end()[0] == 5
    assert scene.recorded() == [("first", True)]


def _until(other: Partner, scene: Scene, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Send the same line again until `holds` is true of the answer, and return the answer."""
    ends = time.monotonic() + 30
    while not holds(answer := other.ask(scene.line())):
        assert time.monotonic() < ends
    return answer


@pytest.mark.deep
def test_a_policy_that_was_changed_counts_from_then_on(scene: Scene) -> None:
    policy = scene.shell.ledger / "policy" / "use.cedar"
    sealed = '@id("sealed") forbid (principal, action == Action::"authorize", resource);\n'

    with partner(scene) as other:
        assert other.ask(scene.line())["decision"] == "allow"
        policy.write_text(sealed)
        policy.chmod(0o600)
        denied = _until(other, scene, lambda answer: answer["decision"] == "deny")
        assert denied["rules"] == ["sealed"]
        policy.write_text(sealed[:-3])
        while "error" not in (answer := other.ask(scene.line())):
            assert answer["rules"] == ["sealed"]
        assert answer["error"]["code"] == "configuration"
        assert "use.cedar" in answer["error"]["message"]
        policy.unlink()
        _until(other, scene, lambda answer: answer["decision"] == "allow")
        status, said = other.end()
    assert status == 2
    assert "use.cedar" in said


@pytest.mark.deep
def test_a_policy_is_read_anew_though_its_file_keeps_its_size_and_its_time(scene: Scene) -> None:
    policy = scene.shell.ledger / "policy" / "use.cedar"
    rule = '@id("{}") {} (principal, action == Action::"authorize", resource);\n'
    policy.write_text(rule.format("a", "permit"))
    kept = policy.stat()
    with partner(scene) as other:
        assert other.ask(scene.line())["decision"] == "allow"
        policy.write_text(rule.format("a", "forbid"))
        os.utime(policy, ns=(kept.st_atime_ns, kept.st_mtime_ns))
        assert policy.stat().st_size == kept.st_size
        _until(other, scene, lambda answer: answer["decision"] == "deny")
        # Another user who may write the file could decide which actions are allowed.
        policy.chmod(0o666)
        assert _until(other, scene, lambda answer: "error" in answer)["error"]["code"] == "integrity"
        assert other.end()[0] == 7


def test_a_policy_that_does_not_parse_answers_nothing(scene: Scene) -> None:
    (scene.shell.ledger / "policy" / "use.cedar").write_text("forbid")
    assert [answer["decision"] for answer in answers(scene, scene.line() * 2, 2)] == ["deny", "deny"]
    line = ("--token-file", "planner", "--action", "repo:read", "--resource", "acme")
    assert scene.shell.run("authorize", *line).returncode == 2
    (scene.shell.ledger / "policy" / "use.cedar").unlink()
    assert scene.recorded() == []


def test_two_at_once_lose_nothing(scene: Scene) -> None:
    names = [[f"{who}{number}" for number in range(3_000)] for who in ("a", "b")]
    files = []
    for who, resources in zip("ab", names, strict=True):
        (scene.shell.home / f"lines-{who}").write_text("".join(map(scene.line, resources)))
        files.append(scene.shell.home / f"lines-{who}")
    running = []
    for file in files:
        with file.open("rb") as stdin:
            running.append(
                subprocess.Popen(
                    command(*BATCH),
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    env=scene.shell.environment,
                    cwd=scene.shell.home,
                )
            )
    told = [process.communicate(timeout=120)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    for lines, resources in zip(told, names, strict=True):
        assert [json.loads(line)["resource"] for line in lines] == resources
    recorded = [resource for resource, allowed in scene.recorded() if allowed]
    for resources in names:
        own = set(resources)
        assert [resource for resource in recorded if resource in own] == resources
    (row,) = [
        json.loads(line) for line in scene.shell.good("inspect", "planner", "--format", "jsonl").splitlines()
    ]
    assert row["scopes_used"] == ["repo:*"]


def test_killed_at_any_time_it_has_recorded_what_it_answered(scene: Scene) -> None:
    chance = random.Random(3)
    answered = 0
    for _ in range(8):
        with partner(scene) as other:
            other.write("".join(scene.line(f"r{number}") for number in range(40)))
            count = chance.randrange(1, 40)
            for number in range(count):
                assert other.read()["resource"] == f"r{number}"
            other.process.kill()
            other.process.wait()
        answered += count
        assert len(scene.recorded()) >= answered


def test_a_clock_that_jumped_decides_nothing(tmp_path: Path) -> None:
    with World(tmp_path / "ledger") as world:
        made = world.issue(scopes=("repo:read",))
        asked = (UseRequest(Secret.single(made.token), Scope("repo:read"), "acme"),)
        world.clock.now -= 3 * DAY
        with pytest.raises(ClockError):
            world.authority.perform(Authorize(asked=asked))
        world.clock.now += 3 * DAY
        assert len(world.events()) == 2
        world.clock.now -= 3 * DAY
        done = world.authority.perform(Authorize(asked=asked, accept_clock=True))
        assert not done.verdicts[0].allowed
        assert [event["op"] for event in world.events()][-2:] == ["accept-clock", "use"]
        world.check()


def test_only_json_lines_are_written(scene: Scene) -> None:
    for line in (
        ("--format", "json"),
        ("--format", "tsv"),
        ("--field", "decision"),
        ("--action", "a"),
        ("--token-file", "planner"),
        ("--context", "{}"),
    ):
        done = scene.shell.run(*BATCH, *line)
        assert (done.returncode, done.stdout) == (2, ""), line
    assert scene.shell.good(*BATCH, "--format", "jsonl", stdin=scene.line())


def test_nobody_types_lines_at_a_terminal(scene: Scene) -> None:
    typed = Terminal(scene.shell, *BATCH)
    status, shown = typed.end()
    assert status == 2
    assert "standard input, and that is a terminal" in shown
    assert "pipe it in: … < FILE" in shown
