"""Records of agents around a place in their files: the session, the time, and the tool with its command.

All seven agents write JSON: a record a line, a document a file, or a value of a database. The objects around a place
have these facts in members with known names, at any depth.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from typing import Any

from jitid.capabilities.scan import chat_store
from jitid.capabilities.scan.hits import KINDS, AgentContext, Hit
from jitid.model.leak import starred
from jitid.search.find import Finds, SecretSearch
from jitid.search.hidden import HiddenSearch

# JSON values have any type.
# ruff: noqa: ANN401

_SESSIONS = ("sessionId", "session_id", "sessionID", "thread_id", "threadId", "composerId", "conversationId")
"""Members with the id of a session: Claude Code, Gemini CLI, Copilot and VS Code; Codex; opencode; Cursor."""
_TIMES = ("timestamp", "time_created", "created_at", "createdAt", "created", "startTime", "started_at", "ts")
_CALLS = ("tool_use_id", "call_id", "toolCallId", "callID")
"""Members with the id of a call of a tool: Claude Code; Codex; Copilot, Gemini CLI and VS Code; opencode."""
_CALLED = ("id", *_CALLS)
_TOOLS = ("name", "toolName", "tool", "toolId")
_INPUTS = ("input", "arguments", "args", "params", "rawArgs", "state", "toolInput")
_COMMANDS = ("command", "cmd", "script", "file_path", "filePath", "path", "url")
"""Members of a tool's input with its command, the most exact first."""
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]')
_SESSION_IN_PATH = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|ses_[0-9A-Za-z]{10,40}", re.IGNORECASE
)
_SESSION = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_LONGEST_RECORD = 1 << 22
"""Maximum bytes of a record that is read; of a longer one, only the path has the session."""
_MOST_READ = 1 << 31
"""Maximum bytes of records that are read for all places; of further ones, only the path has the session."""
_INNERMOST = 8
"""The number of objects around a place that are read, besides the outermost one."""
_PIECE = 1 << 16
_BEFORE = 1 << 22
"""Bytes before a record in which the call of its tool is searched."""
_LONGEST_COMMAND = 160
_MOST_DEPTH = 64
_SHORT = 256
_SENSITIVE = re.compile(
    r"(?i)((?:pass(?:word|wd)?|secret|token|key|auth\w*|bearer|credential\w*)[\w-]*[\"']?\s*(?:[:=]|\s)\s*[\"']?(?:bearer\s+)?)"
    r"[^\s\"']+"
)
_USER_INFO = re.compile(r"(://)[^/\s@]+@")
_RANDOM = re.compile(r"(?=[A-Za-z_+=-]*[0-9])(?=[0-9_+=-]*[A-Za-z])[A-Za-z0-9_+=-]{20,}")


