"""Syslog messages: by the grammar of RFC 5424, section 6, and by the real rsyslogd."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitid.formats import syslog
from jitid.model.event import Event, encode
from jitid.values.text import safe
from tests.formats.test_formats import texts
from tests.real import need

AT = 1_795_521_600  # 2026-11-24T12:00:00Z
HASH = bytes(range(32))

# RFC 5424, section 6: SYSLOG-MSG.
_PRINTABLE = r"[!-~]"
_NAME = r"[!#-<>-\\^-~]{1,32}"
_PARAMETER = rf' ({_NAME})="((?:[^"\\\]]|\\["\\\]])*)"'
_MESSAGE = re.compile(
    rf"<(?P<pri>[1-9]?\d|1\d\d)>1 (?P<at>\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ) (?P<host>{_PRINTABLE}{{1,255}}) "
    rf"(?P<app>{_PRINTABLE}{{1,48}}) (?P<proc>{_PRINTABLE}{{1,128}}) (?P<id>{_PRINTABLE}{{1,32}}) "
    rf"\[(?P<sd>{_NAME})(?P<data>(?:{_PARAMETER})*)\] (?P<msg>.*)",
    re.ASCII,
)


def event(operation: str = "issue", **facts: Any) -> Event:
    """Return an event with this operation and these facts."""
    return Event(7, encode(operation, AT, "ops", facts), HASH)


def read(line: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parts of a message, and its structured data."""
    found = _MESSAGE.fullmatch(line)
    assert found is not None, line
    data = {name: re.sub(r"\\(.)", r"\1", value) for name, value in re.findall(_PARAMETER, found["data"])}
    return found.groupdict(), data


facts = st.fixed_dictionaries(
    {}, optional={"task": texts, "reason": texts, "rules": st.lists(texts, max_size=2), "other": texts}
)


@given(facts, texts)
def test_every_event_is_one_message_that_says_what_was_hashed(told: dict[str, Any], host: str) -> None:
    one = event(**told)
    text = "".join(syslog.text([one], host))
    assert text.endswith("\n")
    parts, data = read(text[:-1])
    assert text[:-1].isprintable()
    assert json.loads(parts["msg"]) == json.loads(one.body)
    assert parts["msg"].isascii()
    assert data["seq"] == "7"
    assert data["hash"] == HASH.hex()
    for name in ("task", "reason"):
        assert data.get(name) == (safe(told[name]) if name in told else None)


def test_a_message_says_when_where_and_what() -> None:
    parts, data = read(
        "".join(syslog.text([event(task="T1", count=2, rules=["a", "b"])], "ho st")).rstrip("\n")
    )
    assert {name: parts[name] for name in ("at", "host", "app", "proc", "id", "sd")} == {
        "at": "2026-11-24T12:00:00Z",
        "host": "ho_st",
        "app": "jitid",
        "proc": "-",
        "id": "issue",
        "sd": "jitid@32473",
    }
    assert data == {"seq": "7", "hash": HASH.hex(), "by": "ops", "task": "T1", "count": "2", "rules": "a b"}


@pytest.mark.parametrize(
    ("operation", "severity"),
    [("denial", 4), ("revoke", 5), ("retire", 5), ("something-new", 5), ("issue", 6)],
)
def test_what_ends_something_is_louder_than_what_begins(operation: str, severity: int) -> None:
    parts, _ = read("".join(syslog.text([event(operation)], "h")).rstrip("\n"))
    assert parts["pri"] == str(10 * 8 + severity)


CONFIGURATION = """
module(load="imfile")
global(workDirectory="{folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")
template(name="told" type="list" option.jsonf="on") {{
  property(outname="severity" name="syslogseverity" format="jsonf")
  property(outname="facility" name="syslogfacility" format="jsonf")
  property(outname="at" name="timestamp" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="id" name="msgid" format="jsonf")
  property(outname="data" name="structured-data" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
}}
input(type="imfile" File="{folder}/in" Tag="x" needParse="on" ruleset="all")
ruleset(name="all") {{ action(type="ompipe" Pipe="{folder}/out" template="told") }}
"""


def test_rsyslogd_reads_what_was_meant(tmp_path: Path) -> None:
    events = [event(task="T1", reason='a "quoted" \\ [bracket] \x1b[31m é'), event("denial", task="T2")]
    (tmp_path / "in").write_text("".join(syslog.text(events, "host.example")))
    (tmp_path / "conf").write_text(CONFIGURATION.format(folder=tmp_path))
    os.mkfifo(tmp_path / "out")
    program = need("rsyslogd")
    # Open the pipe for reading first: rsyslogd opens it without waiting for a reader.
    descriptor = os.open(tmp_path / "out", os.O_RDWR)
    server = subprocess.Popen(
        [program, "-n", "-f", str(tmp_path / "conf"), "-i", str(tmp_path / "pid")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            told = [json.loads(line) for line in _lines(pipe.fileno(), len(events), server)]
    finally:
        server.terminate()
        server.wait(30)
        assert server.stdout is not None
        server.stdout.close()
    assert [(each["facility"], each["severity"], each["id"]) for each in told] == [
        ("10", "6", "issue"),
        ("10", "4", "denial"),
    ]
    for one, each in zip(events, told, strict=True):
        assert (each["at"], each["host"], each["app"]) == ("2026-11-24T12:00:00Z", "host.example", "jitid")
        assert json.loads(each["message"]) == json.loads(one.body)
        line = "".join(syslog.text([one], "h"))
        assert each["data"] in line
        assert each["data"].startswith("[jitid@32473 ")
        assert each["data"].endswith("]")


def _lines(descriptor: int, count: int, server: subprocess.Popen[bytes]) -> list[bytes]:
    import select

    text = b""
    while text.count(b"\n") < count:
        ready, _, _ = select.select([descriptor], [], [], 60)
        assert ready, f"rsyslogd says nothing (ended: {server.poll()})"
        text += os.read(descriptor, 1 << 16)
    return text.splitlines()