class Records:
    """A reader of the records around places."""

    def __init__(self, secret_search: SecretSearch | None = None) -> None:
        """Take the search for adopted secrets: no command with a secret is shown."""
        self._search = HiddenSearch(KINDS, secret_search, closely=True)
        self._left = _MOST_READ

    def context(self, client: str, hit: Hit) -> AgentContext:
        """Return the facts that the agent `client` recorded about a place."""
        context = AgentContext(client, session=self.name(_session_of(hit.inside) or _session_of(hit.place)))
        if self._left < 0:
            return context
        with suppress(OSError, sqlite3.Error, ValueError, RecursionError, chat_store.UnreadableError):
            objects, before = self._around(hit)
            return self._with_facts(context, objects, before)
        return context

    def _around(self, hit: Hit) -> tuple[list[Any], bytes]:
        """Return the objects around a place, the outermost first, and the text before its record."""
        if hit.inside is not None:
            self._left -= _LONGEST_RECORD
            return _row(hit), b""
        descriptor = os.open(hit.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return [], b""
            start, record = _record(descriptor, hit.offset)
            first = max(0, start - _BEFORE)
            self._left -= len(record) * _INNERMOST + start - first
            return _enclosing(record, hit.offset - start), os.pread(descriptor, start - first, first)
        finally:
            os.close(descriptor)

    def _with_facts(self, context: AgentContext, objects: list[Any], before: bytes) -> AgentContext:
        inward = [each for each in objects if isinstance(each, dict)]
        session = next((text for each in inward if (text := _text_of(each, _SESSIONS, _SESSION))), None)
        times = (time for each in reversed(inward) if (time := _time(each)) is not None)
        call = _own_call(inward) or _earlier_call(inward, before)
        tool, command = (None, None) if call is None else call
        return context._replace(
            session=self.name(session) or context.session,
            written_at=next(times, None),
            tool=None if tool is None else self.safe(tool),
            command=None if command is None else self.safe(command),
        )

    def name(self, text: str | None) -> str | None:
        """Return the id of a session; None if it is a secret, or has one."""
        if text is None or starred(text) != text:
            return None
        return None if self._has_secret(text) else text

    def _has_secret(self, text: str) -> bool:
        raw = text.encode("utf-8", "surrogateescape")
        return bool(self._search.found(bytearray(raw), 0, len(raw), Finds()))

    def safe(self, text: str) -> str | None:
        """Return a command in one short line without secrets; None if a secret cannot be cut out."""
        line = " ".join(text.split())
        if len(line) > _LONGEST_COMMAND:
            # A part of a secret at the end would not be recognized.
            line = line[:_LONGEST_COMMAND].rpartition(" ")[0] + " ..."
        line = _SENSITIVE.sub(r"\1****", _USER_INFO.sub(r"\1****@", line))
        line = _RANDOM.sub("****", starred(line))
        return None if self._has_secret(line) else line


def _record(descriptor: int, offset: int) -> tuple[int, bytes]:
    """Return the line at an offset with its start, or the whole file if it is a document of several lines."""
    start, text = offset, b""
    while start > 0 and len(text) < _LONGEST_RECORD:
        count = min(_PIECE, start)
        piece = os.pread(descriptor, count, start - count)
        cut = piece.rfind(b"\n")
        text = piece[cut + 1 :] + text
        start -= count - cut - 1
        if cut >= 0:
            break
    end = offset
    while len(text) < _LONGEST_RECORD and (piece := os.pread(descriptor, _PIECE, end)):
        cut = piece.find(b"\n")
        text += piece if cut < 0 else piece[:cut]
        end += len(piece)
        if cut >= 0:
            break
    size = os.fstat(descriptor).st_size
    if not text.lstrip().startswith((b"{", b"[")) or not text.rstrip().endswith((b"}", b"]")):
        # A line of a document that is laid out in lines.
        return (0, os.pread(descriptor, size, 0)) if size <= _LONGEST_RECORD else (start, b"")
    return start, text


def _enclosing(record: bytes, offset: int) -> list[Any]:
    """Return the objects of a JSON text that contain an offset, the outermost first."""
    stack: list[int] = []
    for match in _STRUCTURE.finditer(record):
        if match.end() > offset:
            break
        if match[0] in (b"{", b"["):
            stack.append(match.start())
        elif match[0] in (b"}", b"]") and stack:
            stack.pop()
    # One character a byte, so that offsets stay the same; texts are decoded when they are used.
    text = record.decode("latin-1")
    decoder = json.JSONDecoder()
    starts = dict.fromkeys((*stack[:1], *stack[-_INNERMOST:]))
    return [decoder.raw_decode(text, start)[0] for start in starts]


def _row(hit: Hit) -> list[Any]:
    """Return the row of a database that a hit names, and the objects in its values."""
    inside = hit.inside or ""
    table, _, key = inside.partition("/")
    descriptor = os.open(hit.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        path = os.path.realpath(f"/proc/self/fd/{descriptor}")
        with closing(chat_store.connected(path)) as connection:
            row = chat_store.row(connection, table, key)
    finally:
        os.close(descriptor)
    objects: list[Any] = [{name: _plain(value) for name, value in row.items() if _is_short(value)}]
    for value in row.values():
        if (
            isinstance(value, bytes)
            and hit.offset < len(value) <= _LONGEST_RECORD
            and value[:1] in (b"{", b"[")
        ):
            objects += _enclosing(value, hit.offset)
    return objects


def _is_short(value: object) -> bool:
    return not isinstance(value, bytes) or len(value) <= _SHORT


def _plain(value: object) -> Any:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _session_of(text: str | None) -> str | None:
    """Return the last id of a session in a path, or the first in the key of a row."""
    found = _SESSION_IN_PATH.findall(text or "")
    if not found:
        return None
    return str(found[0] if text is not None and ":" in text else found[-1])


def _text_of(
    record: Mapping[str, Any], names: Sequence[str], form: re.Pattern[str] | None = None
) -> str | None:
    """Return the first text among members of an object."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str) and value and (form is None or form.fullmatch(value)):
            return _decoded(value)
    return None


def _decoded(text: str) -> str:
    # Texts have one character a byte, except escaped characters.
    with suppress(UnicodeEncodeError):
        return text.encode("latin-1").decode("utf-8", "replace")
    return text


def _time(record: Mapping[str, Any]) -> int | None:
    for name in _TIMES:
        value = record.get(name)
        if isinstance(value, str):
            with suppress(ValueError, OverflowError):
                return int(datetime.fromisoformat(value).timestamp())
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e14:
            return int(value / 1000 if value > 1e11 else value)
    inner = record.get("time")
    return _time(inner) if isinstance(inner, dict) else None


def _own_call(inward: list[dict[str, Any]]) -> tuple[str, str | None] | None:
    """Return the tool and the command of a call around a place, or of a call with its output in one record."""
    for record in reversed(inward):
        for each in (record, record.get("toolFormerData")):
            if (
                isinstance(each, dict)
                and (tool := _text_of(each, _TOOLS))
                and not each.keys().isdisjoint(_INPUTS)
            ):
                return tool, _command(each)
    return None


def _command(call: Mapping[str, Any]) -> str | None:
    for name in _INPUTS:
        value = call.get(name)
        if isinstance(value, str):
            with suppress(ValueError, RecursionError):
                value = json.loads(value)
        if isinstance(value, dict):
            nested = value.get("input")
            for each in (value, nested if isinstance(nested, dict) else {}):
                for member in _COMMANDS:
                    words = each.get(member)
                    if isinstance(words, str):
                        return _decoded(words)
                    if isinstance(words, list) and all(isinstance(word, str) for word in words):
                        return _decoded(shlex.join(words))
    return None


def _earlier_call(inward: list[dict[str, Any]], before: bytes) -> tuple[str, str | None] | None:
    """Return the tool and the command of the call whose output an object is, from an earlier line."""
    ids = [text for record in reversed(inward) if (text := _text_of(record, _CALLS, _SESSION))]
    if not ids and inward:
        # Claude Code repeats the output of a tool beside the message.
        ids = [
            text
            for record in _objects(inward[0].get("message"))
            if (text := _text_of(record, _CALLS, _SESSION))
        ]
    for call_id in ids[:1]:
        mark = b'"%b"' % call_id.encode("ascii")
        end = len(before)
        while (position := before.rfind(mark, 0, end)) >= 0:
            start = before.rfind(b"\n", 0, position) + 1
            stop = before.find(b"\n", position)
            line = before[start : stop if stop >= 0 else len(before)].decode("latin-1")
            with suppress(ValueError, RecursionError):
                for record in _objects(json.loads(line)):
                    named = _text_of(record, _TOOLS)
                    if named and any(record.get(name) == call_id for name in _CALLED):
                        return named, _command(record)
            end = start
    return None


def _objects(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield the objects in a value."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each, depth + 1)
